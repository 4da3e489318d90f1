"""One running sandbox a module: two synthetic pairs, ten minutes of history, played by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from running_sandbox import Running


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    started = Running(speed=0.0, symbols=("BTC/USDT", "ETH/USDT"), minutes=12, accounts=2)
    yield started
    started.stop()
