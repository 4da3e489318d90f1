"""The paper venue through its port: latencies, a silent market, questions, rules, restarts."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_rig import MS, SECOND_NS, START_NS, Bench, Hand, perp, place, quote, records, spot

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import BadInput, Fatal, Retryable
from engine.simulation.venue import SimulationModel
from engine.venues.port import Wallet
from engine.venues.simulated.venue import open_simulated

pytestmark = pytest.mark.asyncio
T0 = START_NS + SECOND_NS


def told(bench: Bench) -> list[tuple[str, int, int]]:
    """(kind, due, told) of every answer, in ms after T0."""
    return [
        (r.KINDS[int(one["kind"])].name, (int(one["ts_ns"]) - T0) // MS, (at - T0) // MS) for at, one in bench.ear.told
    ]


async def saved(bench: Bench) -> None:
    """The account has been written as it is now."""
    desk: Any = bench.venue.execution._desk  # type: ignore[attr-defined]
    while desk._safe < desk._noted:
        await asyncio.sleep(0.001)


async def test_a_market_order_is_answered_on_time_in_a_silent_market() -> None:
    async with Bench() as bench:
        bench.say(quote(T0, 1000, 1002))
        bench.send(place(1, r.BUY, 10, T0))
        bench.clock.turn(T0 + 99 * MS)
        assert (await bench.venue.account.wallets())[0].free == 1000
        bench.clock.turn(T0 + 100 * MS)
        assert not bench.ear.told
        bench.clock.turn(T0 + SECOND_NS)
        assert told(bench) == [("order_ack", 150, 150), ("fill", 150, 150)]
        fill = bench.ear.told[1][1]
        assert int(fill["venue_ts_ns"]) == T0 + 100 * MS
        assert (fill["price_ticks"], fill["qty_lots"]) == (1002, 10)
        assert await bench.venue.account.wallets() == [
            Wallet(asset="USDT", free=Decimal("998.996998"), locked=Decimal(0)),  # $10.02 x 0.1, and 0.1 % of it
            Wallet(asset="AXO", free=Decimal("0.1"), locked=Decimal(0)),
        ]


async def test_an_order_meets_the_book_that_stands_when_it_arrives() -> None:
    """The price of the very instant of arrival counts, a later one does not; what is heard passes through as it is."""
    async with Bench() as bench:
        bench.say(quote(T0, 1000, 1002))
        bench.send(place(1, r.BUY, 10, T0))
        bench.say(quote(T0 + 100 * MS, 1010, 1012))
        bench.say(quote(T0 + 101 * MS, 1020, 1022))
        bench.clock.turn(T0 + SECOND_NS)
        assert [int(one["price_ticks"]) for _, one in bench.ear.told if one["kind"] == r.FILL] == [1012]
        assert [int(one["bid_ticks"]) for one in bench.ear.heard] == [1000, 1010, 1020]


async def test_answers_due_are_told_before_the_market_record_that_comes_later() -> None:
    """Late alarms (a busy loop) change no order: a market record first lets happen what was due before it."""
    async with Bench() as bench:
        bench.say(quote(T0, 1000, 1002))
        bench.send(place(1, r.BUY, 10, T0))
        bench.clock.set(T0 + 500 * MS)  # nobody rang
        bench.feed.say(quote(T0 + 500 * MS, 2000, 2002))
        assert bench.ear.kinds() == ["order_ack", "fill"]
        assert int(bench.ear.told[1][1]["price_ticks"]) == 1002


async def test_a_stop_triggers_on_the_market_and_is_told_once() -> None:
    async with Bench() as bench:
        bench.say(quote(T0, 1000, 1002))
        bench.send(place(1, r.BUY, 100, T0))
        bench.clock.turn(T0 + SECOND_NS)
        stop = place(2, r.SELL, 50, T0 + SECOND_NS, order_type=r.STOP_MARKET, tif=r.GTC, trigger_ticks=990)
        bench.send(stop)
        bench.clock.turn(T0 + 2 * SECOND_NS)
        (standing,) = await bench.venue.account.open_orders()
        assert (standing.client_id, standing.order_type, standing.trigger_ticks) == (2, "stop_market", 990)
        assert (standing.side, standing.qty_lots, standing.filled_lots) == (r.SELL, 50, 0)
        bench.say(quote(T0 + 3 * SECOND_NS, 985, 987))
        bench.clock.turn(T0 + 4 * SECOND_NS)
        assert bench.ear.kinds()[2:] == ["order_ack", "order_triggered", "fill"]
        assert int(bench.ear.told[-1][1]["price_ticks"]) == 985
        assert await bench.venue.account.fills_since(0) == 0
        assert await bench.venue.account.open_orders() == []


async def test_what_became_of_an_order_can_be_asked() -> None:
    async with Bench() as bench:
        bench.say(quote(T0, 1000, 1002))
        bench.send(place(1, r.BUY, 10, T0, order_type=r.LIMIT_ORDER, tif=r.GTC, price_ticks=900))
        question = asyncio.ensure_future(bench.venue.execution.ask(0, 1))
        await asyncio.sleep(0)
        assert not bench.ear.told
        bench.clock.turn(T0 + SECOND_NS)
        assert await question
        assert bench.ear.kinds() == ["order_ack", "order_ack"]
        other = asyncio.ensure_future(bench.venue.execution.ask(0, 77))
        await asyncio.sleep(0)
        bench.clock.turn(T0 + 2 * SECOND_NS)
        assert not await other
        assert len(bench.ear.told) == 2


async def test_an_order_that_stands_for_long_is_not_forgotten() -> None:
    async with Bench() as bench:
        bench.say(quote(T0, 1000, 1002))
        bench.send(place(1, r.BUY, 50, T0))
        stop = {"order_type": r.STOP_MARKET, "tif": r.GTC, "trigger_ticks": 900}
        bench.send(place(2, r.SELL, 50, T0, **stop))
        now_ns = T0
        for _ in range(3):
            now_ns += SECOND_NS
            for number in range(259, 259 + 800):  # 800 refusals of an order that is too small
                bench.send(place(number, r.BUY, 0, now_ns))
            bench.clock.turn(now_ns + SECOND_NS)
        told = len(bench.ear.told)
        question = asyncio.ensure_future(bench.venue.execution.ask(0, 2))
        await asyncio.sleep(0)
        bench.clock.turn(now_ns + 2 * SECOND_NS)
        assert await question
        ((_, answer),) = bench.ear.told[told:]
        assert [int(answer[name]) for name in ("kind", "side", "qty_lots", "trigger_ticks")] == [
            r.ORDER_ACK,
            -1,
            50,
            900,
        ]
        assert [one.client_id for one in await bench.venue.account.open_orders()] == [2]


async def test_an_order_on_its_way_is_not_unknown() -> None:
    async with Bench(order_latency_ms=500.0) as bench:
        bench.say(quote(T0, 1000, 1002))
        question = asyncio.ensure_future(bench.venue.execution.ask(0, 1))
        await asyncio.sleep(0)
        bench.clock.turn(T0 + 400 * MS)
        bench.send(place(1, r.BUY, 10, T0 + 400 * MS))
        bench.clock.turn(T0 + 550 * MS)
        with pytest.raises(Retryable, match="on its way"):
            await question


async def test_a_position_pays_funding_and_is_liquidated() -> None:
    async with Bench(perp(), capital=100.0) as bench:
        bench.say(quote(T0, 1000, 1002))
        bench.send(place(1, r.BUY, 1_000, T0, leverage=10))
        bench.clock.turn(T0 + SECOND_NS)
        (position,) = await bench.venue.account.positions()
        assert (position.qty_lots, position.entry_price) == (1_000, Decimal("10.02"))
        assert sum(one.locked for one in await bench.venue.account.wallets()) == Decimal("10.02")
        due = T0 + 2 * SECOND_NS
        bench.say(records(1, ts_ns=due, kind=r.FUNDING, instrument=0, rate_e12=10**9, price_ticks=1000))
        bench.say(records(1, ts_ns=due + SECOND_NS, kind=r.MARK, instrument=0, price_ticks=800))
        bench.clock.turn(due + 2 * SECOND_NS)
        assert bench.ear.kinds()[2:] == ["funding", "fill"]
        assert bench.ear.told[2][1]["amount_e8"] == -10_000_000  # 0.1 % of 100 dollars
        assert bench.ear.told[3][1]["bits"] & r.FORCED
        assert await bench.venue.account.positions() == []


async def test_rules_that_change_hold_here_too() -> None:
    async with Bench() as bench:
        bench.say(quote(T0, 1000, 1002))
        assert bench.feed.inlet is not None
        bench.feed.inlet.account(records(1, ts_ns=T0, kind=r.FILTER, instrument=0, index=0, amount_e8=50), 1)
        bench.send(place(1, r.BUY, 49, T0))
        bench.clock.turn(T0 + SECOND_NS)
        assert bench.ear.kinds() == ["filter", "order_reject"]
        assert bench.ear.told[1][1]["reason"] == reasons.LOT_SIZE


async def test_more_commands_than_can_be_under_way_are_refused() -> None:
    async with Bench() as bench:
        bench.say(quote(T0, 1000, 1002))
        for number in range(1, 1_026):
            bench.send(place(number, r.BUY, 0, T0))
        assert bench.ear.kinds() == ["order_reject"]
        assert bench.ear.told[0][1]["reason"] == reasons.RATE_LIMITED
        bench.clock.turn(T0 + SECOND_NS)
        assert len(bench.ear.told) == 1_025


async def test_everything_shown_says_that_it_is_simulated() -> None:
    async with Bench() as bench:
        facts = await bench.venue.account.check()
        assert (facts.can_trade, facts.can_withdraw) == (True, False)
        assert facts.fees == {}  # those of the instruments hold
        assert "simulated" in facts.notes[0]
        assert bench.venue.execution.health()[0].name == "simulated orders"
        assert [one.kind for one in bench.ear.notices] == ["emulated"]
        assert "SIMULATED" in bench.ear.notices[0].text
        assert bench.venue.market.health()[0].name == "feed"
        assert [one.symbol for one in await bench.venue.market.load(["AXO/USDT"])] == ["AXO/USDT"]
        assert len(await bench.venue.market.history(0, spot(), 60, 3)) == 3
    assert not bench.venue.execution.is_ready


async def test_two_venues_have_an_account_each() -> None:
    """Numbers are positions in the one list; what happens at one venue is nothing to the other."""
    clock = Hand()
    both = [spot(venue="one"), spot(venue="two")]
    first, second = (
        Bench(*instruments, capital=capital, clock=clock)
        for instruments, capital in ((both, 300.0), (both[::-1], 700.0))
    )
    second.instruments = both
    async with first, second:
        first.say(quote(T0, 1000, 1002))
        second.say(quote(T0, 500, 502, instrument=1))
        second.send(place(1, r.BUY, 100, T0, instrument=1))
        clock.turn(T0 + SECOND_NS)
        assert not first.ear.told
        assert [one.free for one in await first.venue.account.wallets()] == [300]
        assert second.ear.kinds() == ["order_ack", "fill"]
        assert [one.asset for one in await second.venue.account.wallets()] == ["USDT", "AXO"]


async def test_questions_before_it_runs_are_to_be_asked_again() -> None:
    venue = open_simulated(Bench().feed, SimulationModel(), 100.0)
    with pytest.raises(Retryable, match="opens when the venue runs"):
        await venue.account.wallets()


async def test_symbols_paid_in_what_no_dollars_buy_are_refused() -> None:
    with pytest.raises(BadInput, match="paid in BTC"):
        async with Bench(spot(quote="BTC")):
            pass


# --- saved and found again ------------------------------------------------------------------------


async def test_an_answer_is_told_once_the_account_is_on_disk(tmp_path: Path) -> None:
    async with Bench(folder=tmp_path) as bench:
        bench.say(quote(T0, 1000, 1002))
        bench.send(place(1, r.BUY, 10, T0))
        bench.clock.turn(T0 + SECOND_NS)
        assert not bench.ear.told  # the loop had no turn to save
        await saved(bench)
        assert bench.ear.kinds() == ["order_ack", "fill"]


async def test_a_restarted_venue_knows_balances_orders_and_what_it_said(tmp_path: Path) -> None:
    async with Bench(spot("BREN"), spot(), folder=tmp_path) as bench:
        bench.say(quote(T0, 1000, 1002, instrument=1))
        bench.send(place(1, r.BUY, 100, T0, instrument=1))
        stop = {"order_type": r.STOP_MARKET, "tif": r.GTC, "trigger_ticks": 900}
        bench.send(place(2, r.SELL, 40, T0 + 1, instrument=1, **stop))
        bench.clock.turn(T0 + SECOND_NS)
        await saved(bench)
        wallets = await bench.venue.account.wallets()
    async with Bench(spot(), perp(), folder=tmp_path, capital=5.0, clock=Hand(T0 + 60 * SECOND_NS)) as again:
        assert await again.venue.account.wallets() == wallets
        (order,) = await again.venue.account.open_orders()
        assert (order.instrument, order.client_id, order.qty_lots, order.trigger_ticks) == (0, 2, 40, 900)
        assert "as it was saved" in again.ear.notices[0].text
        assert await again.venue.account.fills_since(T0) == 1
        assert await again.venue.account.fills_since(0) == 0
        assert (again.ear.told[0][1]["instrument"], again.ear.told[0][1]["trade_id"]) == (0, 1)
        question = asyncio.ensure_future(again.venue.execution.ask(0, 2))
        await asyncio.sleep(0)
        again.clock.turn(T0 + 61 * SECOND_NS)
        assert await question
        assert again.ear.kinds() == ["fill", "order_ack"]
        again.say(quote(T0 + 62 * SECOND_NS, 890, 892))
        again.clock.turn(T0 + 63 * SECOND_NS)
        await saved(again)
        assert again.ear.kinds()[2:] == ["order_triggered", "fill"]
        assert again.ear.told[-1][1]["trade_id"] == 2
        assert await again.venue.account.open_orders() == []


async def test_a_killed_venue_can_be_asked_for_what_was_under_way(tmp_path: Path) -> None:
    """Saved with the fill's answer under way: the next process tells it when asked, and does not send it by itself."""
    async with Bench(folder=tmp_path) as bench:
        bench.say(quote(T0, 1000, 1002))
        bench.send(place(1, r.BUY, 10, T0))
        bench.clock.turn(T0 + 100 * MS)
        await saved(bench)
        assert not bench.ear.told
        content = {path: path.read_bytes() for path in tmp_path.rglob("*.snap")}
    for path, data in content.items():  # what the last orderly save wrote is taken back
        path.write_bytes(data)
    async with Bench(folder=tmp_path, clock=Hand(T0 + 60 * SECOND_NS)) as again:
        again.say(quote(T0 + 61 * SECOND_NS, 1000, 1002))
        again.clock.turn(T0 + 70 * SECOND_NS)
        assert again.ear.kinds() == []
        assert await again.venue.account.fills_since(T0) == 1
        assert again.ear.kinds() == ["fill"]


