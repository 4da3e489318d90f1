"""Many lines at once on one floor: `python tests/faults/kills/killing.py --seeds 0-999` does it by hand."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent, HERE.parents[2]):
    sys.path.append(str(folder))

from engine_rig import Floor  # noqa: E402
from fates import LIVES, Fate, fate_of  # noqa: E402
from lines import Ended, Line  # noqa: E402
from market import Walk  # noqa: E402
from zygotes import Zygote  # noqa: E402

from engine.sandbox import weights  # noqa: E402
from engine.sandbox.binance_usdm import site as usdm_site  # noqa: E402

SPOTS: Final = 3
PERPS: Final = 2
BASES: Final = ("AXO", "BREN", "CIRO", "DUVA", "ELTO", "FENN", "GALA", "HIVE", "IRIS", "JUNO", "KAVA", "LOOM")
MUCH: Final = 10**9
Say = Callable[[str], None]


class Failure(NamedTuple):
    """A seed after which something did not hold, and what."""

    seed: int
    what: str


class Report:
    """What became of all seeds."""

    def __init__(self) -> None:
        self.ended: list[Ended] = []
        self.failures: list[Failure] = []
        self.totals: Counter[str] = Counter()
        self.seconds = 0.0

    def words(self) -> str:
        """For people."""
        ready = sorted(one.ready_s for one in self.ended if one.ready_s is not None)
        guarded = sorted(one.guarded_s for one in self.ended if one.guarded_s is not None)
        hooks = Counter(one.fate.hook for one in self.ended if one.by_hook)
        lines = [
            f"{len(self.ended)} kills in {self.seconds:.0f} s ({self.seconds / max(len(self.ended), 1):.2f} s each), "
            f"{len(ready)} of them after a whole recovery, {sum(hooks.values())} at an instruction; "
            f"{dict(self.totals)}; {len(self.failures)} failures",
            f"born to reconciled: median {_at(ready, 0.5):.2f} s, worst {_at(ready, 1):.2f} s; "
            f"reconciled to every position behind a stop: median {_at(guarded, 0.5):.3f} s, "
            f"worst {_at(guarded, 1):.3f} s",
            "instructions: " + ", ".join(f"{name} {count}" for name, count in sorted(hooks.items())),
        ]
        for failure in self.failures:
            first = failure.seed // LIVES * LIVES
            lines += [
                f"seed {failure.seed} ({fate_of(failure.seed)}): {failure.what}",
                f"again: .venv/bin/python tests/faults/kills/killing.py --seeds {first}-{failure.seed} --keep again",
            ]
        return "\n".join(lines)


def _at(values: Sequence[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def kill(seeds: Sequence[int], folder: Path, workers: int = 2, say: Say = print, until: float = float("inf")) -> Report:
    """Live through all seeds, whole lines in turn; `until`: no line begins after that (time.monotonic)."""
    report, begun = Report(), time.monotonic()
    lines: dict[int, list[Fate]] = {}
    for fate in map(fate_of, seeds):
        lines.setdefault(fate.line, []).append(fate)
    due = sorted(lines)
    workers = min(workers, len(due))
    with ExitStack() as stack:
        floor = wide_floor(folder, workers, min(len(due), 100))
        stack.callback(floor.stop)
        threads = []
        for k in range(workers):
            zygote = Zygote(_made(folder / f"worker{k}"))
            stack.callback(zygote.close)
            spots, perps = symbols_of(k)

            def work(zygote: Zygote = zygote, spots: list[str] = spots, perps: list[str] = perps, k: int = k) -> None:
                walk = Walk(floor, spots + perps, k, 0.25)
                while due and time.monotonic() < until:
                    number = due.pop(0)
                    _live_line(Line(floor, zygote, walk, folder, number, spots, perps, number % 2 == 1), lines[number],
                               report, say)  # fmt: skip

            threads.append(threading.Thread(target=work, daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    report.seconds = time.monotonic() - begun
    return report


def _live_line(line: Line, fates: list[Fate], report: Report, say: Say) -> None:
    seed = fates[0].seed
    try:
        for fate in fates:
            seed = fate.seed
            report.ended.append(line.live(fate))
        counts = line.close()
        report.totals.update(counts)
        say(f"line {line.number}, seeds {fates[0].seed}-{seed}: {len(fates)} kills, {counts}")
    except Exception:  # noqa: BLE001
        line._zygote.kill()
        while line._zygote.pid and line._zygote.next(30.0) is not None:
            pass
        report.failures.append(Failure(seed, traceback.format_exc()))
        say(f"line {line.number}, seed {seed} FAILED: {fate_of(seed)}\n{report.failures[-1].what}")


def wide_floor(folder: Path, workers: int, accounts: int) -> Floor:
    """A floor with symbols for each worker, that counts no requests: a start every second uses up any budget."""
    symbols = [symbol for k in range(workers) for part in symbols_of(k) for symbol in part]
    kept = weights.MINUTE_WEIGHT, weights.TEN_SECOND_ORDERS
    kept_usdm = usdm_site.MINUTE_WEIGHT, usdm_site.TEN_SECOND_ORDERS, usdm_site.MINUTE_ORDERS
    weights.MINUTE_WEIGHT = weights.TEN_SECOND_ORDERS = MUCH  # type: ignore[misc]
    usdm_site.MINUTE_WEIGHT = usdm_site.TEN_SECOND_ORDERS = usdm_site.MINUTE_ORDERS = MUCH  # type: ignore[misc]
    try:
        return Floor(_made(folder / "floor"), symbols, accounts=accounts)
    finally:
        weights.MINUTE_WEIGHT, weights.TEN_SECOND_ORDERS = kept  # type: ignore[misc]
        usdm_site.MINUTE_WEIGHT, usdm_site.TEN_SECOND_ORDERS, usdm_site.MINUTE_ORDERS = kept_usdm  # type: ignore[misc]


def symbols_of(worker: int) -> tuple[list[str], list[str]]:
    """Spot pairs and perpetuals whose market a worker moves."""
    first = worker * (SPOTS + PERPS) % len(BASES)
    bases = [BASES[(first + k) % len(BASES)] for k in range(SPOTS + PERPS)]
    return [f"{base}/USDT" for base in bases[:SPOTS]], [f"{base}/USDT:USDT" for base in bases[SPOTS:]]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> int:
    """By hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0-19", help="first-last")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="a folder to leave journals and words in")
    given: Any = parser.parse_args()
    first, last = (int(part) for part in given.seeds.split("-"))
    with tempfile.TemporaryDirectory(prefix="keel-kills-") as folder:
        seeds = range(first, last + 1)
        report = kill(seeds, given.keep or Path(folder), given.workers, lambda text: print(text, flush=True))
    print(report.words(), flush=True)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
