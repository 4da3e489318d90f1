"""A client nobody here wrote and whose pins are not ours trades perpetuals on the sandbox, in its own environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from running_usdm import RunningUsdm

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-clients/bin/python"


def has_client() -> bool:
    if not PYTHON.exists():
        return False
    return subprocess.run([PYTHON, "-c", "import binance.client"], capture_output=True, check=False).returncode == 0


def test_python_binance_trades_perpetuals() -> None:
    if not has_client():
        pytest.skip("python-binance is not in .venv-clients; `make test` installs what the peers need")
    usdm = RunningUsdm()
    try:
        key, secret = usdm.key()
        given = {"rest": usdm.rest, "key": key, "secret": secret, "price": usdm.price(0.9), "high": usdm.price(1.01)}
        script = HERE / "peers/python_binance_usdm.py"
        done = subprocess.run(
            [PYTHON, script], input=json.dumps(given), capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        usdm.stop()
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert 0 < seen.pop("wallet") < 10_000 and seen.pop("mark") > 0 and seen.pop("listen") == 64
    assert seen == {
        "symbols": ["BTCUSDT", "ETHUSDT"], "book": 5, "klines": 3, "leverage": 7, "bought": "FILLED", "stop": True,
        "open": 0, "algos": [True], "cancelled": "success", "post_only": -5022, "position": ["0.00500"], "flat": [],
        "balance": "USDT", "trades": seen["trades"], "income": ["COMMISSION", "REALIZED_PNL"],
    }  # fmt: skip


def test_python_binance_listens_to_perpetuals() -> None:
    if not has_client():
        pytest.skip("python-binance is not in .venv-clients; `make test` installs what the peers need")
    usdm = RunningUsdm()
    try:
        script = HERE / "peers/python_binance_usdm_async.py"
        done = subprocess.run(
            [PYTHON, script], input=json.dumps(usdm.line), capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        usdm.stop()
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {
        "quote": "bookTicker", "market": ["aggTrade", "markPriceUpdate"], "bought": "FILLED",
        "events": ["NEW", "TRADE", "ACCOUNT_UPDATE"], "sold": "FILLED", "flat": [],
    }  # fmt: skip
