"""The lanes between engine and venue, seen in the journals of whole sessions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exchange_desk import perp, spot
from recorded_market import FEED_NS, Candles, Run, run, session

from engine.contracts import records as r
from engine.contracts.errors import Fatal
from engine.contracts.records import ENTRY, joined
from engine.core.compile import kernel
from engine.core.portfolio import book_e8
from engine.markets.market import open_market
from engine.simulation.venue import venue_memory

MS = 1_000_000
ANSWERS = (r.ORDER_ACK, r.ORDER_REJECT, r.FILL, r.CANCEL_ACK, r.CANCEL_REJECT, r.ORDER_EXPIRED, r.ORDER_TRIGGERED)


@kernel(entry=True)
def booked_e8(s: Any) -> int:
    """Deposits and everything realised, as the core counts it."""
    return book_e8(s)


def coins() -> list[Any]:
    return [spot(), spot("BREN/USDT", fee_in_base=True)]


@pytest.fixture(scope="module")
def usual() -> Run:
    return run(Candles(coins()))


def venue_agrees(one: Run) -> None:
    """Venue and core hold the same cash, coins, positions and margin."""
    core, venue = one.session.core.state, one.session.venue
    assert venue.head[0].cash_e8 == core.head[0].cash_e8
    assert venue.head[0].margin_e8 == core.head[0].margin_e8
    for i, row in enumerate(core.instruments):
        if row.is_perp:
            for name in ("qty_lots", "cost_e8", "margin_e8"):
                assert venue.holdings[i][name] == core.positions[i][name]
        else:
            assert venue.holdings[i].base_e8 == core.balances[row.base_asset]
    spent = sum(int(p.cost_e8) for p, row in zip(core.positions, core.instruments, strict=True) if not row.is_perp)
    assert core.head[0].cash_e8 + spent == booked_e8(core)
    assert one.of(r.VIOLATION).size == 0


def test_the_session_trades_and_both_sides_agree(usual: Run) -> None:
    assert usual.of(r.CLOSED).size > 20 and usual.of(r.ORDER_TRIGGERED).size > 3
    venue_agrees(usual)


@pytest.mark.parametrize(("order_ms", "reply_ms"), [(100.0, 50.0), (7.5, 0.25), (2_500.0, 90_000.0 / 2)])
def test_answers_come_exactly_one_latency_after_the_venue_acts(order_ms: float, reply_ms: float) -> None:
    one = run(Candles(coins()), order_latency_ms=order_ms, reply_latency_ms=reply_ms)
    answers = one.of(*ANSWERS)["record"]
    assert len(answers) > 50
    assert (answers["ts_ns"] - answers["venue_ts_ns"] == round(reply_ms * MS)).all()
    sent = {int(c["client_id"]): int(c["ts_ns"]) for c in one.of(r.PLACE)["record"]}
    for ack in one.of(r.ORDER_ACK, r.ORDER_REJECT)["record"]:
        assert int(ack["venue_ts_ns"]) == sent[int(ack["client_id"])] + round(order_ms * MS)
    for fill in one.of(r.FILL)["record"]:
        assert int(fill["venue_ts_ns"]) >= sent[int(fill["client_id"])] + round(order_ms * MS)


def test_nothing_fills_on_the_event_that_caused_it(usual: Run) -> None:
    """The book an order meets is the last one before its arrival, never the one it was decided on or a later one."""
    points = Candles(coins()).events()
    sent = {int(c["client_id"]): c for c in usual.of(r.PLACE)["record"]}
    checked = 0
    for fill in usual.of(r.FILL)["record"]:
        order = sent[int(fill["client_id"])]
        arrival, at = int(order["ts_ns"]) + 100 * MS, int(fill["venue_ts_ns"])
        mine = points[points["instrument"] == fill["instrument"]]
        seen = mine[mine["ts_ns"] <= order["ts_ns"]][-1]
        assert at >= arrival > int(seen["ts_ns"]) == int(seen["venue_ts_ns"]) + FEED_NS
        if order["order_type"] != r.STOP_MARKET:
            standing = mine[mine["venue_ts_ns"] <= arrival][-1]
            touch = int(standing["price_ticks"]) - 1 + (2 if order["side"] > 0 else 0)
            assert at == arrival and int(fill["price_ticks"]) == touch
            checked += 1
        else:
            cause = mine[mine["venue_ts_ns"] == at]
            assert len(cause) == 1 and (int(cause[0]["price_ticks"]) - int(order["trigger_ticks"])) * order["side"] >= 0
    assert checked > 20


def test_every_order_ends_once(usual: Run) -> None:
    """One refusal, last fill, cancel or expiry for every order sent, but for those still standing."""
    left = {int(c["client_id"]): int(c["qty_lots"]) for c in usual.of(r.PLACE)["record"]}
    ended: dict[int, int] = dict.fromkeys(left, 0)
    for record in usual.of(*ANSWERS)["record"]:
        number = int(record["client_id"])
        if record["kind"] == r.FILL:
            left[number] -= int(record["qty_lots"])
            ended[number] += left[number] == 0
        elif record["kind"] in (r.ORDER_REJECT, r.CANCEL_ACK, r.ORDER_EXPIRED):
            ended[number] += 1
    venue = usual.session.venue
    standing = {int(venue.orders[slot].client_id) for slot in venue.live[: venue.head[0].live_count]}
    assert {number for number, count in ended.items() if count == 0} == standing
    assert max(ended.values()) == 1 and min(left.values()) >= 0


@pytest.mark.parametrize("block", [1, 7, 1_000, 100_000])
def test_the_size_of_blocks_does_not_matter(usual: Run, block: int) -> None:
    assert run(Candles(coins(), block=block)).digest == usual.digest


def test_the_same_run_twice(usual: Run) -> None:
    assert run(Candles(coins())).digest == usual.digest


def test_cut_and_resumed_with_the_lanes_in_use(usual: Run) -> None:
    """Cut where a command or its answer is on its way: the lanes go with the snapshot."""
    for entry in usual.commands[[0, 5, -1]]:
        made: list[Any] = []
        first = session(Candles(coins()), made.append)
        assert not first.run(until_seq=int(entry["seq"]))
        assert first.venue.head[0].sends_count + first.venue.head[0].replies_count > 0
        second = session(Candles(coins(), block=100), made.append)
        second.restore(first.save())
        assert second.run()
        assert Run(second, joined(made, ENTRY)).digest == usual.digest


def test_a_snapshot_of_another_venue_is_refused(usual: Run) -> None:
    other = session(Candles([spot()]), lambda _entries: None)
    parts = other.save() | {f"venue.{k}": a.copy() for k, a in venue_memory(usual.session.venue).items()}
    with pytest.raises(Fatal, match=r"venue\.instruments"):
        other.restore(parts)


def test_perpetuals_with_funding_agree() -> None:
    one = run(Candles([perp(), perp(symbol="BREN/USDT")], rate_e12=10**8))
    paid = one.of(r.FUNDING)["record"]
    assert len(paid) > 3 and (paid["amount_e8"] < 0).all()  # longs pay a positive rate
    assert one.session.core.state.head[0].funding_e8 == paid["amount_e8"].sum()
    venue_agrees(one)


def test_recorded_perpetuals_with_funding_agree() -> None:
    folder = Path(os.environ.get("KEEL_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
    files = [
        folder / "candles" / "binance_usdm_1m_4perps_2025-05-04_06-15.parquet",
        folder / "funding" / "binance_usdm_funding.parquet",
    ]
    if not all(file.is_file() for file in files):
        pytest.skip(f"no recorded perpetuals in {folder} (set KEEL_DATA_DIR)")
    from_ns = int(np.datetime64("2025-05-10", "ns").astype(np.int64))
    market = open_market(files, from_ns=from_ns, to_ns=from_ns + 7 * 86_400 * 10**9)
    assert [i.kind for i in market.instruments] == ["perp"] * 4
    one = run(market)
    assert one.of(r.CLOSED).size > 100 and one.of(r.FUNDING).size > 5
    venue_agrees(one)
