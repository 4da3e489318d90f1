"""Recorded or synthetic files as one ordered stream of events: the only door of this folder the engine needs.

`open_market` reads and judges the files (`files`, `rows`), infers what they do not say (`inference`), and
`Market.blocks` yields 64-byte records in time order without ever holding the whole stream.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from engine.contracts.errors import BadData, BadInput
from engine.contracts.instruments import Instrument
from engine.contracts.records import FUNDING, QUOTE, RECORD
from engine.contracts.runs import Source
from engine.markets.feedmodel import FeedModel
from engine.markets.files import Array, read_sheet
from engine.markets.inference import infer
from engine.markets.paths import BAR, POINTS, TICKS_LANE, fill_block, lay_bars
from engine.markets.rows import TOO_LARGE, Judged, judge
from engine.markets.symbols import QUOTE_UNITS, Name, legs, select
from engine.markets.ticks import tick_records

__all__ = ["FeedModel", "Market", "open_market"]

_MINUTE_NS: Final = 60_000_000_000
_MOST: Final = 1e15  # ticks or lots


class _Lanes(NamedTuple):
    """Inputs of `fill_block`, one entry per lane, and where each lane starts."""

    start: Array
    end: Array
    point: Array
    step_ns: Array
    order: Array


@dataclass(frozen=True)
class _Stretch:
    """Candles of one instrument from one file: `bars[start:end]`, each `step_ns` long."""

    instrument: int
    start: int
    end: int
    step_ns: int


@dataclass(frozen=True)
class Market:
    """An opened market. The index into `instruments` is the `instrument` of its records.

    `from_ns` (inclusive) and `to_ns` (exclusive) bound the venue time of the events; opening the same files with
    them gives the same events. `events` is the length of the whole stream.
    """

    instruments: list[Instrument]
    sources: list[Source]
    grade: Literal["candle-grade", "tick-grade"]
    from_ns: int
    to_ns: int
    events: int
    synthetic: bool
    _bars: Array
    _ticks: Array
    _stretches: list[_Stretch]
    _lanes: _Lanes
    _latency_ns: int

    def blocks(self, max_records: int = 131_072) -> Iterator[Array]:
        """Fresh C-contiguous RECORD arrays of at most `max_records`, sorted by venue_ts_ns over the whole run.

        `ts_ns` is `venue_ts_ns` plus the feed latency. The same on every call. Ties go by instrument.
        """
        if max_records < 1:
            raise BadInput(f"max_records = {max_records} must be at least 1")
        lanes, left = self._lanes, self.events
        cursor = lanes.start.copy()
        while left:
            out: np.ndarray[Any, Any] = np.zeros(min(left, max_records), RECORD)
            rest = (lanes.point, lanes.step_ns, lanes.order, self._bars, self._ticks, self._latency_ns)
            left -= int(fill_block(out, cursor, lanes.end, *rest))
            yield out

    def between(self, from_ns: int, to_ns: int) -> Market:
        """The part of this market that lies wholly in [from_ns, to_ns), sharing its memory: the same instruments, the
        same spread and depth, nothing read or judged again. Raises BadInput where nothing lies there."""
        parts, lanes = [], _Lanes(self._lanes.start.copy(), self._lanes.end.copy(), *self._lanes[2:])
        for s in self._stretches:
            times = self._bars["ts_ns"][s.start : s.end]
            first, last = np.searchsorted(times, (from_ns, to_ns - s.step_ns + 1)).tolist()
            if first < last:
                parts.append(_Stretch(s.instrument, s.start + first, s.start + last, s.step_ns))
        opened = self._bars["ts_ns"][lanes.order]
        for lane in range(len(lanes.start)):
            begin, end, step = int(lanes.start[lane]), int(lanes.end[lane]), int(lanes.step_ns[lane])
            is_ticks = lanes.point[lane] == TICKS_LANE
            times = (self._ticks["venue_ts_ns"] if is_ticks else opened)[begin:end]
            within = (from_ns, to_ns if is_ticks else to_ns - step + 1)
            lanes.start[lane], lanes.end[lane] = begin + np.searchsorted(times, within)
        events = int((lanes.end - lanes.start).sum())
        if not events:
            raise BadInput("from/to: no data of these symbols lies wholly in that stretch; widen it")
        window = (max(from_ns, self.from_ns), min(to_ns, self.to_ns))
        return replace(self, from_ns=window[0], to_ns=window[1], events=events, _stretches=parts, _lanes=lanes)

    def closes(self, instrument_index: int) -> tuple[Array, Array]:
        """Times (int64 ns) and last prices (float, quote units): one per candle, else one per minute of ticks."""
        per_unit = float(1 / self.instruments[instrument_index].tick_size)  # dividing keeps decimals as they were
        parts = [s for s in self._stretches if s.instrument == instrument_index]
        if parts:
            parts.sort(key=lambda s: int(self._bars[s.start]["ts_ns"]))
            times = np.concatenate([self._bars["ts_ns"][s.start : s.end] + s.step_ns for s in parts])
            return times, np.concatenate([self._bars["close"][s.start : s.end] for s in parts]) / per_unit
        mine = self._ticks[self._ticks["instrument"] == instrument_index]
        quotes, words = mine["kind"] == QUOTE, mine["price_ticks"]
        if (~quotes).any():
            mine, words = mine[~quotes], words[~quotes]
            prices = words / per_unit
        else:
            prices = (mine["bid_ticks"] + mine["ask_ticks"]) / (2 * per_unit)
        minute = mine["venue_ts_ns"] // _MINUTE_NS
        last = np.flatnonzero(np.append(np.diff(minute) != 0, len(minute) > 0))
        return mine["venue_ts_ns"][last], prices[last]


def open_market(
    paths: Sequence[Path],
    *,
    symbols: Sequence[str] | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    model: FeedModel | None = None,
    instruments: Sequence[Instrument] | None = None,
) -> Market:
    """Read, judge and order the files; nothing is expanded yet.

    `symbols` picks by `BTC/USDT`, `BTCUSDT` or `venue:BTC/USDT`. Only what lies wholly in [from_ns, to_ns) is
    replayed, while spread and depth are warmed up by the candles before. `instruments` replaces inference and
    fixes the order: symbols outside it are left out. Funding counts only where and while there are prices.
    Raises BadData (a file as a whole) or BadInput (symbols, stretch, parameters).
    """
    if not paths:
        raise BadInput("data: name at least one Parquet file")
    model = model or FeedModel()
    sheets = [judge(read_sheet(Path(path))) for path in paths]
    _refuse_ruined(sheets)
    priced = sorted({n for j in sheets if j.sheet.kind != "funding" for n in _present(j)})
    if not priced:
        raise BadInput("data: only funding files were given; add the candles or ticks of the same symbols")
    names = select(priced, symbols)
    if instruments is None:
        instruments = infer(names, sheets, model)
    else:
        instruments = [i for i in instruments if symbols is None or (i.venue, i.symbol) in names]
    window = (from_ns if from_ns is not None else 0, to_ns if to_ns is not None else 2**62)
    return _assemble(sheets, list(instruments), model, window)


def market_of_ticks(instruments: Sequence[Instrument], ticks: Array, source: Source, latency_ns: int) -> Market:
    """A market of quotes and trades that were worked out of a recording: RECORDs by venue time, `ts_ns` 0."""
    stamps = ticks["venue_ts_ns"]
    if not len(ticks) or (np.diff(stamps) < 0).any():
        raise BadInput("data: quotes and trades must come in the order of time, and there must be some")
    bars: np.ndarray[Any, Any] = np.zeros(0, BAR)
    return Market(
        instruments=list(instruments), sources=[source], grade="tick-grade", from_ns=int(stamps[0]),
        to_ns=int(stamps[-1]) + 1, events=len(ticks), synthetic=source.seed is not None, _bars=bars, _ticks=ticks,
        _stretches=[], _lanes=_lanes(bars, [], len(ticks)), _latency_ns=latency_ns,
    )  # fmt: skip


def _present(judged: Judged) -> set[Name]:
    good = np.unique(judged.sheet.code[judged.cause == 0])
    return {judged.sheet.names[code] for code in good.tolist()}


def _refuse_ruined(sheets: list[Judged]) -> None:
    for judged in sheets:
        if fault := judged.refusal():
            raise BadData(fault)


def _assemble(sheets: list[Judged], instruments: list[Instrument], model: FeedModel, window: tuple[int, int]) -> Market:
    index = {(i.venue, i.symbol): k for k, i in enumerate(instruments)}
    bars, stretches = _bars(sheets, instruments, index, model, window)
    _refuse_ruined(sheets)  # again: only now is it known which numbers the instruments cannot hold
    ticks = tick_records([j for j in sheets if j.sheet.kind != "candles"], instruments, index, window)
    ends = [int(bars["ts_ns"][s.end - 1]) + s.step_ns for s in stretches]
    firsts = [int(bars["ts_ns"][s.start]) for s in stretches]
    traded = ticks["venue_ts_ns"][ticks["kind"] != FUNDING]
    if len(traded):
        firsts.append(int(traded[0]))
        ends.append(int(traded[-1]) + 1)
    if not firsts:
        raise BadInput("from/to: no data of these symbols lies wholly in that stretch; widen it")
    ticks = ticks[(ticks["venue_ts_ns"] >= min(firsts)) & (ticks["venue_ts_ns"] < max(ends))]  # funding, mostly
    kinds = {j.sheet.kind for j in sheets}
    return Market(
        instruments=instruments,
        sources=[_source(j) for j in sheets],
        grade="candle-grade" if "candles" in kinds else "tick-grade",
        from_ns=min(firsts),
        to_ns=max(ends),
        events=POINTS * len(bars) + len(ticks),
        synthetic=any(j.sheet.seed is not None for j in sheets),
        _bars=bars,
        _ticks=ticks,
        _stretches=stretches,
        _lanes=_lanes(bars, stretches, len(ticks)),
        _latency_ns=model.latency_ns,
    )


def _source(judged: Judged) -> Source:
    sheet = judged.sheet
    return Source(
        path=str(sheet.path),
        sha256=sheet.sha256,
        kind=sheet.kind if sheet.seed is None else "synthetic",
        rows=len(sheet.code),
        quarantined=judged.counts(),
        wicks=judged.wicks(),
        seed=sheet.seed,
    )


def _bars(
    sheets: list[Judged],
    instruments: list[Instrument],
    index: dict[Name, int],
    model: FeedModel,
    window: tuple[int, int],
) -> tuple[Array, list[_Stretch]]:
    """All candles of the stretch as BAR rows, instrument by instrument, file by file."""
    most = sum(
        int(np.diff(j.sheet.starts)[code])
        for j in sheets
        for code, name in enumerate(j.sheet.names)
        if j.sheet.kind == "candles" and name in index
    )
    bars: np.ndarray[Any, Any] = np.zeros(most, BAR)  # untouched pages cost nothing
    stretches: list[_Stretch] = []
    total = 0
    for judged in sheets:
        if judged.sheet.kind != "candles":
            continue
        for code, name in enumerate(judged.sheet.names):
            if name not in index:
                continue
            step = int(judged.step_ns[code])
            laid = _lay(judged, code, instruments[index[name]], index[name], model, bars[total:])
            first, last = np.searchsorted(laid["ts_ns"], (window[0], window[1] - step + 1)).tolist()
            if first < last:
                if first:
                    laid[: last - first] = laid[first:last].copy()
                stretches.append(_Stretch(index[name], total, total + last - first, step))
                total += last - first
    bars = bars[:total]
    _refuse_overlap(bars, stretches, instruments)
    return bars, stretches


def _lay(judged: Judged, code: int, instrument: Instrument, index: int, model: FeedModel, room: Array) -> Array:
    """Lay one instrument's good candles into `room`; returns the part of it that was filled."""
    tick, lot = float(instrument.tick_size), float(instrument.lot_size * instrument.contract_size)
    unit = QUOTE_UNITS.get(legs(instrument.symbol)[1], 1.0)
    seed = zlib.crc32(f"{instrument.venue}:{instrument.symbol}".encode())
    first = model.first_depth_usd * unit / float(Fraction(instrument.tick_lot_e8) / 10**8)
    terms = (model.spread_bps * 1e-4, model.spread_range_share, model.depth_volume_share, first)
    start, end = judged.sheet.starts[code : code + 2]
    highest, lowest, most = (judged.sheet.columns[n][start:end] for n in ("high", "low", "volume"))
    held = (highest <= _MOST * tick) & (lowest >= tick / 2) & (most <= _MOST * lot)
    judged.cause[start:end][~held & (judged.cause[start:end] == 0)] = TOO_LARGE
    good = judged.good(code)
    rows = slice(start, end) if len(good) == end - start else good  # all good: no copy
    ts, o, h, low, c, v = (judged.sheet.columns[n][rows] for n in ("ts", "open", "high", "low", "close", "volume"))
    laid = room[: len(ts)]
    lay_bars(ts, o, h, low, c, v, tick, lot, terms, index, seed, laid)
    return laid


