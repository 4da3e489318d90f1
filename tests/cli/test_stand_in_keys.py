"""With which keys the watchdog acts, and what becomes of a venue that has none any more."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest
import redis.asyncio
from pydantic import SecretStr

from engine import settings
from engine.cli.stand_in import key_of, open_stand_ins, whose_keys
from engine.contracts.errors import BadInput, Refused
from engine.contracts.instruments import Instrument
from engine.runtime.ours import Ours
from engine.store.keys import KeyFile, StoredKey

TOML = """
mode = "live"
home = "{home}"
[venues.coins]
exchange = "binance"
symbols = ["BTC/USDT"]
key = "mine"
[venues.perps]
exchange = "binanceusdm"
symbols = ["BTC/USDT:USDT"]
key = "futures"
{more}
"""


def load(home: Path, monkeypatch: pytest.MonkeyPatch, more: str = "") -> settings.Settings:
    path = home / "keel.toml"
    path.write_text(TOML.format(home=home, more=more))
    monkeypatch.setenv("KEEL_CONFIG", str(path))
    return settings.load()


def stored(name: str, exchange: str) -> StoredKey:
    return StoredKey(name=name, exchange=exchange, key=SecretStr("k"), secret=SecretStr("s"), created_ns=1)


KEYS = {
    "mine": stored("mine", "binance"), "futures": stored("futures", "binanceusdm"), "dog": stored("dog", "binance"),
}  # fmt: skip


def test_its_own_key_counts_at_the_exchange_it_was_made_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load(tmp_path, monkeypatch)
    assert whose_keys(plain, KEYS) == "coins with the venue's key, mine, perps with the venue's key, futures"
    own = load(tmp_path, monkeypatch, '[watchdog]\nkey = "dog"')
    assert whose_keys(own, KEYS) == "coins with a key of its own, dog, perps with the venue's key, futures"
    with pytest.raises(BadInput, match="watchdog.key = dog is not stored; trading-cli keys add dog"):
        key_of(own, own.venues["coins"], {"mine": KEYS["mine"]})
    with pytest.raises(BadInput, match=r"venues\.perps\.key = futures is not stored"):
        whose_keys(own, {name: KEYS[name] for name in ("mine", "dog")})


@pytest.mark.asyncio
async def test_a_venue_that_cannot_be_opened_is_never_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force = load(tmp_path, monkeypatch)
    file = KeyFile(tmp_path, SecretStr("correct horse battery"), 14)
    file.add("mine", "binance", SecretStr("key-of-eight"), SecretStr("secret-of-eight"), None)
    one = Instrument(
        symbol="BTC/USDT", venue="coins", base="BTC", quote="USDT", tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"), min_qty=Decimal("0.001"), max_qty=Decimal(100),
    )  # fmt: skip
    instruments = tuple(msgspec.structs.replace(one, venue=name) for name in ("coins", "perps", "gone"))
    ours = Ours(
        run="r", order_prefix="k1", instruments=instruments, lots=MappingProxyType({}), roles=MappingProxyType({}),
        booked=frozenset(), since_ns=0, cap_bps=100.0,
    )  # fmt: skip
    client = redis.asyncio.Redis(unix_socket_path="/dev/null")
    coins, perps, gone = await open_stand_ins(in_force, client, lambda: file, ours)
    with pytest.raises(Refused, match=r"perps: venues\.perps\.key = futures is not stored"):
        await perps.account.open_orders()
    for question in (gone.account.open_orders(), gone.account.positions(), gone.account.fills_since(0)):
        with pytest.raises(Refused, match=r"gone: \[venues.gone\] is not in keel.toml any more, but r traded there"):
            await question
    await gone.execution.run(instruments, None)  # type: ignore[arg-type]
    for venue in (coins, perps, gone):
        await venue.close()
    await client.aclose()
