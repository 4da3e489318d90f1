"""From an order configuration to a ticket in ticks and lots, with Coinbase's own objections."""

from __future__ import annotations

import uuid
from typing import Any, Final, NamedTuple

from engine.contracts.instruments import E8
from engine.sandbox.coinbase import errors as e
from engine.sandbox.coinbase.amounts import read_e8, read_stamp
from engine.sandbox.coinbase.floor import Customer, Draft, Floor, Product
from engine.sandbox.exchange import Ticket
from engine.sandbox.self_trade import DECREMENT

SIDES: Final = {"BUY": 1, "SELL": -1}


class Form(NamedTuple):
    """One kind of configuration: the exchange's word and time in force, Coinbase's words, what it carries."""

    engine_type: str
    engine_tif: str
    order_type: str
    tif: str
    has_stop: bool = False
    has_end: bool = False


FORMS: Final[dict[str, Form]] = {
    "market_market_ioc": Form("MARKET", "GTC", "MARKET", "IMMEDIATE_OR_CANCEL"),
    "limit_limit_gtc": Form("LIMIT", "GTC", "LIMIT", "GOOD_UNTIL_CANCELLED"),
    "limit_limit_gtd": Form("LIMIT", "GTC", "LIMIT", "GOOD_UNTIL_DATE_TIME", has_end=True),
    "limit_limit_fok": Form("LIMIT", "FOK", "LIMIT", "FILL_OR_KILL"),
    "sor_limit_ioc": Form("LIMIT", "IOC", "LIMIT", "IMMEDIATE_OR_CANCEL"),
    "stop_limit_stop_limit_gtc": Form("STOP_LOSS_LIMIT", "GTC", "STOP_LIMIT", "GOOD_UNTIL_CANCELLED", has_stop=True),
    "stop_limit_stop_limit_gtd": Form(
        "STOP_LOSS_LIMIT", "GTC", "STOP_LIMIT", "GOOD_UNTIL_DATE_TIME", has_stop=True, has_end=True
    ),
}
STOP_DIRECTIONS: Final = {"STOP_DIRECTION_STOP_UP": 1, "STOP_DIRECTION_STOP_DOWN": -1}


