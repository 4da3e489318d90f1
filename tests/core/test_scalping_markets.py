"""The scalper in whole markets: long and short from order to fill and back, audited at every event."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import Played, Stream, play
from test_must_holds import check_books, check_losses, some_limits
from tick_market import KEEN, MS, scalped, tick_stream

from engine.contracts import reasons
from engine.contracts.records import CLOSED, FILL, FIRST_COMMAND, FORCED, FUNDING, PLACE, ROLE_ENTRY, ROLE_STOP, joined
from engine.core import state
from engine.core.limits import Limits
from engine.research.session import Session
from engine.simulation.venue import SimulationModel

FAST = SimulationModel(order_latency_ms=5, reply_latency_ms=5)
PROGRAM = """
import sys
sys.path.insert(0, "tests/core"); sys.path.insert(0, ".")
from test_scalping_markets import fingerprint
print(fingerprint())
"""


def scalp(stream: Stream, **changes: Any) -> Played:
    return play(stream, **({"strategies": KEEN, "simulation": FAST} | changes))


def commands(played: Played) -> Any:
    records = played.entries["record"]
    return records[(records["kind"] >= FIRST_COMMAND)]


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_the_market_does_the_books_are_right_and_no_stop_comes_too_late(seed: int) -> None:
    """Any limits, fees, latencies, jumps and funding: sums, protection and sizes after every event; every loss beyond
    its limit is listed; liquidation is never what ends a trade whose price did not jump over its stop."""
    rng = np.random.default_rng(seed)
    fees = {"maker_fee": Decimal(str(rng.choice([-0.0001, 0.0, 0.0002]))), "taker_fee": Decimal("0.00005")}
    rates = {"maintenance_margin_rate": Decimal(str(rng.choice([0.004, 0.05])))}
    jump = int(rng.choice([0, 0, -30_000, 30_000]))
    stream = tick_stream(
        seed, [scalped(name, **fees, **rates) for name in ("AAA", "BBB")[: int(rng.integers(1, 3))]], 150.0,
        volatility=float(rng.choice([3.0, 20.0, 200.0])), jump=jump, rate=float(rng.choice([0, 1e-4, -3e-3])),
    )  # fmt: skip
    terms = {
        "entry_patience_s": float(rng.choice([0, 0.5, 5])), "post_only": float(rng.integers(2)),
        "reprices": float(rng.integers(3)),
    }  # fmt: skip
    model = SimulationModel(order_latency_ms=float(rng.choice([1, 100])), reply_latency_ms=float(rng.choice([1, 50])))
    played = scalp(
        stream, strategies={"scalping": KEEN["scalping"] | terms}, limits=some_limits(rng, [15.0, 150.0]),
        simulation=model, doubts=int(rng.choice([0, 0, 20])),
    )  # fmt: skip
    check_books(played)
    check_losses(played, Limits(trade_loss_usd=50, day_loss_usd=100))
    assert jump or not (played.of(FILL)["bits"] & FORCED).any()


def test_these_markets_are_scalped_both_ways_and_every_exit_happens() -> None:
    closed = [scalp(tick_stream(seed, [scalped()], 600.0)).of(CLOSED) for seed in range(4)]
    assert {int(side) for trades in closed for side in trades["side"]} == {1, -1}
    assert {int(number) for trades in closed for number in trades["strategy"]} == {4}
    why = {reasons.name(int(reason)) for trades in closed for reason in trades["reason"]}
    assert {"STOP_LOSS", "TAKE_PROFIT", "TIME_STOP", "EXIT_SIGNAL"} <= why


def test_a_short_is_stopped_out_above_its_entry_for_no_more_than_was_planned() -> None:
    """End to end at the level of fills: sold, stopped by a rise, bought back; the loss is what was sized."""
    played = scalp(tick_stream(2, [scalped()], 300.0, volatility=20.0, push=-0.5), limits=Limits(trade_loss_usd=5))
    trades = [one for one in played.of(CLOSED) if one["side"] < 0 and one["reason"] == reasons.STOP_LOSS]
    assert trades
    for one in trades:
        assert 0 < -int(one["gross_e8"]) + int(one["fees_e8"]) <= int(one["risk_e8"]) <= 5 * 10**8
    stops = played.of(PLACE)[played.of(PLACE)["role"] == ROLE_STOP]
    assert {int(one["side"]) for one in stops} == {1, -1}


def test_a_dead_market_is_not_traded() -> None:
    still = tick_stream(1, [scalped()], 300.0, volatility=0.0)
    assert (still.events["bid_lots"] != still.events["ask_lots"]).any()
    assert not (commands(scalp(still))["kind"] < 110).any()


def test_what_comes_later_changes_nothing_before() -> None:
    """Truncated anywhere, the stream gives the same commands up to there."""
    stream = tick_stream(4, [scalped()], 300.0)
    whole = scalp(stream)
    for share in (0.37, 0.61, 0.83):
        cut = int(len(stream.events) * share)
        shorter = scalp(Stream(stream.instruments, stream.events[:cut]))
        until = int(stream.events["ts_ns"][cut - 1]) - 20 * MS
        before = [one[one["ts_ns"] <= until].tobytes() for one in (commands(whole), commands(shorter))]
        assert len(before[0]) > 64 * 8 and before[0] == before[1]


def test_the_order_of_symbols_does_not_matter() -> None:
    names = ("AAA", "BBB", "CCC")
    seen = []
    for order in (names, names[::-1]):
        stream = tick_stream(5, [scalped(name) for name in order], 200.0)
        records = commands(scalp(stream))
        entries = records[(records["kind"] == PLACE)]
        seen.append([
            (order[int(one["instrument"])], int(one["ts_ns"]), int(one["side"]), int(one["role"]),
             int(one["price_ticks"]), int(one["qty_lots"]), int(one["trigger_ticks"]))
            for one in entries
        ])  # fmt: skip
    assert len(seen[0]) > 20 and sorted(seen[0]) == sorted(seen[1])


def test_funding_is_avoided_where_the_next_payment_is_known() -> None:
    """The first payment teaches the rate; the next, eight hours later, is told a position's cost before it is due."""
    stream = tick_stream(3, [scalped()], 200.0)
    later = tick_stream(3, [scalped()], 200.0)
    first = int(stream.events["venue_ts_ns"][0])
    pay = stream.events[:1].copy()
    pay["kind"], pay["rate_e12"] = FUNDING, 10**10  # one per cent
    pay["bid_lots"] = pay["ask_ticks"] = pay["ask_lots"] = 0
    pay["venue_ts_ns"], pay["ts_ns"] = first - 1, first - 1
    for name in ("venue_ts_ns", "ts_ns"):
        later.events[name] += 8 * 3_600_000 * MS - 100_000 * MS
    both = Stream(stream.instruments, joined([pay, stream.events, later.events], pay.dtype))
    entries = scalp(both, limits=Limits(day_loss_pct=50)).of(PLACE)
    entries = entries[entries["role"] == ROLE_ENTRY]
    early = entries[entries["ts_ns"] < int(later.events["ts_ns"][0])]
    due = first - 1 + 8 * 3_600_000 * MS
    ahead = entries[(entries["ts_ns"] >= int(later.events["ts_ns"][0])) & (entries["ts_ns"] < due)]
    after = entries[entries["ts_ns"] > due]
    assert {int(one["side"]) for one in early} == {1, -1}
    assert {int(one["side"]) for one in ahead} == {-1}, "only who receives it"
    assert {int(one["side"]) for one in after} == {1, -1}


def fingerprint() -> str:
    """Digest of everything a short session journals and of its final state."""
    kept: list[Any] = []
    stream = tick_stream(8, [scalped("AAA"), scalped("BBB")], 60.0)
    session = Session(
        stream, strategies=KEEN, capital_usd=1000.0, limits=Limits(), simulation=FAST, timeframes_s=(300, 900, 1800),
        sinks=[kept.append],
    )  # fmt: skip
    session.run()
    entries = joined(kept)
    assert (entries["record"]["kind"] == FILL).sum() > 10
    import hashlib

    return hashlib.sha256(entries.tobytes() + state.digest(session.core).encode()).hexdigest()


def test_compiled_and_uncompiled_scalping_give_the_same_bytes() -> None:
    slow = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert slow.stdout.strip() == fingerprint()
