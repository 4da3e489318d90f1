"""The gate: every refusal has its scenario, the tighter of dollars and per cent holds, and sizing obeys it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import Desk, planned_loss, refusal, sized
from streams import DAY_NS, SECOND_NS, instrument, paths, perp, quote

from engine.contracts import reasons
from engine.contracts.errors import BadInput
from engine.contracts.records import FEED_STATUS, GAP, LIMIT, NO_INSTRUMENT, OPERATOR, ORDER_UNKNOWN, VIOLATION
from engine.core.limits import BOUNDS, Limits
from engine.core.orders import ACTIVE, POOL, REDUCING

E8 = 10**8
WIDE: dict[str, float] = {"max_data_age_s": 60, "order_notional_usd": 900, "instrument_exposure_usd": 900}
UNBOUND: dict[str, float] = {"exposure_usd": 2000, "cluster_exposure_usd": 2000}


def desk(*instruments: Any, **limits: float) -> Desk:
    made = Desk(list(instruments) or [instrument("AAA"), instrument("BBB")], **(WIDE | limits))
    for i in range(len(made.core.instruments)):
        made.quote(i, 9_999, 10_000)  # 100 USD; a lot is 1 USD
    return made


def two_venues(first_usd: float, *instruments: Any, **limits: float) -> Desk:
    """Two venues, the first with so much of the 1,000 USD."""
    pair = list(instruments) or [instrument("AAA", venue="one"), instrument("BBB", venue="two")]
    made = Desk(pair, wallets={"one": first_usd, "two": 1000.0 - first_usd}, **(WIDE | limits))
    for i in range(len(pair)):
        made.quote(i, 9_999, 10_000)
    return made


Scenario = Callable[[], tuple[Desk, int]]


def scenario(made: Desk, i: int = 0, lots: int = 50, stop: int = 9_900, **ask: Any) -> tuple[Desk, int]:
    return made, made.enter(i, lots, stop, **ask)


def not_active() -> tuple[Desk, int]:
    made = desk()
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_PAUSE)
    return scenario(made)


def stale() -> tuple[Desk, int]:
    made = desk()
    made.quote(1, 9_999, 10_000, after_ns=61 * SECOND_NS)
    return scenario(made)


def stale_for_eleven_days() -> tuple[Desk, int]:
    """Regression: the age in 1e-4 s left 64 bits after ten days and came back as fresh."""
    made = desk()
    made.quote(1, 9_999, 10_000, after_ns=12 * DAY_NS)
    return scenario(made)


def feed_lost() -> tuple[Desk, int]:
    made = desk()
    made.say(FEED_STATUS, 0, reason=1)
    return scenario(made)


def in_doubt() -> tuple[Desk, int]:
    made = desk()
    made.ack(made.enter(0, 50, 9_900), ORDER_UNKNOWN)
    return scenario(made)


def drawdown_used_up_by_open_risk() -> tuple[Desk, int]:
    """The same of the fall from the peak."""
    made = desk(drawdown_pct=0.7, day_loss_usd=50, day_loss_pct=5, reserve_usd=0, reserve_pct=0, **UNBOUND)
    made.open(1, 300, 10_000, 9_900)
    return scenario(made, lots=300)


def position_open() -> tuple[Desk, int]:
    made = desk()
    made.open(0, 50, 10_000, 9_900)
    return scenario(made)


def blocked() -> tuple[Desk, int]:
    made = desk()
    made.state.positions[0].foreign_lots = 3
    return scenario(made)


def too_fast() -> tuple[Desk, int]:
    made = desk(orders_per_minute=1)
    made.enter(1, 50, 9_900)
    return scenario(made)


def one_position_too_many() -> tuple[Desk, int]:
    made = desk(max_positions=1)
    made.enter(1, 50, 9_900)
    return scenario(made)


def day_used_up_by_open_risk() -> tuple[Desk, int]:
    """Nothing is lost yet; the stop of the first position alone takes the room."""
    made = desk(day_loss_usd=10, reserve_usd=0, reserve_pct=0, **UNBOUND)
    made.open(1, 600, 10_000, 9_900)
    return scenario(made, lots=200)


def pending_counts() -> tuple[Desk, int]:
    made = desk(exposure_usd=600)
    made.enter(1, 400, 9_900)
    return scenario(made, lots=300)


def too_near_liquidation() -> tuple[Desk, int]:
    made = desk(perp(), max_leverage=20)
    return scenario(made, stop=9_600, leverage=20)


def pool_full() -> tuple[Desk, int]:
    made = desk()
    made.state.orders["status"] = 1
    made.state.orders["client_id"] = range(10_000 * POOL, 10_000 * POOL + POOL)
    return scenario(made)


def kept_lots_too_few() -> tuple[Desk, int]:
    """Regression: one coarse lot, its fee taken in base: nothing sellable would be left."""
    return scenario(desk(instrument(fee_in_base=True, lot_size=Decimal("0.2"))), lots=1)


def would_leave_64_bits() -> tuple[Desk, int]:
    """Regression: a fine tick on a fine lot: the value of 300 USD, before the division, left 64 bits."""
    fine = instrument(tick_size=Decimal("1e-10"), lot_size=Decimal("1e-8"), min_qty=Decimal("1e-8"))
    made = Desk([fine], **WIDE)
    made.quote(0, 999_999, 1_000_000)
    return scenario(made, lots=3_000_000 * E8, stop=990_000)


REFUSALS: dict[str, tuple[int, Scenario]] = {
    "paused": (reasons.NOT_ACTIVE, not_active),
    "stale": (reasons.STALE_DATA, stale),
    "stale for eleven days": (reasons.STALE_DATA, stale_for_eleven_days),
    "feed lost": (reasons.STALE_DATA, feed_lost),
    "no quote": (reasons.CROSSED_BOOK, lambda: scenario(Desk([instrument()]))),
    "stop above": (reasons.STOP_MISSING, lambda: scenario(desk(), stop=10_100)),
    "no stop": (reasons.STOP_MISSING, lambda: scenario(desk(), stop=0)),
    "trade loss": (reasons.TRADE_LOSS, lambda: scenario(desk(), lots=300, stop=9_500)),
    "open risk counts": (reasons.DAY_LOSS, day_used_up_by_open_risk),
    "open risk below the peak": (reasons.DRAWDOWN_ROOM, drawdown_used_up_by_open_risk),
    "reserve": (reasons.RESERVE, lambda: scenario(desk(**UNBOUND), lots=850, stop=9_990)),
    "venue's wallet": (reasons.VENUE_CASH, lambda: scenario(two_venues(45.0))),
    "notional": (reasons.ORDER_NOTIONAL, lambda: scenario(desk(order_notional_usd=40))),
    "exposure": (reasons.EXPOSURE, pending_counts),
    "one instrument": (reasons.INSTRUMENT_EXPOSURE, lambda: scenario(desk(instrument_exposure_usd=40))),
    "cluster": (reasons.CLUSTER_EXPOSURE, lambda: scenario(desk(cluster_exposure_usd=40))),
    "leverage": (reasons.LEVERAGE, lambda: scenario(desk(perp()), leverage=4)),
    "near liquidation": (reasons.LIQUIDATION_TOO_NEAR, too_near_liquidation),
    "too fast": (reasons.ORDER_RATE, too_fast),
    "fat finger": (reasons.FAT_FINGER, lambda: scenario(desk(fat_finger_bps=50), cap_bps=80.0)),
    "too many": (reasons.MAX_POSITIONS, one_position_too_many),
    "in doubt": (reasons.ORDER_IN_DOUBT, in_doubt),
    "blocked": (reasons.INSTRUMENT_BLOCKED, blocked),
    "small": (reasons.NOTIONAL_BELOW_MINIMUM, lambda: scenario(desk(), lots=4)),
    "small at the stop": (reasons.NOTIONAL_BELOW_MINIMUM, lambda: scenario(desk(), lots=6, stop=8_000)),
    "fewer than a lot": (reasons.QUANTITY_BELOW_MINIMUM, lambda: scenario(desk(), lots=0)),
    "fee takes the lot": (reasons.QUANTITY_BELOW_MINIMUM, kept_lots_too_few),
    "more than the venue takes": (
        reasons.QUANTITY_ABOVE_MAXIMUM, lambda: scenario(desk(instrument(max_qty=Decimal("0.4"))))
    ),
    "outside the band": (
        reasons.PRICE_OUT_OF_BAND,
        lambda: scenario(desk(instrument(band_up=Decimal("1.001"))), cap_bps=50.0),
    ),
    "wide spread": (reasons.SPREAD_TOO_WIDE, lambda: scenario(desk(max_spread_bps=0.5))),
    "no order slot": (reasons.ORDER_POOL_FULL, pool_full),
    "position open": (reasons.POSITION_OPEN, position_open),
    "not dollars": (reasons.NOT_TRADABLE, lambda: scenario(desk(instrument(), instrument("CCC", quote="BTC")), i=1)),
    "spot short": (reasons.NOT_TRADABLE, lambda: scenario(desk(), side=-1, stop=10_100)),
    "beyond 64 bits": (reasons.BAD_NUMBER, would_leave_64_bits),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_every_refusal_has_its_name(case: str) -> None:
    expected, build = REFUSALS[case]
    made, client_id = build()
    assert client_id == 0
    assert reasons.name(made.refused()) == reasons.name(expected)


GATE_END = 34
"""From here to 99 the codes are strategies' own, see their tests, but for these of the gate."""
LATER = {reasons.DRAWDOWN_ROOM}

