"""Keeping a watchdog running beside the engine: `up` starts one unless one lives, and starts it again when it dies."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.cli.supervise import STOP_S, end
from engine.cli.terminal import say

AGAIN_S: Final = (1.0, 2.0, 5.0, 15.0, 60.0)
LOOK_S: Final = 0.5
STEADY_S: Final = 60.0


class Guard:
    """A thread of the starter's process. The watchdog is in a session of its own: it outlives its starter, and acts
    when everything else was killed."""

    def __init__(self, home: Path, environment: Mapping[str, str], said: Sequence[str] = ()) -> None:
        """`said` are lines a person typed for it: they go through its stdin."""
        self._home, self._environment, self._said = home, dict(environment), tuple(said)
        self._stop = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._go_on, name="watchdog's guard", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """The engine ended in order: the watchdog ends too, if we started it and did not leave it."""
        if not self._stop.is_set():
            self.leave()
            if self._process is not None:
                end(self._process)

    def leave(self) -> int:
        """Start it no more, let it run; its process id, 0 where there is none of ours."""
        self._stop.set()
        self._thread.join(STOP_S)
        is_running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and is_running else 0

    def _go_on(self) -> None:
        from engine.store.running import WATCHDOG, read_running

        tries = 0
        while not self._stop.is_set():
            other = read_running(self._home, WATCHDOG)
            if other is not None:
                if tries == 0:
                    say(f"watchdog: process {other.pid} watches already")
                self._stop.wait(AGAIN_S[-2])
                tries = 1
                continue
            began = self._begin()
            lasted_s = self._watch(began)
            if self._stop.is_set():
                return
            tries = 0 if lasted_s >= STEADY_S else tries
            wait_s = AGAIN_S[min(tries, len(AGAIN_S) - 1)]
            say(f"NO WATCHDOG: it ended with code {began.returncode}; started again in {wait_s:g} s")
            tries += 1
            self._stop.wait(wait_s)

    def _begin(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", "watchdog"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            text=True, env=self._environment, start_new_session=True,
        )  # fmt: skip
        self._process = process
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.writelines(f"{line}\n" for line in self._said)
            process.stdin.close()
        return process

    def _watch(self, process: subprocess.Popen[str]) -> float:
        """Until it ends, or we are told to stop; how long it lasted."""
        lasted_s = 0.0
        while process.poll() is None and not self._stop.wait(LOOK_S):
            lasted_s += LOOK_S
        return lasted_s
