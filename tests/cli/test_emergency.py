"""trading-cli emergency without an engine that could carry it out, and resume beside an emergency."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from test_operator import ROOT, call, start, stop

from engine.store import emergency_file
from engine.store.database import connect
from engine.store.emergency_file import Progress
from engine.store.redis_server import stop_redis
from engine.store.schema import audit

SILENT = """
import signal, sys
from pathlib import Path
from engine.store.running import write_running
signal.signal(signal.SIGUSR1, lambda *_: print("woken", flush=True))
write_running(Path(sys.argv[1]), "20250101-000000-live", "live", ["sandbox"])
print("ready", flush=True)
while sys.stdin.read(1):
    pass
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
def silent(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is the engine of this home, is woken, and says nothing."""
    command = [sys.executable, "-c", SILENT, str(home)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield process
    process.communicate(timeout=20)


def told(request: str, flat: bool | None, words: str) -> Progress:
    phase = "FLAT" if flat else "NOT FLAT"
    return Progress(
        request=request, phase=phase, flat=flat, by="engine", seconds=1.0, ts_ns=time.time_ns(), words=words
    )  # fmt: skip


def test_on_paper_without_an_engine_nothing_is_open(home: Path) -> None:
    done = call(home, "emergency", "--why", "a test", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["flat"], found["phase"], found["by"], found["audited"]) == (True, "FLAT", "cli", False)
    standing = emergency_file.pending(home)
    assert standing is not None and standing.id == found["request"] and standing.who.startswith("cli")
    plain = call(home, "emergency")
    assert "FLAT: mode paper" in plain.stdout and "trading-cli resume" in plain.stdout


def test_what_is_not_ours_cannot_be_asked_for(home: Path) -> None:
    done = call(home, "emergency", "--all")
    assert done.exit_code == 3 and "nothing that is not its own" in done.stderr
    assert emergency_file.pending(home) is None


def test_settings_that_cannot_be_used_do_not_stop_the_request(home: Path) -> None:
    (home.parent / "keel.toml").write_text('home = "elsewhere"\n[limits]\ntrade_loss_usd = "much"\n')
    done = call(home, "emergency", "--why", "a test")
    assert done.exit_code == 4, done.output
    assert "trade_loss_usd" in done.stderr and "goes on without them" in done.stderr and "NOT FLAT" in done.stderr
    assert emergency_file.pending(home) is not None, "whoever starts next finds it"


def test_live_without_any_run_says_not_flat(home: Path) -> None:
    (home.parent / "keel.toml").write_text('mode = "live"\n')
    done = call(home, "emergency", "--json")
    assert done.exit_code == 4 and "NOT FLAT: no engine runs" in json.loads(done.stdout)["error"]


def test_an_engine_that_says_nothing_is_not_flat(home: Path, silent: subprocess.Popen[str]) -> None:
    done = call(home, "emergency", "--wait", "0.3", "--json")
    assert done.exit_code == 5, done.output
    found = json.loads(done.stdout)
    assert (found["flat"], found["phase"]) == (False, "NOT FLAT")
    assert f"process {silent.pid} has said nothing within 0.3 s; if it hangs: kill -9" in found["words"]
    assert silent.stdout is not None and silent.stdout.readline() == "woken\n"


def test_what_is_told_is_shown_and_the_exit_code_says_whether_it_is_flat(
    home: Path, silent: subprocess.Popen[str]
) -> None:
    request = emergency_file.request(home, "phone", "the button")
    words = "NOT FLAT after 3 s: sandbox cannot be asked (no answer)"
    emergency_file.report(home, told(request.id, False, words))
    done = call(home, "emergency", "--wait", "0.2")
    assert done.exit_code == 5 and done.stdout.count(words) == 2, "when it came, and at the end"
    emergency_file.report(home, told(request.id, True, "FLAT after 4.10 s"))
    refused = call(home, "emergency", "--wait", "0.2", "--json")
    assert refused.exit_code == 5, "proved anew, not taken from before"
    standing = emergency_file.pending(home)
    assert standing is not None and standing.id != request.id
    emergency_file.report(home, told(standing.id, None, "closing: sandbox open: 2 orders"))
    assert "NOT FLAT yet: closing" in call(home, "emergency", "--wait", "0.2").stdout
    assert silent.poll() is None


def test_resume_waits_for_the_proof_and_clears_the_files(home: Path) -> None:
    process = start(home)
    try:
        request = emergency_file.request(home, "phone", "the button")
        done = call(home, "resume", "--why", "a test", "--yes")
        assert done.exit_code == 3 and "phone (the button) is not over: nobody has said yet" in done.stderr
        emergency_file.report(home, told(request.id, False, "NOT FLAT after 9 s: sandbox"))
        done = call(home, "resume", "--why", "a test", "--yes")
        assert done.exit_code == 3 and "is not over: NOT FLAT after 9 s" in done.stderr
        assert emergency_file.pending(home) == request
        emergency_file.report(home, told(request.id, True, "FLAT after 9.50 s"))
        done = call(home, "resume", "--why", "a test", "--yes")
        assert done.exit_code == 0 and "resumed" in done.stdout, done.output
        assert emergency_file.pending(home) is None and emergency_file.progress(home) is None
    finally:
        stop(process)
        stop_redis(home)


def test_who_asked_and_why_lies_in_the_audit_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(None, home) as store:
        monkeypatch.setattr("test_operator.NO_POSTGRES", {})
        found = json.loads(call(home, "emergency", "--why", "key may be stolen", "--json").stdout)
        assert found["audited"] is True
        with store.begin() as connection:
            rows = connection.execute(select(audit.c.what, audit.c.why, audit.c.key)).all()
    assert [tuple(row) for row in rows] == [
        ("operator.emergency", "key may be stolen", f"emergency:{found['request']}")
    ]
