"""Stops of every venue, real or emulated, fire once when the venue's price gets there."""

from __future__ import annotations

from conformance_subjects import Subject
from venue_bench import Bench

from engine.contracts import records as r

MOST_EVENTS = 2_000


def test_a_stop_fires_once_when_the_price_gets_there(bench: Bench, subject: Subject) -> None:
    """One below and one above the market: whichever way the price goes, one of them is reached first."""
    lots, gap = bench.lots(100), bench.bid // 20_000
    bench.wait_filled(bench.place(r.BUY, 2 * lots, r.MARKET, bench.ask + bench.ask // 100), 2 * lots)
    below = bench.place(r.SELL, lots, r.STOP_MARKET, 0, bench.bid - gap, role=r.ROLE_STOP)
    above = bench.place(r.BUY, lots, r.STOP_MARKET, 0, bench.ask + gap, role=r.ROLE_STOP)
    for stop in (below, above):
        bench.wait(stop, r.ORDER_ACK)
    for _ in range(MOST_EVENTS // 20):
        if any(r.FILL in bench.kinds(stop) for stop in (below, above)):
            break
        bench.play(20)
        bench.quiet(0.02)
    fired = below if r.FILL in bench.kinds(below) else above
    fills = bench.wait_filled(fired, lots)
    bench.quiet(0.2)
    assert {int(one["side"]) for one in fills} == {r.SELL if fired == below else r.BUY}
    assert sum(int(one["qty_lots"]) for one in bench.of(fired) if one["kind"] == r.FILL) == lots
    assert all(one.client_id != fired for one in bench.do(bench.venue.account.open_orders()))
    if subject.name == "ccxt-coinbase":  # X9: this program's own, and it says so
        kinds = bench.kinds(fired)
        assert kinds.index(r.ORDER_ACK) < kinds.index(r.ORDER_TRIGGERED) < kinds.index(r.FILL)
        bench.wait_notice("emulated", "the venue has none")
