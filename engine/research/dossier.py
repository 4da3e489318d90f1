"""Everything a walk found, as files of a folder: the same command on the same data writes the same bytes.

`walk.json` holds every figure and the daily curves, `trials.parquet` a row for every trial on every stretch. Neither
names a time of writing or a folder, so that two runs of the same search compare equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.contracts.errors import Fatal
from engine.core.compile import source_digest
from engine.core.strategies import table
from engine.research import equity, robustness, yardsticks
from engine.research.breakdown import iso
from engine.research.folds import DAY_NS, Fold, Stretch
from engine.research.robustness import Again, MonteCarlo
from engine.research.search import Progress, Workers
from engine.research.statistics import Floats
from engine.research.stretch import E8, Outcome, net_e8
from engine.research.walkforward import Joined, Plan, Walk, walk
from engine.research.yardsticks import Yardsticks

FOLDER: Final = "walks"
JSON_NAME: Final = "walk.json"
TABLE_NAME: Final = "trials.parquet"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One input file, by name and content."""

    name: str
    sha256: str
    rows: int


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """A walk with what it is held against; the last three only where they were asked for."""

    walk: Walk
    sources: list[Source]
    symbols: int
    synthetic: bool
    yardsticks: Yardsticks
    monte_carlo: MonteCarlo | None = None
    stress: list[Again] | None = None
    capacity: list[Again] | None = None


def compile_dossier(plan: Plan, workers: Workers, progress: Progress | None = None, *, robust: bool = False) -> Dossier:
    """Walk, measure, and where `robust` play the test stretches again under stress and with more capital."""
    done = walk(plan, workers, progress)
    market = workers.market
    return Dossier(
        walk=done,
        sources=[Source(name=Path(s.path).name, sha256=s.sha256, rows=s.rows) for s in market.sources],
        symbols=len(market.instruments),
        synthetic=market.synthetic,
        yardsticks=yardsticks.measure(done, workers, progress),
        monte_carlo=robustness.monte_carlo(done, workers, progress) if robust else None,
        stress=robustness.stress(done, workers, progress) if robust else None,
        capacity=robustness.capacity(done, workers, progress) if robust else None,
    )


