"""The emergency request as a file: whatever it holds, it is one; who asks twice asks once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.contracts.errors import Fatal, Retryable
from engine.store import emergency_file
from engine.store.emergency_file import FILE, TOLD, Progress, clear, pending, progress, report, request, wake
from engine.store.running import STARTING, clear_running, write_running


def flat(id: str, is_flat: bool | None = True) -> Progress:
    return Progress(request=id, phase="FLAT", flat=is_flat, by="engine", seconds=0.1, ts_ns=time.time_ns())


def test_what_was_asked_is_read_back_until_it_is_cleared(tmp_path: Path) -> None:
    assert pending(tmp_path) is None and pending(tmp_path / "nowhere") is None
    made = request(tmp_path, "cli:me", "key may\nbe stolen")
    assert (made.who, made.why) == ("cli:me", "key may be stolen") and pending(tmp_path) == made
    report(tmp_path, flat(made.id, None))
    clear(tmp_path)
    clear(tmp_path)
    assert pending(tmp_path) is None and progress(tmp_path) is None and list(tmp_path.iterdir()) == []


def test_asking_again_joins_until_it_is_flat_and_is_a_new_one_then(tmp_path: Path) -> None:
    first = request(tmp_path, "cli", "one")
    assert request(tmp_path, "http", "two") == first
    report(tmp_path, flat(first.id, False))
    assert request(tmp_path, "http", "two") == first
    report(tmp_path, flat(first.id))
    second = request(tmp_path, "http", "two")
    assert second.id != first.id and (second.who, second.why) == ("http", "two")
    told = progress(tmp_path)
    assert told is not None and not told.answers(second) and told.answers(first)


def link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


CONTENTS: list[tuple[str, Callable[[Path], object]]] = [
    ("empty", lambda path: path.touch()),
    ("garbage", lambda path: path.write_bytes(b"\x00\xff" * 1000)),
    ("other JSON", lambda path: path.write_text("[1, 2]")),
    ("wrong types", lambda path: path.write_text('{"id": 7, "who": [], "why": null, "ts_ns": "now"}')),
    ("a folder", lambda path: (path / "below").mkdir(parents=True)),
    ("a pipe", os.mkfifo),
    ("a link to nowhere", link_to_nowhere),
    ("very long", lambda path: path.write_text('{"why": "' + "x" * 1_000_000 + '"}')),
]


@pytest.mark.parametrize("make", [make for _, make in CONTENTS], ids=[name for name, _ in CONTENTS])
def test_any_content_is_an_emergency(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / FILE)
    found = pending(tmp_path)
    assert found is not None and found.who == "file" and found.id.startswith("file-") and found.ts_ns > 0
    assert pending(tmp_path) == found, "the same one, however often it is looked at"
    assert request(tmp_path, "cli", "also") == found
    report(tmp_path, flat(found.id))
    again = request(tmp_path, "cli", "once more")
    assert again is not None and pending(tmp_path) is not None
    clear(tmp_path)
    assert pending(tmp_path) is None


def test_a_file_that_cannot_be_read_is_one_and_a_folder_that_cannot_is_no_answer(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / FILE).write_text('{"who": "me"}')
    (home / FILE).chmod(0)
    told = {0: "me"}.get(os.getuid(), "file")  # root reads everything
    assert (found := pending(home)) is not None and found.who == told
    deep = tmp_path / ("x" * 300)  # a name too long: neither there nor not there
    with pytest.raises(Retryable, match="cannot be looked for"):
        pending(deep)


def test_on_a_full_disk_a_name_is_enough(tmp_path: Path) -> None:
    """A process whose files may hold no byte: as on a full disk, names can be made and nothing be put into them."""
    script = (
        "import resource, signal, sys; from pathlib import Path; from engine.store import emergency_file as e;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
        "print(e.request(Path(sys.argv[1]), 'cli', 'a test').who)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout == "file\n", done.stderr
    found = pending(tmp_path)
    assert found is not None and (tmp_path / FILE).read_bytes() == b""


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file in the folder's place")
    with pytest.raises(Fatal, match="cannot write"):
        request(tmp_path / "home", "cli", "a test")


def test_what_cannot_be_read_as_progress_is_none(tmp_path: Path) -> None:
    (tmp_path / TOLD).write_bytes(b"\xff{")
    assert progress(tmp_path) is None
    (tmp_path / TOLD).unlink()
    (tmp_path / TOLD).mkdir()
    assert progress(tmp_path) is None


def test_the_engine_is_woken_but_not_while_it_starts(tmp_path: Path) -> None:
    assert wake(tmp_path) is None
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: heard.append(number))
    try:
        write_running(tmp_path, STARTING, "live", ["sandbox"])
        assert wake(tmp_path) is None and heard == [], "it may not hear signals yet: they would end it"
        write_running(tmp_path, "run", "live", ["sandbox"])
        found = wake(tmp_path)
        assert found is not None and found.pid == os.getpid() and heard == [signal.SIGUSR1]
    finally:
        clear_running(tmp_path)
        signal.signal(signal.SIGUSR1, before)
    (tmp_path / "engine.json").write_text("garbage")
    assert wake(tmp_path) is None


def test_two_who_ask_at_once_get_one_emergency(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from engine.store import emergency_file as e; sys.stdin.readline();"
        "print(e.request(Path(sys.argv[1]), 'cli', 'at once').id)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    asking = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for one in asking:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    ids = {one.communicate(timeout=60)[0].strip() for one in asking}
    standing = pending(tmp_path)
    assert standing is not None and standing.id in ids
    assert emergency_file.request(tmp_path, "cli", "later").id == standing.id
