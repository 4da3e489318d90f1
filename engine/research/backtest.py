"""A backtest from files to results: market -> session -> journal -> ledger -> metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts.errors import BadInput, Fatal
from engine.contracts.ledger import Ledger
from engine.contracts.runs import Manifest
from engine.core.bars import TIMEFRAMES
from engine.core.compile import is_compiled_before, source_digest, watch_compilation
from engine.core.limits import Limits
from engine.core.selector import resolved
from engine.core.strategies import table
from engine.journal import ledger as ledgers
from engine.journal import manifest as manifests
from engine.journal.recovery import compile_recovery
from engine.journal.segments import JournalWriter
from engine.markets.market import FeedModel, Market, open_market
from engine.research.breakdown import labels
from engine.research.metrics import Metrics, measure
from engine.research.session import Blocks, Session
from engine.signals.forecasting import Forecasting
from engine.signals.plan import SignalPlan
from engine.simulation.venue import SimulationModel

Progress = Callable[[float, str], None]
Closes = dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]

SPREAD_OF_TIMEFRAMES: Final = (1, 3, 12)  # 5m -> 5m, 15m, 1h
TICK_BASE_S: Final = 60


class BacktestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. `params` overlay the strategy's defaults; `beside` are strategies that run with it on the same
    account, with what differs from theirs, and `selector` the parameters by which the risk is shared out;
    `timeframes_s` defaults to 1, 3 and 12 times the candle length (1, 3 and 12 minutes for ticks); times are ns UTC,
    `to_ns` exclusive; `signals` are the sources whose forecasts the core hears."""

    strategy: str
    data: Sequence[Path]
    home: Path
    symbols: Sequence[str] | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    capital_usd: float = 1000.0
    params: dict[str, float] = {}
    beside: dict[str, dict[str, float]] = {}
    selector: dict[str, float] = {}
    limits: Limits = Limits()
    simulation: SimulationModel = SimulationModel()
    feed: FeedModel = FeedModel()
    timeframes_s: Sequence[int] | None = None
    signals: Mapping[str, SignalPlan] = {}
    trials: int = 1

    @property
    def strategies(self) -> dict[str, dict[str, float]]:
        """All of them, the first one first."""
        return {self.strategy: self.params} | self.beside


class BacktestResult(msgspec.Struct, frozen=True, kw_only=True):
    """Where the run lies, and what it came to."""

    run_dir: Path
    manifest: Manifest
    ledger: Ledger
    metrics: Metrics
    closes: Closes


def run(request: BacktestRequest, progress: Progress | None = None) -> BacktestResult:
    """Run a backtest and leave its manifest and journal under ``home/runs``.

    Raises BadInput for unusable requests and data before anything is written, Fatal when the disk fails; a run
    that failed half-way has a manifest without digest, which every reader refuses.
    """
    report: Progress = progress or (lambda _share, _text: None)
    started = time.perf_counter()
    for name, params in request.strategies.items():
        check_strategy(name, params)
    report(0.0, "reading the market")
    market = open_market(
        request.data, symbols=request.symbols, from_ns=request.from_ns, to_ns=request.to_ns, model=request.feed
    )
    closes = closes_of(market)
    timeframes = list(request.timeframes_s or default_timeframes(market.grade, closes))
    blocks: list[np.ndarray[Any, Any]] = []
    heard = Forecasting(market, request.signals)
    session = _session(request, heard, timeframes, blocks.append)  # refuses bad requests before anything is written
    manifest = _manifest(request, market, timeframes, heard)
    run_dir = _new_folder(request.home / "runs" / manifest.run_id)
    manifests.write(run_dir, manifest)
    with JournalWriter(run_dir) as journal:
        session.sinks.append(journal.append)
        _simulate(session, market, report)
        journal.close()
        digest = manifests.run_digest(journal.digest, session.core)
    manifest = msgspec.structs.replace(
        manifest, events=session.events, digest=digest, wall_s=round(time.perf_counter() - started, 3)
    )
    manifests.write(run_dir, manifest)
    report(1.0, "measuring")
    book = ledgers.fold(blocks, manifest.instruments, table.NAMES)
    return BacktestResult(
        run_dir=run_dir,
        manifest=manifest,
        ledger=book,
        metrics=measure(book, manifest, closes, trials=request.trials),
        closes=closes,
    )


