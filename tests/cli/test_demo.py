"""The demo as a newcomer meets it: a real process with real children, a summary, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

sys.path.append(str(Path(__file__).parents[1] / "sandbox"))
from running_sandbox import Running  # noqa: E402

from engine.cli.demo import market_is_over  # noqa: E402
from engine.research import archive  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
MARK = "TEST_OF_THE_DEMO"


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The demo in `folder`; all its children inherit a mark that only this folder's processes carry."""
    return subprocess.Popen(
        [sys.executable, "-m", "engine.cli.main", "demo", *options],
        cwd=folder, env=os.environ | {MARK: str(folder), "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def left_behind(folder: Path) -> Sequence[str]:
    """Command lines of the processes that still carry the mark of `folder`."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and f"{MARK}={folder}\0".encode() in (process / "environ").read_bytes() + b"\0":
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return found


def test_it_trades_for_some_seconds_and_says_what_came_of_it(tmp_path: Path) -> None:
    demo = start(tmp_path, "--seconds", "4", "--json")
    out, told = demo.communicate(timeout=90)
    assert demo.returncode == 0, told
    assert "trading after" in told and "ending: the time is over" in told
    assert "ACTIVE  equity $1,0" in told or "ACTIVE  equity $9" in told
    summary = json.loads(out)
    assert (summary["world"], summary["simulated"], summary["capital_usd"]) == ("paper", True, 1000.0)
    assert summary["events"] > 1000 and summary["digest"]
    run_dir = tmp_path / ".keel" / "demo" / "runs" / summary["run"]
    assert json.loads((run_dir / "manifest.json").read_text())["digest"] == summary["digest"]
    again = archive.reopen(run_dir)  # a report of a live run needs no market files: the journal has what was heard
    assert again.manifest.world == "paper" and len(again.closes) == len(again.manifest.instruments)
    assert all(len(times) >= 1 and (prices > 0).all() for times, prices in again.closes.values())
    urls = tomllib.loads((tmp_path / ".keel" / "demo" / "keel.toml").read_text())["venues"]["sandbox"]["urls"]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", urlsplit(urls["rest"]).port)) != 0
    assert left_behind(tmp_path) == []


def test_interrupted_while_it_starts_it_takes_everything_down_again(tmp_path: Path) -> None:
    demo = start(tmp_path)
    assert demo.stderr is not None
    while not demo.stderr.readline().startswith("2/3"):
        assert demo.poll() is None
    demo.send_signal(signal.SIGINT)
    _, told = demo.communicate(timeout=60)
    assert demo.returncode != 0 and "Traceback" not in told
    assert left_behind(tmp_path) == []


def test_it_knows_when_the_market_is_over() -> None:
    running = Running(speed=0.0, symbols=("BTC/USDT",), minutes=1, history_s=59)
    assert not market_is_over(running.control)
    running.advance(100_000)
    assert market_is_over(running.control)
    running.stop()
