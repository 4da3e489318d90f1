"""From the parameters of an order to ticks and lots, with the futures venue's own objections."""

from __future__ import annotations

import re
import secrets
from typing import Final

from engine.contracts import reasons
from engine.sandbox.binance_spot.parameters import Parameters, needed
from engine.sandbox.binance_usdm.catalogue import ORDER_TYPES, STP_DEFAULT, STP_MODES, minimum
from engine.sandbox.binance_usdm.errors import REFUSALS, UsdmError
from engine.sandbox.futures import ENGINE_TIFS, Futures
from engine.sandbox.perp_tape import PerpTape
from engine.sandbox.traders import AlgoOrder, PerpTicket, Trader

SIDES: Final = {"BUY": 1, "SELL": -1}
CONDITIONAL: Final = tuple(name for name in ORDER_TYPES if name not in ("LIMIT", "MARKET"))
LIMITED: Final = ("LIMIT", "STOP", "TAKE_PROFIT")
WORKING_TYPES: Final = ("CONTRACT_PRICE", "MARK_PRICE")
WORDS: Final = ("true", "false", "TRUE", "FALSE", "True", "False")
MOST_CALLBACK_BPS: Final = 1000
_CLIENT_ID: Final = re.compile(r"^[\.A-Z\:/a-z0-9_-]{1,36}$")


def refused(futures: Futures, symbol: int, reason: int, side: int = 1) -> UsdmError:
    """The venue's words for a simulated venue's reason."""
    tape = futures.tapes[symbol]
    if reason == reasons.MIN_NOTIONAL:
        return UsdmError(-4164, minimum(futures, tape))
    if reason == reasons.PERCENT_PRICE:
        row = futures.filters(tape)
        mid = tape.bid_ticks + tape.ask_ticks
        if side > 0:
            return UsdmError(-4016, tape.price(int(row.band_up_e4) * mid // 20_000))
        return UsdmError(-4024, tape.price(-(-int(row.band_down_e4) * mid // 20_000)))
    return UsdmError(REFUSALS[reason])


def flag(p: Parameters, name: str) -> bool:
    """A yes or no; no where it was not sent."""
    return (p.word(name, WORDS) or "false").lower() == "true"


def client_id(p: Parameters, name: str) -> str:
    """The client's name for something, or one made up."""
    text = p.text(name)
    if text is not None and not _CLIENT_ID.match(text):
        raise UsdmError(-4015)
    return text or secrets.token_urlsafe(16)


def _own_side(trader: Trader, p: Parameters) -> None:
    wanted = p.word("positionSide", ("BOTH", "LONG", "SHORT")) or "BOTH"
    if wanted != "BOTH" or trader.is_hedged:
        raise UsdmError(-4061)


def read_ticket(futures: Futures, trader: Trader, p: Parameters) -> PerpTicket:
    """The order a request describes. Raises BinanceError."""
    tape = perp(futures, p)
    side = SIDES[needed(p.word("side", SIDES), "side")]
    order_type = needed(p.word("type", ORDER_TYPES), "type")
    if order_type in CONDITIONAL:
        raise UsdmError(-4120)
    _own_side(trader, p)
    stp = p.word("selfTradePreventionMode", STP_MODES) or STP_DEFAULT
    p.word("priceMatch", ("NONE",))
    if flag(p, "closePosition"):
        raise UsdmError(-4136, order_type, "true")
    tif = p.word("timeInForce", ENGINE_TIFS)
    ticks = 0
    if order_type == "LIMIT":
        tif = needed(tif, "timeInForce")
        ticks = ticks_of(futures, tape, needed(p.amount_e8("price"), "price"))
    lots = lots_of(futures, tape, needed(p.amount_e8("quantity"), "quantity"))
    name = client_id(p, "newClientOrderId")
    if any(order.client_order_id == name for order in trader.working.values()):
        raise UsdmError(-4116)
    return PerpTicket(tape.index, side, order_type, tif or "GTC", lots, ticks, name, flag(p, "reduceOnly"), stp)


def read_algo(futures: Futures, trader: Trader, p: Parameters) -> AlgoOrder:
    """The conditional order a request describes. Raises BinanceError."""
    needed(p.word("algoType", ("CONDITIONAL",)), "algoType")
    tape = perp(futures, p)
    side = SIDES[needed(p.word("side", SIDES), "side")]
    order_type = needed(p.word("type", CONDITIONAL), "type")
    _own_side(trader, p)
    closes, reduces = flag(p, "closePosition"), flag(p, "reduceOnly")
    if closes and (order_type in LIMITED or order_type == "TRAILING_STOP_MARKET"):
        raise UsdmError(-4136, order_type, "true")
    if closes and ("quantity" in p or reduces):
        raise UsdmError(-1106, "quantity" if "quantity" in p else "reduceOnly")
    lots = 0 if closes else lots_of(futures, tape, needed(p.amount_e8("quantity"), "quantity"))
    ticks = trigger = activate = callback = 0
    if order_type in LIMITED:
        ticks = ticks_of(futures, tape, needed(p.amount_e8("price"), "price"))
    if order_type == "TRAILING_STOP_MARKET":
        callback, odd = divmod(needed(p.amount_e8("callbackRate"), "callbackRate"), 10**6)
        if odd or not 10 <= callback <= MOST_CALLBACK_BPS:
            raise UsdmError(-1130, "callbackRate")
        wanted = p.amount_e8("activatePrice") if "activatePrice" in p else p.amount_e8("activationPrice")
        activate = ticks_of(futures, tape, wanted) if wanted else 0
    else:
        trigger = ticks_of(futures, tape, needed(p.amount_e8("triggerPrice"), "triggerPrice"))
    tif = p.word("timeInForce", (*ENGINE_TIFS, "GTE_GTC")) or "GTC"
    name = client_id(p, "clientAlgoId")
    if any(one.client_algo_id == name for one in trader.waiting()):
        raise UsdmError(-4116)
    return AlgoOrder(
        0, name, tape.index, side, order_type, tif, lots, ticks, trigger,
        p.word("workingType", WORKING_TYPES) or "CONTRACT_PRICE", reduces, closes, flag(p, "priceProtect"),
        futures.clock.now_ms(), activate_ticks=activate, callback_bps=callback,
        stp=p.word("selfTradePreventionMode", STP_MODES) or STP_DEFAULT,
    )  # fmt: skip


def perp(futures: Futures, p: Parameters) -> PerpTape:
    """The symbol a request names."""
    return futures.tapes[p.tape(futures.by_name).index]


def ticks_of(futures: Futures, tape: PerpTape, price_e8: int) -> int:
    """Whole ticks of a price."""
    ticks, rest = divmod(price_e8, tape.tick_e8)
    if rest:
        raise UsdmError(-1111 if _is_finer(price_e8, tape.price_places) else -4014)
    if ticks < 1:
        raise UsdmError(-4013)
    if ticks > futures.max_price_ticks(tape):
        raise UsdmError(-4002)
    return ticks


def lots_of(futures: Futures, tape: PerpTape, quantity_e8: int) -> int:
    """Whole lots of a quantity."""
    lots, rest = divmod(quantity_e8, tape.lot_e8)
    row = futures.filters(tape)
    if rest:
        raise UsdmError(-1111 if _is_finer(quantity_e8, tape.quantity_places) else -4023)
    if lots < 1:
        raise UsdmError(-4003)
    if lots < int(row.min_lots):
        raise UsdmError(-4004)
    if lots > int(row.max_lots):
        raise UsdmError(-4005)
    return lots


def _is_finer(amount_e8: int, digits: int) -> bool:
    return bool(amount_e8 % 10 ** (8 - digits))
