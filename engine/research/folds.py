"""Where a market is cut: stretches to choose parameters on, and the later ones they are judged on.

Rules
-----
* Every test stretch begins `embargo` after its training stretch ends; test stretches do not overlap and follow each
  other without a hole, so that their results can be put one behind the other.
* No stretch is shorter than an hour, unless the cut says so: a recording of minutes is cut into minutes, with a warm-up
  and an embargo to match.
* Before each stretch lie `warm` ns that only teach the indicators: nothing is entered there.
* A trade belongs to a stretch only if it was opened *and* closed inside it (its label's end counts, not its beginning):
  one that is open across a border belongs to neither side. Source: Lopez de Prado, "Advances in Financial Machine
  Learning", 2018, ch. 7.4 (purging and embargo).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from engine.contracts.errors import BadInput

DAY_NS: Final = 86_400_000_000_000
HOUR_NS: Final = 3_600_000_000_000
MINUTE_NS: Final = 60_000_000_000
SECOND_NS: Final = 1_000_000_000
MOST_FOLDS: Final = 100
Times = npt.NDArray[np.int64]


class Stretch(NamedTuple):
    """[from_ns, to_ns) of a market in which entries count, behind `warm_ns` in which none are made."""

    from_ns: int
    to_ns: int
    warm_ns: int = 0


class Fold(NamedTuple):
    """Parameters are chosen on `train` and judged on `test`. `number` counts from 1."""

    number: int
    train: Stretch
    test: Stretch


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """How to cut. None: half of what there is to train on (after the warm-up), the rest shared by the folds.

    `anchored`: every training stretch begins where the first one does; otherwise all are `train_days` long. No stretch
    may be shorter than `shortest_hours`.
    """

    folds: int = 4
    train_days: float | None = None
    test_days: float | None = None
    embargo_hours: float = 24.0
    warm_days: float = 10.0
    anchored: bool = False
    shortest_hours: float = 1.0


def cut_folds(from_ns: int, to_ns: int, cut: Cut) -> list[Fold]:
    """The folds of a market that lasts from `from_ns` to `to_ns`.

    They are laid from the beginning on; what is left at the end is not used. Raises BadInput where they do not fit,
    saying how long the market is.
    """
    if not 1 <= cut.folds <= MOST_FOLDS:
        raise BadInput(f"folds = {cut.folds} is outside 1..{MOST_FOLDS}")
    if not (cut.embargo_hours >= 0 and cut.warm_days >= 0):
        raise BadInput(f"embargo_hours = {cut.embargo_hours}, warm_days = {cut.warm_days}: neither may be negative")
    warm, embargo = round(cut.warm_days * DAY_NS), round(cut.embargo_hours * HOUR_NS)
    first, span = from_ns + warm, to_ns - from_ns - warm - embargo
    train = span // 2 if cut.train_days is None else round(cut.train_days * DAY_NS)
    test = (span - train) // cut.folds if cut.test_days is None else round(cut.test_days * DAY_NS)
    shortest = max(round(cut.shortest_hours * HOUR_NS), 1)
    if train < shortest or test < shortest or train + cut.folds * test > span:
        raise BadInput(
            f"{cut.folds} folds of {lasting(test)} behind {lasting(train)} of training, {lasting(warm)} of warm-up and "
            f"an embargo of {lasting(embargo)} do not fit into {lasting(to_ns - from_ns)} of data, no stretch under "
            f"{lasting(shortest)}; use fewer or shorter folds"
        )
    folds = []
    for k in range(cut.folds):
        begin = first + train + embargo + k * test
        start = first if cut.anchored else begin - embargo - train
        folds.append(Fold(k + 1, Stretch(start, begin - embargo, warm), Stretch(begin, begin + test, warm)))
    return folds


def lasting(length_ns: int) -> str:
    """A length in the largest unit that it fills twice, one decimal where it is short: ``55 days``, ``1.5 hours``."""
    units = ((DAY_NS, "days"), (HOUR_NS, "hours"), (MINUTE_NS, "minutes"))
    unit_ns, unit = next((one for one in units if abs(length_ns) >= 2 * one[0]), (SECOND_NS, "seconds"))
    amount = length_ns / unit_ns
    shown = f"{amount:.0f}" if abs(amount) >= 20 or round(amount, 1) == round(amount) else f"{amount:.1f}"
    return f"{shown} {unit}"


def belongs(opened_ns: Times, closed_ns: Times, stretch: Stretch) -> npt.NDArray[np.bool_]:
    """Which trades were opened and closed inside the stretch."""
    return np.asarray((opened_ns >= stretch.from_ns) & (closed_ns < stretch.to_ns), np.bool_)
