"""The command: one JSON line, free ports, a clean end, and what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from running_sandbox import Running

from engine.contracts.errors import Retryable
from engine.markets.synthetic import synthesize, synthesize_ticks
from engine.sandbox.server import Sandbox, SandboxOptions, open_sandbox_market


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_cleanly(ending: signal.Signals) -> None:
    command = [sys.executable, "-m", "engine.cli.main", "sandbox", "--minutes", "1", "--symbols", "BTC/USDT"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        venue = line["venues"]["binance_spot"]
        assert line["simulated"] is True and line["market"] == "synthetic" and venue["symbols"] == ["BTCUSDT"]
        with urllib.request.urlopen(venue["rest"] + "/api/v3/ping", timeout=5) as answer:
            assert answer.headers["X-Keel-Sandbox"].startswith("simulated")
        process.send_signal(ending)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0 and out == "" and "synthetic" in err and "Traceback" not in err


def test_it_plays_by_itself_to_the_end() -> None:
    running = Running(speed=1e6, symbols=("BTC/USDT",), minutes=1, history_s=0)
    running.run(running.sandbox.until_over())
    state = running.tell("/", {}, "GET")
    assert state["is_over"] and state["played"] == state["total"] > 1000
    last = running.get("/api/v3/trades", symbol="BTCUSDT", limit=1)[0]
    assert running.get("/api/v3/ticker/price", symbol="BTCUSDT")["price"] == last["price"]
    running.stop()


def test_a_taken_port_is_named() -> None:
    running = Running(speed=0.0, symbols=("BTC/USDT",), minutes=1)
    port = int(running.rest.rpartition(":")[2])
    market = open_sandbox_market(SandboxOptions(symbols=("BTC/USDT",), minutes=1))
    with pytest.raises(Retryable, match=f"port {port}"):
        running.run(Sandbox(SandboxOptions(port=port), market).start())
    running.stop()


def test_symbols_of_several_quote_assets_share_a_wallet(tmp_path: Path) -> None:
    files = synthesize_ticks(tmp_path, seed=1, minutes=1, symbols=("BTC/USDT", "ETH/BTC"))
    running = Running(data=files, speed=0.0, cash=500)
    balances = {one["asset"]: one["free"] for one in running.call("GET", "/api/v3/account")[1]["balances"]}
    assert balances == {"BTC": "0.00000000", "ETH": "0.00000000", "USDT": "500.00000000"}
    running.stop()


def test_candles_are_a_market_too(tmp_path: Path) -> None:
    file = synthesize(tmp_path / "c.parquet", seed=3, days=1, symbols=("BTC/USDT",))
    running = Running(data=(file,), speed=0.0, history_s=36_000)
    candles = running.get("/api/v3/klines", symbol="BTCUSDT", interval="1h")
    assert 10 <= len(candles) <= 11 and sum(float(one[5]) for one in candles) > 0
    running.stop()


def test_candles_play_at_any_speed(tmp_path: Path) -> None:
    file = synthesize(tmp_path / "c.parquet", seed=3, days=1, symbols=("BTC/USDT",))
    running = Running(data=(file,), speed=1e6, history_s=0)
    running.run(running.sandbox.until_over())
    state = running.tell("/", {}, "GET")
    assert state["is_over"] and state["played"] == state["total"] == 4 * 288
    running.stop()
