"""Where lines live: a strategy, the floor it trades on, and the fates of its lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final, NamedTuple

from cross_rig import EAGER, CrossFloor
from cycling import SYMBOLS, Cycling
from engine_rig import Floor
from fates import LEG_LIVES, LIVES, Fate, fate_of, leg_fate_of
from lines import Line, crossover
from market import Crosses, Walk
from zygotes import Zygote

from engine.sandbox import weights
from engine.sandbox.binance_usdm import site as usdm_site

SPOTS: Final = 3
PERPS: Final = 2
BASES: Final = ("AXO", "BREN", "CIRO", "DUVA", "ELTO", "FENN", "GALA", "HIVE", "IRIS", "JUNO", "KAVA", "LOOM")
MUCH: Final = 10**9
LINE_S: Final = 420.0
"""The market of a line of triangles plays for so long: far longer than its lives take."""
Lines = Callable[[Zygote, int, int], AbstractContextManager[Line]]
"""A line's zygote, the number of its worker, its own number -> the line."""


class Ground(NamedTuple):
    """`lives` of one line, one after the other, by the fates of their seeds; `guarded`: what must be true soon after a
    start, in words; `open`: lines on a folder, for so many workers and accounts."""

    lives: int
    fate_of: Callable[[int], Fate]
    guarded: str
    open: Callable[[Path, int, int], AbstractContextManager[Lines]]


@contextmanager
def _crossing_means(folder: Path, workers: int, accounts: int) -> Iterator[Lines]:
    """One floor for all lines; each worker moves the prices of its own symbols."""
    floor = wide_floor(folder, workers, accounts)
    walks = [Walk(floor, [*spots, *perps], k, 0.25) for k in range(workers) for spots, perps in (symbols_of(k),)]

    def line(zygote: Zygote, worker: int, number: int) -> AbstractContextManager[Line]:
        spots, perps = symbols_of(worker)
        strategies = crossover(patient=number % 2 == 1)
        return nullcontext(Line(floor, zygote, walks[worker], folder, number, spots, perps, strategies))

    try:
        yield line
    finally:
        floor.stop()


@contextmanager
def _triangles(folder: Path, workers: int, accounts: int) -> Iterator[Lines]:
    """A floor for each line: whoever takes of a dislocation takes it from all others."""

    @contextmanager
    def line(zygote: Zygote, worker: int, number: int) -> Iterator[Line]:
        floor = CrossFloor(made(folder / f"floor{number:04d}"), SYMBOLS, seconds=LINE_S, seed=number + 1, accounts=1)
        try:
            floor.tell("/limits", {"orders": MUCH, "weight": MUCH})
            yield Cycling(floor, zygote, Crosses(floor, number), folder, number, SYMBOLS, (), {"arbitrage": EAGER})
        finally:
            floor.stop()

    yield line


GROUNDS: Final = {
    "crossover": Ground(LIVES, fate_of, "every position behind a stop", _crossing_means),
    "arbitrage": Ground(LEG_LIVES, leg_fate_of, "no coins held but dust", _triangles),
}


def wide_floor(folder: Path, workers: int, accounts: int) -> Floor:
    """A floor with symbols for each worker, that counts no requests: a start every second uses up any budget."""
    symbols = [symbol for k in range(workers) for part in symbols_of(k) for symbol in part]
    kept = weights.MINUTE_WEIGHT, weights.TEN_SECOND_ORDERS
    kept_usdm = usdm_site.MINUTE_WEIGHT, usdm_site.TEN_SECOND_ORDERS, usdm_site.MINUTE_ORDERS
    weights.MINUTE_WEIGHT = weights.TEN_SECOND_ORDERS = MUCH  # type: ignore[misc]
    usdm_site.MINUTE_WEIGHT = usdm_site.TEN_SECOND_ORDERS = usdm_site.MINUTE_ORDERS = MUCH  # type: ignore[misc]
    try:
        return Floor(made(folder / "floor"), symbols, accounts=accounts)
    finally:
        weights.MINUTE_WEIGHT, weights.TEN_SECOND_ORDERS = kept  # type: ignore[misc]
        usdm_site.MINUTE_WEIGHT, usdm_site.TEN_SECOND_ORDERS, usdm_site.MINUTE_ORDERS = kept_usdm  # type: ignore[misc]


def symbols_of(worker: int) -> tuple[list[str], list[str]]:
    """Spot pairs and perpetuals whose market a worker moves."""
    first = worker * (SPOTS + PERPS) % len(BASES)
    bases = [BASES[(first + k) % len(BASES)] for k in range(SPOTS + PERPS)]
    return [f"{base}/USDT" for base in bases[:SPOTS]], [f"{base}/USDT:USDT" for base in bases[SPOTS:]]


def made(folder: Path) -> Path:
    """The folder, which is there now."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder
