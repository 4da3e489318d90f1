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
from typing import Any
from urllib.parse import urlsplit

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "sandbox"))
from running_sandbox import Running  # noqa: E402

from engine.cli import demo  # noqa: E402
from engine.contracts.records import CLOSED, joined  # noqa: E402
from engine.markets.crosses import synthesize_crosses  # noqa: E402
from engine.markets.market import open_market  # noqa: E402
from engine.markets.retimed import Played, retime  # noqa: E402
from engine.research import archive  # noqa: E402
from engine.research.pictures.looks import LOOKED_AT, read_scalping  # noqa: E402
from engine.research.pictures.watching import watch  # noqa: E402

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
    shown = start(tmp_path, "--seconds", "4", "--json")
    out, told = shown.communicate(timeout=90)
    assert shown.returncode == 0, told
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


def test_its_scalper_finds_what_pays_at_the_usual_fees(tmp_path: Path) -> None:
    """The demo's perpetuals, played as fast: entries whose promise was worth their costs, with the cost guard, the
    thresholds and the weights of the shipped strategy."""
    loosened = demo.STRATEGIES["scalping"].keys() & {
        "edge_factor", "entry_z", "micro_weight", "book_weight", "depth_weight", "flow_weight", "max_spread_bps"
    }  # fmt: skip
    assert not loosened
    files = synthesize_crosses(tmp_path, seed=demo.SEED, minutes=60, symbols=(*demo.SPOT[:2], *demo.PERPETUALS))
    market = open_market(files, symbols=demo.PERPETUALS)
    assert {(str(one.maker_fee), str(one.taker_fee)) for one in market.instruments} == {("0.0002", "0.0005")}
    played = retime(market, Played(market.from_ns, market.from_ns, float(demo.SPEED)), latency_ns=2_000_000)
    seen: list[tuple[float, float]] = []

    def look(s: Any) -> None:
        row = np.zeros(len(LOOKED_AT))
        for i in range(len(market.instruments)):
            read_scalping(s, i, row)
            seen.append((abs(row[LOOKED_AT.index("edge_bps")]), row[LOOKED_AT.index("needed_bps")]))

    entries = joined(watch(
        played, 100_000_000, look, strategies={"scalping": demo.STRATEGIES["scalping"]}, timeframes_s=demo.TIMEFRAMES_S,
    ))["record"]  # fmt: skip
    promised, needed = np.array(seen).T
    paying = (promised >= needed) & (needed > 0)
    assert needed[needed > 0].min() > 10 and 0 < paying.mean() < 0.3, "at times, not always"
    assert 1 <= (entries["kind"] == CLOSED).sum() < 60


def test_interrupted_while_it_starts_it_takes_everything_down_again(tmp_path: Path) -> None:
    shown = start(tmp_path)
    assert shown.stderr is not None
    while not shown.stderr.readline().startswith("2/3"):
        assert shown.poll() is None
    shown.send_signal(signal.SIGINT)
    _, told = shown.communicate(timeout=60)
    assert shown.returncode != 0 and "Traceback" not in told
    assert left_behind(tmp_path) == []


def test_it_knows_when_the_market_is_over() -> None:
    running = Running(speed=0.0, symbols=("BTC/USDT",), minutes=1, history_s=59)
    assert not demo.market_is_over(running.control)
    running.advance(100_000)
    assert demo.market_is_over(running.control)
    running.stop()
