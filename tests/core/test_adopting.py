"""What comes from outside: fills told twice, fills by no order of ours, positions that are not ours, a past that judges
nothing, and the way out in an emergency."""

from __future__ import annotations

import numpy as np
from probes import Desk
from streams import SECOND_NS, instrument, paths, perp

from engine.contracts import reasons
from engine.contracts.records import (
    ADOPTED,
    CANCEL_ACK,
    CLOSED,
    FILL,
    FORCED,
    FOREIGN,
    IOC,
    LIMIT_ORDER,
    MARKET,
    NO_INSTRUMENT,
    OPERATOR,
    ORDER_EXPIRED,
    PLACE,
    ROLE_EXIT,
    ROLE_STOP,
    STATE,
    VIOLATION,
)
from engine.core.fills import KEPT
from engine.core.orders import ACTIVE, HALTED

WIDE = {"max_data_age_s": 60, "order_notional_usd": 900, "instrument_exposure_usd": 900}


def desk(*instruments: object) -> Desk:
    made = Desk(list(instruments) or [instrument("AAA")], **WIDE)
    for i in range(len(made.core.instruments)):
        made.quote(i, 9_999, 10_000)
    return made


def told(made: Desk, client_id: int, trade_id: int, lots: int, price: int = 10_000) -> object:
    order = made.order(client_id)
    return made.ack(
        client_id, FILL, price_ticks=price, qty_lots=lots, side=int(order.side), trade_id=trade_id
    )  # fmt: skip


# --- fills told twice -----------------------------------------------------------------------------------


def test_a_fill_told_twice_is_folded_once() -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900)
    told(made, entry, 7, 20)
    before = made.state.positions[0].copy(), int(made.head.cash_e8)
    again = told(made, entry, 7, 20)
    assert len(again) == 0 and made.head.repeated == 1 and made.head.violations == 0  # type: ignore[arg-type]
    assert made.state.positions[0] == before[0] and made.head.cash_e8 == before[1]
    told(made, entry, 8, 30)
    assert made.state.positions[0].qty_lots == 50


def test_trade_ids_are_an_instruments_own_and_none_is_no_id() -> None:
    made = desk(instrument("AAA"), instrument("BBB"))
    for i in (0, 1):
        told(made, made.enter(i, 50, 9_900), 7, 50)
    assert made.state.positions["qty_lots"].tolist() == [50, 50] and made.head.repeated == 0
    made = desk()
    entry = made.enter(0, 50, 9_900)
    told(made, entry, 0, 20)
    told(made, entry, 0, 20)
    assert made.state.positions[0].qty_lots == 40 and made.head.repeated == 0


def test_the_newest_trade_ids_are_remembered() -> None:
    made = desk()
    made.quote(0, 999, 1_000)  # ten dollars; a lot is ten cents
    entry = made.enter(0, KEPT + 10, 990, cap_bps=0.0)
    assert entry, made.refused()
    for trade_id in range(1, KEPT + 6):
        told(made, entry, trade_id, 1, 1_000)
    told(made, entry, KEPT + 5, 1, 1_000)
    told(made, entry, 6, 1, 1_000)  # the oldest that is still known
    assert made.head.repeated == 2 and made.state.positions[0].qty_lots == KEPT + 5


# --- fills by no order of ours --------------------------------------------------------------------------


def test_a_manual_close_ends_the_trade_and_its_stop() -> None:
    made = desk()
    stop = made.open(0, 50, 10_000, 9_900)
    said = made.say(FILL, price_ticks=10_050, qty_lots=50, side=-1, trade_id=99, bits=ADOPTED)
    assert made.state.positions[0].qty_lots == 0 and made.head.violations == 0
    assert said["reason"][said["kind"] == CLOSED].tolist() == [reasons.MANUAL_EXIT]
    assert made.order(stop).status != 0 and made.order(stop).cancel_ns != 0, "the stop is withdrawn"
    assert made.head.trading_state == ACTIVE


def test_a_part_closed_by_hand_leaves_a_stop_for_the_rest() -> None:
    made = desk()
    made.open(0, 50, 10_000, 9_900)
    said = made.say(FILL, price_ticks=10_050, qty_lots=20, side=-1, trade_id=99, bits=ADOPTED)
    placed = said[said["kind"] == PLACE]
    assert placed["role"].tolist() == [ROLE_STOP] and placed["qty_lots"].tolist() == [30]


def test_a_fill_of_nobody_is_a_violation_and_a_liquidation_is_not() -> None:
    made = desk(perp())
    made.open(0, 50, 10_000, 9_900)
    said = made.say(FILL, price_ticks=9_000, qty_lots=50, side=-1, trade_id=5, bits=FORCED)
    assert said["reason"][said["kind"] == CLOSED].tolist() == [reasons.LIQUIDATION] and made.head.violations == 0
    said = made.say(FILL, price_ticks=9_000, qty_lots=5, side=1, trade_id=6)
    assert said["reason"][said["kind"] == VIOLATION].tolist() == [reasons.UNKNOWN_CLIENT_ID]
    assert made.state.positions[0].qty_lots == 0 and made.head.trading_state == HALTED


