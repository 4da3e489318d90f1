"""`make pictures`: one picture for each strategy and for the selector, from recorded markets through the real core.

Recordings are not republished: what is drawn are signals, ranks, scores, decisions and results, never a price. No time
of writing is in the files: the same recordings and code give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from engine.contracts.errors import BadInput, Fatal
from engine.research.pictures import arbitrage, momentum, scalping, selector
from engine.research.search import Progress
from engine.research.studies import FIVE_MINUTES, QUOTES, TRADES, TRIANGLE, missing


class Drawn(NamedTuple):
    """A picture: of which recordings, and by what."""

    name: str
    files: tuple[str, ...]
    picture: Callable[[Sequence[Path]], str]


PICTURES: Final = (
    Drawn("arbitrage", (TRIANGLE,), lambda paths: arbitrage.picture(paths[0])),
    Drawn("momentum", (FIVE_MINUTES,), lambda paths: momentum.picture(paths, "2025-03-02")),
    Drawn("scalping", (QUOTES, TRADES), lambda paths: scalping.picture(paths, "binance_usdm:BTC/USDT:USDT")),
    Drawn("selector", (FIVE_MINUTES,), lambda paths: selector.picture(paths, "2025-01-01", "2025-02-01")),
)
"""The day of momentum is one on which every kind of refusal occurs; the weeks of the selector are the first ones."""


class Made(NamedTuple):
    """Files that were written, and what was left out and why."""

    written: list[Path]
    left_out: list[str]


def make(folder: Path, out: Path, only: Sequence[str] = (), progress: Progress | None = None) -> Made:
    """Draw the pictures named in `only` (all where none is) from the recordings in `folder` into `out`. Raises BadInput
    for other names, or where there is no recording for any; Fatal where `out` cannot be written."""
    unknown = sorted(set(only) - {one.name for one in PICTURES})
    if unknown:
        raise BadInput(f"--only {', '.join(unknown)}: pictures are {', '.join(one.name for one in PICTURES)}")
    chosen = [one for one in PICTURES if one.name in only or not only]
    left_out = [f"{one.name}: {why}" for one in chosen if (why := missing(one.files, "", folder))]
    there = [one for one in chosen if not missing(one.files, "", folder)]
    if not there:
        raise BadInput(f"no picture can be drawn: {'; '.join(left_out)}; set KEEL_DATA_DIR to the folder of recordings")
    written = []
    for k, one in enumerate(there):
        if progress is not None:
            progress(k / len(there), one.name)
        drawn = one.picture([folder / name for name in one.files])
        try:
            out.mkdir(parents=True, exist_ok=True)
            written.append(out / f"{one.name}.svg")
            written[-1].write_text(drawn, encoding="utf-8")
        except OSError as error:
            raise Fatal(f"{out} cannot be written: {error.strerror}; free space or name another folder") from error
    return Made(written, left_out)
