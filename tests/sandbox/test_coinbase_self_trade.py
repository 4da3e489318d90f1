"""Self-trade prevention at Coinbase: the smaller of two own orders is cancelled, the larger one loses its size."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from running_coinbase import V3, RunningCoinbase

GTC, MARKET, STOP = "limit_limit_gtc", "market_market_ioc", "stop_limit_stop_limit_gtc"


@pytest.fixture(scope="module")
def running() -> Iterator[RunningCoinbase]:
    started = RunningCoinbase(accounts=2)
    started.tell("/deposit", {"venue": "coinbase", "account": 0, "asset": "BTC", "amount": "1"})
    yield started
    started.stop()


def test_the_larger_order_loses_what_the_smaller_one_had(running: RunningCoinbase) -> None:
    running.advance(20)
    ask = f"{running.touch()[1]:.2f}"
    maker = running.placed("SELL", GTC, base_size="0.003", limit_price=ask)
    small = running.named(running.placed("BUY", GTC, base_size="0.001", limit_price=ask))
    assert (small["status"], float(small["filled_size"])) == ("CANCELLED", 0)
    assert running.named(maker)["status"] == "OPEN" and running.wallets()["BTC"] == (pytest.approx(0.998), 0.002)
    large = running.named(running.placed("BUY", MARKET, base_size="0.003"))
    assert (large["status"], float(large["filled_size"])) == ("FILLED", 0.001)
    assert running.named(maker)["status"] == "CANCELLED" and running.wallets()["BTC"][1] == 0


def test_a_maker_only_order_is_refused_where_it_would_take_an_own_one(running: RunningCoinbase) -> None:
    running.advance(20)
    ask = f"{running.touch()[1]:.2f}"
    maker = running.placed("SELL", GTC, base_size="0.003", limit_price=ask)
    found = running.new_order("BUY", GTC, base_size="0.001", limit_price=ask, post_only=True)
    assert found["error_response"]["error"] == "INVALID_LIMIT_PRICE_POST_ONLY"
    running.send("POST", f"{V3}/orders/batch_cancel", {"order_ids": [maker]})


def test_a_profit_order_keeps_its_name_when_it_triggers(running: RunningCoinbase) -> None:
    tape = running.floor.products["BTC-USD"].tape
    stop = f"{(max(tape.last_ticks, tape.ask_ticks) + 2) * tape.tick_e8 / 1e8:.2f}"
    number = running.placed(
        "SELL", STOP, base_size="0.001", limit_price=f"{float(stop) * 0.9:.2f}", stop_price=stop,
        stop_direction="STOP_DIRECTION_STOP_UP",
    )  # fmt: skip
    customer = running.floor.customers[0]
    known = set(customer.drafts)
    for _ in range(40):
        running.advance(500)
        if running.named(number)["status"] != "OPEN":
            break
    assert running.named(number)["status"] == "FILLED" and set(customer.drafts) == known
