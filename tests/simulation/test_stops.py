"""Stop rules: the last price triggers; inside a candle at the trigger, across a jump at the book."""

from __future__ import annotations

import pytest
from exchange_desk import Desk

from engine.contracts import records as r


def fills(desk: Desk) -> list[str]:
    return [a.split(" fee")[0] for a in desk.answers()]


def on_path(**model: float) -> Desk:
    desk = Desk(coins_lots=100, **model)
    desk.path(10_000, spread=4, depth=200)
    return desk


def test_inside_a_candle_the_stop_fills_behind_its_trigger() -> None:
    desk = on_path(stop_slippage_bps=3.0)
    desk.stop(r.SELL, 100, 9_800)
    desk.path(9_500, spread=4, depth=200)
    # 9,800 less half the spread (2) and 3 bps of it rounded up (3)
    assert fills(desk) == ["ack 1", "triggered 1", "fill 1 100@9795"]


def test_a_buy_stop_mirrors_it() -> None:
    desk = on_path(stop_slippage_bps=3.0)
    desk.stop(r.BUY, 50, 10_200)
    desk.path(10_500, spread=4, depth=200)
    assert fills(desk) == ["ack 1", "triggered 1", "fill 1 50@10206"]  # 10,200 + 2 + 3.06 rounded up


def test_across_a_jump_the_stop_fills_at_the_book_found_there() -> None:
    desk = on_path()
    desk.stop(r.SELL, 100, 9_800)
    desk.path(9_500, spread=4, lots=0, depth=200, bits=r.JUMP)
    assert fills(desk) == ["ack 1", "triggered 1", "fill 1 100@9498"]


def test_a_thin_book_is_walked_from_the_trigger() -> None:
    desk = on_path(stop_slippage_bps=0.0)
    desk.stop(r.SELL, 100, 9_800)
    desk.path(9_500, spread=4, depth=60)
    assert fills(desk) == ["ack 1", "triggered 1", "fill 1 60@9798", "fill 1 40@9794"]


def test_a_touched_trigger_triggers() -> None:
    desk = on_path()
    desk.stop(r.SELL, 100, 9_800)
    desk.path(9_801, spread=4, depth=200)
    assert fills(desk) == ["ack 1"]
    desk.path(9_800, spread=4, depth=200)
    assert fills(desk) == ["triggered 1", "fill 1 100@9795"]


def test_trades_trigger_and_the_book_fills() -> None:
    desk = Desk(coins_lots=100)
    desk.quote(9_999, 10_001)
    desk.trade(10_000, 1, r.BUY)
    desk.stop(r.SELL, 100, 9_950)
    desk.quote(9_900, 9_902)  # only quotes moved: the last price did not
    desk.trade(9_940, 1, r.SELL)
    assert fills(desk) == ["ack 1", "triggered 1", "fill 1 100@9900"]


def test_without_trades_the_mid_is_the_last_price() -> None:
    desk = Desk(coins_lots=100)
    desk.quote(9_999, 10_001)
    desk.stop(r.SELL, 100, 9_950)
    desk.quote(9_948, 9_952)
    assert fills(desk) == ["ack 1", "triggered 1", "fill 1 100@9948"]


@pytest.mark.parametrize(("side", "trigger"), [(r.SELL, 10_000), (r.SELL, 10_001), (r.BUY, 10_000), (r.BUY, 9_999)])
def test_a_stop_on_the_wrong_side_would_trigger_at_once(side: int, trigger: int) -> None:
    desk = on_path()
    desk.stop(side, 50, trigger)
    assert desk.answers() == ["reject 1 WOULD_TRIGGER"]


def test_a_triggered_stop_limit_never_sells_below_its_limit_and_rests() -> None:
    desk = on_path(stop_slippage_bps=0.0)
    desk.place(r.SELL, 100, r.STOP_LIMIT, trigger=9_800, price=9_796)
    desk.path(9_500, spread=4, depth=60)
    assert fills(desk) == ["ack 1", "triggered 1", "fill 1 60@9798"]
    assert desk.live() == [1] and desk.holding.locked_lots == 40
    desk.path(9_700, spread=4, depth=60)
    assert fills(desk) == []
    desk.path(9_900, spread=4, depth=60)
    assert fills(desk) == ["fill 1 40@9796"]
    assert desk.holding.base_e8 == 0 and desk.holding.locked_lots == 0


def test_stop_limits_keep_their_time_in_force() -> None:
    desk = on_path(stop_slippage_bps=0.0)
    desk.place(r.SELL, 50, r.STOP_LIMIT, trigger=9_800, price=9_798, tif=r.IOC)
    desk.place(r.SELL, 50, r.STOP_LIMIT, trigger=9_800, price=9_798, tif=r.FOK)
    desk.path(9_500, spread=4, depth=30)
    assert fills(desk) == [
        "ack 1", "ack 2", "triggered 1", "fill 1 30@9798", "expired 1 NO_LIQUIDITY",
        "triggered 2", "expired 2 NO_LIQUIDITY",
    ]  # fmt: skip


def test_a_buy_stop_that_jumps_past_our_money_fills_what_we_can_pay() -> None:
    desk = Desk(cash=102)
    desk.path(10_000, spread=2, depth=1_000)
    desk.stop(r.BUY, 100, 10_100)
    desk.path(20_000, spread=2, lots=0, depth=1_000, bits=r.JUMP)
    assert desk.answers() == [
        "ack 1", "triggered 1", "fill 1 50@20001 fee 0.100005", "expired 1 INSUFFICIENT_BALANCE"
    ]  # fmt: skip
    assert desk.head.cash_e8 >= 0 and desk.head.locked_e8 == 0


def test_slippage_of_takers_comes_on_top_of_a_stops_own() -> None:
    desk = on_path(stop_slippage_bps=3.0, taker_slippage_bps=5.0)
    desk.stop(r.SELL, 100, 9_800)
    desk.path(9_500, spread=4, depth=200)
    assert fills(desk) == ["ack 1", "triggered 1", "fill 1 100@9790"]  # 9,795, and 5 bps of the bid of 9,498 rounded up
