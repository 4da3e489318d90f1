"""Quotes, trades and funding as event records: prices to the nearest tick, sizes to whole lots (at least one)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.instruments import Instrument
from engine.contracts.records import FUNDING, QUOTE, RECORD, RECORD_BYTES, TRADE
from engine.markets.files import Array
from engine.markets.rows import TOO_LARGE, Judged, tick_ids, venue_time
from engine.markets.symbols import Name

_MOST: Final = 1e15  # ticks or lots
_BYTES: Final = np.dtype(f"V{RECORD_BYTES}")


def tick_records(
    sheets: list[Judged], instruments: list[Instrument], index: dict[Name, int], window: tuple[int, int]
) -> Array:
    """All rows of the stretch [window), sorted by (venue time, instrument), funding first, then quotes, then trades.

    `ts_ns` is left 0. FUNDING carries `price_ticks` 0: the files hold no mark price, the last price stands for it.
    Rows that ticks and lots cannot hold are marked TOO_LARGE.
    """
    rank = {"funding": 0, "quotes": 1, "trades": 2}
    parts = [
        _records(judged, code, instruments[index[name]], index[name])
        for judged in sorted(sheets, key=lambda j: rank[j.sheet.kind])
        for code, name in enumerate(judged.sheet.names)
        if name in index
    ]
    if not parts:
        return np.zeros(0, RECORD)
    # as plain bytes: concatenating overlapping fields unfolds them into another layout, picking rows is slow
    joined = np.concatenate([part.view(_BYTES) for part in parts])
    stamps = joined.view(RECORD)["venue_ts_ns"]
    joined = joined[(stamps >= window[0]) & (stamps < window[1])]
    rows = joined.view(RECORD)
    return joined[np.lexsort((rows["instrument"], rows["venue_ts_ns"]))].view(RECORD)


def _records(judged: Judged, code: int, instrument: Instrument, index: int) -> Array:
    sheet = judged.sheet
    prices = {"quotes": ("bid", "ask"), "trades": ("price",), "funding": ()}[sheet.kind]
    sizes = {"quotes": ("bid_size", "ask_size"), "trades": ("size",), "funding": ()}[sheet.kind]
    tick, lot = float(instrument.tick_size), float(instrument.lot_size * instrument.contract_size)
    good = judged.good(code)
    ticks = {c: np.rint(sheet.columns[c][good] / tick) for c in prices}
    lots = {c: np.maximum(np.floor(sheet.columns[c][good] / lot + 1e-9), 1.0) for c in sizes}
    fits = np.ones(len(good), bool)
    for values in (*ticks.values(), *lots.values()):
        fits &= (values >= 1) & (values <= _MOST)
    judged.cause[good[~fits]] = TOO_LARGE
    good = good[fits]
    out: np.ndarray[Any, Any] = np.zeros(len(good), RECORD)
    out["instrument"] = index
    if sheet.kind == "funding":
        out["kind"], out["venue_ts_ns"] = FUNDING, sheet.columns["ts"][good]
        out["rate_e12"] = np.rint(sheet.columns["funding_rate"][good] * 1e12)
        return out
    out["venue_ts_ns"] = venue_time(sheet)[good]
    ids = tick_ids(sheet)[good]
    if sheet.kind == "quotes":
        out["kind"], out["update_id"] = QUOTE, ids
        out["bid_ticks"], out["ask_ticks"] = ticks["bid"][fits], ticks["ask"][fits]
        out["bid_lots"], out["ask_lots"] = lots["bid_size"][fits], lots["ask_size"][fits]
    else:
        out["kind"], out["trade_id"], out["side"] = TRADE, ids, sheet.columns["side"][good]
        out["price_ticks"], out["qty_lots"] = ticks["price"][fits], lots["size"][fits]
    return out