async def test_a_held_symbol_that_is_gone_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    async with Bench(folder=tmp_path) as bench:
        bench.say(quote(T0, 1000, 1002))
        bench.send(place(1, r.BUY, 10, T0))
        bench.clock.turn(T0 + SECOND_NS)
        await saved(bench)
    with pytest.raises(BadInput, match="test AXO/USDT 0.01 0.01"):
        async with Bench(spot("BREN"), folder=tmp_path):
            pass
    with pytest.raises(BadInput, match="test AXO/USDT 0.01 0.01"):
        async with Bench(spot(lot_size=Decimal("0.001")), folder=tmp_path):
            pass
    (path,) = tmp_path.rglob("*.snap")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(Fatal, match="damaged"):
        async with Bench(folder=tmp_path):
            pass


async def test_money_is_neither_made_nor_lost() -> None:
    """Wallets move by what the fills say: quantity, price, fee; everything locked is unlocked in the end."""
    rng = np.random.default_rng(4)
    async with Bench(spot(), spot("BREN", fee_in_base=True)) as bench:
        now, prices = T0, [1_000, 5_000]
        for number in range(1, 250):
            now += 400 * MS
            i = int(rng.integers(0, 2))
            prices[i] += int(rng.integers(-9, 10))
            bench.say(quote(now, prices[i] - 1, prices[i] + 1, lots=int(rng.integers(10, 300)), instrument=i))
            kind = {"order_type": r.LIMIT_ORDER, "tif": r.GTC, "price_ticks": prices[i] + int(rng.integers(-5, 6))}
            side = 1 if rng.random() < 0.6 else -1
            bench.send(place(number, side, int(rng.integers(60, 200)), now, i, **(kind if number % 3 else {})))
            if number > 20:
                bench.send(records(1, kind=r.CANCEL, ts_ns=now, instrument=i, client_id=number - 20)[0])
        bench.clock.turn(now + SECOND_NS)
        cash, coins = Decimal(1000), [Decimal(0), Decimal(0)]
        for _, one in bench.ear.told:
            if one["kind"] == r.FILL:
                i, side, lots = int(one["instrument"]), int(one["side"]), int(one["qty_lots"])
                fee = Decimal(int(one["fee_e8"])) / 10**8
                cash -= side * lots * int(one["price_ticks"]) * Decimal("0.0001")
                coins[i] += side * lots * Decimal("0.01")
                if one["bits"] & r.FEE_IN_BASE:
                    coins[i] -= fee
                else:
                    cash -= fee
        wallets = {one.asset: one.free + one.locked for one in await bench.venue.account.wallets()}
        assert wallets == {"USDT": cash, "AXO": coins[0], "BREN": coins[1]}
        for order in await bench.venue.account.open_orders():
            bench.send(records(1, kind=r.CANCEL, ts_ns=now, instrument=order.instrument, client_id=order.client_id)[0])
        bench.clock.turn(now + 2 * SECOND_NS)
        assert await bench.venue.account.open_orders() == []
        assert all(one.locked == 0 and one.free >= 0 for one in await bench.venue.account.wallets())
