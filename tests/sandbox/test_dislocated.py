"""Dislocations over the market of an exchange: moved away, taken by customers, over when they should be."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts import records as r
from engine.contracts.instruments import E8, Instrument
from engine.markets.dislocations import Dislocation
from engine.sandbox.accounts import Account
from engine.sandbox.clock import Clock
from engine.sandbox.exchange import Exchange, Ticket

MS = 1_000_000


def pair(symbol: str, tick: str, lot: str) -> Instrument:
    base, quote = symbol.split("/")
    return Instrument(
        symbol=symbol, venue="test", base=base, quote=quote, tick_size=Decimal(tick), lot_size=Decimal(lot),
        min_qty=Decimal(lot), max_qty=Decimal(10_000), min_notional=Decimal("0.00001"),
    )  # fmt: skip


PAIRS = (pair("BTC/USDT", "0.01", "0.00001"), pair("ETH/USDT", "0.01", "0.0001"), pair("ETH/BTC", "0.00001", "0.001"))
MIDS = (9_000_000, 300_000, 3_333)
ETH_BTC = 2


def quotes(at_ms: int, numbers: tuple[int, ...] = (0, 1, 2), trades: bool = False) -> Any:
    made: Any = np.zeros(len(numbers) * (2 if trades else 1), r.RECORD)
    for k, number in enumerate(numbers):
        made["kind"][k], made["instrument"][k] = r.QUOTE, number
        made["bid_ticks"][k], made["ask_ticks"][k] = MIDS[number] - 1, MIDS[number] + 1
        made["bid_lots"][k] = made["ask_lots"][k] = 9_000
        if trades:
            k += len(numbers)
            made["kind"][k], made["instrument"][k], made["side"][k] = r.TRADE, number, 1
            made["price_ticks"][k], made["qty_lots"][k] = MIDS[number], 10
    made["ts_ns"] = made["venue_ts_ns"] = at_ms * MS
    return made


def opened(*planned: Dislocation) -> tuple[Exchange, Account]:
    exchange = Exchange(PAIRS, Clock(), 2, 100_000.0, dislocations=planned)
    exchange.play(quotes(0))
    account = exchange.accounts.all[0]
    for asset in ("BTC", "ETH"):
        exchange.deposit(account, asset, 1_000 * E8)
    return exchange, account


def apart(bps: float, depth_usd: float = 1_000.0, start_ms: int = 100, end_ms: int = 300) -> Dislocation:
    return Dislocation("ETH/BTC", start_ms * MS, end_ms * MS, bps, depth_usd)


def send(exchange: Exchange, account: Account, side: int, lots: int, ticks: int = 0, symbol: int = ETH_BTC) -> Any:
    kind, tif = ("LIMIT", "IOC") if ticks else ("MARKET", "GTC")
    return exchange.place(account, Ticket(symbol, side, kind, tif, lots, ticks, 0, f"c{len(account.orders)}"))


def touch(exchange: Exchange, symbol: int = ETH_BTC) -> tuple[int, int, int, int]:
    tape = exchange.tapes[symbol]
    return tape.bid_ticks, tape.bid_lots, tape.ask_ticks, tape.ask_lots


FAIR = (3_332, 9_000, 3_334, 9_000)


@pytest.mark.parametrize(("bps", "away", "bid_lots", "ask_lots"), [(60, 20, 300, 9_000), (-60, -20, 9_000, 300)])
def test_a_book_leaves_the_others_for_its_time(bps: float, away: int, bid_lots: int, ask_lots: int) -> None:
    exchange, _ = opened(apart(bps))
    exchange.play(quotes(50))
    assert touch(exchange) == FAIR
    exchange.play(quotes(100, trades=True))
    bid, ask = 3_332 + away, 3_334 + away
    assert touch(exchange) == (bid, bid_lots, ask, ask_lots)  # 0.01 BTC of depth, about 0.3 ETH: by the price's order
    assert exchange.tapes[ETH_BTC].trades[-1].ticks == 3_333 + away
    assert touch(exchange, 0)[:1] == (MIDS[0] - 1,), "the others stay"
    exchange.play(quotes(299))
    assert touch(exchange)[0] == bid
    exchange.play(quotes(300))
    assert touch(exchange) == FAIR


def test_a_block_of_events_is_cut_where_it_begins_and_ends() -> None:
    exchange, _ = opened(apart(60))
    shown = exchange.dislocated.shown(r.joined([quotes(at) for at in (99, 100, 299, 300)], r.RECORD))
    assert shown["bid_ticks"][shown["instrument"] == ETH_BTC].tolist() == [3_332, 3_352, 3_352, 3_332]


def test_what_is_taken_is_gone_for_everybody_and_all_of_it_ends_it() -> None:
    exchange, account = opened(apart(60))
    exchange.play(quotes(100))
    assert send(exchange, account, -1, 100, 3_352).status == "FILLED"
    assert touch(exchange) == (3_352, 200, 3_354, 9_000)
    exchange.play(quotes(150))
    assert touch(exchange) == (3_352, 200, 3_354, 9_000), "it does not come back with the next quote"
    assert send(exchange, account, -1, 500, 3_352).fills[0].lots == 200
    assert touch(exchange) == FAIR
    exchange.play(quotes(200))
    assert touch(exchange) == FAIR
    begun = exchange.dislocated.begun[0]
    assert begun.is_taken and begun.taken_lots == 300 and not exchange.dislocated.stands(begun)


def test_the_other_side_and_other_pairs_take_nothing_of_it() -> None:
    exchange, account = opened(apart(60))
    exchange.play(quotes(100))
    send(exchange, account, 1, 50)
    send(exchange, account, -1, 50, symbol=1)
    assert touch(exchange) == (3_352, 300, 3_354, 9_000)


def test_a_round_trip_through_it_earns_what_it_is_apart_less_fees() -> None:
    """ETH/BTC 60 bps too dear, three fees of 10 bps: about 30 bps are left, less the width of the quotes."""
    exchange, account = opened(apart(60, depth_usd=50_000))
    exchange.play(quotes(100))
    before = {name: sum(both) for name, both in exchange.balances(account).items()}
    lots = 3_000
    send(exchange, account, 1, 10 * lots, symbol=1)  # ETH for USDT, its fee in ETH
    sold = send(exchange, account, -1, lots * 999 // 1000, 3_352)  # ETH for BTC, its fee in BTC
    assert sold.status == "FILLED" and not sold.fills[0].fee_in_base
    got = exchange.balances(account)["BTC"][0] - before["BTC"]
    send(exchange, account, -1, got // 1_000, symbol=0)
    after = {name: sum(both) for name, both in exchange.balances(account).items()}
    change = {name: (after[name] - before[name]) / E8 for name in after}
    worth = change["USDT"] + 90_000 * change["BTC"] + 3_000 * change["ETH"]
    assert 0.0020 < worth / (lots * 0.001 * 3_000) < 0.0030


def test_one_can_be_asked_for_and_those_of_other_symbols_are_left_out() -> None:
    exchange, _ = opened(Dislocation("SOL/USDT", 0, 10**18, 60, 100))
    exchange.play(quotes(100))
    exchange.dislocated.add("ETH/BTC", -100, 100 * MS, 1_000)
    exchange.play(quotes(150))
    assert touch(exchange)[:3:2] == (3_299, 3_301)
    exchange.play(quotes(200))
    assert touch(exchange) == FAIR and len(exchange.dislocated.begun) == 1


def test_without_any_the_market_is_passed_on_as_it_is() -> None:
    exchange, _ = opened()
    events = quotes(100)
    assert exchange.dislocated.shown(events) is events


STEPS = st.lists(
    st.tuples(st.sampled_from(["quote", "buy", "sell"]), st.integers(0, 2), st.integers(1, 400)), max_size=40
)


@settings(max_examples=20, deadline=None)
@given(STEPS, st.sampled_from([-80.0, -10.0, 10.0, 80.0]), st.integers(1, 2_000))
def test_never_more_than_its_depth_is_given_at_its_touch(steps: Any, bps: float, depth_usd: int) -> None:
    exchange, account = opened(apart(bps, float(depth_usd), 100, 10_000))
    exchange.play(quotes(100))
    begun = exchange.dislocated.begun[0]
    deep, at, given_lots = begun.left_lots, 100, 0
    too_good = touch(exchange)[0 if bps > 0 else 2]
    for what, number, lots in steps:
        at += 50
        if what == "quote":
            exchange.play(quotes(at, (number,)))
        elif number == ETH_BTC:
            side = 1 if what == "buy" else -1
            order = send(exchange, account, side, lots, too_good)
            given_lots += sum(fill.lots for fill in order.fills) if side == begun.side else 0
        assert given_lots <= deep and begun.left_lots == deep - min(begun.taken_lots, deep)
        assert all(0 < tape.bid_ticks < tape.ask_ticks for tape in exchange.tapes)