def write(folder: Path, dossier: Dossier) -> tuple[Path, Path]:
    """`walk.json` and `trials.parquet` in `folder`. Raises Fatal where they cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(document(dossier)), indent=2) + b"\n")
        pq.write_table(trial_table(dossier.walk), folder / TABLE_NAME, compression="zstd")
    except OSError as error:
        raise Fatal(f"{folder} cannot be written: {error.strerror}; free space or set KEEL_HOME") from error
    return folder / JSON_NAME, folder / TABLE_NAME


def new_folder(home: Path, strategy: str) -> Path:
    """Where the next walk of that strategy goes."""
    return home / FOLDER / f"{datetime.now(UTC).strftime('%Y%m%d-%H%M%S-%f')}-{strategy}"


def document(dossier: Dossier) -> dict[str, Any]:
    """All of it as plain JSON types: figures by name, times ISO 8601 UTC, curves one value a day."""
    done, plan = dossier.walk, dossier.walk.plan
    marks = dossier.yardsticks
    return {
        "strategy": plan.strategy,
        "verdict": done.proof.sentence,
        "edge_shown": done.proof.shown,
        "recommended": done.recommended,
        "from_time": iso(done.span.from_ns),
        "to_time": iso(done.span.to_ns),
        "symbols": dossier.symbols,
        "synthetic": dossier.synthetic,
        "sources": msgspec.to_builtins(dossier.sources),
        "code": source_digest(),
        "grid": plan.grid,
        "fixed": plan.fixed,
        "cut": msgspec.to_builtins(plan.cut),
        "seed": plan.seed,
        "tried_before": plan.tried_before,
        "score": plan.score,
        "rule": msgspec.to_builtins(plan.rule),
        "fee_factor": plan.terms.fee_factor,
        "reading": plan.data.reading,
        "timeframes_s": plan.terms.timeframes_s,
        "selector": plan.terms.selector,
        "capital_usd": plan.terms.capital_usd,
        "limits": msgspec.to_builtins(plan.terms.limits),
        "simulation": msgspec.to_builtins(plan.terms.simulation),
        "feed": msgspec.to_builtins(plan.data.feed),
        "proof": msgspec.to_builtins(done.proof),
        "folds": [_fold(one.fold) | _figures(one) for one in done.folds],
        "out_of_sample": {
            "return_pct": marks.strategy_pct,
            "max_drawdown_pct": fall_pct(done.outside),
            "trades": sum(one.outside.trades for one in done.folds),
            "left_out": sum(one.outside.left_out for one in done.folds),
            "left_out_usd": sum(one.outside.left_out_usd for one in done.folds),
            "by_strategy": by_strategy(done.outcomes, [*plan.terms.strategies, plan.strategy]),
            "curve": by_day(done.outside),
        },
        "yardsticks": {
            name: msgspec.to_builtins(getattr(marks, name))
            for name in marks.__struct_fields__
            if name not in ("held", "ruled")
        },
        "held": by_day(marks.held) if marks.held else None,
        "ruled": by_day(marks.ruled) if marks.ruled else None,
        "monte_carlo": msgspec.to_builtins(dossier.monte_carlo),
        "stress": msgspec.to_builtins(dossier.stress),
        "capacity": msgspec.to_builtins(dossier.capacity),
    }


def _stretch(stretch: Stretch) -> list[str]:
    return [iso(stretch.from_ns), iso(stretch.to_ns)]


def _fold(fold: Fold) -> dict[str, Any]:
    return {"fold": fold.number, "train": _stretch(fold.train), "test": _stretch(fold.test)}


def _figures(result: Any) -> dict[str, Any]:
    return {
        "chosen": result.chosen,
        "params": result.params,
        "inside": msgspec.to_builtins(result.inside),
        "outside": msgspec.to_builtins(result.outside),
    }


def nets_usd(outcome: Outcome) -> Floats:
    """Net result of every closed trade, USD."""
    return np.asarray(net_e8(outcome.trades) / E8, dtype=np.float64)


def by_strategy(outcomes: Sequence[Outcome], names: Sequence[str]) -> dict[str, tuple[int, float]]:
    """What closed trades of each strategy came to: how many, and net in USD."""
    numbers = {row.name: row.number for row in table.STRATEGIES}
    trades = np.concatenate([outcome.trades for outcome in outcomes])
    came = {}
    for name in dict.fromkeys(names):
        mine = trades[trades["strategy"] == numbers[name]]
        came[name] = (len(mine), int(net_e8(mine).sum()) / E8)
    return came


def fall_pct(joined: Joined) -> float:
    """Deepest fall from a peak, per cent; 0 where there was none."""
    deepest = equity.deepest_drawdown(equity.Curve(*joined))
    return deepest.fraction * 100 if deepest else 0.0


def by_day(joined: Joined) -> list[tuple[str, float]]:
    """(ISO date, USD) at the end of every UTC day; the last where the curve ends."""
    days = joined.ts_ns // DAY_NS
    last = np.append(days[1:] != days[:-1], True)
    return [
        (iso(int(t))[:10], round(float(usd), 4)) for t, usd in zip(joined.ts_ns[last], joined.usd[last], strict=True)
    ]


def trial_table(done: Walk) -> pa.Table:
    """A row for every trial on every stretch: place, parameters (`param_` before their names), seed, all figures."""
    rows: list[dict[str, Any]] = []
    chosen = {one.fold.number: one.chosen for one in done.folds}
    for trial in done.trials:
        row = {name: getattr(trial, name) for name in ("fold", "part", "number", "seed", "from_ns", "to_ns")}
        row["chosen"] = chosen.get(trial.fold) == trial.number
        row |= {f"param_{name}": value for name, value in trial.params.items()}
        rows.append(row | msgspec.to_builtins(trial.figures))
    return pa.Table.from_pylist(rows)
