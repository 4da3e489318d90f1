"""doctor and keys test against two real sandboxes: what they say about venues and keys, right and wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from engine.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = "correct horse battery staple"
NO_POSTGRES = {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d"}  # starting one takes longer than what is tested


class Exchange:
    """A sandbox in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "engine.cli.main", "sandbox", "--speed", "0", "--minutes", "20"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert self.process.stdout is not None
        self.line: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.spot = self.line["venues"]["binance_spot"]

    def key(self, kind: str) -> dict[str, str]:
        return dict(next(key for key in self.spot["accounts"][0]["keys"] if key["type"].upper() == kind.upper()))

    def tell(self, path: str, document: dict[str, Any], method: str = "POST") -> None:
        request = urllib.request.Request(self.line["control"] + path, json.dumps(document).encode(), method=method)
        with urllib.request.urlopen(request, timeout=10):
            pass

    def urls(self) -> str:
        return ", ".join(f'{name} = "{self.spot[name]}"' for name in ("rest", "ws", "ws_api"))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    made = Exchange()
    yield made
    made.stop()


@pytest.fixture
def folder(tmp_path: Path, exchange: Exchange) -> Path:
    """A home with the sandbox as its venue; its key is not stored yet."""
    (tmp_path / "p").write_text(PASSPHRASE)
    (tmp_path / "p").chmod(0o600)
    (tmp_path / "keel.toml").write_text(
        f'passphrase_file = "p"\n[venues.box]\nexchange = "binance"\nsymbols = ["BTC/USDT", "ETH/USDT"]\nkey = "main"\n'
        f"urls = {{ {exchange.urls()} }}\n"
    )
    return tmp_path


def call(folder: Path, *args: str, given: str = "", **variables: str) -> Result:
    kept = {name: None for name in os.environ if name.startswith("KEEL_") or name in ("DATABASE_URL", "REDIS_URL")}
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(app, list(args), input=given, env=kept | variables)
    finally:
        os.chdir(before)


def checks(done: Result) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)["checks"]
    return found


def add(folder: Path, key: str, secret: str) -> None:
    done = call(folder, "keys", "add", "main", "--stdin", given=json.dumps({"key": key, "secret": secret}))
    assert done.exit_code == 0, done.output


def test_doctor_finds_venue_redis_and_key_in_order(folder: Path, exchange: Exchange) -> None:
    pair = exchange.key("Ed25519")
    add(folder, pair["key"], pair["secret"])
    done = call(folder, "doctor", "--json")
    found = checks(done)
    assert done.exit_code == 0, done.output
    assert found["redis"]["found"].startswith("embedded: version ")
    assert "binance (" in found["venue box"]["found"] and "2 symbols" in found["venue box"]["found"]
    key = found["key box"]
    assert f"main (...{pair['key'][-4:]}) accepted: may trade, may not withdraw" in key["found"]
    assert "fees 0.1 % maker, 0.1 % taker" in key["found"]
    assert pair["secret"] not in done.output and pair["key"] not in done.output


@pytest.mark.parametrize("skew_ms, said", [(5_000, "5.0 s ahead of ours"), (-7_000, "7.0 s behind ours")])
def test_a_clock_far_off_is_told_with_the_fix(folder: Path, exchange: Exchange, skew_ms: int, said: str) -> None:
    pair = exchange.key("HMAC")
    add(folder, pair["key"], pair["secret"])
    exchange.tell("/faults", {"fault": "A14", "skew_ms": skew_ms})
    try:
        key = checks(call(folder, "keys", "test", "main", "--json"))["key box"]
    finally:
        exchange.tell("/faults", {"fault": "A14", "skew_ms": 0})
    assert key["ok"] and f"its clock {said}" in key["found"]
    assert "turn on time synchronisation" in key["fix"]


def test_a_key_that_may_withdraw_is_refused_with_the_fix(folder: Path, exchange: Exchange) -> None:
    pair = exchange.key("HMAC")
    add(folder, pair["key"], pair["secret"])
    exchange.tell("/rights", {"account": 0, "withdraw": True})
    try:
        done = call(folder, "keys", "test", "main", "--json")
    finally:
        exchange.tell("/rights", {"account": 0, "withdraw": False})
    assert done.exit_code == 1
    assert "may withdraw" in checks(done)["key box"]["found"]
    again = call(folder, "keys", "test", "main")
    assert again.exit_code == 0, again.output
    assert "accepted" in again.stdout


