"""Binance USD-M over the sandbox: two books of orders, isolated margin, funding, positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from binance_venue_rig import Rig, UsdmStand, rigged

from engine.contracts import reasons
from engine.contracts.errors import Refused
from engine.contracts.records import REDUCE_ONLY, ROLE_STOP, STOP_LIMIT, STOP_MARKET

pytestmark = pytest.mark.asyncio(loop_scope="function")
SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsdmStand]:
    running = UsdmStand(tmp_path_factory.mktemp("stand"), accounts=4)
    yield running
    running.stop()


@pytest.fixture
def sandbox(stand: UsdmStand) -> Iterator[UsdmStand]:
    stand.advance(30)
    yield stand
    stand.tell("/faults", {}, "DELETE")
    stand.flatten()


def usdm(sandbox: UsdmStand, **options: Any) -> Any:
    return rigged(sandbox, "usdm", SYMBOLS, **options)


async def bought(rig: Rig, lots: int = 20) -> int:
    order = rig.place(1, lots, leverage=3)
    await rig.has(order, "fill")
    return order


async def test_margin_is_isolated_and_leverage_set_before_the_first_entry(sandbox: UsdmStand) -> None:
    async with usdm(sandbox) as rig:
        await bought(rig)
        config = sandbox.ask("v1/symbolConfig", symbol="BTCUSDT")[0]
        assert (config["marginType"], config["leverage"]) == ("ISOLATED", 3)
        await rig.inlet.until(lambda: rig.inlet.of(0) == [] and rig.inlet.orders)
        (position,) = await rig.venue.account.positions()
        assert (position.instrument, position.qty_lots) == (0, 20)
        assert position.entry_price > 0
        close = rig.place(-1, 20, bits=REDUCE_ONLY)
        await rig.has(close, "fill")
        assert await rig.venue.account.positions() == []
        assert rig.instruments[0].max_leverage > 1 and rig.instruments[0].kind == "perp"


async def test_an_entry_that_waited_too_long_for_its_leverage_does_not_leave(sandbox: UsdmStand) -> None:
    async with usdm(sandbox, account=2, answer_s=0.0) as rig:
        order = rig.place(1, 20, leverage=7)
        await rig.has(order, "order_reject")
        assert any("took too long" in text for text in rig.inlet.told("refused"))
        assert not await rig.venue.execution.ask(0, order)


async def test_stops_lie_in_the_algo_book_and_are_found_there(sandbox: UsdmStand) -> None:
    async with usdm(sandbox) as rig:
        await bought(rig)
        bid, _ = rig.touch()
        for kind, fields in ((STOP_MARKET, {}), (STOP_LIMIT, {"price_ticks": bid * 89 // 100})):
            stop = rig.place(-1, 20, kind, trigger_ticks=bid * 90 // 100, bits=REDUCE_ONLY, role=ROLE_STOP, **fields)
            await rig.has(stop, "order_ack")
            (order,) = await rig.venue.account.open_orders()
            assert (order.client_id, order.book, order.trigger_ticks) == (stop, "algo", bid * 90 // 100)
            assert await rig.venue.execution.ask(0, stop)
            rig.cancel(stop)
            await rig.has(stop, "cancel_ack")
            assert await rig.venue.account.open_orders() == []


async def test_replacing_cancels_first_and_places_then(sandbox: UsdmStand) -> None:
    async with usdm(sandbox) as rig:
        await bought(rig)
        bid, _ = rig.touch()
        old = rig.limit(1, 20, bid * 97 // 100, leverage=3)
        await rig.has(old, "order_ack")
        new = rig.limit(1, 30, bid * 96 // 100, leverage=3, ref_id=old)
        await rig.has(new, "order_ack")
        order = [(e["kind"], e["client_id"]) for e in rig.inlet.orders if e.get("client_id") in (old, new)]
        assert order.index(("cancel_ack", old)) < order.index(("order_ack", new))
        stop = rig.place(-1, 20, STOP_MARKET, trigger_ticks=bid * 90 // 100, bits=REDUCE_ONLY)
        await rig.has(stop, "order_ack")
        moved = rig.place(-1, 20, STOP_MARKET, trigger_ticks=bid * 91 // 100, bits=REDUCE_ONLY, ref_id=stop)
        await rig.has(moved, "order_ack")
        assert {o.client_id for o in await rig.venue.account.open_orders()} == {new, moved}
        gone = rig.limit(1, 20, bid * 96 // 100, leverage=3, ref_id=old)
        await rig.has(gone, "order_reject")
        assert rig.inlet.orders[-1]["reason"] == reasons.REPLACED_ORDER_GONE
        assert rig.inlet.told("emulated")


async def test_a_triggered_stop_fills_under_our_own_id(sandbox: UsdmStand) -> None:
    async with usdm(sandbox) as rig:
        await bought(rig)
        _, ask = rig.touch()
        stop = rig.place(-1, 20, STOP_MARKET, trigger_ticks=ask - 1, bits=REDUCE_ONLY)
        await rig.inlet.until(lambda: {"order_ack", "order_reject"} & set(rig.inlet.of(stop)))
        if "order_reject" in rig.inlet.of(stop):
            assert rig.inlet.orders[-1]["reason"] == reasons.WOULD_TRIGGER
            return
        await rig.play_until(lambda: "fill" in rig.inlet.of(stop))
        assert "order_triggered" in rig.inlet.of(stop)
        assert await rig.venue.execution.ask(0, stop)


async def test_marks_and_funding_are_heard(sandbox: UsdmStand) -> None:
    async with usdm(sandbox) as rig:
        await bought(rig)
        sandbox.fund("BTCUSDT", "0.0001")
        await rig.inlet.until(lambda: any(e["kind"] == "funding" for e in rig.inlet.orders))
        paid = next(e for e in rig.inlet.orders if e["kind"] == "funding")
        assert paid["instrument"] == 0 and paid["amount_e8"] < 0
        await rig.play_until(lambda: {"mark", "trade", "quote"} <= set(rig.inlet.kinds()))
        mark = next(e for e in reversed(rig.inlet.heard) if e["kind"] == "mark")
        assert 0 < int(mark["due_ns"]) - int(mark["venue_ts_ns"]) <= 8 * 3_600 * 10**9, "the next payment is told"


async def test_a9_a_liquidation_while_disconnected_is_told_afterwards(sandbox: UsdmStand) -> None:
    async with usdm(sandbox) as rig:
        await bought(rig)
        sandbox.fault("A9", symbol="BTCUSDT")
        await rig.inlet.until(lambda: any(e["kind"] == "fill" and e["client_id"] == 0 for e in rig.inlet.orders))
        forced = [e for e in rig.inlet.orders if e["kind"] == "fill" and e["client_id"] == 0]
        assert sum(int(e["qty_lots"]) for e in forced) == 20 and forced[0]["bits"] & 4
        assert await rig.venue.account.positions() == []


async def test_a1_a_lost_reply_on_a_stop_is_unknown_and_found(sandbox: UsdmStand) -> None:
    async with usdm(sandbox) as rig:
        await bought(rig)
        bid, _ = rig.touch()
        sandbox.fault("A1", order_types=["STOP_MARKET"])
        stop = rig.place(-1, 20, STOP_MARKET, trigger_ticks=bid * 90 // 100, bits=REDUCE_ONLY)
        await rig.has(stop, "order_unknown")
        assert await rig.venue.execution.ask(0, stop)
        assert "order_ack" in rig.inlet.of(stop)


async def test_the_account_is_checked(sandbox: UsdmStand) -> None:
    async with usdm(sandbox, account=1) as rig:
        facts = await rig.venue.account.check()
        assert facts.can_trade and set(facts.fees) == set(SYMBOLS)
        assert [w.asset for w in await rig.venue.account.wallets()] == ["USDT"]
        sandbox.call("POST", "/fapi/v1/multiAssetsMargin", account=1, multiAssetsMargin="true")
        with pytest.raises(Refused, match="single-asset|isolated"):
            await rig.venue.account.check()
    sandbox.call("POST", "/fapi/v1/multiAssetsMargin", account=1, multiAssetsMargin="false")
    async with usdm(sandbox, account=2, runs=()) as rig:
        sandbox.call("POST", "/fapi/v1/positionSide/dual", account=2, dualSidePosition="true")
        with pytest.raises(Refused, match="one-way"):
            await rig.venue.account.check()
        await rig.venue.close()


async def test_without_an_order_socket_cancels_and_exits_go_over_http(sandbox: UsdmStand) -> None:
    async with usdm(sandbox) as rig:
        await bought(rig)
        bid, _ = rig.touch()
        order = rig.limit(1, 20, bid * 97 // 100, leverage=3, client_id=1)
        stop = rig.place(-1, 20, STOP_MARKET, trigger_ticks=bid * 90 // 100, bits=REDUCE_ONLY)
        await rig.has(order, "order_ack")
        await rig.has(stop, "order_ack")
        rig.venue.execution._desk._socket.renew("cut by the test")  # type: ignore[attr-defined]
        await rig.inlet.until(lambda: not rig.venue.execution.is_ready)
        rig.cancel(order)
        rig.cancel(stop)
        leave = rig.place(-1, 20, bits=REDUCE_ONLY)
        await rig.has(order, "cancel_ack")
        await rig.has(stop, "cancel_ack")
        await rig.has(leave, "fill")
