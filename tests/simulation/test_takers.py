"""Taker rules: walking the book, what is taken stays taken, time in force, money, fees."""

from __future__ import annotations

from decimal import Decimal

from exchange_desk import Desk, spot

from engine.contracts import records as r


def test_market_order_walks_assumed_levels_one_spread_apart() -> None:
    desk = Desk()
    desk.quote(9_999, 10_001)
    desk.place(r.BUY, 250)
    assert desk.answers() == [
        "ack 1",
        "fill 1 100@10001 fee 0.10001",
        "fill 1 100@10003 fee 0.10003",
        "fill 1 50@10005 fee 0.050025",
    ]
    assert desk.cash == Decimal(10_000) - Decimal("250.065") - Decimal("0.250065")
    assert desk.holding.base_e8 == 250 * 1_000_000


def test_market_order_walks_recorded_depth_and_the_rest_expires() -> None:
    desk = Desk()
    desk.depth([(9_999, 10)] * 5, [(10_001, 10), (10_002, 20), (10_010, 5), (10_020, 5), (10_030, 5)])
    desk.place(r.BUY, 50)
    assert [a for a in desk.answers() if "fee" not in a] == ["ack 1", "expired 1 NO_LIQUIDITY"]
    assert desk.holding.base_e8 == 45 * 1_000_000


def test_depth_of_another_touch_is_not_used() -> None:
    desk = Desk()
    desk.depth([(9_999, 10), (9_000, 10)], [(10_001, 10), (11_000, 10)])
    desk.quote(9_998, 10_002, ask_lots=10)
    desk.place(r.BUY, 20)
    assert desk.answers()[1:] == ["fill 1 10@10002 fee 0.010002", "fill 1 10@10006 fee 0.010006"]


def test_what_we_took_is_gone_at_every_level_until_the_next_quote() -> None:
    desk = Desk()
    desk.quote(9_999, 10_001)
    desk.place(r.BUY, 150)
    desk.place(r.BUY, 100)
    assert [a.split(" fee")[0] for a in desk.answers() if "fill" in a] == [
        "fill 1 100@10001", "fill 1 50@10003", "fill 2 50@10003", "fill 2 50@10005",
    ]  # fmt: skip
    desk.quote(9_999, 10_001)
    desk.place(r.BUY, 10)
    assert desk.answers()[1] == "fill 3 10@10001 fee 0.010001"


def test_book_of_one_level_expires_the_rest() -> None:
    desk = Desk(book_levels=1, coins_lots=500)
    desk.quote(9_999, 10_001, bid_lots=30)
    desk.place(r.SELL, 50)
    desk.place(r.SELL, 50)
    assert desk.answers() == [
        "ack 1", "fill 1 30@9999 fee 0.029997", "expired 1 NO_LIQUIDITY", "ack 2", "expired 2 NO_LIQUIDITY",
    ]  # fmt: skip


def test_limit_order_takes_to_its_limit_and_rests() -> None:
    desk = Desk()
    desk.quote(9_999, 10_001)
    desk.limit(r.BUY, 250, 10_003)
    assert desk.answers() == ["ack 1", "fill 1 100@10001 fee 0.10001", "fill 1 100@10003 fee 0.10003"]
    assert desk.live() == [1]
    # 50 lots at 100.03 and 0.1 % of it stay promised
    assert desk.usd(desk.head.locked_e8) == Decimal("50.015") + Decimal("0.050015")


def test_immediate_or_cancel_never_pays_more_than_its_limit() -> None:
    desk = Desk()
    desk.quote(9_999, 10_001)
    desk.limit(r.BUY, 250, 10_002, tif=r.IOC)
    assert desk.answers() == ["ack 1", "fill 1 100@10001 fee 0.10001", "expired 1 NO_LIQUIDITY"]
    assert desk.live() == [] and desk.head.locked_e8 == 0


def test_fill_or_kill_is_all_or_nothing_and_counts_what_we_took_before() -> None:
    desk = Desk()
    desk.quote(9_999, 10_001)
    desk.limit(r.BUY, 201, 10_003, tif=r.FOK)
    desk.limit(r.BUY, 200, 10_003, tif=r.FOK)
    desk.limit(r.BUY, 10, 10_003, tif=r.FOK)
    assert desk.answers() == [
        "ack 1", "expired 1 NO_LIQUIDITY",
        "ack 2", "fill 2 100@10001 fee 0.10001", "fill 2 100@10003 fee 0.10003",
        "ack 3", "expired 3 NO_LIQUIDITY",
    ]  # fmt: skip


def test_market_buy_stops_where_the_money_ends() -> None:
    desk = Desk(cash=150)
    desk.quote(9_999, 10_001, ask_lots=100)
    desk.place(r.BUY, 149)  # affordable at the touch, not at the levels behind it
    answers = desk.answers()
    assert answers == ["ack 1", "fill 1 100@10001 fee 0.10001", "fill 1 49@10003 fee 0.0490147"]
    desk = Desk(cash=150)
    desk.quote(9_000, 10_001, ask_lots=100)
    desk.place(r.BUY, 149)
    # 150 - 100.11001 = 49.88999 buys 45 lots at 110.00 and their fee
    assert desk.answers() == [
        "ack 1", "fill 1 100@10001 fee 0.10001", "fill 1 45@11002 fee 0.049509", "expired 1 INSUFFICIENT_BALANCE"
    ]  # fmt: skip
    assert desk.cash == Decimal(150) - Decimal("100.11001") - Decimal("49.558509")


