"""From the parameters of an order to a ticket in ticks and lots, with the exchange's own objections."""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple, TypeVar

from engine.sandbox.accounts import Account
from engine.sandbox.binance_spot.catalogue import MOST_NOTIONAL_E8, ORDER_TYPES, STP_DEFAULT, STP_MODES
from engine.sandbox.binance_spot.errors import BinanceError
from engine.sandbox.binance_spot.parameters import CLIENT_ID, Parameters, needed
from engine.sandbox.exchange import Exchange
from engine.sandbox.tape import Tape
from engine.sandbox.ticket import ENGINE_TIFS, Ticket

T = TypeVar("T")
SIDES: Final = {"BUY": 1, "SELL": -1}
TRANSFER: Final = "TRANSFER"
"""A mode the exchange knows and these symbols do not allow."""
NO_SUCH_MODE: Final = "This symbol does not allow the specified self-trade prevention mode."


class Wants(NamedTuple):
    """Which parameters an order type needs."""

    limit_price: bool
    stop_price: bool
    time_in_force: bool


TYPES: Final[dict[str, Wants]] = {
    "LIMIT": Wants(True, False, True),
    "LIMIT_MAKER": Wants(True, False, False),
    "MARKET": Wants(False, False, False),
    "STOP_LOSS": Wants(False, True, False),
    "STOP_LOSS_LIMIT": Wants(True, True, True),
    "TAKE_PROFIT": Wants(False, True, False),
    "TAKE_PROFIT_LIMIT": Wants(True, True, True),
}
# parameters the exchange has and the sandbox has not: what is said about them
ABSENT_PARAMETERS: Final = {
    "icebergQty": "Iceberg orders are not supported for this symbol.",
    "trailingDelta": "Trailing stop orders are not supported for this symbol.",
}


def read_ticket(exchange: Exchange, account: Account, p: Parameters) -> Ticket:
    """The order a request describes. Raises BinanceError: parameters first, then the filters that need no market."""
    tape = p.tape(exchange.by_name)
    side = SIDES[needed(p.word("side", SIDES), "side")]
    order_type = needed(p.word("type", ORDER_TYPES), "type")
    for name, sentence in ABSENT_PARAMETERS.items():
        if name in p:
            raise BinanceError(-2010, sentence)
    stp = p.word("selfTradePreventionMode", (*STP_MODES, TRANSFER)) or STP_DEFAULT
    if stp == TRANSFER:
        raise BinanceError(-1013, message=NO_SUCH_MODE)
    wants = TYPES[order_type]
    tif = _expected(p.word("timeInForce", ENGINE_TIFS), wants.time_in_force, "timeInForce")
    price = _expected(p.amount_e8("price"), wants.limit_price, "price")
    stop = _expected(p.amount_e8("stopPrice"), wants.stop_price, "stopPrice")
    ticks, stop_ticks = _ticks(exchange, tape, price), _ticks(exchange, tape, stop)
    quantity, quote_e8 = p.amount_e8("quantity"), p.amount_e8("quoteOrderQty")
    if quote_e8 is not None and order_type != "MARKET":
        raise BinanceError(-1106, "quoteOrderQty")
    if quote_e8 is not None and quantity is not None:
        raise BinanceError(-1106, "quoteOrderQty")
    if quote_e8 is not None:
        lots = _lots_for(exchange, account, tape, side, quote_e8)
    else:
        lots = _lots(exchange, tape, needed(quantity, "quantity"))
    if ticks and tape.value_e8(ticks, lots) > MOST_NOTIONAL_E8:
        raise BinanceError(-1013, "NOTIONAL")
    name = client_order_id(p, "newClientOrderId")
    if any(order.client_order_id == name for order in account.working.values()):
        raise BinanceError(-2010, "Duplicate order sent.")
    return Ticket(tape.index, side, order_type, tif or "GTC", lots, ticks, stop_ticks, name, quote_e8 or 0, stp)


def order_types(p: Parameters) -> tuple[str, ...]:
    """The types of all orders a request asks for: faults may wait for some of them only."""
    named = [p.plain(name) for name in ("type", "aboveType", "belowType")]
    if "stopPrice" in p and not any(named):  # the older form of an OCO
        named = ["LIMIT_MAKER", "STOP_LOSS_LIMIT" if "stopLimitPrice" in p else "STOP_LOSS"]
    return tuple(name for name in named if name)


def client_order_id(p: Parameters, name: str) -> str:
    """The client's name for something, or one made up."""
    return p.text(name, CLIENT_ID) or secrets.token_urlsafe(16)


def _expected(value: T | None, is_wanted: bool, name: str) -> T | None:
    if is_wanted:
        return needed(value, name)
    if value is not None:
        raise BinanceError(-1106, name)
    return None


def _ticks(exchange: Exchange, tape: Tape, price_e8: int | None) -> int:
    """Whole ticks of a price; 0 where there is none."""
    if price_e8 is None:
        return 0
    ticks, rest = divmod(price_e8, tape.tick_e8)
    if rest or ticks % tape.tick_step or not 1 <= ticks <= exchange.max_price_ticks(tape):
        raise BinanceError(-1013, "PRICE_FILTER")
    return ticks


def _lots(exchange: Exchange, tape: Tape, quantity_e8: int) -> int:
    """Whole lots of a quantity."""
    lots, rest = divmod(quantity_e8, tape.lot_e8)
    row = exchange.filters(tape)
    if rest or lots % tape.lot_step or not max(int(row.min_lots), 1) <= lots <= int(row.max_lots):
        raise BinanceError(-1013, "LOT_SIZE")
    return lots


def _lots_for(exchange: Exchange, account: Account, tape: Tape, side: int, quote_e8: int) -> int:
    """The lots a market order of so much quote asset takes from (or gives to) the book that stands now."""
    holding = account.wallet.venues[tape.instrument.quote].holdings[tape.index]
    gone = int(holding.taken_ask_lots if side > 0 else holding.taken_bid_lots)
    lots, left, ticks = 0, quote_e8, 0
    for ticks, shown in exchange.levels(tape, side):
        missing = min(gone, shown)
        gone -= missing
        here = min(shown - missing, tape.lots_for(ticks, left))
        lots += here
        left -= tape.cost_e8(ticks, here)
        if here < shown - missing:
            break
    else:  # the book ends before the money: the rest will expire
        lots += tape.lots_for(ticks, left) if ticks else 0
    return _lots(exchange, tape, lots // tape.lot_step * tape.lot_step * tape.lot_e8)
