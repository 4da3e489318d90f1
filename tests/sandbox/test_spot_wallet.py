"""One wallet for all pairs: sums re-derived from fills, nothing negative, locked is what open orders promise."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts import records as r
from engine.contracts.errors import BadInput
from engine.contracts.instruments import E8, Instrument
from engine.contracts.reasons import INSUFFICIENT_BALANCE
from engine.sandbox.accounts import Account, Report
from engine.sandbox.clock import Clock
from engine.sandbox.exchange import Exchange, OrderRefused, Ticket


def pair(symbol: str, tick: str, lot: str) -> Instrument:
    base, quote = symbol.split("/")
    return Instrument(
        symbol=symbol, venue="test", base=base, quote=quote, tick_size=Decimal(tick), lot_size=Decimal(lot),
        min_qty=Decimal(lot), max_qty=Decimal(10_000), min_notional=Decimal("0.00001"),
    )  # fmt: skip


PAIRS = (
    pair("BTC/USDT", "0.01", "0.00001"), pair("BTC/USDC", "0.01", "0.00001"), pair("USDC/USDT", "0.0001", "1"),
    pair("ETH/BTC", "0.00001", "0.0001"), pair("ETH/USDT", "0.01", "0.0001"), pair("FDUSD/USDT", "0.0001", "1"),
)  # fmt: skip
PRICES = (6_000_000, 6_000_100, 10_001, 5_000, 300_000, 9_998)
LOTS = (20_000, 20_000, 1_000, 20_000, 20_000, 1_000)


def quote(index: int, middle: int) -> Any:
    made: Any = np.zeros(1, r.RECORD)
    made["kind"], made["instrument"] = r.QUOTE, index
    made["bid_ticks"], made["ask_ticks"] = middle - 1, middle + 1
    made["bid_lots"] = made["ask_lots"] = LOTS[index]
    return made


def opened(cash: float = 10_000.0) -> tuple[Exchange, Account]:
    exchange = Exchange(PAIRS, Clock(), 1, cash)
    exchange.play(r.joined([quote(index, price) for index, price in enumerate(PRICES)], r.RECORD))
    return exchange, exchange.accounts.all[0]


def market(exchange: Exchange, account: Account, name: str, side: int, lots: int) -> Any:
    ticket = Ticket(exchange.by_name[name].index, side, "MARKET", "GTC", lots, 0, 0, f"c{len(account.orders)}")
    return exchange.place(account, ticket)


def test_an_account_starts_with_each_kind_of_money_and_no_coins() -> None:
    exchange, account = opened(250.0)
    assert {name: free for name, (free, _) in exchange.balances(account).items()} == {
        "BTC": 0, "ETH": 0, "FDUSD": 0, "USDC": 250 * E8, "USDT": 250 * E8,
    }  # fmt: skip


def test_a_triangle_passes_through_three_venues() -> None:
    exchange, account = opened()
    market(exchange, account, "BTCUSDT", 1, 5_000)
    lots = exchange.balances(account)["BTC"][0] // 501
    bought = market(exchange, account, "ETHBTC", 1, lots)
    held = exchange.balances(account)["ETH"][0]
    assert bought.status == "FILLED" and held == lots * 10_000 - bought.fills[0].fee_e8
    market(exchange, account, "ETHUSDT", -1, held // 10_000)
    after = exchange.balances(account)
    assert after["ETH"][0] < 10_000 and after["BTC"][0] < 30_000 and after["USDC"] == (10_000 * E8, 0)
    assert 9_950 * E8 < after["USDT"][0] < 10_000 * E8


def test_coins_promised_in_one_pair_are_not_there_for_another() -> None:
    exchange, account = opened()
    market(exchange, account, "BTCUSDT", 1, 1_000)
    free = exchange.balances(account)["BTC"][0]
    exchange.place(account, Ticket(0, -1, "LIMIT", "GTC", 900, 6_100_000, 0, "sell"))
    assert exchange.balances(account)["BTC"] == (free - 900_000, 900_000)
    with pytest.raises(OrderRefused) as refusal:
        market(exchange, account, "BTCUSDC", -1, 900)
    assert refusal.value.reason == INSUFFICIENT_BALANCE
    market(exchange, account, "BTCUSDC", -1, 99)
    assert exchange.balances(account)["BTC"] == (free - 900_000 - 99_000, 900_000)


def test_a_deposit_is_there_for_every_pair() -> None:
    exchange, account = opened(1.0)
    exchange.deposit(account, "BTC", E8)
    for name in ("BTCUSDT", "BTCUSDC"):
        assert market(exchange, account, name, -1, 100).status == "FILLED"
    with pytest.raises(BadInput, match="DOGE"):
        exchange.deposit(account, "DOGE", 1)


def rederived(exchange: Exchange, account: Account, cash: int) -> dict[str, int]:
    """Totals from the start and all fills and fees alone."""
    totals = dict.fromkeys(exchange.balances(account), 0) | {"USDT": cash, "USDC": cash}
    for order in account.orders.values():
        tape = exchange.tapes[order.symbol]
        base, money = tape.instrument.base, tape.instrument.quote
        for fill in order.fills:
            totals[base] += order.side * fill.lots * tape.lot_e8
            totals[money] -= order.side * fill.quote_e8
            totals[base if fill.fee_in_base else money] -= fill.fee_e8
    return totals


def promised(exchange: Exchange, account: Account) -> dict[str, int]:
    """What open orders must have locked."""
    locked = dict.fromkeys(exchange.balances(account), 0)
    for order in account.working.values():
        tape = exchange.tapes[order.symbol]
        if order.side < 0:
            locked[tape.instrument.base] += order.left_lots * tape.lot_e8
        else:
            locked[tape.instrument.quote] += tape.cost_e8(order.ticks, order.left_lots)
    return locked


STEPS = st.tuples(
    st.integers(0, len(PAIRS) - 1), st.sampled_from(["move", "move", "limit", "market", "cancel"]),
    st.sampled_from([-1, 1]), st.integers(1, 3_000), st.integers(-30, 30),
    st.sampled_from(["GTC", "GTC", "IOC", "FOK"]),
    st.sampled_from(["EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "DECREMENT"]),
)  # fmt: skip


def crossed(account: Account) -> list[tuple[int, int]]:
    """Pairs of resting orders of an account that would trade with each other."""
    resting = [order for order in account.working.values() if order.is_resting]
    return [
        (bid.order_id, ask.order_id) for bid in resting for ask in resting
        if bid.symbol == ask.symbol and bid.side > ask.side and bid.ticks >= ask.ticks
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=60))
def test_sums_are_exact_and_nothing_is_spent_twice(steps: list[tuple[int, str, int, int, int, str, str]]) -> None:
    exchange, account = opened()
    heard: list[Report] = []
    account.listeners.append(heard.append)
    moves = []
    for number, (index, what, side, lots, offset, tif, stp) in enumerate(steps):
        price = PRICES[index] + offset * max(PRICES[index] // 10_000, 1)
        if what == "move":
            moves.append(quote(index, price))
            if len(moves) == 3:  # several events at once, of several quote assets
                exchange.play(r.joined(moves, r.RECORD))
                moves.clear()
        elif what == "cancel":
            for order in list(account.working.values())[:1]:
                exchange.cancel(account, order, "")
        else:
            kind, ticks, tif = ("LIMIT", price, tif) if what == "limit" else ("MARKET", 0, "GTC")
            try:
                exchange.place(account, Ticket(index, side, kind, tif, lots, ticks, 0, f"c{number}", stp=stp))
            except OrderRefused:
                pass
        balances = exchange.balances(account)
        assert crossed(account) == []
        assert all(free >= 0 and locked >= 0 for free, locked in balances.values())
        assert {name: free + locked for name, (free, locked) in balances.items()} == rederived(
            exchange, account, 10_000 * E8
        )
        assert {name: locked for name, (_, locked) in balances.items()} == promised(exchange, account)
    assert all(free >= 0 and held >= 0 for report in heard for free, held in report.balances.values())
