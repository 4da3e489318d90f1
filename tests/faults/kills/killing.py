"""Many lines at once: `python tests/faults/kills/killing.py --seeds 0-999` does it by hand, `--strategy arbitrage` with
legs of triangles."""

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
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent, HERE.parents[2]):
    sys.path.append(str(folder))

from fates import Fate  # noqa: E402
from grounds import GROUNDS, made  # noqa: E402
from lines import Ended, Line  # noqa: E402
from zygotes import Zygote  # noqa: E402

Say = Callable[[str], None]


class Failure(NamedTuple):
    """A seed after which something did not hold, and what."""

    seed: int
    what: str


class Report:
    """What became of all seeds."""

    def __init__(self, strategy: str) -> None:
        self.strategy, self.ground = strategy, GROUNDS[strategy]
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
            f"reconciled to {self.ground.guarded}: median {_at(guarded, 0.5):.3f} s, "
            f"worst {_at(guarded, 1):.3f} s",
            "instructions: " + ", ".join(f"{name} {count}" for name, count in sorted(hooks.items())),
        ]
        for failure in self.failures:
            first = failure.seed // self.ground.lives * self.ground.lives
            lines += [
                f"seed {failure.seed} ({self.ground.fate_of(failure.seed)}): {failure.what}",
                f"again: .venv/bin/python tests/faults/kills/killing.py --strategy {self.strategy} "
                f"--seeds {first}-{failure.seed} --keep again",
            ]
        return "\n".join(lines)


def _at(values: Sequence[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def kill(seeds: Sequence[int], folder: Path, workers: int = 2, say: Say = print, strategy: str = "crossover") -> Report:
    """Live through all seeds, whole lines in turn."""
    report, begun = Report(strategy), time.monotonic()
    fates: dict[int, list[Fate]] = {}
    for fate in map(report.ground.fate_of, seeds):
        fates.setdefault(fate.seed // report.ground.lives, []).append(fate)
    due = sorted(fates)
    workers = min(workers, len(due))
    with ExitStack() as stack:
        lines = stack.enter_context(report.ground.open(folder, workers, min(len(due), 100)))
        threads = []
        for k in range(workers):
            zygote = Zygote(made(folder / f"worker{k}"))
            stack.callback(zygote.close)

            def work(zygote: Zygote = zygote, k: int = k) -> None:
                while due:
                    number = due.pop(0)
                    with lines(zygote, k, number) as line:
                        _live_line(line, fates[number], report, say)

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
        say(f"line {line.number}, seed {seed} FAILED: {report.ground.fate_of(seed)}\n{report.failures[-1].what}")


def main() -> int:
    """By hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategy", default="crossover", choices=GROUNDS)
    parser.add_argument("--seeds", default="0-19", help="first-last")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="a folder to leave journals and words in")
    given: Any = parser.parse_args()
    first, last = (int(part) for part in given.seeds.split("-"))
    with tempfile.TemporaryDirectory(prefix="keel-kills-") as folder:
        seeds = range(first, last + 1)
        report = kill(seeds, given.keep or Path(folder), given.workers, partial(print, flush=True), given.strategy)
    print(report.words(), flush=True)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
