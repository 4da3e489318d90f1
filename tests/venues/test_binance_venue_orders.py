"""Binance spot over the sandbox: orders live, and every answer becomes the right record."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from binance_venue_rig import Stand, rigged

from engine.contracts import reasons
from engine.contracts.records import LIMIT_ORDER, POST_ONLY, STOP_LIMIT, STOP_MARKET
from engine.runtime.loop import blank_entry
from engine.venues.connection import Connection
from engine.venues.port import Rehearsing

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    running = Stand(
        tmp_path_factory.mktemp("stand"), speed=0.0, symbols=("BTC/USDT", "ETH/USDT"), minutes=12, accounts=8
    )
    yield running
    running.stop()


async def test_a_market_order_is_accepted_and_filled_once(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        buy = rig.place(1, 100)
        await rig.has(buy, "fill")
        await rig.inlet.until(lambda: rig.inlet.of(buy).count("order_ack") == 2)
        fills = [e for e in rig.inlet.orders if e["kind"] == "fill" and e["client_id"] == buy]
        assert sum(int(e["qty_lots"]) for e in fills) == 100
        assert await rig.venue.execution.ask(0, buy)
        assert [e for e in rig.inlet.orders if e["kind"] == "fill" and e["client_id"] == buy] == fills
        assert await rig.venue.account.fills_since(0) == 0


async def test_a_rehearsal_sends_nothing_and_leaves_nothing(sandbox: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rigged(sandbox) as rig:
        execution = rig.venue.execution
        assert isinstance(execution, Rehearsing)
        sent: list[bytes] = []
        monkeypatch.setattr(Connection, "on_sent", sent.append)
        heard = list(rig.inlet.orders)
        for _ in range(10):
            execution.rehearse(blank_entry(0))
        assert sent == [] and rig.inlet.orders == heard
        monkeypatch.undo()
        buy = rig.place(1, 100)  # the grants are all there still
        await rig.has(buy, "fill")


async def test_limit_cancel_and_cancel_again(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        bid, _ = rig.touch()
        order = rig.limit(1, 1000, bid * 95 // 100)
        await rig.has(order, "order_ack")
        assert [(o.client_id, o.book, o.qty_lots) for o in await rig.venue.account.open_orders()] == [
            (order, "orders", 1000)
        ]
        rig.cancel(order)
        await rig.has(order, "cancel_ack")
        rig.cancel(order)
        await rig.has(order, "cancel_reject")
        assert rig.inlet.orders[-1]["reason"] == reasons.UNKNOWN_ORDER
        assert await rig.venue.account.open_orders() == []


async def test_replacing_is_one_request(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        bid, _ = rig.touch()
        old = rig.limit(1, 1000, bid * 95 // 100)
        await rig.has(old, "order_ack")
        new = rig.limit(1, 1000, bid * 96 // 100, ref_id=old)
        await rig.has(new, "order_ack")
        assert "cancel_ack" in rig.inlet.of(old)
        gone = rig.limit(1, 1000, bid * 96 // 100, ref_id=old)
        await rig.events(gone, "order_reject")
        rig.cancel(new)
        await rig.has(new, "cancel_ack")


async def test_stops_rest_and_trigger(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        buy = rig.place(1, 2000)
        await rig.has(buy, "fill")
        bid, _ = rig.touch()
        for kind, fields in ((STOP_MARKET, {}), (STOP_LIMIT, {"price_ticks": bid * 89 // 100})):
            stop = rig.place(-1, 500, kind, trigger_ticks=bid * 90 // 100, **fields)
            await rig.has(stop, "order_ack")
            assert await rig.venue.execution.ask(0, stop)
            rig.cancel(stop)
            await rig.has(stop, "cancel_ack")
        rig.place(-1, 1500)


async def test_what_the_venue_refuses_has_a_reason(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        bid, ask = rig.touch()
        maker = rig.place(1, 1000, LIMIT_ORDER, price_ticks=ask, bits=POST_ONLY)
        small = rig.limit(1, 1, bid)
        one = rig.instruments[0]
        poor = rig.limit(1, int(20_000 / (one.price(bid) * one.lot_size)), bid * 95 // 100)
        for order, reason in (
            (maker, reasons.WOULD_TAKE), (small, reasons.MIN_NOTIONAL), (poor, reasons.INSUFFICIENT_BALANCE),
        ):  # fmt: skip
            await rig.events(order, "order_reject")
            assert next(e for e in rig.inlet.orders if e["client_id"] == order)["reason"] == reason


async def test_an_order_nobody_placed_is_not_known(sandbox: Stand) -> None:
    async with rigged(sandbox, runs=("execution",)) as rig:
        assert not await rig.venue.execution.ask(0, 424242)


@pytest.mark.parametrize("kind", ["RSA", "ED25519"])
async def test_other_kinds_of_keys(sandbox: Stand, kind: str) -> None:
    kinds = {key["type"].upper(): key["type"] for key in sandbox.venue["accounts"][0]["keys"]}
    if kind not in kinds:
        pytest.skip(f"the sandbox has no {kind} key")
    async with rigged(sandbox, kind=kinds[kind]) as rig:
        buy = rig.place(1, 100)
        await rig.has(buy, "fill")
        rig.place(-1, 100)