def test_resting_orders_lock_money_and_coins() -> None:
    desk = Desk(cash=100, coins_lots=100)
    desk.quote(9_999, 10_001)
    desk.limit(r.BUY, 90, 9_990)
    desk.limit(r.BUY, 11, 9_990)
    desk.limit(r.SELL, 60, 10_100)
    desk.place(r.SELL, 41)
    desk.cancel(1)
    desk.cancel(3)
    desk.place(r.SELL, 41)
    assert desk.answers() == [
        "ack 1", "reject 2 INSUFFICIENT_BALANCE", "ack 3", "reject 4 INSUFFICIENT_BALANCE", "cancel_ack 1",
        "cancel_ack 3", "ack 5", "fill 5 41@9999 fee 0.0409959",
    ]  # fmt: skip
    assert desk.head.locked_e8 == 0 and desk.holding.locked_lots == 0


def test_fee_in_base_leaves_dust_that_cannot_be_sold() -> None:
    desk = Desk(spot(fee_in_base=True))
    desk.quote(9_999, 10_001)
    desk.place(r.BUY, 100)
    desk.place(r.SELL, 100)
    desk.place(r.SELL, 99)
    assert desk.answers() == [
        "ack 1", "fill 1 100@10001 fee 0.001 in base", "reject 2 INSUFFICIENT_BALANCE", "ack 3",
        "fill 3 99@9999 fee 0.0989901",
    ]  # fmt: skip
    assert desk.holding.base_e8 == 900_000  # 0.009 coins: not a lot
    assert desk.cash == Decimal(10_000) - Decimal("100.01") + Decimal("98.9901") - Decimal("0.0989901")


def test_rebate_is_paid_to_us() -> None:
    desk = Desk(spot(maker_fee=Decimal("-0.0001")))
    desk.quote(9_999, 10_001)
    desk.limit(r.BUY, 100, 9_999)
    desk.quote(9_990, 9_992)
    assert desk.answers() == ["ack 1", "fill 1 100@9999 fee -0.009999 maker"]
    assert desk.cash == Decimal(10_000) - Decimal("99.99") + Decimal("0.009999")


def test_venue_order_ids_count_up_and_come_with_the_ack() -> None:
    desk = Desk()
    desk.quote(9_999, 10_001)
    desk.limit(r.BUY, 100, 9_000)
    desk.limit(r.BUY, 100, 9_000)
    desk.cancel(2)
    found = [(int(a["kind"]), int(a["client_id"]), int(a["venue_order_id"])) for a in desk.records()]
    assert found == [(r.ORDER_ACK, 1, 1), (r.ORDER_ACK, 2, 2), (r.CANCEL_ACK, 2, 2)]


def test_fee_on_ten_million_dollars_stays_in_64_bits() -> None:
    desk = Desk(spot(max_qty=Decimal(10**9)), cash=10_000_000)
    desk.quote(9_999, 10_000, ask_lots=10**8)
    desk.place(r.BUY, 9_900_000)
    assert desk.answers() == ["ack 1", "fill 1 9900000@10000 fee 9900"]
    desk = Desk(spot(max_qty=Decimal(10**9), fee_in_base=True, tick_size=Decimal("0.000001")), cash=10_000_000)
    desk.quote(9, 10, ask_lots=10**13)  # 0.00001 USD a coin: 9e11 coins in lots of 0.01
    desk.place(r.BUY, 10**11)
    assert desk.answers() == ["ack 1", "fill 1 100000000000@10 fee 1000000 in base"]


def test_a_book_that_slips_away_is_so_much_dearer_at_every_level() -> None:
    desk = Desk(taker_slippage_bps=5.0)
    desk.quote(9_999, 10_001)
    desk.place(r.BUY, 150)
    # 5 bps of 10,001 are 5.0005 ticks, rounded up against the taker
    assert [a.split(" fee")[0] for a in desk.answers()[1:]] == ["fill 1 100@10007", "fill 1 50@10009"]
    desk.quote(9_999, 10_001)
    desk.place(r.SELL, 50)
    assert desk.answers()[1].split(" fee")[0] == "fill 2 50@9994", "and the bid so much lower"


def test_a_limit_that_the_slipped_book_does_not_reach_gets_nothing() -> None:
    desk = Desk(taker_slippage_bps=5.0)
    desk.quote(9_999, 10_001)
    desk.limit(r.BUY, 50, 10_006, tif=r.IOC)
    desk.limit(r.BUY, 50, 10_007, tif=r.IOC)
    assert [a.split(" fee")[0] for a in desk.answers()] == [
        "ack 1",
        "expired 1 NO_LIQUIDITY",
        "ack 2",
        "fill 2 50@10007",
    ]


def test_slippage_of_takers_costs_makers_nothing() -> None:
    desk = Desk(taker_slippage_bps=50.0)
    desk.quote(9_999, 10_001)
    desk.limit(r.BUY, 50, 9_990)
    desk.trade(9_980, 50, -1)
    assert [a.split(" fee")[0] for a in desk.answers()] == ["ack 1", "fill 1 50@9990"]
