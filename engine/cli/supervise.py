"""Starting the engine's process and what goes with it: Redis, PostgreSQL, the projector.

The parent holds the embedded servers, writes finished journal into PostgreSQL, and forwards Ctrl-C; the engine itself
is a child process in which nothing else runs.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from engine.cli.terminal import say
from engine.contracts.errors import BadInput, Fatal, KeelError, Refused, Retryable

if TYPE_CHECKING:
    from engine.settings import Settings

START_S: Final = 120.0  # loading a venue's rules may take half a minute, compiling the core as long
STOP_S: Final = 20.0
PROJECT_S: Final = 30.0
REACTIONS: Final[dict[int, type[KeelError]]] = {2: BadInput, 3: Refused, 4: Retryable}


class Child(NamedTuple):
    """A running engine: its process, its run, its folder."""

    process: subprocess.Popen[str]
    run: str
    run_dir: Path


def first_line(process: subprocess.Popen[str], what: str, timeout_s: float, log: Path | None = None) -> dict[str, Any]:
    """The JSON object a process prints first. Raises Retryable when it takes too long, else what its exit code says;
    the process is gone then. `log` is where its words went; without one a person has seen them."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], timeout_s)
    line = process.stdout.readline() if readable else ""
    if line:
        found: dict[str, Any] = json.loads(line)
        return found
    if not readable:
        end(process)
        raise Retryable(f"{what} was not ready within {timeout_s:.0f} s: {_last_words(log)}")
    code = process.wait(STOP_S)
    if log is None:
        raise typer.Exit(code)  # it has said why, on our stderr
    raise REACTIONS.get(code, Fatal)(f"{what} did not start: {_last_words(log)}")


def _last_words(log: Path | None) -> str:
    if log is None:
        return "see what it said above"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    told = [line for line in lines if line.startswith("error:")] or lines or ["it said nothing"]
    return f"{told[-1].removeprefix('error: ')} (all it said: {log})"


def end(process: subprocess.Popen[str], timeout_s: float = STOP_S) -> int:
    """Ask a process to end, insist after `timeout_s`; its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@contextmanager
def engine_process(
    environment: Mapping[str, str], said: Sequence[str] = (), log: Path | None = None, fresh: bool = False
) -> Iterator[Child]:
    """The engine as a child process with this environment, running when this yields, ended in order afterwards.

    `said` are lines a person typed for it (a confirmation, a passphrase): they go through its stdin, where nobody else
    sees them. `fresh`: it does not go on where the last run ended. Its words go to the file `log`, or where ours go.
    Raises Refused, Retryable or Fatal where it does not start.
    """
    command = [sys.executable, "-m", "engine.cli.main", "engine", *(("--fresh",) if fresh else ())]
    with ExitStack() as stack:
        stderr = stack.enter_context(log.open("w", encoding="utf-8")) if log else None
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, env=dict(environment),
            start_new_session=True,
        )  # fmt: skip
    assert process.stdin is not None
    try:
        with suppress(BrokenPipeError):  # it ended already; its first line is missing and says so
            process.stdin.writelines(f"{line}\n" for line in said)
            process.stdin.close()
        line = first_line(process, "the engine", START_S, log)
        yield Child(process, str(line["run"]), Path(str(line["run_dir"])))
    finally:
        end(process)
        assert process.stdout is not None
        process.stdout.close()


class Projector:
    """Writes the run into PostgreSQL every half minute and at the end, in a thread of this (the parent's) process.
    PostgreSQL being away only delays it."""

    def __init__(self, settings: Settings, run_dir: Path) -> None:
        self._settings = settings
        self._run_dir = run_dir
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="projector", daemon=True)
        self.trouble = ""
        self.written = ""
        self._thread.start()

    def finish(self) -> None:
        """Project once more and end."""
        self._stop.set()
        self._thread.join()

    def _go_on(self) -> None:
        while True:
            last = self._stop.wait(PROJECT_S)
            self._project()
            if last:
                return

    def _project(self) -> None:
        from engine import bootstrap

        try:
            written, url = bootstrap.project(self._settings, self._run_dir)
        except KeelError as error:
            if str(error) != self.trouble:
                say(f"PostgreSQL: {error}; it catches up by itself")
            self.trouble = str(error)
            return
        self.trouble = ""
        self.written = ", ".join(f"{count:,} {table}" for table, count in written.rows.items()) + f" at {url}"


def wait_for_exit(pid: int, timeout_s: float) -> bool:
    """Whether a process (of anybody's) ended within `timeout_s`."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], timeout_s)[0])
    finally:
        os.close(handle)
