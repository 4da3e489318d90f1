"""One market, several venues: each lists its own instruments, on its own port, under its own numbers."""

from __future__ import annotations

import socket
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest
from running_usdm import RunningUsdm

from engine.contracts.errors import BadInput
from engine.sandbox.server import Sandbox, SandboxOptions


@pytest.fixture(scope="module")
def usdm() -> Iterator[RunningUsdm]:
    started = RunningUsdm(cash=2_500.0)
    yield started
    started.stop()


def test_the_start_line_tells_both_apart(usdm: RunningUsdm) -> None:
    spot, perps = (usdm.line["venues"][name] for name in ("binance_spot", "binance_usdm"))
    assert spot["symbols"] == ["BTCUSDT"] and perps["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert spot["rest"] != perps["rest"] and perps["ws_api"].endswith("/ws-fapi/v1")
    assert [key["type"] for key in perps["accounts"][0]["keys"]] == ["HMAC", "ED25519", "RSA"]
    assert spot["accounts"][0]["key"] != perps["accounts"][0]["key"]
    assert usdm.ask("v3/balance")[0]["balance"] == "2500.00000000"


def test_each_sees_its_own_quotes(usdm: RunningUsdm) -> None:
    before = [tape.update_id for tape in (*usdm.exchange.tapes, *usdm.futures.tapes)]
    usdm.advance(600)
    after = [tape.update_id for tape in (*usdm.exchange.tapes, *usdm.futures.tapes)]
    assert all(b > a for a, b in zip(before, after, strict=True))
    prices = [float(tape.price(tape.last_ticks)) for tape in usdm.futures.tapes]
    assert prices[0] > 50_000 > 5_000 > prices[1] > 1_000  # bitcoin is not ether


def test_a_perpetual_alone_opens_one_venue() -> None:
    sandbox = Sandbox(SandboxOptions(symbols=("ETH/USDT:USDT",), minutes=1, speed=0))
    assert list(sandbox.sites) == ["binance_usdm"]


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/fund", {"symbol": "BTCUSDT", "rate": "0.1"}, "command"),  # the first venue has no funding
        ("/fund", {"venue": "binance_usdm", "symbol": "NOPE", "rate": "0.1"}, "known are"),
        ("/fund", {"venue": "binance_usdm", "symbol": "BTCUSDT", "rate": "much"}, "decimal"),
        ("/fund", {"venue": "elsewhere", "symbol": "BTCUSDT", "rate": "0.1"}, "open are"),
        ("/deposit", {"venue": "binance_usdm", "account": 0, "asset": "BTC", "amount": "1"}, "margin"),
        ("/deposit", {"venue": "binance_usdm", "account": 7, "asset": "USDT", "amount": "1"}, "accounts 0"),
        ("/faults", {"fault": "A9"}, "cannot happen here"),
        ("/faults", {"venue": "binance_usdm", "fault": "A9", "symbol": "BTCUSDT"}, "liquidated"),
    ],
)
def test_control_says_what_is_wrong(usdm: RunningUsdm, path: str, body: dict[str, Any], word: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        usdm.tell(path, body)
    assert refused.value.code == 400 and word in refused.value.read().decode()


def test_a_deposit_is_money_at_once(usdm: RunningUsdm) -> None:
    usdm.tell("/deposit", {"venue": "binance_usdm", "account": 0, "asset": "USDT", "amount": "12.5"})
    assert usdm.ask("v3/balance")[0]["availableBalance"] == "2512.50000000"
    (row,) = usdm.ask("v1/income", incomeType="TRANSFER")
    assert row["income"] == "12.50000000" and row["symbol"] == ""


def test_ports_are_out_of_range() -> None:
    with pytest.raises(BadInput, match="port"):
        Sandbox(SandboxOptions(symbols=("BTC/USDT",), minutes=1, port=65_535))


def test_a_chosen_port_is_the_first_of_several() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if port > 65_000:
        port -= 1_000
    chosen = RunningUsdm(port=port, minutes=1)
    try:
        assert chosen.line["venues"]["binance_spot"]["rest"].endswith(f":{port}")
        assert chosen.control.endswith(f":{port + 1}") and chosen.rest.endswith(f":{port + 2}")
    finally:
        chosen.stop()
