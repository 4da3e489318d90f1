"""The tests' end of a zygote: its lives are born, spoken to, and killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

WARM_S: Final = 900.0
"""Loading compiled code takes a second; compiling it, where this build never was, minutes on a busy machine."""


class Silent(AssertionError):
    """A life says nothing and does not end."""


class Zygote:
    """See `zygote.py`."""

    def __init__(self, folder: Path) -> None:
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._errors = open(folder / "zygote.err", "wb")
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))], bufsize=0, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self._heard = b""
        self.pid = 0
        self._until("warm", WARM_S)

    def bear(self, order: Any) -> int:
        """A new life; its process id."""
        self._write({"life": msgspec.to_builtins(order)})
        self.pid = int(self._until("born", 30.0)["pid"])
        return self.pid

    def tell(self, word: str) -> None:
        """Say something to the life; nobody may hear it."""
        self._write({"say": word})

    def kill(self) -> None:
        """`kill -9`. Does nothing to a life that ended."""
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def next(self, wait_s: float) -> dict[str, Any] | None:
        """What it says next; None once `wait_s` are over."""
        until = time.monotonic() + wait_s
        while b"\n" not in self._heard:
            left = until - time.monotonic()
            assert self._process.stdout is not None
            if left < 0 or not select.select([self._process.stdout], [], [], left)[0]:
                return None
            chunk = os.read(self._process.stdout.fileno(), 65_536)
            if not chunk:
                raise Silent(f"the zygote ended with {self._process.wait()}; see {self._errors.name}")
            self._heard += chunk
        line, _, self._heard = self._heard.partition(b"\n")
        found: dict[str, Any] = msgspec.json.decode(line)
        if found["at"] == "dead":
            self.pid = 0
        return found

    def _until(self, word: str, wait_s: float) -> dict[str, Any]:
        found = self.next(wait_s)
        if found is None or found["at"] != word:
            raise Silent(f"{word!r} was expected within {wait_s:g} s, not {found}; see {self._errors.name}")
        return found

    def _write(self, words: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(words) + b"\n")

    def close(self) -> None:
        """Kill what lives and end."""
        self.kill()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._errors.close()