WHILE_WAITING = {reasons.MOVED_AWAY, reasons.STOP_REACHED, reasons.STOP_MOVED, reasons.POSITION_LEAVING}
"""Why a patient entry is abandoned: see test_patient_entries."""


def test_every_refusal_code_has_a_scenario() -> None:
    codes = {code for code in reasons.NAMES if 0 < code < GATE_END} - {reasons.EXIT_NOT_POSSIBLE} - WHILE_WAITING
    assert codes | LATER == {code for code, _ in REFUSALS.values()}


def test_a_plain_entry_passes() -> None:
    made, client_id = scenario(desk())
    assert client_id == 1 and made.refused() == 0


@pytest.mark.parametrize("usd, pct, allowed", [(10.0, 1.0, 10.0), (5.0, 1.0, 5.0), (10.0, 0.3, 3.0)])
def test_the_tighter_of_dollars_and_per_cent_holds(usd: float, pct: float, allowed: float) -> None:
    made = desk(trade_loss_usd=usd, trade_loss_pct=pct)
    most = max(n for n in range(1, 900) if planned_loss(made.state, 0, 1, 10_010, n, 9_700) <= allowed * E8)
    assert refusal(made.state, 0, 1, 10_010, most, 9_700, 1) == 0
    assert refusal(made.state, 0, 1, 10_010, most + 1, 9_700, 1) == reasons.TRADE_LOSS