def _new_folder(run_dir: Path) -> Path:
    try:
        run_dir.mkdir(parents=True)
    except OSError as error:
        raise Fatal(
            f"cannot make {run_dir}: {error.strerror}; set KEEL_HOME to a folder that can be written"
        ) from error
    return run_dir


def check_strategy(name: str, params: dict[str, float]) -> None:
    """Raise BadInput for an unknown strategy or parameter, naming what would do."""
    rows = {row.name: row for row in table.STRATEGIES}
    if name not in rows:
        raise BadInput(f"unknown strategy {name!r}; known: {', '.join(rows)}")
    rows[name].resolve(params)


def default_timeframes(grade: str, closes: Closes) -> tuple[int, ...]:
    """1, 3 and 12 times the candle length; minutes where the market is ticks."""
    base = TICK_BASE_S
    if grade == "candle-grade":
        spacing = [np.diff(times) for times, _ in closes.values()]
        steps = np.concatenate([s[s > 0] for s in spacing] or [np.zeros(0, np.int64)])
        if steps.size:
            lengths, counts = np.unique(steps, return_counts=True)
            base = max(int(lengths[counts.argmax()]) // 1_000_000_000, 1)
    factors = SPREAD_OF_TIMEFRAMES[:TIMEFRAMES]
    return tuple(base * factor for factor in factors)


def closes_of(market: Market) -> Closes:
    """Last prices by what a report calls the symbol (`breakdown.labels`), for charts and buy-and-hold."""
    names = labels(market.instruments)
    return {names[one.venue, one.symbol]: market.closes(i) for i, one in enumerate(market.instruments)}


def _session(
    request: BacktestRequest, market: Blocks, timeframes: list[int], sink: Callable[[np.ndarray[Any, Any]], None]
) -> Session:
    return Session(
        market,
        strategies=request.strategies,
        capital_usd=request.capital_usd,
        limits=request.limits,
        simulation=request.simulation,
        timeframes_s=timeframes,
        sinks=[sink],
        selector_params=_selector(request),
    )


def _selector(request: BacktestRequest) -> dict[str, float]:
    """The selector's parameters; empty where there is nothing to choose between."""
    return request.selector if len(request.strategies) > 1 else {}


def _simulate(session: Session, market: Market, report: Progress) -> None:
    if not is_compiled_before("advance"):
        with watch_compilation(lambda count: report(0.0, f"compiling the core, once per build: {count} functions")):
            session.run(until_seq=0)
            compile_recovery(session.core)
    total = max(market.events, 1)
    session.run(progress=lambda done: report(min(done / total, 1.0), "simulating"))


def _assumptions(model: SimulationModel | FeedModel) -> dict[str, float]:
    """The model's numbers; what is left to inference from the data is absent."""
    return {name: value for name, value in msgspec.to_builtins(model).items() if value is not None}


def _manifest(request: BacktestRequest, market: Market, timeframes: list[int], heard: Forecasting) -> Manifest:
    created = datetime.now(UTC)
    rows = {row.name: row for row in table.STRATEGIES}
    return Manifest(
        run_id=created.strftime("%Y%m%d-%H%M%S-%f") + f"-{'+'.join(request.strategies)}",
        created=created.isoformat(),
        world="backtest",
        strategies={name: rows[name].resolve(params) for name, params in request.strategies.items()},
        selector=resolved(chosen) if (chosen := _selector(request)) else {},
        instruments=market.instruments,
        capital_usd=request.capital_usd,
        limits=msgspec.to_builtins(request.limits),
        simulation=_assumptions(request.simulation) | _assumptions(request.feed),
        timeframes_s=timeframes,
        signals=heard.named(),
        sources=market.sources,
        symbols=list(labels(market.instruments).values()),
        from_ns=market.from_ns,
        to_ns=market.to_ns,
        grade=market.grade,
        simulated=True,
        synthetic=market.synthetic,
        code=source_digest(),
    )