def _refuse_overlap(bars: Array, stretches: list[_Stretch], instruments: list[Instrument]) -> None:
    spans = sorted((s.instrument, int(bars["ts_ns"][s.start]), int(bars["ts_ns"][s.end - 1])) for s in stretches)
    for (one, _, end), (other, start, _) in zip(spans, spans[1:], strict=False):
        if one == other and start <= end:
            name = f"{instruments[one].venue}:{instruments[one].symbol}"
            raise BadInput(f"data: two candle files cover {name} at the same time; give one of them, or use from/to")


def _lanes(bars: Array, stretches: list[_Stretch], ticks: int) -> _Lanes:
    """Four lanes per candle length over one shared order, and one lane of ticks."""
    start: list[int] = []
    end: list[int] = []
    point: list[int] = []
    step_ns: list[int] = []
    orders: list[Array] = []
    done = 0
    for step in sorted({s.step_ns for s in stretches}):
        parts = sorted((s for s in stretches if s.step_ns == step), key=lambda s: s.instrument)
        rows = np.concatenate([np.arange(s.start, s.end, dtype=np.int32) for s in parts])
        rows = rows[np.argsort(bars["ts_ns"][rows], kind="stable")]  # ties stay in the order of instruments
        orders.append(rows)
        for number in range(POINTS):
            start.append(done)
            end.append(done + len(rows))
            point.append(number)
            step_ns.append(step)
        done += len(rows)
    order = np.concatenate(orders) if orders else np.zeros(0, np.int32)
    table = [np.array(values, np.int64) for values in ([*start, 0], [*end, ticks], [*point, TICKS_LANE], [*step_ns, 0])]
    return _Lanes(table[0], table[1], table[2], table[3], order)