def test_the_loss_at_the_stop_counts_slippage_and_both_fees() -> None:
    made = desk(stop_slippage_bps=100)
    # 50 lots: in at 100.00 (50 USD, fee 0.05), stop 99.00 less 1 %: out at 98.01 (49.005 USD, fee 0.049005)
    assert planned_loss(made.state, 0, 1, 10_000, 50, 9_900) == round((50 - 49.005 + 0.05 + 0.049005) * E8)


def test_a_fee_in_base_counts_the_lot_it_breaks() -> None:
    """Regression: a position of one coarse lot lost it whole to a fee of a thousandth."""
    made = desk(instrument(fee_in_base=True, lot_size=Decimal("0.1")))
    kept = 5 - 1
    expected = 10_000 * 5 * 10**5 - 9_886 * kept * 10**5 + round(9_886 * 5 * 10**5 * 0.001)
    assert abs(planned_loss(made.state, 0, 1, 10_000, 5, 9_901) - expected) < 10**6


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("name", BOUNDS)
def test_no_limit_takes_nonsense(name: str, bad: float) -> None:
    with pytest.raises(BadInput, match=f"limits.{name} = "):
        Limits(**{name: bad})


def test_a_limit_out_of_bounds_is_refused_and_halts() -> None:
    made = desk()
    before = made.state.limit_words.copy()
    names = list(BOUNDS)
    for name, amount in {"max_leverage": 21 * 10_000, "stop_slippage_bps": 2**60, "trade_loss_usd": 0}.items():
        notes = made.say(LIMIT, NO_INSTRUMENT, index=names.index(name), amount_e8=amount)
        assert VIOLATION in notes["kind"]
    assert (made.state.limit_words == before).all() and made.head.trading_state == 2


def test_a_tighter_day_limit_holds_at_once_and_a_looser_one_from_midnight() -> None:
    made = desk()
    index = list(BOUNDS).index("day_loss_usd")
    made.say(LIMIT, NO_INSTRUMENT, index=index, amount_e8=5 * E8)
    assert made.head.day_limit_e8 == 5 * E8
    made.say(LIMIT, NO_INSTRUMENT, index=index, amount_e8=15 * E8)
    assert made.head.day_limit_e8 == 5 * E8
    made.quote(0, 9_999, 10_000, after_ns=DAY_NS)
    assert made.head.day_limit_e8 == 15 * E8