# --- positions that are not ours ------------------------------------------------------------------------


def test_a_foreign_position_blocks_entries_there_and_only_there() -> None:
    made = desk(perp("PPP"), perp("QQQ"))
    made.say(FOREIGN, qty_lots=-40)
    assert made.enter(0, 50, 9_900) == 0 and made.refused() == reasons.INSTRUMENT_BLOCKED
    assert made.enter(1, 50, 9_900)
    made.say(FOREIGN, qty_lots=0)
    assert made.enter(0, 50, 9_900), "it is gone"


def test_an_adopted_position_gets_the_stop_that_was_named() -> None:
    made = desk(perp())
    made.say(FOREIGN, qty_lots=40)
    made.say(OPERATOR, reason=reasons.OPERATOR_ADOPT, trigger_ticks=9_800)
    said = made.say(FILL, price_ticks=9_950, qty_lots=40, side=1, trade_id=-1, bits=ADOPTED)
    p = made.state.positions[0]
    assert (p.qty_lots, p.foreign_lots, p.stop_ticks, p.strategy) == (40, 0, 9_800, 0)
    placed = said[said["kind"] == PLACE]
    assert placed["role"].tolist() == [ROLE_STOP] and placed["trigger_ticks"].tolist() == [9_800]
    assert made.head.open_positions == 1


def test_adopted_without_a_stop_it_leaves() -> None:
    made = desk(perp())
    said = made.say(FILL, price_ticks=10_000, qty_lots=40, side=1, trade_id=-1, bits=ADOPTED)
    assert said["role"][said["kind"] == PLACE].tolist() == [ROLE_EXIT]


# --- the past ---------------------------------------------------------------------------------------------


def test_history_never_judges_an_open_position() -> None:
    """Bars of the past, read to warm up, lie far below the stop and far above the target: nothing is sold on them."""
    made = desk()
    made.open(0, 50, 10_000, 9_900)
    made.state.positions[0].target_ticks = 10_500
    before = made.state.positions[0].copy(), int(made.head.unrealised_e8), int(made.head.peak_e8)
    ago = made.now_ns - 40 * 300 * SECOND_NS
    prices = [9_000 if k % 2 else 12_000 for k in range(40)]
    path = paths([ago + k * 300 * SECOND_NS for k in range(40)], 0, prices)
    path["ts_ns"] = 0
    said = made.feed(path)
    assert not np.isin(said["kind"], (PLACE, CLOSED, STATE)).any()
    assert made.state.positions[0] == before[0]
    assert (int(made.head.unrealised_e8), int(made.head.peak_e8)) == before[1:]
    assert made.state.bars[0][0].start_ns != 0, "the bars know it"


# --- the way out in an emergency --------------------------------------------------------------------------


def test_an_emergency_leaves_by_a_limit_and_then_at_the_market() -> None:
    """The first exit fills near the touch or not at all; what it leaves goes at the market, without a pause."""
    made = desk(perp())
    stop = made.open(0, 50, 10_000, 9_900)
    said = made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_EMERGENCY)
    first = said[said["kind"] == PLACE][0]
    assert (first["role"], first["order_type"], first["tif"], first["qty_lots"]) == (ROLE_EXIT, LIMIT_ORDER, IOC, 50)
    assert 9_999 - 100 <= first["price_ticks"] < 9_999, "as far as an entry may: one per cent"
    assert first["ref_id"] == stop, "in the place of the stop"
    made.ack(stop, CANCEL_ACK)
    made.ack(int(first["client_id"]))
    made.fill(int(first["client_id"]), 9_990, 20)
    said = made.ack(int(first["client_id"]), ORDER_EXPIRED, reason=reasons.NO_LIQUIDITY)
    second = said[said["kind"] == PLACE]
    assert second["order_type"].tolist() == [MARKET] and second["qty_lots"].tolist() == [30]
    assert second["role"].tolist() == [ROLE_EXIT]
    said = made.fill(int(second["client_id"][0]), 9_950, 30)
    assert said["reason"][said["kind"] == CLOSED].tolist() == [reasons.EMERGENCY_EXIT]
    assert made.head.trading_state == HALTED and made.enter(0, 50, 9_900) == 0


def test_whatever_opens_after_an_emergency_is_closed() -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900)
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_EMERGENCY)
    said = made.fill(entry, 10_000, 50)  # it won against its cancel
    assert said["role"][said["kind"] == PLACE].tolist() == [ROLE_EXIT]
