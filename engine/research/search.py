"""Many stretches played at once: a grid of parameters, workers that open the market once, figures of every trial.

Workers are processes of their own (spawned; the compiled core comes from its cache). The order of results and every
figure are the same for any number of workers.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

import msgspec
import numpy as np

from engine.contracts.errors import BadInput
from engine.core.strategies import table
from engine.markets.feedmodel import FeedModel
from engine.markets.market import Market, open_market
from engine.research import equity, statistics
from engine.research.folds import Stretch
from engine.research.quoted import READINGS
from engine.research.statistics import Floats, Undefined
from engine.research.stretch import E8, Outcome, Terms, net_e8, play

Progress = Callable[[float, str], None]
Values = dict[str, float]
Score = Literal["sharpe", "net"]
"""What trials are chosen by: the Sharpe ratio of their days, or the net result where there are no days to speak of."""
MOST_TRIALS: Final = 5000


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The market to search on: files, symbols and bounds as `open_market` takes them, the feed's assumptions.
    `reading`: one of `quoted.READINGS`, by which the first file alone becomes quotes of its own pairs; empty: as
    recorded."""

    paths: tuple[Path, ...]
    symbols: tuple[str, ...] | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    feed: FeedModel = FeedModel()
    reading: str = ""

    def open(self) -> Market:
        """Read and judge the files."""
        if self.reading:
            way = READINGS[self.reading]
            return way.read(self.paths[0], way.pairs, self.feed.feed_latency_ms)
        return open_market(self.paths, symbols=self.symbols, from_ns=self.from_ns, to_ns=self.to_ns, model=self.feed)


class Job(NamedTuple):
    """One stretch on one set of terms."""

    stretch: Stretch
    terms: Terms


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What an outcome amounts to. `_pct` per cent of the capital, `sharpe` annualised from daily marks; null where it
    does not exist. `left_out` trades were open at the end and count nowhere."""

    days: int
    trades: int
    net_usd: float
    return_pct: float
    sharpe: float | None
    max_drawdown_pct: float
    gross_usd: float
    fees_usd: float
    funding_usd: float
    slippage_usd: float
    won: int
    refusals: int
    left_out: int
    left_out_usd: float
    stopped: bool


def parse_grid(pairs: Sequence[str]) -> dict[str, list[float]]:
    """``["stop_atr=2,3"]`` -> {"stop_atr": [2.0, 3.0]}. Raises BadInput naming the pair that is none."""
    grid: dict[str, list[float]] = {}
    for pair in pairs:
        name, _, values = pair.partition("=")
        try:
            parsed = [float(value) for value in values.split(",")]
        except ValueError:
            raise BadInput(f"--grid {pair}: write NAME=A,B,..., for example --grid stop_atr=2,3,4") from None
        if not name.strip() or name.strip() in grid or len(set(parsed)) < len(parsed):
            raise BadInput(f"--grid {pair}: every parameter once, every value once")
        grid[name.strip()] = parsed
    return grid


def trials_of(strategy: str, grid: dict[str, list[float]], fixed: Values) -> list[Values]:
    """Every combination of the grid over `fixed`, the last parameter fastest; those the strategy itself forbids (a
    fast mean slower than the slow one) are left out. Raises BadInput for unknown names, values out of bounds, or more
    than MOST_TRIALS."""
    rows = {row.name: row for row in table.STRATEGIES}
    if strategy not in rows:
        raise BadInput(f"unknown strategy {strategy!r}; known: {', '.join(rows)}")
    row = rows[strategy]
    if np.prod([len(values) for values in grid.values()] or [1]) > MOST_TRIALS:
        raise BadInput(f"grid: more than {MOST_TRIALS} combinations; choose fewer values")
    unordered = row._replace(rising=())
    found: list[Values] = []
    fault = ""
    for combination in itertools.product(*grid.values()):
        values = fixed | dict(zip(grid, combination, strict=True))
        unordered.resolve(values)  # names and bounds
        try:
            row.resolve(values)
        except BadInput as forbidden:
            fault = str(forbidden)
            continue
        found.append(values)
    if not found:
        raise BadInput(f"grid: no combination is allowed ({fault})")
    return found


class Workers:
    """Plays jobs on a market, this process's own `market`; use it in a ``with``. One worker plays in this process."""

    def __init__(self, data: Data, workers: int = 1) -> None:
        if not 1 <= workers <= 64:
            raise BadInput(f"workers = {workers} is outside 1..64")
        self.market = data.open()
        self._pool: ProcessPoolExecutor | None = None
        if workers > 1:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, context, initializer=_open, initargs=(data,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def play(self, jobs: Sequence[Job], progress: Progress | None = None, text: str = "searching") -> list[Outcome]:
        """The outcomes in the order of the jobs."""
        results: Iterator[Outcome] = (play(self.market, *job) for job in jobs)
        if self._pool is not None:
            results = self._pool.map(_play, jobs)
        found: list[Outcome] = []
        for outcome in results:
            found.append(outcome)
            if progress is not None:
                progress(len(found) / len(jobs), f"{text}: {len(found)} of {len(jobs)}")
        return found


_opened: list[Market] = []


def _open(data: Data) -> None:
    """A worker's first act."""
    _opened[:] = [data.open()]


def _play(job: Job) -> Outcome:
    return play(_opened[0], *job)


def daily_returns(outcome: Outcome) -> Floats:
    """Simple returns by UTC day, the first and last day possibly partial."""
    return equity.daily(equity.Curve(outcome.ts_ns, outcome.usd)).returns


def figures(outcome: Outcome) -> Figures:
    """Measured figures of one outcome."""
    trades, returns = outcome.trades, daily_returns(outcome)
    deepest = equity.deepest_drawdown(equity.Curve(outcome.ts_ns, outcome.usd))
    net = float(outcome.usd[-1] - outcome.usd[0])
    return Figures(
        days=len(returns),
        trades=len(trades),
        net_usd=net,
        return_pct=net / float(outcome.usd[0]) * 100,
        sharpe=sharpe_or_none(returns),
        max_drawdown_pct=deepest.fraction * 100 if deepest else 0.0,
        gross_usd=int(trades["gross_e8"].sum()) / E8,
        fees_usd=int(trades["fees_e8"].sum()) / E8,
        funding_usd=int(trades["funding_e8"].sum()) / E8,
        slippage_usd=int(trades["slippage_e8"].sum()) / E8,
        won=int((net_e8(trades) > 0).sum()),
        refusals=outcome.refusals,
        left_out=outcome.left_out,
        left_out_usd=outcome.left_out_usd,
        stopped=outcome.stopped,
    )


def score(by: Score, found: Figures) -> float | None:
    """What a trial is chosen by."""
    return found.sharpe if by == "sharpe" else found.net_usd


def sharpe_or_none(returns: Floats) -> float | None:
    """Annualised, None where daily returns are too few or do not vary."""
    try:
        return statistics.sharpe(returns)
    except Undefined:
        return None


def best(scores: Sequence[float | None], shipped: int | None = None) -> int:
    """The place of the highest; one that does not exist counts as 0 (it did nothing). Of equals `shipped` wins, the
    place of the parameters that the strategy ships with, else the first."""
    values = np.array([0.0 if score is None else score for score in scores])
    return first_of_equals(values, shipped)


def first_of_equals(values: Floats, shipped: int | None) -> int:
    """The place of the highest value: `shipped` where that is one of them, else the first of them."""
    if shipped is not None and values[shipped] == values.max():
        return shipped
    return int(np.argmax(values))
