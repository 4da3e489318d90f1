"""`make evidence`: every study walked, every recorded stretch run with the shipped parameters, written as plain files.

Recordings are not republished: what is written are results of the account, aggregates and figures, and buying and
holding only as one line over several symbols. No time of writing is in the files: the same recordings, code and grid
give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pyarrow.csv as pc

from engine.contracts.errors import BadInput, Fatal
from engine.core.compile import source_digest
from engine.core.limits import Limits
from engine.core.strategies import table
from engine.research import defaults, equity, executable
from engine.research import dossier as dossiers
from engine.research.backtest import closes_of, default_timeframes
from engine.research.defaults import Choice
from engine.research.dossier import Dossier
from engine.research.executable import AtFee, Executable
from engine.research.folds import Stretch
from engine.research.report import evidencefront, evidencepage
from engine.research.search import Data, Figures, Job, Progress, Workers, figures
from engine.research.stretch import Terms
from engine.research.studies import STRETCHES, STUDIES, Recorded, Study, missing

LEAST_SYMBOLS: Final = 5
"""Buying and holding fewer than this would show the recorded prices themselves."""
TOGETHER: Final = ("arbitrage", "momentum", "scalping")
"""What runs on one account with the selector."""


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """Strategies with the parameters they ship with on one recorded stretch, default limits, $1,000; several share the
    account by the selector. `fall_limit_pct` is the limit the fall is held against, `by_strategy` what closed trades of
    each came to: how many, and net in USD."""

    stretch: str
    strategies: tuple[str, ...]
    days: float
    symbols: int
    figures: Figures
    fall_limit_pct: float
    worst_usd: float  # the largest single loss
    by_strategy: dict[str, tuple[int, float]]


class Found(NamedTuple):
    """A study, what its walk came to, and what was executable at each fee tier where that is asked of it."""

    study: Study
    dossier: Dossier
    executable: list[Executable]
    at_fees: list[AtFee]


class Made(NamedTuple):
    """The first page (or the folder, where only a part was made), and what the searches chose."""

    page: Path
    choices: list[Choice]


class Work(NamedTuple):
    """What is to be shown, and on which recorded stretches the shipped parameters are run."""

    studies: tuple[Study, ...] = STUDIES
    stretches: tuple[Recorded, ...] = STRETCHES

    def only(self, names: Sequence[str]) -> Work:
        """Only the studies named, without the stretches; all of it where none is. Raises BadInput for others."""
        unknown = sorted(set(names) - {one.name for one in self.studies})
        if unknown:
            raise BadInput(f"--only {', '.join(unknown)}: studies are {', '.join(one.name for one in self.studies)}")
        return Work(tuple(one for one in self.studies if one.name in names), ()) if names else self


def make(folder: Path, out: Path, workers: int, work: Work, progress: Progress | None = None) -> Made:
    """Do the work on the recordings in `folder` and write `out`; the first page tells of everything and is only written
    with the stretches. Raises BadInput where no study can be run."""
    left_out = [f"{one.title}: {why}" for one in work.studies if (why := missing(one.files, one.strategy, folder))]
    chosen = [one for one in work.studies if not missing(one.files, one.strategy, folder)]
    if not chosen:
        raise BadInput(f"no study can be run: {'; '.join(left_out)}; set KEEL_DATA_DIR to the folder of recordings")
    found: list[Found] = []
    for one in chosen:
        dossier = walk_study(one, folder, workers, _named(progress, one.name))
        found.append(Found(one, dossier, *executable.of_study(one.name, folder)))
        write_study(out, found[-1])
    choices = [defaults.choice(one.study, one.dossier.walk) for one in found if one.study.settles]
    if not work.stretches:
        return Made(out, choices)
    shipped: list[Shipped] = []
    for stretch in work.stretches:
        if why := missing(stretch.files, "", folder):
            left_out.append(f"{stretch.title}: {why}")
        else:
            shipped += run_shipped(stretch, folder, workers, _named(progress, stretch.title))
    code = source_digest()
    first = out / "README.md"
    first.write_text(evidencefront.first_page(found, shipped, choices, left_out, code), encoding="utf-8")
    defaults.write(out, choices, code)
    return Made(first, choices)


def walk_study(study: Study, folder: Path, workers: int, progress: Progress | None = None) -> Dossier:
    """One study: walk, yardsticks, Monte Carlo, stress, capacity, under the default limits."""
    plan = study.plan(folder)
    with Workers(plan.data, workers) as pool:
        return dossiers.compile_dossier(plan, pool, progress, robust=True)


def run_shipped(stretch: Recorded, folder: Path, workers: int, progress: Progress | None = None) -> list[Shipped]:
    """Every strategy alone, and those of `TOGETHER` on one account, from the beginning of the recording to its end."""
    paths = tuple((folder / name).resolve() for name in stretch.files)
    data = Data(paths=paths, symbols=stretch.symbols or None, reading=stretch.reading)
    sets: list[tuple[str, ...]] = [*((row.name,) for row in table.STRATEGIES), TOGETHER]
    with Workers(data, min(workers, len(sets))) as pool:
        market = pool.market
        times = default_timeframes(market.grade, closes_of(market))
        span = Stretch(market.from_ns, market.to_ns)
        jobs = [
            Job(
                span,
                Terms(
                    strategies={name: {} for name in one},
                    timeframes_s=times,
                    selector={"enabled": 1.0} if len(one) > 1 else {},
                ),
            )
            for one in sets
        ]
        outcomes = pool.play(jobs, progress, "shipped parameters")
    return [
        Shipped(
            stretch=stretch.title, strategies=one, days=(span.to_ns - span.from_ns) / equity.DAY_NS,
            symbols=len(market.instruments), figures=figures(outcome), fall_limit_pct=Limits().drawdown_pct,
            worst_usd=float(min(np.append(dossiers.nets_usd(outcome), 0.0))),
            by_strategy=dossiers.by_strategy([outcome], one),
        )
        for one, outcome in zip(sets, outcomes, strict=True)
    ]  # fmt: skip


def write_study(out: Path, found: Found) -> None:
    """A study's page, picture, figures and trials."""
    study, dossier = found.study, found.dossier
    try:
        out.mkdir(parents=True, exist_ok=True)
        page, drawn = evidencepage.study_page(found), evidencepage.picture(study, dossier, LEAST_SYMBOLS)
        (out / f"{study.name}.md").write_text(page, encoding="utf-8")
        (out / f"{study.name}.svg").write_text(drawn, encoding="utf-8")
        document = {k: v for k, v in dossiers.document(dossier).items() if k not in ("held", "ruled")}
        document |= {
            "settles": msgspec.to_builtins(defaults.choice(study, dossier.walk)) if study.settles else None,
            "executable": msgspec.to_builtins(found.executable),
            "at_fees": msgspec.to_builtins(found.at_fees),
        }
        encoded = msgspec.json.format(msgspec.json.encode(document), indent=1)
        (out / f"{study.name}.json").write_bytes(encoded + b"\n")
        pc.write_csv(dossiers.trial_table(dossier.walk), out / f"{study.name}-trials.csv")
    except OSError as error:
        raise Fatal(f"{out} cannot be written: {error.strerror}; free space or name another folder") from error


def _named(progress: Progress | None, name: str) -> Progress | None:
    if progress is None:
        return None
    return lambda share, text: progress(share, f"{name}, {text}")
