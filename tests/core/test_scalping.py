"""The scalper's rules, one at a time: a perpetual at 10,000.00 whose mid moves two basis points a second."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from probes import Desk
from streams import SECOND_NS, Array, events, instrument, paths, perp

from engine.contracts import reasons
from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument
from engine.contracts.records import (
    CANCEL,
    CANCEL_ACK,
    DEPTH,
    FOK,
    FUNDING,
    GTC,
    LAST,
    LIMIT_ORDER,
    MARK,
    NO_INSTRUMENT,
    OPERATOR,
    PLACE,
    POST_ONLY,
    QUOTE,
    REFUSED,
    ROLE_ENTRY,
    ROLE_EXIT,
    ROLE_STOP,
    TRADE,
)
from engine.core.strategies.scalping import STRATEGY

MID = 1_000_000
FINE = {"lot_size": Decimal("0.001"), "min_qty": Decimal("0.001")}
CHEAP = FINE | {"maker_fee": Decimal(0), "taker_fee": Decimal("0.00002")}
WIDE = {f"{name}_usd": 5000.0 for name in ("order_notional", "instrument_exposure", "cluster_exposure", "exposure")}
LEANING = {"book_weight": 1.0, "micro_weight": 0.0, "depth_weight": 0.0, "flow_weight": 0.0}


class Scalper(Desk):
    """A core that only scalps, quoted every half second; the touch's lean alone is the signal unless told otherwise."""

    def __init__(self, one: Instrument | None = None, limits: dict[str, float] | None = None, **params: float) -> None:
        super().__init__([one or perp("PPP", **CHEAP)], {"scalping": LEANING | params}, **(limits or {}))
        self.turn = 0

    @property
    def p(self) -> Any:
        return self.state.positions[0]

    def tick(self, bid_lots: int = 100, ask_lots: int = 100, mid: int = 0, spread: int = 2) -> Any:
        """The next quote, half a second later: the mid goes up and down by 200 ticks."""
        self.turn += 1
        self.now_ns += SECOND_NS // 2
        bid = (mid or MID + 200 * (self.turn // 2 % 2)) - spread // 2
        return self.feed(
            events(
                1, ts_ns=self.now_ns, kind=QUOTE, instrument=0, bid_ticks=bid, ask_ticks=bid + spread,
                bid_lots=bid_lots, ask_lots=ask_lots,
            )
        )  # fmt: skip

    def warm(self, seconds: int = 70) -> Scalper:
        for _ in range(2 * seconds):
            assert wants(self.tick()) == 0
        return self

    def press(self, side: int, turns: int = 12, mid: int = 0) -> Array:
        """One side shows nearly everything until the scalper places something; what it said then."""
        lots = (199, 1) if side > 0 else (1, 199)
        for _ in range(turns):
            said = self.tick(*lots, mid=mid)
            if wants(said):
                return said
        return self.feed()

    def enter_patiently(self, side: int) -> int:
        """Press, and let the venue accept the entry; its client id."""
        said = self.press(side)
        (order,) = placed(said)
        self.ack(int(order["client_id"]))
        return int(order["client_id"])

    def hold(self, side: int) -> int:
        """Enter, fill, protect; the price of the entry."""
        order = self.enter_patiently(side)
        price, lots = int(self.order(order).price_ticks), int(self.order(order).qty_lots)
        self.fill(order, price, lots)
        self.ack(int(self.p.stop_id))
        return price


def placed(records: Any, role: int = ROLE_ENTRY) -> Any:
    rows = records[records["kind"] == PLACE]
    return list(rows[rows["role"] == role])


def wants(records: Any) -> int:
    """Entries placed or refused: what the scalper wanted."""
    return int(((records["kind"] == PLACE) | (records["kind"] == REFUSED)).sum())


def refusals(records: Any) -> list[str]:
    return [reasons.name(int(one["reason"])) for one in records[records["kind"] == REFUSED]]


def exit_reasons(records: Any) -> list[str]:
    return [reasons.name(int(one["reason"])) for one in placed(records, ROLE_EXIT)]


# --- entries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_it_rests_at_our_own_touch_with_its_stop_behind(side: int) -> None:
    made = Scalper().warm()
    (order,) = placed(made.press(side))
    book, m = made.state.books[0], made.state.scalping[0]
    touch = int(book.bid_ticks if side > 0 else book.ask_ticks)
    assert (int(order["side"]), int(order["price_ticks"])) == (side, touch)
    assert (int(order["order_type"]), int(order["tif"]), int(order["bits"])) == (LIMIT_ORDER, GTC, POST_ONLY)
    distance = (touch - int(order["trigger_ticks"])) * side
    assert distance == int(-(-2.5 * float(m.ahead_ticks) // 1))  # rounded up: further away, so smaller
    assert 8e-4 * MID < distance < 60e-4 * MID


def test_a_still_market_is_left_alone_whatever_its_book_shows() -> None:
    made = Scalper()
    for _ in range(400):
        assert wants(made.tick(199, 1, mid=MID)) == 0
    assert made.state.scalping[0].ahead_ticks == 0.0


def test_what_it_costs_at_the_fees_in_force_decides() -> None:
    dear = perp("PPP", **(FINE | {"maker_fee": Decimal("0.0002"), "taker_fee": Decimal("0.0005")}))
    made = Scalper(dear).warm()
    assert wants(made.press(1, turns=30)) == 0
    m = made.state.scalping[0]
    assert m.signal > 0.9 and m.signal * m.ahead_ticks < 1.5 * 7e-4 * MID


def test_a_rebate_counts_too_and_where_makers_pay_more_it_takes_at_once() -> None:
    odd = perp("PPP", **(FINE | {"maker_fee": Decimal("0.0001"), "taker_fee": Decimal("0.00001")}))
    (order,) = placed(Scalper(odd).warm().press(1))
    assert int(order["tif"]) == FOK
    paid = perp("PPP", **(FINE | {"maker_fee": Decimal("-0.0004"), "taker_fee": Decimal("0.0005")}))
    assert len(placed(Scalper(paid).warm().press(1))) == 1


def test_nothing_before_the_warm_up_and_nothing_after_a_silence() -> None:
    made = Scalper()
    for _ in range(2 * 55):
        assert wants(made.tick()) == 0
    assert wants(made.press(1, turns=8)) == 0
    made = Scalper().warm()
    made.now_ns += 11 * SECOND_NS
    assert wants(made.press(1, turns=100)) == 0


def test_spot_candles_and_foreign_quotes_are_left_alone() -> None:
    assert wants(Scalper(instrument("AAA", **CHEAP)).warm().press(1, 30)) == 0
    assert wants(Scalper(perp("PPP", quote="EUR", **CHEAP)).warm().press(1, 30)) == 0
    made = Scalper()
    for k in range(300):
        made.now_ns += SECOND_NS
        assert wants(made.feed(paths([made.now_ns], 0, [MID + 200 * (k % 2)]))) == 0
    assert made.state.scalping[0].since_ns == 0


def test_takers_and_depth_are_signals_too() -> None:
    made = Scalper(book_weight=0.0, flow_weight=1.0)
    for k in range(140):
        assert wants(made.tick()) == 0
        assert wants(made.say(TRADE, side=1 if k % 2 else -1, price_ticks=MID, qty_lots=10)) == 0
    said = made.feed()
    for _ in range(20):
        said = made.say(TRADE, side=-1, price_ticks=MID - 1, qty_lots=500)
        if len(placed(said)):
            break
    assert [int(one["side"]) for one in placed(said)] == [-1]
    made = Scalper(book_weight=0.0, depth_weight=1.0).warm()
    for level in range(5):
        said = made.say(
            DEPTH, level=level, bits=LAST if level == 4 else 0, bid_ticks=MID - 1 - level, bid_lots=900,
            ask_ticks=MID + 1 + level, ask_lots=10,
        )  # fmt: skip
    assert [int(one["side"]) for one in placed(said)] == [1]


def test_no_entry_in_a_wide_spread_or_with_a_stop_too_far_away() -> None:
    made = Scalper(max_spread_bps=1.0).warm()
    for _ in range(20):
        assert wants(made.tick(199, 1, spread=150)) == 0
    assert wants(Scalper(max_stop_bps=9.0).warm().press(1, 20)) == 0


def test_a_refusal_is_told_every_five_seconds_at_most() -> None:
    made = Scalper(limits={"max_spread_bps": 0.1, "exposure_usd": 1.0}).warm()
    said = [name for _ in range(21) for name in refusals(made.tick(199, 1))]
    assert 1 <= len(said) <= 3
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_PAUSE)
    assert [name for _ in range(40) for name in refusals(made.tick(199, 1))] == []


# --- leverage and size -----------------------------------------------------------------------------


def test_leverage_is_one_where_that_pays_and_more_only_where_it_does_not() -> None:
    (order,) = placed(Scalper().warm().press(1))
    assert int(order["leverage"]) == 1
    made = Scalper(limits=WIDE, risk_share=1.0).warm()
    (order,) = placed(made.press(-1))
    assert int(order["leverage"]) > 1
    assert int(order["qty_lots"]) * MID * 1e-5 / int(order["leverage"]) < 800  # 1e-5 USD a tick and lot


@pytest.mark.parametrize(("cap", "changes"), [(1.0, {}), (2.0, {}), (20.0, {"max_leverage": 2})])
def test_no_leverage_above_the_own_the_instruments_or_the_accounts_cap(cap: float, changes: dict[str, int]) -> None:
    made = Scalper(perp("PPP", **(CHEAP | changes)), WIDE | {"max_leverage": 5.0}, risk_share=1.0, max_leverage=cap)
    (order,) = placed(made.warm().press(-1))
    assert int(order["leverage"]) == min(int(cap), 2)


# --- the resting entry -----------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_the_entry_is_withdrawn_where_its_signal_turns(side: int) -> None:
    made = Scalper(entry_patience_s=60, queue_keep=0).warm()
    order = made.enter_patiently(side)
    made.tick(*((1, 199) if side > 0 else (199, 1)))  # shown now; its mean follows
    said = made.tick(100, 100)
    while not len(refusals(said)):
        said = made.tick(*((1, 199) if side > 0 else (199, 1)))
    assert refusals(said) == ["SIGNAL_TURNED"]
    assert [int(one["client_id"]) for one in said[said["kind"] == CANCEL]] == [order]
    made.ack(order, CANCEL_ACK, qty_lots=int(made.order(order).qty_lots))
    assert made.head.pending_entries == 0 and made.head.reserved_e8 == 0


def test_the_entry_is_withdrawn_where_the_queue_before_it_collapses() -> None:
    made = Scalper(entry_patience_s=60).warm()
    order = made.enter_patiently(1)
    bid = int(made.order(order).price_ticks)
    assert refusals(made.tick(190, 1, mid=bid + 1)) == []
    assert refusals(made.tick(70, 1, mid=bid + 1)) == []
    said = made.tick(50, 1, mid=bid + 1)  # less than three tenths of 190
    assert refusals(said) == ["QUEUE_COLLAPSED"]
    assert [int(one["client_id"]) for one in said[said["kind"] == CANCEL]] == [order]


def test_the_entry_is_withdrawn_where_its_price_level_is_gone() -> None:
    made = Scalper(entry_patience_s=60).warm()
    order = made.enter_patiently(1)
    bid = int(made.order(order).price_ticks)
    made.tick(190, 1, mid=bid + 1)
    assert refusals(made.tick(190, 1, mid=bid - 5)) == ["QUEUE_COLLAPSED"]


def test_a_market_that_moves_on_without_us_does_not_count_as_a_collapse() -> None:
    made = Scalper(entry_patience_s=60).warm()
    order = made.enter_patiently(1)
    bid = int(made.order(order).price_ticks)
    for k in range(5):
        assert refusals(made.tick(190, 1, mid=bid + 20 + k)) == []
    assert made.order(order).cancel_ns == 0


@pytest.mark.parametrize(("taker", "ends"), [("0.00002", [FOK]), ("0.0003", [])])
def test_the_rest_is_taken_at_last_only_where_the_takers_fee_is_worth_it(taker: str, ends: list[int]) -> None:
    fees = {"maker_fee": Decimal("-0.00025"), "taker_fee": Decimal(taker)}
    made = Scalper(perp("PPP", **(FINE | fees)), entry_patience_s=1.0, reprices=0, entry_cap_bps=10).warm()
    order = made.enter_patiently(1)
    mid = int(made.order(order).price_ticks) + 1
    while made.order(order).cancel_ns == 0:
        made.wait(0.4)
        made.tick(199, 1, mid=mid)
    said = made.ack(order, CANCEL_ACK, qty_lots=int(made.order(order).qty_lots))
    assert [int(one["tif"]) for one in placed(said)] == ends
    assert refusals(said) == ([] if ends else ["TAKING_NOT_PAID"])


# --- exits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_a_stop_stands_at_once_and_the_target_covers_what_it_costs(side: int) -> None:
    made = Scalper(target_r=0.1, edge_factor=2.0).warm()
    entry = made.hold(side)
    stop = made.order(int(made.p.stop_id))
    assert (int(stop.role), int(stop.side), int(stop.trigger_ticks)) == (ROLE_STOP, -side, int(made.p.stop_ticks))
    made.tick(199, 1) if side > 0 else made.tick(1, 199)
    gain = (int(made.p.target_ticks) - entry) * side
    one_r = (entry - int(made.p.first_stop_ticks)) * side
    assert gain >= 2.0 * (0.2e-4 * MID + 1) and gain >= 0.1 * one_r
    said = made.tick(100, 100, mid=int(made.p.target_ticks) + side)
    assert exit_reasons(said) == ["TAKE_PROFIT"]


@pytest.mark.parametrize("side", [1, -1])
def test_it_leaves_where_the_signal_turns(side: int) -> None:
    made = Scalper(target_r=20).warm()
    entry = made.hold(side)
    for _ in range(6):
        said = made.tick(*((1, 199) if side > 0 else (199, 1)), mid=entry)
        if len(exit_reasons(said)):
            break
    assert exit_reasons(said) == ["EXIT_SIGNAL"]
    assert made.state.scalping[0].signal * side < -0.4


def test_the_time_stop_goes_by_the_clock_not_by_the_next_price() -> None:
    made = Scalper(hold_s=30, target_r=20).warm()
    made.hold(1)
    made.tick(199, 1)
    opened = int(made.p.opened_ns)
    assert exit_reasons(made.wait((opened + 30 * SECOND_NS - made.now_ns) / SECOND_NS - 0.1)) == []
    assert exit_reasons(made.wait(0.2)) == ["TIME_STOP"]


def test_it_rests_after_a_trade() -> None:
    made = Scalper(cooldown_s=20).warm()
    entry = made.hold(1)
    made.tick(199, 1)
    made.fill(int(made.p.stop_id), entry - 10, int(made.p.qty_lots))
    made.tick(199, 1)
    ended = made.now_ns
    said = made.press(1, turns=100)
    assert len(placed(said)) == 1
    assert ended + 19 * SECOND_NS < made.now_ns < ended + 22 * SECOND_NS


# --- funding ---------------------------------------------------------------------------------------


def told(made: Scalper, rate: float, in_s: float) -> None:
    """The mark price tells the next payment."""
    due = made.now_ns + int(in_s * SECOND_NS)
    made.say(MARK, price_ticks=MID, rate_e12=round(rate * 1e12), due_ns=due)


@pytest.mark.parametrize(("rate", "side"), [(1e-3, 1), (-1e-3, -1)])
def test_no_entry_that_would_pay_more_funding_than_it_expects(rate: float, side: int) -> None:
    made = Scalper().warm()
    told(made, rate, 300)
    said = made.press(side)
    assert refusals(said) == ["FUNDING_AHEAD"] and placed(said) == []


@pytest.mark.parametrize(
    ("rate", "in_s", "side"), [(1e-3, 300, -1), (-1e-3, 300, 1), (1e-3, 3000, 1), (1e-6, 300, 1), (1e-3, -5, 1)]
)
def test_what_is_received_far_away_small_or_past_does_not_keep_it_out(rate: float, in_s: float, side: int) -> None:
    made = Scalper().warm()
    told(made, rate, in_s)
    assert len(placed(made.press(side))) == 1


@pytest.mark.parametrize(("rate", "in_s", "leaves"), [(1e-3, 40, True), (1e-3, 100, False), (-1e-3, 40, False)])
def test_it_is_flat_before_a_payment_it_would_still_be_open_at(rate: float, in_s: float, leaves: bool) -> None:
    made = Scalper(hold_s=60, target_r=20).warm()
    entry = made.hold(1)
    made.tick(199, 1, mid=entry)
    told(made, rate, in_s)
    said = made.tick(199, 1, mid=entry)
    assert exit_reasons(said) == (["FUNDING_DUE"] if leaves else [])


def test_payments_alone_teach_when_the_next_is_due() -> None:
    made = Scalper()
    hour = 3_600 * SECOND_NS
    made.now_ns += 8 * hour
    first = made.now_ns + 1_000_000
    made.say(FUNDING, rate_e12=10**9)
    row = made.state.funding[0]
    assert (int(row.due_ns), int(row.rate_e12)) == (first + 8 * hour, 10**9)
    made.now_ns += 4 * hour - 1_000_000
    made.say(FUNDING, rate_e12=-(10**8))
    assert int(row.due_ns) == first + 8 * hour  # the one told before still stands
    made.now_ns += 4 * hour - 1_000_000
    made.say(FUNDING, rate_e12=-(10**8))
    assert (int(row.due_ns), int(row.interval_ns)) == (first + 12 * hour, 4 * hour)
    made.say(FUNDING, rate_e12=0, amount_e8=-100)  # what we paid is no payment of the market's
    assert int(row.paid_ns) == first + 8 * hour


# --- parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"max_leverage": 50}, "outside 1..20"),
        ({"max_leverage": 2.5}, "whole number"),
        ({"edge_factor": 0.5}, "outside 1..20"),
        ({"hold_s": 0}, "outside 1..3600"),
        ({"keep_z": 3.0, "entry_z": 2.0}, "must be below"),
        ({"min_stop_bps": 100}, "must be below"),
        ({"horizon_s": float("nan")}, "outside"),
        ({"stop_volume": 1}, "did you mean 'stop_vol'"),
    ],
)
def test_absurd_parameters_are_refused_with_their_bounds(given: dict[str, float], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        STRATEGY.resolve(given)
