"""exchangeInfo: what can be traded and by which rules, and how rules differ from those the engine knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from engine.contracts.errors import BadInput, Retryable
from engine.contracts.instruments import E8, Instrument
from engine.markets.symbols import cluster
from engine.venues.binance.dialects import Dialect

_SYMBOL: Final = re.compile(r"([A-Z0-9]{1,20})/([A-Z0-9]{1,20})(?::([A-Z0-9]{1,20}))?", re.ASCII)
OPEN: Final = "TRADING"
MIN_LOTS, MAX_LOTS, MIN_NOTIONAL, MAKER_FEE, TAKER_FEE = range(5)
"""Index of a FILTER record."""


class Rules(NamedTuple):
    """One symbol: the instrument, the order types it takes, whether a replacement may be asked for."""

    instrument: Instrument
    order_types: frozenset[str]
    replaces: bool


class Symbol(msgspec.Struct):
    """One of `symbols`; USD-M adds contractType, marginAsset and percentages."""

    symbol: str
    status: str
    baseAsset: str
    quoteAsset: str
    orderTypes: list[str]
    filters: list[dict[str, Any]]
    cancelReplaceAllowed: bool = False
    contractType: str = ""
    marginAsset: str = ""
    requiredMarginPercent: str = "5"
    maintMarginPercent: str = "2.5"


class Info(msgspec.Struct):
    """`{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","filters":[...],...}]}`"""

    symbols: list[Symbol]


class Bracket(msgspec.Struct):
    """`{"bracket":1,"initialLeverage":125,"notionalCap":50000,"maintMarginRatio":0.004}`"""

    initialLeverage: int
    maintMarginRatio: Decimal


class _Brackets(msgspec.Struct):
    symbol: str
    brackets: list[Bracket]


def read_brackets(body: bytes, venue: str) -> dict[str, Bracket]:
    """Venue symbol -> its first bracket, that of small positions. Raises Retryable."""
    try:
        rows = msgspec.json.decode(body, type=list[_Brackets])
    except msgspec.MsgspecError as error:
        raise Retryable(f"{venue}: its leverage brackets cannot be read: {error}") from None
    return {row.symbol: row.brackets[0] for row in rows if row.brackets}


def with_bracket(rules: Rules, brackets: dict[str, Bracket]) -> Rules:
    """Rules with the leverage and maintenance margin the account gets."""
    one = rules.instrument
    bracket = brackets.get(f"{one.base}{one.quote}")
    if bracket is None:
        return rules
    leverage, rate = bracket.initialLeverage, bracket.maintMarginRatio
    return rules._replace(instrument=msgspec.structs.replace(one, max_leverage=leverage, maintenance_margin_rate=rate))


def wanted(symbol: str) -> str:
    """Binance's name of a canonical symbol. Raises BadInput."""
    match = _SYMBOL.fullmatch(symbol)
    if match is None:
        raise BadInput(f"symbol {symbol!r}: write BASE/QUOTE, or BASE/QUOTE:SETTLE for a perpetual")
    return match[1] + match[2]


def read_rules(body: bytes, dialect: Dialect, venue: str) -> Iterator[tuple[str, Rules]]:
    """Canonical symbol and rules of all that can be traded here now; one with rules that make no sense cannot, and
    costs the others nothing. Raises Retryable where the answer as a whole makes no sense."""
    try:
        found = msgspec.json.decode(body, type=Info).symbols
    except msgspec.MsgspecError as error:
        raise Retryable(f"{venue}: its exchange information cannot be read: {error}") from None
    for one in found:
        is_perp = one.contractType == "PERPETUAL"
        if one.status == OPEN and is_perp == bool(dialect.algo_types):
            try:
                instrument = _instrument(one, dialect, venue)
            except (ArithmeticError, KeyError, BadInput):
                continue
            yield instrument.symbol, Rules(instrument, frozenset(one.orderTypes), one.cancelReplaceAllowed)


def _instrument(one: Symbol, dialect: Dialect, venue: str) -> Instrument:
    by_name = {str(row.get("filterType")): row for row in one.filters}
    is_perp = bool(one.contractType)
    price, lot = by_name["PRICE_FILTER"], by_name["LOT_SIZE"]
    step = Decimal(str(lot["stepSize"]))
    most = Decimal(str(lot["maxQty"]))
    market_most = Decimal(str(by_name.get("MARKET_LOT_SIZE", {}).get("maxQty", "0")))
    least = max(Decimal(str(lot["minQty"])), step)
    pair = f"{one.baseAsset}/{one.quoteAsset}"
    up, down = _band(by_name)
    return Instrument(
        symbol=f"{pair}:{one.marginAsset}" if is_perp else pair,
        venue=venue,
        base=one.baseAsset,
        quote=one.quoteAsset,
        kind="perp" if is_perp else "spot",
        tick_size=_short(Decimal(str(price["tickSize"]))),
        lot_size=_short(step),
        min_qty=_short(least),
        max_qty=_short(min(most, market_most) if market_most > 0 else most),
        min_notional=_least_notional(by_name),
        band_up=up,
        band_down=down,
        maker_fee=Decimal(dialect.standard_fees[0]),
        taker_fee=Decimal(dialect.standard_fees[1]),
        maintenance_margin_rate=Decimal(one.maintMarginPercent) / 100 if is_perp else Decimal("0.01"),
        max_leverage=int(100 / Decimal(one.requiredMarginPercent)) if is_perp else 1,
        cluster=cluster(pair),
        fee_in_base=not is_perp,  # a buy's fee is taken in the coin, unless the account pays in BNB
    )


def _short(value: Decimal) -> Decimal:
    """Without the zeros at the end, and without an exponent."""
    plain = value.normalize()
    return plain.quantize(Decimal(1)) if plain.as_tuple().exponent > 0 else plain  # type: ignore[operator]


def _least_notional(by_name: dict[str, dict[str, Any]]) -> Decimal:
    row = by_name.get("NOTIONAL") or by_name.get("MIN_NOTIONAL") or {}
    return _short(Decimal(str(row.get("minNotional", row.get("notional", "0")))))


def _band(by_name: dict[str, dict[str, Any]]) -> tuple[Decimal, Decimal]:
    """The narrower of both sides' price bands."""
    sides = by_name.get("PERCENT_PRICE_BY_SIDE")
    if sides is not None:
        ups, downs = ("bidMultiplierUp", "askMultiplierUp"), ("bidMultiplierDown", "askMultiplierDown")
        return min(Decimal(str(sides[n])) for n in ups), max(Decimal(str(sides[n])) for n in downs)
    both = by_name.get("PERCENT_PRICE", {"multiplierUp": "5", "multiplierDown": "0.2"})
    return Decimal(str(both["multiplierUp"])), Decimal(str(both["multiplierDown"]))


def limits_of(one: Instrument) -> tuple[int, ...]:
    """The five numbers FILTER records speak of, in their order."""
    return (
        -int(-one.min_qty // one.lot_size), int(one.max_qty // one.lot_size), int(one.min_notional * E8),
        int(one.maker_fee * E8), int(one.taker_fee * E8),
    )  # fmt: skip


def grid_change(old: Instrument, new: Instrument) -> str:
    """What changed that whole ticks and lots cannot follow; empty where nothing did."""
    changes = [
        f"{name} from {getattr(old, field)} to {getattr(new, field)}"
        for field, name in (("tick_size", "tick"), ("lot_size", "lot"))
        if getattr(old, field) != getattr(new, field)
    ]
    return " and ".join(changes)
