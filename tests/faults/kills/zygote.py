"""A process that has imported and compiled everything, and forks a life of the engine for each line it reads.

No event loop, thread or socket is made before the fork. Its own words and those of the life go to stdout as JSON lines;
what is said to a life is read from stdin by the life itself: one lives at a time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[3]))


def say(**words: Any) -> None:
    os.write(1, msgspec.json.encode(words) + b"\n")


def next_line() -> bytes:
    """The next line of stdin, and not a byte more."""
    found = b""
    while not found.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        found += byte
    return found


def warm_up() -> None:
    """Load what is compiled, through the doors a life uses."""
    from decimal import Decimal

    import numpy as np

    from engine.contracts.instruments import Instrument
    from engine.contracts.records import QUOTE, joined
    from engine.core.limits import Limits
    from engine.core.live import LiveCore, new_lane, put
    from engine.core.output import drain, new_output
    from engine.core.replay import replay_block
    from engine.core.state import new_core
    from engine.journal import segments

    one = Instrument(
        symbol="BTC/USDT", venue="binance", base="BTC", quote="USDT", tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"), min_qty=Decimal("0.001"), max_qty=Decimal(1000),
    )  # fmt: skip
    core = new_core([one], Limits(), 1000.0, {}, (1, 3, 9))
    live, lane = LiveCore(core), new_lane(4)
    put(lane, live.timer(1))
    live.take(lane)
    with tempfile.TemporaryDirectory() as folder:
        with segments.JournalWriter(Path(folder)) as journal:
            journal.append(live.spooled())
        entries = joined(list(segments.read(Path(folder))))
    out, at = new_output(), np.zeros(2, np.int64)
    replay_block(new_core([one], Limits(), 1000.0, {}, (1, 3, 9)).state, entries["record"][:0], entries, at, out, True)
    drain(out)
    assert QUOTE >= 0


@contextmanager
def _ending() -> Iterator[None]:
    """However it ends, the process ends with it."""
    code = 3
    try:
        yield
        code = 0
    finally:
        if code:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(code)


def main() -> None:
    import life  # everything a life needs is imported here, once

    warm_up()
    say(at="warm")
    while line := next_line():
        order = msgspec.json.decode(line)
        if "life" not in order:
            continue  # said to a life that was dead already
        pid = os.fork()
        if pid == 0:
            with _ending():
                life.main(order["life"])
        say(at="born", pid=pid, seed=order["life"]["fate"]["seed"])
        _, status = os.waitpid(pid, 0)
        os.set_blocking(0, True)  # a loop made it otherwise, for everybody who has it
        code = os.waitstatus_to_exitcode(status)
        say(at="dead", signal=max(-code, 0), code=code)


if __name__ == "__main__":
    main()