def form_of(document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and fields of the configuration an order was sent with. Raises HttpError 400."""
    given = document.get("order_configuration")
    if not isinstance(given, dict) or len(given) != 1 or not isinstance(next(iter(given.values())), dict):
        raise e.invalid_argument("order_configuration is required")
    return next(iter(given.items()))


def read_order(floor: Floor, customer: Customer, document: dict[str, Any], client_id: str) -> tuple[Draft, Ticket]:
    """The order a request describes. Raises OrderFailed, and HttpError for a product that is not there."""
    name, fields = form_of(document)
    form = FORMS.get(name)
    product = floor.products.get(str(document.get("product_id")))
    if product is None:
        raise e.invalid_argument("valid product_id is required")
    side = SIDES.get(str(document.get("side")))
    if side is None:
        raise e.OrderFailed(e.BAD_SIDE)
    if form is None or document.get("attached_order_configuration"):
        raise e.OrderFailed(e.UNSUPPORTED)
    is_maker_only = fields.get("post_only") is True
    ticks = 0 if form.order_type == "MARKET" else _ticks(floor, product, fields.get("limit_price"))
    stop, is_profit = _stop_ticks(floor, product, side, ticks, fields) if form.has_stop else (0, False)
    end_ms = _end_ms(floor, fields) if form.has_end else 0
    lots, quote_e8 = _size(floor, customer, product, side, ticks, fields)
    kind = "TAKE_PROFIT_LIMIT" if is_profit else form.engine_type
    kind = "LIMIT_MAKER" if is_maker_only and kind == "LIMIT" else kind
    draft = Draft(str(uuid.uuid4()), client_id, product, name, fields, end_ms)
    ticket = Ticket(product.tape.index, side, kind, form.engine_tif, lots, ticks, stop, client_id, quote_e8, DECREMENT)
    return draft, ticket


def _ticks(floor: Floor, product: Product, text: object) -> int:
    price_e8 = read_e8(text)
    if price_e8 is None or price_e8 == 0:
        raise e.OrderFailed(e.BAD_CONFIGURATION)
    ticks, rest = divmod(price_e8, product.tape.tick_e8)
    if price_e8 < 0 or rest:
        raise e.OrderFailed(e.PRICE_PRECISION)
    if ticks > floor.exchange.max_price_ticks(product.tape):
        raise e.OrderFailed(e.PRICE_TOO_LARGE)
    return ticks


def _stop_ticks(floor: Floor, product: Product, side: int, limit: int, fields: dict[str, Any]) -> tuple[int, bool]:
    """The trigger, and whether it waits for a profit (a buy below, a sell above the market). It must lie on the side
    of the market that its direction says, and one against a loss not behind its limit."""
    stop = _ticks(floor, product, fields.get("stop_price"))
    rises = STOP_DIRECTIONS.get(str(fields.get("stop_direction") or ""), side)
    if rises == side and (stop - limit) * side > 0:
        raise e.OrderFailed(e.STOP_ABOVE_LIMIT if side > 0 else e.STOP_BELOW_LIMIT)
    if (product.tape.last_ticks - stop) * rises >= 0:
        raise e.OrderFailed(e.STOP_BELOW_LAST if rises > 0 else e.STOP_ABOVE_LAST)
    return stop, rises != side


def _end_ms(floor: Floor, fields: dict[str, Any]) -> int:
    end = read_stamp(fields.get("end_time"))
    if end is None:
        raise e.OrderFailed(e.NO_END_TIME)
    if end <= floor.clock.now_ms():
        raise e.OrderFailed(e.END_TIME_PAST)
    return end


def _size(
    floor: Floor, customer: Customer, product: Product, side: int, ticks: int, fields: dict[str, Any]
) -> tuple[int, int]:
    """(lots, quote size in 1e-8 or 0): a size in base, or for buys and limits one in quote."""
    tape, row = product.tape, floor.exchange.filters(product.tape)
    if ("base_size" in fields) == ("quote_size" in fields) or (side < 0 and not ticks and "quote_size" in fields):
        raise e.OrderFailed(e.BAD_CONFIGURATION)
    name = "base_size" if "base_size" in fields else "quote_size"
    size_e8 = read_e8(fields[name])
    if size_e8 is None:
        raise e.OrderFailed(e.BAD_CONFIGURATION)
    if name == "base_size":
        lots, rest = divmod(size_e8, tape.lot_e8)
        if size_e8 < 0 or rest:
            raise e.OrderFailed(e.SIZE_PRECISION)
    else:
        if size_e8 < 0 or size_e8 % tape.tick_e8:
            raise e.OrderFailed(e.QUOTE_PRECISION)
        if size_e8 < int(row.min_notional_e8):
            raise e.OrderFailed(e.QUOTE_TOO_SMALL)
        lots = tape.lots_for(ticks, size_e8) if ticks else _lots_for(floor, customer, product, size_e8)
    if lots < max(int(row.min_lots), 1):
        raise e.OrderFailed(e.SIZE_TOO_SMALL if name == "base_size" else e.QUOTE_TOO_SMALL)
    if lots > int(row.max_lots):
        raise e.OrderFailed(e.SIZE_TOO_LARGE)
    return lots, size_e8 if name == "quote_size" else 0


def _lots_for(floor: Floor, customer: Customer, product: Product, quote_e8: int) -> int:
    """The lots that so much money buys of the book that stands now, fees included."""
    tape = product.tape
    holding = customer.account.wallet.venues[tape.instrument.quote].holdings[tape.index]
    fee_e8 = int(floor.exchange.filters(tape).taker_fee_e8)
    gone, lots, left, ticks = int(holding.taken_ask_lots), 0, quote_e8 * E8 // (E8 + fee_e8), 0
    for ticks, shown in floor.exchange.levels(tape, 1):
        missing = min(gone, shown)
        gone -= missing
        here = min(shown - missing, tape.lots_for(ticks, left))
        lots += here
        left -= tape.cost_e8(ticks, here)
        if here < shown - missing:
            break
    else:  # the book ends before the money: the rest will be cancelled
        lots += tape.lots_for(ticks, left) if ticks else 0
    return lots
