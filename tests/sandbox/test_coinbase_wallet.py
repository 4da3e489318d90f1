"""Money at the simulated Coinbase: exact to 1e-8, whatever customers and markets do."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contracts import records as r
from engine.contracts.instruments import E8, Instrument
from engine.sandbox.clock import Clock
from engine.sandbox.coinbase.amounts import plain, ratio, read_e8, read_stamp, stamp
from engine.sandbox.coinbase.floor import Floor
from engine.sandbox.coinbase.parameters import Query
from engine.sandbox.coinbase.trading import cancel, create

CASH = 10_000 * E8


def coin(quote: str) -> Instrument:
    return Instrument(
        symbol=f"AXO/{quote}", venue="coinbase", base="AXO", quote=quote, tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"), min_qty=Decimal("0.001"), max_qty=Decimal(9000), min_notional=Decimal(1),
        maker_fee=Decimal("0.004"), taker_fee=Decimal("0.006"),
    )  # fmt: skip


def events(*rows: dict[str, int]) -> Any:
    made: Any = np.zeros(len(rows), r.RECORD)
    for place, row in enumerate(rows):
        for name, value in row.items():
            made[name][place] = value
    return made


def market(middle: int, lots: int, side: int) -> Any:
    quote = {"kind": r.QUOTE, "bid_ticks": middle - 5, "bid_lots": 900, "ask_ticks": middle + 5, "ask_lots": 700}
    return events(quote, {"kind": r.TRADE, "price_ticks": middle + 7 * side, "qty_lots": lots, "side": side})


def act(floor: Floor, document: dict[str, Any]) -> Any:
    work = cancel if "order_ids" in document else create
    return work(floor, floor.customers[0], Query([], {}, msgspec.json.encode(document)))


def check(floor: Floor) -> None:
    """Every wallet is its start plus what the fills moved; every hold is what the open orders need."""
    customer = floor.customers[0]
    totals = {"USD": CASH, "USDC": CASH, "AXO": 0}
    holds = dict.fromkeys(totals, 0)
    for draft in customer.drafts.values():
        order, one = customer.order_of(draft), draft.product.tape.instrument
        for fill in order.fills:
            rate = 400_000 if fill.is_maker else 600_000
            assert not fill.fee_in_base and fill.fee_e8 == -(-fill.quote_e8 * rate // E8)
            assert fill.quote_e8 == fill.ticks * fill.lots * 1000
            totals[one.quote] -= order.side * fill.quote_e8 + fill.fee_e8
            totals["AXO"] += order.side * fill.lots * 100_000
        holds[one.base if order.side < 0 else one.quote] += floor.hold_e8(customer, order)
        if order.is_open and order.side > 0:
            value = order.ticks * order.left_lots * 1000
            assert floor.hold_e8(customer, order) == value + -(-value * 600_000 // E8)
    for name, total in totals.items():
        free, held = customer.account.wallet.balance(name)
        assert (free + held, held) == (total, holds[name]) and free >= 0


STEPS = st.one_of(
    st.tuples(st.just("market"), st.integers(900, 1100), st.integers(1, 500), st.sampled_from((1, -1))),
    st.tuples(
        st.just("order"), st.sampled_from(("AXO-USD", "AXO-USDC")), st.sampled_from(("BUY", "SELL")),
        st.sampled_from(("limit_limit_gtc", "sor_limit_ioc", "limit_limit_fok", "market_market_ioc", "quote")),
        st.integers(900, 1100), st.integers(1, 400_000),
    ),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=25))
def test_wallets_are_exact_after_every_step(steps: list[Any]) -> None:
    async def story() -> None:
        floor = Floor([coin("USD")], Clock(), 1, 10_000.0)
        floor.play(market(1000, 10, 1))
        for number, step in enumerate(steps):
            if step[0] == "market":
                floor.play(market(*step[1:]))
            elif step[0] == "cancel":
                act(floor, {"order_ids": [*floor.customers[0].drafts][step[1] : step[1] + 1] or ["none"]})
            else:
                _, product, side, form, ticks, lots = step
                fields = {"base_size": plain(lots * 100_000), "limit_price": plain(ticks * 10**6)}
                if form == "market_market_ioc":
                    del fields["limit_price"]
                elif form == "quote":
                    form, fields = "market_market_ioc", {"quote_size": plain(lots * 10**6)}
                act(floor, {
                    "client_order_id": f"c{number}", "product_id": product, "side": side,
                    "order_configuration": {form: fields},
                })  # fmt: skip
            check(floor)

    asyncio.run(story())


def test_what_is_played_to_both_twins_keeps_its_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor([coin("USDC")], Clock(), 1, 10_000.0)
    heard, play = [], floor.exchange.play
    monkeypatch.setattr(floor.exchange, "play", lambda events, at: (heard.append(events), play(events, at)))
    floor.play(market(1000, 10, 1))
    assert [(len(one), one.dtype) for one in heard] == [(4, r.RECORD)]
    assert floor.products["AXO-USD"].tape.last_ticks == floor.products["AXO-USDC"].tape.last_ticks == 1007


def test_where_both_dollars_are_recorded_one_book_is_played() -> None:
    floor = Floor([coin("USDC"), coin("USD")], Clock(), 1, 10_000.0)
    played = r.joined([market(1000, 10, 1), market(2000, 10, 1)], r.RECORD)
    played["instrument"] = [0, 0, 1, 1]
    floor.play(played)
    assert [floor.products[name].tape.last_ticks for name in ("AXO-USD", "AXO-USDC")] == [2007, 2007]
    assert floor.products["AXO-USDC"].book == "AXO-USD"


@given(st.integers(0, 10**18))
def test_amounts_are_written_as_they_are_read(amount: int) -> None:
    assert read_e8(plain(amount)) == amount
    assert not plain(amount).endswith(".") and ("." not in plain(amount) or not plain(amount).endswith("0"))
    whole, _, rest = ratio(amount, 7).partition(".")
    assert int(whole + rest.ljust(16, "0")) == amount * 10**16 // 7


@given(st.integers(0, 4 * 10**12))
def test_times_are_read_as_they_are_written(time_ms: int) -> None:
    assert read_stamp(stamp(time_ms)) == time_ms
