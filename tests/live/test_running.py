"""Who runs in a home folder: written, read, left behind by a kill, never two at once. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.contracts.errors import BadData, Refused
from engine.store.running import FILE, Running, clear_running, read_last, read_running, write_running

ENGINE = """
import sys
from pathlib import Path
from engine.store.running import write_running
print(write_running(Path(sys.argv[1]), "other", "paper", ["sandbox"]).pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is the engine of `tmp_path`."""
    command = [sys.executable, "-c", ENGINE, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        yield process
        process.kill()


def test_written_read_and_cleared(tmp_path: Path) -> None:
    assert read_running(tmp_path) is None
    written = write_running(tmp_path, "run-1", "live", ["binance", "coinbase"])
    assert (written.pid, written.venues, written.is_alive) == (os.getpid(), ("binance", "coinbase"), True)
    assert read_running(tmp_path) == written
    clear_running(tmp_path)
    clear_running(tmp_path)
    assert read_last(tmp_path) is None


def test_a_second_engine_is_refused_by_run_and_process(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    with pytest.raises(Refused, match=f"run other .process {other.pid}, paper. already runs"):
        write_running(tmp_path, "mine", "paper", [])
    clear_running(tmp_path)
    found = read_running(tmp_path)
    assert found is not None and found.run == "other", "somebody else's file was taken away"


def test_what_a_kill_leaves_behind_is_known_as_dead_and_gives_way(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert read_running(tmp_path) is None
    last = read_last(tmp_path)
    assert last is not None and last.run == "other" and not last.is_alive
    assert write_running(tmp_path, "mine", "paper", []) == read_running(tmp_path)


def test_another_process_with_the_same_pid_is_not_the_engine(tmp_path: Path) -> None:
    mine = write_running(tmp_path, "run-1", "paper", [])
    earlier = msgspec.structs.replace(mine, process=mine.process + "1")
    (tmp_path / FILE).write_bytes(msgspec.json.encode(earlier))
    assert read_running(tmp_path) is None
    assert not msgspec.structs.replace(mine, process="").is_alive


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"run": 3}'])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(BadData, match=FILE):
        read_running(tmp_path)


def test_the_file_holds_what_is_promised(tmp_path: Path) -> None:
    write_running(tmp_path, "run-1", "paper", ["a"])
    found = msgspec.json.decode((tmp_path / FILE).read_bytes())
    assert set(found) == set(Running.__struct_fields__)
    assert (found["run"], found["pid"], found["starter"]) == ("run-1", os.getpid(), os.getppid())
