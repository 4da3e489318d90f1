"""Rules of the venue as exact Instruments, and what changed in them as FILTER records."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
from ccxt.base.decimal_to_precision import TICK_SIZE

from engine.contracts.errors import BadInput, Retryable
from engine.contracts.instruments import E8, Instrument
from engine.markets.symbols import cluster, legs
from engine.venues.ccxt.facts import Facts
from engine.venues.ccxt.steps import decimal_of
from engine.venues.undecodable import Undecodable

MOST_LEVERAGE: Final = 150
_FAR: Final = Decimal(10) ** 9  # lots, where the venue names no largest quantity
_SIDES: Final = ("bidMultiplier", "askMultiplier", "multiplier")
_BAND: Final = ("PERCENT_PRICE_BY_SIDE", "PERCENT_PRICE")

# FILTER's index: field of the instrument, and what one unit of `amount_e8` counts
WATCHED: Final[tuple[tuple[str, str], ...]] = (
    ("min_qty", "lots"), ("max_qty", "lots"), ("min_notional", "e8"), ("maker_fee", "e8"), ("taker_fee", "e8"),
)  # fmt: skip


def read_instrument(
    venue: str, facts: Facts, mode: int, market: Mapping[str, Any], tiers: list[Mapping[str, Any]] | None
) -> Instrument:
    """One market of ccxt. `tiers` are a perpetual's leverage brackets, smallest positions first; None: not known
    (no key), then leverage 1 is assumed. Raises BadInput for one Keel cannot trade, Retryable for unreadable rules."""
    symbol = str(market["symbol"])
    if mode != TICK_SIZE:
        raise BadInput(f"{venue}: ccxt counts decimals there instead of ticks; this exchange is not supported")
    if not (market.get("spot") or (market.get("swap") and market.get("linear"))):
        raise BadInput(f"{symbol}: only spot pairs and linear perpetuals can be traded, this is {market.get('type')}")
    if market.get("active") is False:
        raise BadInput(f"{symbol}: {venue} does not trade it now")
    base, quote = legs(symbol)
    try:
        return Instrument(
            symbol=symbol, venue=venue, base=base, quote=quote, kind="spot" if market.get("spot") else "perp",
            cluster=cluster(symbol), fee_in_base=bool(market.get("spot")) and facts.fee_in_base,
            contract_size=_number(market.get("contractSize") or 1, symbol, "contract size"),
            **_sizes(symbol, market), **_band(market), **_margin(symbol, market, tiers),
            maker_fee=_fee(market, "maker"), taker_fee=_fee(market, "taker"),
        )  # fmt: skip
    except Undecodable as error:
        raise Retryable(f"{symbol}: its rules cannot be read: {error}") from None


def _number(value: Any, symbol: str, what: str) -> Decimal:
    if value is None:
        raise Undecodable(f"{symbol}: {what} is not told")
    return decimal_of(value, f"{symbol}: {what}").normalize() + 0


def _sizes(symbol: str, market: Mapping[str, Any]) -> dict[str, Any]:
    limits, precision = market["limits"], market["precision"]
    lot = _number(precision["amount"], symbol, "lot size")
    least, most = limits["amount"].get("min"), limits["amount"].get("max")
    cost = limits["cost"].get("min")
    return {
        "tick_size": _number(precision["price"], symbol, "tick size"),
        "lot_size": lot,
        "min_qty": max(_number(least, symbol, "least quantity"), lot) if least else lot,
        "max_qty": _number(most, symbol, "largest quantity") if most else lot * _FAR,
        "min_notional": _number(cost, symbol, "least notional") if cost else Decimal(0),
    }


def _fee(market: Mapping[str, Any], side: str) -> Decimal:
    value = market.get(side)
    return Decimal("0.001") if value is None else _number(value, str(market["symbol"]), f"{side} fee")


def _band(market: Mapping[str, Any]) -> dict[str, Any]:
    """How far from the market a price may lie, where the venue publishes it."""
    filters = market["info"].get("filters") if isinstance(market.get("info"), Mapping) else None
    for one in filters or ():
        if one.get("filterType") in _BAND:
            up, down = (
                [Decimal(one[prefix + end]) for prefix in _SIDES if prefix + end in one] for end in ("Up", "Down")
            )
            if up and down and max(down) < 1 < min(up) and max(down) > 0:
                return {"band_up": min(up), "band_down": max(down)}
    return {}


def _margin(symbol: str, market: Mapping[str, Any], tiers: list[Mapping[str, Any]] | None) -> dict[str, Any]:
    if market.get("spot") or not tiers:
        return {}
    first = tiers[0]
    return {
        "maintenance_margin_rate": _number(first["maintenanceMarginRate"], symbol, "maintenance margin rate"),
        "max_leverage": max(1, min(int(first["maxLeverage"]), MOST_LEVERAGE)),
    }


def with_fees(one: Instrument, maker: Decimal, taker: Decimal) -> Instrument:
    """The instrument at the account's own fees."""
    return msgspec.structs.replace(one, maker_fee=maker, taker_fee=taker)


def changes(old: Instrument, new: Instrument) -> list[tuple[int, int, str]]:
    """What the venue changed, as (index, amount_e8) of a FILTER record and words for people."""
    found = []
    for index, (field, unit) in enumerate(WATCHED):
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            amount = after / old.lot_size if unit == "lots" else after * E8
            found.append(
                (index, int(amount.to_integral_value(rounding="ROUND_CEILING")), f"{field} {before} -> {after}")
            )
    return found


def is_rescaled(old: Instrument, new: Instrument) -> bool:
    """Whether ticks or lots changed: our counts would mean something else, so that trading must start anew."""
    return (old.tick_size, old.lot_size, old.contract_size) != (new.tick_size, new.lot_size, new.contract_size)
