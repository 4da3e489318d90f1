"""A key replaced under a running engine: orders stay, what is in flight counts, the old key may be revoked then."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from engine_rig import Floor, Trading, coinbase, spot, trading, usdm  # noqa: E402

from engine.contracts.errors import BadInput, Refused  # noqa: E402
from engine.research.replay import replay  # noqa: E402
from engine.runtime.rekeying import Rekeying  # noqa: E402
from engine.store.keys import KeyFile  # noqa: E402
from engine.venues.port import Venue  # noqa: E402
from engine.venues.signing import Secret  # noqa: E402

pytestmark = pytest.mark.asyncio(loop_scope="function")
SPOT, PERP, DOLLAR = "BTC/USDT", "BTC/USDT:USDT", "BTC/USD"
SYMBOLS = {"binance_spot": SPOT, "binance_usdm": PERP, "coinbase": DOLLAR}
OPEN: dict[str, Callable[..., Venue]] = {"binance_spot": spot, "binance_usdm": usdm, "coinbase": coinbase}
WHICH = pytest.mark.parametrize(("which", "number"), [("binance_spot", 0), ("binance_usdm", 1), ("coinbase", 2)])


@pytest.fixture(scope="module")
def whole_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), (SPOT, PERP, DOLLAR), accounts=12)
    yield running
    running.stop()


@pytest.fixture
def floor(whole_floor: Floor) -> Iterator[Floor]:
    yield whole_floor
    whole_floor.calm()


def key_of(floor: Floor, which: str, number: int, kind: int) -> tuple[str, Secret]:
    """One of an account's keys; the engine starts with the first. `kind` -1: one more of that kind."""
    if kind < 0:
        made = floor.tell("/key", {"venue": which, "account": number})
        return made["key"], Secret(made["secret"])
    one = floor.line["venues"][which]["accounts"][number]["keys"][kind]
    return one["key"], Secret(one["secret"])


async def revoke(floor: Floor, which: str, key: str) -> None:
    await asyncio.to_thread(floor.tell, "/revoke", {"venue": which, "key": key})


def user_stream(venue: Venue) -> Any:
    return venue.execution.health()[-1]


async def entered(running: Trading) -> Any:
    """A position with its stop, whatever the strategy has seen."""
    for _ in range(2):
        await running.move(0.9995)
    position = await running.enter()
    await running.guarded()
    return position


@WHICH
async def test_a_key_is_replaced_while_a_position_is_open(
    floor: Floor, tmp_path: Path, which: str, number: int
) -> None:
    old, _ = key_of(floor, which, number, 0)
    venue = OPEN[which](floor, number)
    async with trading(floor, tmp_path, number, venues=[(venue, [SYMBOLS[which]])]) as running:
        position = await entered(running)
        held, before = int(position.qty_lots), user_stream(venue).reconnects
        await venue.rekey(*await asyncio.to_thread(key_of, floor, which, number, -1 if which == "coinbase" else 1))
        await revoke(floor, which, old)
        await running.until(lambda: user_stream(venue).reconnects > before and venue.execution.is_ready)
        assert position.qty_lots == held and running.has_stop()
        ours = [one for one in await venue.account.open_orders() if one.client_id is not None]
        assert [one.qty_lots for one in ours] == [held], "the stop is known under the new key"
        await running.leave()
        await running.enter()
        await running.guarded()
        await running.quote(running.mid * 0.93)
        await running.until(lambda: position.qty_lots == 0)
        assert running.trading_state == "ACTIVE" and running.told("refused") == []
    assert replay(running.service.run_dir).ok


@pytest.mark.parametrize(("which", "number"), [("binance_spot", 3), ("binance_usdm", 4)])
async def test_orders_on_their_way_meanwhile_are_not_lost(
    floor: Floor, tmp_path: Path, which: str, number: int
) -> None:
    venue = OPEN[which](floor, number)
    async with trading(floor, tmp_path, number, venues=[(venue, [SYMBOLS[which]])]) as running:
        position = await entered(running)
        for kind in (1, 0, 2):
            await asyncio.gather(venue.rekey(*key_of(floor, which, number, kind)), running.leave())
            await running.settle()
            await running.until(lambda: not running.working() and venue.execution.is_ready)
            await running.enter()
            await running.guarded()
        await running.leave()
        assert position.qty_lots == 0 and running.told("refused") == []
    assert replay(running.service.run_dir).ok


