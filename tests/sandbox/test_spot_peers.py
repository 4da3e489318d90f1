"""Clients no one here wrote, in the venv of `make test`, with only URLs and keys changed: HMAC, Ed25519 and RSA."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from running_sandbox import Running

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
SCRIPTS = Path(__file__).parent / "peers"


def run(running: Running, script: str, needs: str) -> Any:
    if not PYTHON.exists():
        pytest.skip("no .venv-clients: make test installs the clients this test runs")
    done = subprocess.run(
        [PYTHON, SCRIPTS / f"{script}.py"], input=json.dumps(running.line), capture_output=True, text=True, timeout=60
    )
    if f"No module named '{needs}" in done.stderr:
        pytest.skip(f"{needs} is not in .venv-clients: make test installs it")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_python_binance_trades(running: Running) -> None:
    seen = run(running, "python_binance_sync", "binance")
    assert seen.pop("trades") >= 1 and float(seen.pop("price")) > 0
    assert {"LOT_SIZE", "NOTIONAL", "PRICE_FILTER"} <= set(seen.pop("filters"))
    assert seen == {
        "levels": 5, "candles": 3, "bought": "FILLED", "open": [True], "cancelled": "CANCELED", "held": "0.00999000",
        "oco": ["STOP_LOSS_LIMIT", "LIMIT_MAKER"], "lists": [True], "ended": "CANCELED", "refused": -2010,
    }  # fmt: skip


def test_python_binance_listens(running: Running) -> None:
    assert run(running, "python_binance_async", "binance") == {
        "quotes": ["BTCUSDT", "ETHUSDT"], "trade": "trade", "bought": "FILLED",
        "events": ["NEW", "outboundAccountPosition", "TRADE", "outboundAccountPosition"], "sold": "FILLED",
        "account": "SPOT",
    }  # fmt: skip


def test_binance_connector_trades_and_listens(running: Running) -> None:
    seen = run(running, "binance_sdk_spot_client", "binance_sdk_spot")
    assert {"BTC", "USDT"} <= set(seen.pop("assets"))
    assert seen == {"bought": "FILLED", "placed": "NEW", "gone": "CANCELED", "quote": "BTCUSDT", "sold": "FILLED"}