def test_open_profit_at_midnight_becomes_the_new_days_to_lose() -> None:
    made = desk(day_loss_usd=10, exposure_usd=1000)
    made.open(0, 400, 10_000, 9_900)
    made.open(1, 300, 10_000, 9_900)
    made.quote(0, 10_999, 11_000)
    assert made.state.positions[0].exit_reason == 0
    made.feed(quote((made.now_ns // DAY_NS + 1) * DAY_NS, 1, 9_999, 10_000))
    assert made.state.positions[0].exit_reason == reasons.DAY_LIMIT_EXIT, "40 USD of profit may not be given back"
    assert made.state.positions[1].exit_reason == 0, "what is left fits"


def test_a_deposit_does_not_widen_and_a_withdrawal_narrows_the_day() -> None:
    made = desk(day_loss_usd=1000)
    assert made.head.day_limit_e8 == 20 * E8
    usdt = made.core.assets.index("USDT")
    made.say(27, NO_INSTRUMENT, index=usdt, amount_e8=1000 * E8)
    assert made.head.day_limit_e8 == 20 * E8
    made.say(27, NO_INSTRUMENT, index=usdt, amount_e8=-1500 * E8)
    assert made.head.day_limit_e8 == 10 * E8


def test_a_falling_limit_does_not_turn_a_planned_loss_into_a_gap() -> None:
    """Regression: a trade sized to yesterday's limit was held against today's smaller one."""
    made = desk()
    stop = made.open(0, 600, 10_000, 9_900)
    made.say(LIMIT, NO_INSTRUMENT, index=0, amount_e8=E8)
    notes = made.fill(stop, 9_899, 600)
    assert GAP not in notes["kind"] and made.head.gross_e8 == -606 * 10**6


@settings(max_examples=150, deadline=None)
@given(
    ticks=st.integers(100, 50_000), distance=st.integers(1, 5_000), share=st.floats(0.01, 1.0),
    is_perp=st.booleans(), leverage=st.integers(1, 3), in_base=st.booleans(),
)  # fmt: skip
def test_sizing_never_passes_what_the_gate_would_refuse(
    ticks: int, distance: int, share: float, is_perp: bool, leverage: int, in_base: bool
) -> None:
    made = Desk([perp() if is_perp else instrument(fee_in_base=in_base)], max_data_age_s=60, max_spread_bps=2000)
    made.quote(0, ticks - 1, ticks)
    stop = max(ticks - distance, 1)
    lots = sized(made.state, 0, 1, ticks, stop, leverage, share)
    if stop == ticks or lots == 0:
        return
    assert planned_loss(made.state, 0, 1, ticks, lots, stop) <= share * 10 * E8
    small = {reasons.NOTIONAL_BELOW_MINIMUM, reasons.QUANTITY_BELOW_MINIMUM, reasons.LIQUIDATION_TOO_NEAR, 0}
    assert refusal(made.state, 0, 1, ticks, lots, stop, leverage) in small
    assert sized(made.state, 0, 1, ticks, stop, leverage, share / 2) <= lots


@pytest.mark.parametrize("share", [0.0, -1.0, 1.01, float("nan"), float("inf")])
def test_nonsense_shares_of_risk_buy_nothing(share: float) -> None:
    assert sized(desk().state, 0, 1, 10_000, 9_900, 1, share) == 0


def drawn_down() -> Desk:
    """A desk whose open position has lost more than the drawdown limit: the price jumped over its stop."""
    made = desk(drawdown_pct=1.0, trade_loss_usd=10.0)
    made.open(0, 390, 10_000, 9_800)
    made.quote(0, 9_699, 9_700)
    assert made.head.trading_state == REDUCING
    return made


def test_resuming_after_a_drawdown_starts_a_new_peak() -> None:
    made = drawn_down()
    before = int(made.head.peak_e8)
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_RESUME)
    assert made.head.trading_state == ACTIVE and made.head.peak_e8 < before
    made.quote(0, 9_698, 9_699)
    assert made.head.trading_state == ACTIVE, "stopped again at once by the drawdown a person has seen"


def test_a_pause_and_a_resume_leave_the_peak_alone() -> None:
    """Regression: a pause a day made the drawdown limit meaningless."""
    made = desk(drawdown_pct=50.0)
    made.open(0, 390, 10_000, 9_800)
    made.quote(0, 9_949, 9_950)
    before = int(made.head.peak_e8)
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_PAUSE)
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_RESUME)
    assert made.head.trading_state == ACTIVE and made.head.peak_e8 == before


def test_quotes_price_the_bars_again_after_candles_warmed_up() -> None:
    """Regression: candles of the warm-up said that there are trades; a market of quotes alone never closed a bar."""
    made = desk()
    made.feed(paths(made.now_ns, 0, [10_000, 10_010, 9_990, 10_000]))
    made.say(FEED_STATUS, NO_INSTRUMENT, reason=1)
    made.quote(0, 10_049, 10_051)
    assert made.state.books[0].last_ticks == 10_050