@pytest.mark.parametrize(("which", "number"), [("binance_spot", 5), ("binance_usdm", 6)])
async def test_a_revoked_key_is_replaced_and_entries_go_on(
    floor: Floor, tmp_path: Path, which: str, number: int
) -> None:
    old, _ = key_of(floor, which, number, 0)
    venue = OPEN[which](floor, number)
    async with trading(floor, tmp_path, number, venues=[(venue, [SYMBOLS[which]])]) as running:
        position = await entered(running)
        await revoke(floor, which, old)
        await running.move(0.998)  # the exit is refused, and so the key is known to be
        await running.until(lambda: any("the key is refused" in text for text in running.told("refused")))
        assert position.qty_lots > 0
        await venue.rekey(*key_of(floor, which, number, 2))
        await running.until(lambda: any("accepted again" in text for text in running.told("connected")))
        await running.until(lambda: venue.execution.is_ready)
        await running.emergency()
        assert not position.qty_lots


@WHICH
async def test_a_key_that_will_not_do_leaves_the_old_one_in_force(
    floor: Floor, tmp_path: Path, which: str, number: int
) -> None:
    number += 7
    venue = OPEN[which](floor, number)
    async with trading(floor, tmp_path, number, venues=[(venue, [SYMBOLS[which]])]) as running:
        position = await entered(running)
        before = user_stream(venue).reconnects
        new, secret = await asyncio.to_thread(key_of, floor, which, number, -1)
        with pytest.raises((Refused, BadInput)):
            await venue.rekey(new, Secret("NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"))
        with pytest.raises(Refused, match="another account"):
            await venue.rekey(*key_of(floor, which, 11, 0))
        if which == "coinbase":
            with pytest.raises(Refused, match="ECDSA"):
                await venue.rekey(*key_of(floor, which, number, 1))
        rights = {"venue": which, "account": number}
        await asyncio.to_thread(floor.tell, "/rights", rights | {"withdraw": True})
        with pytest.raises(Refused, match="withdraw"):
            await venue.rekey(new, secret)
        await asyncio.to_thread(floor.tell, "/rights", rights | {"withdraw": False})
        await revoke(floor, which, new)
        with pytest.raises(Refused):
            await venue.rekey(new, secret)
        assert venue.execution.is_ready and user_stream(venue).reconnects == before
        await running.leave()
        assert position.qty_lots == 0


async def test_the_engine_takes_it_from_the_file_and_puts_it_in_force_there(floor: Floor, tmp_path: Path) -> None:
    venue = spot(floor, 10)
    (tmp_path / "keys").mkdir()
    file = KeyFile(tmp_path / "keys", SecretStr("correct horse battery staple"), cost=14)
    parts = [(SecretStr(key), SecretStr(secret.reveal())) for key, secret in
             (key_of(floor, "binance_spot", 10, kind) for kind in (0, 1))]  # fmt: skip
    file.add("main", "binance", *parts[0], None)
    rekeying = Rekeying(file, {"main": [venue]})
    async with trading(floor, tmp_path / "home", 10, venues=[(venue, [SPOT])]) as running:
        with pytest.raises(BadInput, match="nothing is proposed"):
            await rekeying.rekey("main")
        with pytest.raises(BadInput, match="no venue of this engine uses the key other"):
            await rekeying.rekey("other")
        strange, secret = key_of(floor, "binance_spot", 11, 0)
        file.propose("main", SecretStr(strange), SecretStr(secret.reveal()), None)
        with pytest.raises(Refused, match="another account.*the old one is in force"):
            await rekeying.rekey("main")
        assert file.get("main").key == parts[0][0]
        file.propose("main", *parts[1], None)
        assert "is in force at sandbox" in await rekeying.rekey("main")
        assert file.get("main").key == parts[1][0] and file.proposed("main") is None
        await revoke(floor, "binance_spot", parts[0][0].get_secret_value())
        await running.until(lambda: venue.execution.is_ready)
        await entered(running)
        await running.close()
