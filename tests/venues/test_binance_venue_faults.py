"""Binance spot over the sandbox with the faults of the acceptance list: each gives the right records."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from binance_venue_rig import Rig, Stand, rigged

from engine.contracts import reasons
from engine.contracts.records import STOP_MARKET

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    running = Stand(
        tmp_path_factory.mktemp("stand"), speed=0.0, symbols=("BTC/USDT", "ETH/USDT"), minutes=12, accounts=4
    )
    yield running
    running.stop()


@pytest.fixture
def sandbox(stand: Stand) -> Iterator[Stand]:
    yield stand
    stand.tell("/faults", {}, "DELETE")
    stand.fault("A14", skew_ms=0)


def fills(rig: Rig, client_id: int) -> list[int]:
    """Trade ids told for an order."""
    return [int(e["trade_id"]) for e in rig.inlet.orders if e["kind"] == "fill" and e["client_id"] == client_id]


async def test_a1_a_lost_reply_is_unknown_and_the_question_finds_the_order(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        sandbox.fault("A1")
        buy = rig.place(1, 100)
        await rig.has(buy, "order_unknown")
        await rig.inlet.until(lambda: rig.inlet.told("lost"))
        assert await rig.venue.execution.ask(0, buy)
        await rig.inlet.until(lambda: fills(rig, buy))
        assert len(fills(rig, buy)) == len(set(fills(rig, buy)))
        await rig.inlet.until(lambda: rig.venue.execution.is_ready)
        again = rig.place(-1, 90)
        await rig.has(again, "fill")


async def test_a2_an_order_accepted_after_the_timeout_is_heard_of_later(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        sandbox.fault("A2", delay_ms=100)
        buy = rig.place(1, 100)
        await rig.has(buy, "fill")
        assert rig.inlet.of(buy)[0] == "order_unknown"
        rig.place(-1, 100)


async def test_a3_a_fill_told_twice_counts_once(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        sandbox.fault("A3")
        buy = rig.place(1, 100)
        await rig.has(buy, "fill")
        after = rig.place(-1, 100)
        await rig.has(after, "fill")
        assert len(fills(rig, buy)) == len(set(fills(rig, buy)))


async def test_a4_and_a5_fills_before_the_ack_and_out_of_order_all_arrive(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        sandbox.fault("A4")
        sandbox.fault("A5")
        buy = rig.place(1, 2000)
        await rig.inlet.until(lambda: rig.inlet.of(buy).count("order_ack") == 2 and fills(rig, buy))
        told = [int(e["qty_lots"]) for e in rig.inlet.orders if e["kind"] == "fill" and e["client_id"] == buy]
        assert sum(told) == 2000
        rig.place(-1, 2000)


async def test_a6_a_fill_wins_against_its_cancel(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        bid, _ = rig.touch()
        order = rig.limit(1, 1000, bid * 95 // 100)
        await rig.has(order, "order_ack")
        sandbox.fault("A6")
        rig.cancel(order)
        await rig.has(order, "cancel_reject")
        await rig.has(order, "fill")
        rig.place(-1, 1000)


async def test_a7_a_503_on_a_stop_is_unknown_until_asked(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        buy = rig.place(1, 1000)
        await rig.has(buy, "fill")
        bid, _ = rig.touch()
        sandbox.fault("A7", order_types=["STOP_LOSS"])
        stop = rig.place(-1, 900, STOP_MARKET, trigger_ticks=bid * 90 // 100)
        await rig.events(stop, "order_unknown")
        assert not await rig.venue.execution.ask(0, stop)
        again = rig.place(-1, 900, STOP_MARKET, trigger_ticks=bid * 90 // 100)
        await rig.has(again, "order_ack")

        # A8: the venue cancels the stop
        sandbox.fault("A8", order_types=["STOP_LOSS"])
        await rig.has(again, "cancel_ack")
        rig.place(-1, 900)


async def test_a10_and_a11_orders_by_hand_are_foreign(sandbox: Stand) -> None:
    async with rigged(sandbox, account=1) as rig:
        before = len(rig.inlet.orders)
        sandbox.fault("A11", symbol="BTCUSDT", lots=500, account=1)
        await rig.inlet.until(lambda: any("web_manual_open" in text for text in rig.inlet.told("foreign")))
        sandbox.fault("A10", symbol="BTCUSDT", account=1)
        await rig.inlet.until(lambda: any("web_manual_close" in text for text in rig.inlet.told("foreign")))
        assert rig.inlet.orders[before:] == []
        assert await rig.venue.account.fills_since(0) == 0


async def test_a12_a_filter_change_is_told_after_a_refusal(sandbox: Stand) -> None:
    async with rigged(sandbox, symbols=("ETH/USDT", "BTC/USDT")) as rig:
        sandbox.fault("A12", symbol="ETHUSDT", min_notional="50")
        small = rig.place(1, 1)
        await rig.has(small, "order_reject")
        await rig.inlet.until(lambda: any(e["kind"] == "filter" for e in rig.inlet.orders))
        change = next(e for e in rig.inlet.orders if e["kind"] == "filter")
        assert (change["instrument"], change["index"], change["amount_e8"]) == (0, 2, 50 * 10**8)
        assert rig.inlet.told("rules")
        sandbox.fault("A12", symbol="ETHUSDT", min_notional="5")


async def test_a13_a_429_refuses_the_order_and_slows_everybody_down(sandbox: Stand) -> None:
    async with rigged(sandbox) as rig:
        sandbox.fault("A13")
        buy = rig.place(1, 100)
        await rig.events(buy, "order_reject")
        assert rig.inlet.orders[-1]["reason"] == reasons.RATE_LIMITED
        await rig.inlet.until(lambda: any("limits our rate" in text for text in rig.inlet.told("refused")))


@pytest.mark.parametrize("skew_ms", [5500, -5500])
async def test_a14_a_clock_jump_is_measured_and_the_order_sent_once_more(sandbox: Stand, skew_ms: int) -> None:
    async with rigged(sandbox) as rig:
        sandbox.fault("A14", skew_ms=skew_ms)
        buy = rig.place(1, 100)
        await rig.has(buy, "fill")
        assert "order_reject" not in rig.inlet.of(buy)
        sell = rig.place(-1, 90)
        await rig.has(sell, "fill")
        (told,) = rig.inlet.told("clock")
        assert f"by {skew_ms / 1000:+.1f} s" in told
        for stream in rig.venue.execution.health():
            assert stream.clock_offset_ms == pytest.approx(skew_ms, abs=300)
        assert (await rig.venue.account.check()).clock_offset_ms == pytest.approx(skew_ms, abs=300)


async def test_a15_a_mute_socket_is_dead_and_opened_anew(sandbox: Stand) -> None:
    async with rigged(sandbox, mute_s=0.3, runs=("market",)) as rig:
        sandbox.fault("A15", count=-1)
        await rig.inlet.until(lambda: any("no data for 0.3 s" in text for text in rig.inlet.told("lost")))
        assert {e["instrument"] for e in rig.inlet.heard if e["kind"] == "feed_status"} == {0, 1}
        sandbox.tell("/faults", {}, "DELETE")
        await rig.refresh()
        assert rig.venue.market.health()[0].reconnects >= 1


async def test_a16_a_book_gap_is_noticed_and_the_book_read_anew(sandbox: Stand) -> None:
    async with rigged(sandbox, depth=True, runs=("market",)) as rig:

        def depths() -> int:
            return rig.inlet.kinds().count("depth")

        await rig.play_until(depths)
        assert depths() % 5 == 0
        sandbox.fault("A16", symbol="BTCUSDT")
        await rig.play_until(lambda: rig.inlet.told("gap"))
        assert rig.venue.market.health()[0].gaps == 1
        assert any(e["kind"] == "feed_status" for e in rig.inlet.heard)
        seen = len(rig.inlet.heard)
        lost = next(n.instrument for n in rig.inlet.notices if n.kind == "gap")
        await rig.play_until(
            lambda: any(e["kind"] == "depth" and e["instrument"] == lost for e in rig.inlet.heard[seen:])
        )


async def test_a23_a_revoked_key_is_told_and_orders_are_refused(stand: Stand) -> None:
    async with rigged(stand, account=3) as rig:
        stand.fault("A23", account=3)
        buy = rig.place(1, 100)
        await rig.events(buy, "order_reject")
        assert rig.inlet.orders[-1]["reason"] == reasons.KEY_REFUSED
        assert any("check key" in text for text in rig.inlet.told("refused"))
        stream = rig.venue.execution._desk._user  # type: ignore[attr-defined]
        stream.connection.renew("cut by the test")
        await rig.inlet.until(lambda: any("subscription was refused" in text for text in rig.inlet.told("lost")))
        assert len(rig.inlet.told("refused")) == 1
        assert not rig.venue.execution.is_ready
