"""Instruments inferred from recorded prices: the files hold none of the venue's filters.

**Everything here is inferred, not the venue's word.** The tick is the finest decimal the whole file uses for the symbol
(one price in a thousand may be finer: providers fill outages with averages); it does not depend on the
stretch that is replayed. A lot is a power of ten, at most one base unit, worth at most about a dollar at the first
recorded price, unless one tick of one lot would then be below 1e-8 quote units: money is counted in those.

**A known exception to "no look-ahead".** Because the whole file is read, a finer decimal that first appears late in the
file makes the tick, and so the roundings, finer from the first event on, and may make the lot coarser. No decision
reads anything else from the future: a tick is a property of the venue, only learnt here from what it printed.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

import numpy as np

from engine.contracts.instruments import Instrument
from engine.core.compile import kernel
from engine.markets.feedmodel import FeedModel
from engine.markets.rows import Judged
from engine.markets.symbols import QUOTE_UNITS, Name, cluster, is_perp_venue, legs

PRICE_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "candles": ("open", "high", "low", "close"),
    "quotes": ("bid", "ask"),
    "trades": ("price",),
    "funding": (),
}
_MOST_DECIMALS: Final = 10
_SPARED: Final = 1000  # one price in this many may be finer than the tick
_MOST_LOTS: Final = 10**9
# kind: (maker, taker)
_FEES: Final = {"spot": ("0.001", "0.001"), "perp": ("0.0002", "0.0005")}


@kernel
def is_whole(scaled: Any) -> Any:
    """True where a price counted in candidate ticks is a whole number, up to float64's own rounding."""
    return abs(scaled - np.rint(scaled)) <= min(1e-4, scaled * 1e-12) + scaled * 4e-16


@kernel(entry=True)
def decimals_used(prices: Any, cause: Any, decimals: Any) -> Any:
    """Decimals (at least `decimals`, at most 10) that all but one in a thousand good prices fit in."""
    spared = len(prices) // _SPARED
    scale = 10.0**decimals
    for i in range(len(prices)):
        scaled = prices[i] * scale
        if cause[i] != 0 or is_whole(scaled):
            continue
        if spared > 0:
            spared -= 1
            continue
        while decimals < _MOST_DECIMALS and not is_whole(scaled):
            decimals += 1
            scale = 10.0**decimals
            scaled = prices[i] * scale
        spared = len(prices) // _SPARED
    return decimals


def infer(names: list[Name], sheets: list[Judged], model: FeedModel) -> list[Instrument]:
    """One instrument per name, in that order. Every name must have at least one good price in `sheets`."""
    decimals = dict.fromkeys(names, 0)
    first: dict[Name, tuple[int, float]] = {}
    for judged in sheets:
        sheet, starts = judged.sheet, judged.sheet.starts
        for code, name in enumerate(sheet.names):
            if name not in decimals or not PRICE_COLUMNS[sheet.kind]:
                continue
            good = judged.good(code)
            if not len(good):
                continue
            span = slice(starts[code], starts[code + 1])
            for column in PRICE_COLUMNS[sheet.kind]:
                used = decimals_used(sheet.columns[column][span], judged.cause[span], decimals[name])
                decimals[name] = int(used)
            stamp = sheet.columns["ts" if sheet.kind == "candles" else "ts_exch_ms"][good[0]]
            when = int(stamp) if sheet.kind == "candles" else int(stamp) * 1_000_000
            price = float(sheet.columns[PRICE_COLUMNS[sheet.kind][0]][good[0]])
            first[name] = min(first.get(name, (when, price)), (when, price))
    return [_instrument(name, decimals[name], first[name][1], model) for name in names]


def _instrument(name: Name, decimals: int, first_price: float, model: FeedModel) -> Instrument:
    venue, symbol = name
    base, quote = legs(symbol)
    unit = QUOTE_UNITS.get(quote, 1.0)
    kind = "perp" if ":" in symbol or is_perp_venue(venue) else "spot"
    coarsest = min(0, math.floor(math.log10(unit / first_price) + 1e-9))
    lot = Decimal(1).scaleb(max(-8, coarsest, decimals - 8))
    maker, taker = (Decimal(fee) for fee in _FEES[kind])
    return Instrument(
        symbol=symbol,
        venue=venue,
        base=base,
        quote=quote,
        kind="perp" if kind == "perp" else "spot",
        tick_size=Decimal(1).scaleb(-decimals),
        lot_size=lot,
        min_qty=lot,
        max_qty=lot * _MOST_LOTS,
        min_notional=Decimal(str(unit)) * 5,
        maker_fee=maker if model.maker_fee is None else Decimal(str(model.maker_fee)),
        taker_fee=taker if model.taker_fee is None else Decimal(str(model.taker_fee)),
        maintenance_margin_rate=Decimal(str(model.maintenance_margin_rate)),
        max_leverage=model.max_leverage if kind == "perp" else 1,
        cluster=cluster(symbol),
    )
