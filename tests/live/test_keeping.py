"""Parts of a running engine that end: told about, begun again, and gone when the engine stops."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
import redis.asyncio

from engine.contracts.errors import Retryable
from engine.contracts.instruments import Instrument
from engine.contracts.runs import Manifest
from engine.core import state
from engine.core.limits import Limits
from engine.runtime import service as services
from engine.runtime.service import LivePlan, Service
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.endpoints import ENDPOINTS
from engine.venues.binance.venue import open_binance
from engine.venues.limiter import RateLimiter

pytestmark = pytest.mark.asyncio
COIN = Instrument(
    symbol="AXO/USDT", venue="test", base="AXO", quote="USDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.01"),
    min_qty=Decimal("0.01"), max_qty=Decimal(1000),
)  # fmt: skip


def new_service(folder: Path) -> Service:
    limiter = RateLimiter(redis.asyncio.Redis(unix_socket_path="/dev/null"), "test")  # asked by nobody here
    venue = open_binance("spot", ENDPOINTS["spot", "testnet"], "", None, limiter, ClientIds("k1"), name="test")
    venues = [(venue, [COIN.symbol])]
    plan = LivePlan(world="paper", home=folder, venues=venues, strategies={}, limits=Limits(), capital_usd=1_000.0)
    core = state.new_core([COIN], plan.limits, plan.capital_usd, {}, plan.timeframes_s)
    manifest: Manifest = services._manifest(plan, core, {})
    return Service(plan, core, folder, manifest, lambda _text: None)


async def test_a_part_that_ends_is_told_and_begun_again_until_the_engine_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "RESTART_S", (0.0,))
    service = new_service(tmp_path)
    begun, stands = list[int](), asyncio.Event()

    async def part() -> None:
        begun.append(len(begun))
        if begun[-1] == 0:
            raise KeyError("s3cret")
        if begun[-1] == 1:
            raise ExceptionGroup("parts", [Retryable("the venue is away")])
        if begun[-1] == 2:
            return
        stands.set()
        await asyncio.Event().wait()

    service.keep("engine", "the control channel", part)
    async with asyncio.timeout(5):
        await stands.wait()
        told = [one.text for _, one in service.showing.notices]
        await service.stop()
    assert begun == [0, 1, 2, 3]
    assert [text.split(" stopped ")[1].split(" at ")[0].split(")")[0] for text in told] == [
        "(unexpected KeyError", "(the venue is away", "(it ended by itself",
    ]  # fmt: skip
    assert not any("s3cret" in text for text in told)


async def test_nothing_is_begun_again_once_the_engine_stops(tmp_path: Path) -> None:
    service = new_service(tmp_path)
    begun = list[int]()

    async def part() -> None:
        begun.append(0)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Retryable("it broke while it was ended") from None

    service.keep("engine", "the control channel", part)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await service.stop()
        await asyncio.sleep(0.01)
    assert begun == [0] and not service.showing.notices
