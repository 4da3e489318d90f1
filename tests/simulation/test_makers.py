"""Maker rules: queue, flow, trading through, crossing quotes, candles."""

from __future__ import annotations

from exchange_desk import Desk

from engine.contracts import records as r


def resting(price: int = 9_999, lots: int = 50) -> Desk:
    desk = Desk(coins_lots=1_000)
    desk.quote(9_999, 10_001)
    desk.limit(r.BUY, lots, price)
    assert desk.answers() == ["ack 1"]
    return desk


def fills(desk: Desk) -> list[str]:
    return [a.split(" fee")[0] for a in desk.answers()]


def test_the_queue_trades_first_then_partial_fills_by_flow() -> None:
    desk = resting()
    desk.trade(9_999, 90, r.SELL)
    assert fills(desk) == []
    desk.trade(9_999, 30, r.SELL)
    assert fills(desk) == ["fill 1 20@9999"]
    desk.trade(9_999, 100, r.SELL)
    assert fills(desk) == ["fill 1 30@9999"]
    assert desk.live() == [] and desk.head.locked_e8 == 0


def test_buyers_do_not_fill_our_bid() -> None:
    desk = resting()
    desk.trade(9_999, 1_000, r.BUY)
    assert fills(desk) == []


def test_the_queue_shrinks_with_the_size_shown() -> None:
    desk = resting()
    desk.quote(9_999, 10_001, bid_lots=10)
    desk.quote(9_999, 10_001, bid_lots=500)  # who comes later stands behind us
    desk.trade(9_999, 25, r.SELL)
    assert fills(desk) == ["fill 1 15@9999"]


def test_bettering_the_touch_has_no_queue() -> None:
    desk = resting(price=10_000)
    desk.trade(10_000, 5, r.SELL)
    assert fills(desk) == ["fill 1 5@10000"]


def test_the_touch_falling_behind_us_empties_the_queue() -> None:
    desk = resting()
    desk.quote(9_990, 10_001)
    desk.trade(9_999, 5, r.SELL)
    assert fills(desk) == ["fill 1 5@9999"]


def test_an_unseen_level_puts_all_it_shows_ahead_of_us() -> None:
    desk = resting(price=9_995)
    desk.quote(9_995, 9_997, bid_lots=40)
    desk.trade(9_995, 45, r.SELL)
    assert fills(desk) == ["fill 1 5@9995"]


def test_a_recorded_level_is_the_queue() -> None:
    desk = Desk()
    desk.depth([(9_999, 10), (9_995, 7)], [(10_001, 10), (10_002, 10)])
    desk.limit(r.BUY, 50, 9_995)
    desk.trade(9_995, 10, r.SELL)
    assert fills(desk) == ["ack 1", "fill 1 3@9995"]


def test_trades_through_reach_us_first_up_to_their_size() -> None:
    desk = resting()
    desk.trade(9_998, 20, r.SELL)
    desk.trade(9_998, 200, r.SELL)
    assert fills(desk) == ["fill 1 20@9999", "fill 1 30@9999"]


def test_one_trade_is_shared_oldest_order_first() -> None:
    desk = resting()
    desk.limit(r.BUY, 50, 9_999)
    desk.trade(9_998, 70, r.SELL)
    assert fills(desk) == ["ack 2", "fill 1 50@9999", "fill 2 20@9999"]


def test_a_crossing_quote_fills_what_it_shows_at_our_price_or_better() -> None:
    desk = resting(lots=500)
    desk.quote(9_990, 9_996, ask_lots=30)  # levels at 9,996 and, one spread on, 10,002
    assert fills(desk) == ["fill 1 30@9999"]
    desk.trade(10_002, 1, r.BUY)  # the same quote does not fill twice
    assert fills(desk) == []
    desk.quote(9_990, 9_996, ask_lots=30)
    assert fills(desk) == ["fill 1 30@9999"]


def test_two_orders_do_not_share_the_same_shown_lots() -> None:
    desk = resting()
    desk.limit(r.BUY, 50, 9_999)
    desk.quote(9_990, 9_999, ask_lots=70)
    assert fills(desk) == ["ack 2", "fill 1 50@9999", "fill 2 20@9999"]


def test_selling_mirrors_buying() -> None:
    desk = Desk(coins_lots=1_000)
    desk.quote(9_999, 10_001, ask_lots=10)
    desk.limit(r.SELL, 50, 10_001)
    desk.trade(10_001, 15, r.BUY)
    desk.trade(10_002, 20, r.BUY)
    desk.quote(10_005, 10_015, bid_lots=1)
    assert fills(desk) == ["ack 1", "fill 1 5@10001", "fill 1 20@10001", "fill 1 1@10001"]
    assert desk.holding.locked_lots == 24


def test_a_candle_must_pass_through_a_limit() -> None:
    desk = Desk()
    desk.path(10_000)
    desk.limit(r.BUY, 50, 9_900)
    desk.path(9_900, lots=1_000)
    assert fills(desk) == ["ack 1"]
    desk.path(9_899, lots=20, spread=6)
    assert fills(desk) == ["fill 1 20@9900"]
    desk.path(9_000, lots=0, depth=10, bits=r.JUMP)  # an open beyond it: what is shown there
    assert fills(desk) == ["fill 1 30@9900"]


def test_a_refused_trade_is_no_flow() -> None:
    desk = resting()
    desk.trade(9_998, 10, r.SELL)
    desk.answers()
    desk.trade(0, 1_000, r.SELL)
    desk.trade(9_998, -5, r.SELL)
    desk.quote(10_001, 9_999)
    assert fills(desk) == []
