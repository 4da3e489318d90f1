"""Finished runs on disk: find one by name, open it again as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.contracts.errors import BadInput, Fatal
from engine.contracts.records import QUOTE, TRADE
from engine.contracts.runs import Manifest
from engine.core.strategies import table
from engine.journal import ledger as ledgers
from engine.journal import manifest as manifests
from engine.journal import segments
from engine.markets.market import FeedModel, Market, open_market
from engine.research.backtest import BacktestResult, Closes, closes_of
from engine.research.breakdown import labels
from engine.research.metrics import measure

LATEST: Final = "latest"
DEMO: Final = "demo"
"""The demo's own folder in a home."""
MINUTE_NS: Final = 60_000_000_000
JOURNALLED: Final = ("paper", "shadow", "live")
"""Worlds whose market data is in the journal itself."""


def find(home: Path, name: str) -> Path:
    """The run folder a person means: a path, a run id, the beginning of one, or ``latest``; the demo's runs count.

    Raises BadInput where there is none, or where the beginning fits several.
    """
    if Path(name).is_dir():
        return Path(name)
    runs = home / "runs"
    folders = [path for place in (runs, home / DEMO / "runs") for path in place.glob("*") if path.is_dir()]
    by_id = {path.name: path for path in sorted(folders, key=lambda path: path.name)}
    known = list(by_id)
    if name == LATEST and known:
        return by_id[known[-1]]
    fitting = [run for run in known if run.startswith(name)]
    if len(fitting) == 1:
        return by_id[fitting[0]]
    if fitting:
        raise BadInput(f"run {name!r} fits {', '.join(fitting[-5:])}; write more of it")
    if not known:
        raise BadInput(f"no run {name!r}: {runs} holds none yet; make one with trading-cli backtest or demo")
    raise BadInput(f"no run {name!r} in {runs}; the newest are {', '.join(known[-5:])}")


def reopen(run_dir: Path) -> BacktestResult:
    """A finished run as `backtest.run` returned it, read back from its manifest, journal and market data.

    Raises Fatal for a run that never finished, a damaged journal or one whose end is missing, or market data that
    changed since.
    """
    manifest = finished(run_dir)
    reading = segments.read(run_dir)
    ledger = ledgers.fold(reading, manifest.instruments, table.NAMES)
    _refuse_half(run_dir, manifest, reading.drain())
    closes = heard_closes(run_dir, manifest) if manifest.world in JOURNALLED else closes_of(same_market(manifest))
    metrics = measure(ledger, manifest, closes)
    return BacktestResult(run_dir=run_dir, manifest=manifest, ledger=ledger, metrics=metrics, closes=closes)


def finished(run_dir: Path) -> Manifest:
    """The manifest of a run that came to its end. Raises Fatal for another one, saying what there is instead."""
    manifest = manifests.read(run_dir)
    if not manifest.digest:
        fix = "run the backtest again"
        if manifest.world in JOURNALLED:
            fix = "if its engine still runs, trading-cli down ends it; if that died, PostgreSQL has what it wrote"
        raise Fatal(f"{run_dir} never finished (its manifest has no digest); {fix}")
    return manifest


def heard_closes(run_dir: Path, manifest: Manifest) -> Closes:
    """Last prices by the minute, from the journal of a live run: of trades, or mids where there are none."""
    count = len(manifest.instruments)
    minutes: list[dict[int, float]] = [{} for _ in range(count)]
    traded = [False] * count
    for entries in segments.read(run_dir):
        record = entries["record"]
        chosen = record[np.isin(record["kind"], (QUOTE, TRADE)) & (record["instrument"] < count)]
        for one in _last_of_each_minute(chosen):
            i, is_trade = int(one["instrument"]), one["kind"] == TRADE
            if is_trade and not traded[i]:
                minutes[i], traded[i] = {}, True
            if is_trade == traded[i]:
                ticks = float(one["price_ticks"]) if is_trade else (one["bid_ticks"] + one["ask_ticks"]) / 2
                minutes[i][int(one["ts_ns"]) // MINUTE_NS] = ticks * float(manifest.instruments[i].tick_size)
    names = labels(manifest.instruments)
    return {
        names[one.venue, one.symbol]: (
            np.array(list(minutes[i]), np.int64) * MINUTE_NS, np.array(list(minutes[i].values()), np.float64),
        )
        for i, one in enumerate(manifest.instruments)
    }  # fmt: skip


def _last_of_each_minute(records: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The last quote and the last trade of each instrument and minute, in order."""
    keys = np.stack([records["ts_ns"] // MINUTE_NS, records["instrument"], records["kind"]])
    _, places = np.unique(keys[:, ::-1], axis=1, return_index=True)
    return records[np.sort(len(records) - 1 - places)]


def _refuse_half(run_dir: Path, manifest: Manifest, found: segments.Recovery) -> None:
    """A journal that lost its end tells half a run, which must not pass for the whole."""
    if found.torn_bytes:
        fault = f"the last {found.torn_bytes} bytes of {found.segment} hold no whole frame ({found.torn_reason})"
    elif not found.closed:
        fault = f"{found.segment} ends without its closing mark"
    elif found.last_seq is None or found.last_seq < manifest.events:
        fault = f"it ends at event {found.last_seq}, the run had {manifest.events}"
    else:
        return
    fix = "trading-cli replay shows what is missing; run the backtest again for a whole report"
    raise Fatal(f"{run_dir}: the end of the journal is missing: {fault}; {fix}")


def same_market(manifest: Manifest) -> Market:
    """The market a run was made from, opened again. Raises Fatal where a file is not the same any more."""
    assumptions = {k: v for k, v in manifest.simulation.items() if k in FeedModel.__struct_fields__}
    market = open_market(
        [Path(source.path) for source in manifest.sources],
        symbols=[f"{one.venue}:{one.symbol}" for one in manifest.instruments],
        from_ns=manifest.from_ns,
        to_ns=manifest.to_ns,
        model=FeedModel(**assumptions),  # type: ignore[arg-type]  # max_leverage is a whole number in every manifest
        instruments=manifest.instruments,
    )
    for now, then in zip(market.sources, manifest.sources, strict=True):
        if now.sha256 != then.sha256:
            hashes = f"sha256 {now.sha256[:12]} instead of {then.sha256[:12]}"
            raise Fatal(f"{then.path} is not the file the run was made from ({hashes}); put that file back")
    return market