def test_a_wrong_secret_and_a_strangers_key_are_told_apart_from_a_dead_venue(folder: Path, exchange: Exchange) -> None:
    pair = exchange.key("HMAC")
    add(folder, pair["key"], "x" * 64)
    done = call(folder, "keys", "test", "main", "--json")
    assert done.exit_code == 1
    found = checks(done)
    assert found["venue box"]["ok"] and not found["key box"]["ok"]
    assert "Signature" in found["key box"]["found"] or "-1022" in found["key box"]["found"]
    assert "see that key and secret are whole" in found["key box"]["fix"]
    urls = folder / "keel.toml"
    urls.write_text(urls.read_text().replace(exchange.spot["rest"], "http://127.0.0.1:1"))
    dead = checks(call(folder, "keys", "test", "main", "--json"))
    assert not dead["venue box"]["ok"] and "reachable" in dead["venue box"]["fix"]


@pytest.mark.parametrize(("before", "after", "name", "said"), [
    ('key = "main"\n', 'key = "absent"\n', "key box", "absent is not stored"),
    ('["BTC/USDT", "ETH/USDT"]', '["NOPE/USDT"]', "venue box", "NOPE/USDT"),
    ('["BTC/USDT", "ETH/USDT"]', "[]", "venue box", "no symbols"),
])  # fmt: skip
def test_what_is_missing_is_named(folder: Path, before: str, after: str, name: str, said: str) -> None:
    (folder / "keel.toml").write_text((folder / "keel.toml").read_text().replace(before, after))
    done = call(folder, "doctor", "--json", **NO_POSTGRES)
    assert done.exit_code == 1
    assert not checks(done)[name]["ok"] and said in checks(done)[name]["found"]


def test_paper_needs_no_key_and_live_does(folder: Path) -> None:
    (folder / "keel.toml").write_text((folder / "keel.toml").read_text().replace('key = "main"\n', ""))
    paper = checks(call(folder, "doctor", "--json", **NO_POSTGRES))
    assert paper["key box"]["ok"] and "market data and paper" in paper["key box"]["found"]
    live = checks(call(folder, "doctor", "--json", KEEL_MODE="live", **NO_POSTGRES))
    assert not live["key box"]["ok"] and "mode = live needs a key" in live["key box"]["fix"]


def test_a_key_of_another_network_is_told_where_it_works(folder: Path, exchange: Exchange) -> None:
    import asyncio

    from pydantic import SecretStr

    from engine import settings
    from engine.cli.venue_check import examine_venue, opener
    from engine.store.keys import StoredKey
    from engine.venues.plan import venue_plan

    other = Exchange()
    try:
        plans = [
            venue_plan("box", {
                "exchange": "binance", "symbols": ["BTC/USDT"],
                "urls": {name: one.spot[name] for name in ("rest", "ws", "ws_api")},
            })
            for one in (exchange, other)
        ]  # fmt: skip
        pair = other.key("HMAC")
        key = StoredKey(
            name="main", exchange="binance", key=SecretStr(pair["key"]), secret=SecretStr(pair["secret"]), created_ns=0
        )

        async def ask() -> Any:
            async with opener(settings.load({"home": folder / ".keel"})) as opened:
                return await examine_venue(plans[0], key, opened, {"testnet = true": plans[1]})

        market, told = asyncio.run(ask())
    finally:
        other.stop()
    assert market.ok and not told.ok
    assert told.fix == "this key works elsewhere: testnet = true"


def test_the_networks_a_refused_key_is_tried_at() -> None:
    from engine.cli.venue_check import SPOT_DEMO, elsewhere
    from engine.venues.plan import venue_plan

    spot = elsewhere(venue_plan("binance", {"symbols": "BTC/USDT"}))
    assert [(plan.testnet, dict(plan.urls)) for plan in spot.values()] == [(True, {}), (False, SPOT_DEMO)]
    test, demo = spot
    assert test.startswith("testnet = true") and 'rest = "https://demo-api.binance.com"' in demo
    [production] = elsewhere(venue_plan("binanceusdm", {"symbols": "BTC/USDT:USDT", "testnet": "true"}))
    assert production == "testnet = false (production)"
    assert (
        elsewhere(venue_plan("kraken", {}))
        == elsewhere(venue_plan("x", {"exchange": "binance", "urls": SPOT_DEMO}))
        == {}
    )


def test_without_its_passphrase_the_key_file_is_the_fault(folder: Path, exchange: Exchange) -> None:
    pair = exchange.key("HMAC")
    add(folder, pair["key"], pair["secret"])
    (folder / "p").write_text("another one altogether")
    done = call(folder, "doctor", "--json", **NO_POSTGRES)
    assert done.exit_code == 1
    assert "passphrase is wrong" in checks(done)["keys"]["found"]
