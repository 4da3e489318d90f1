"""The faults of the table on the futures venue, and what liquidation leaves behind."""

from __future__ import annotations

import asyncio
import json
import urllib.error
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from running_usdm import RunningUsdm

from engine.sandbox.traders import AccountTold, AlgoTold, OrderTold, Told


@pytest.fixture(scope="module")
def usdm() -> Iterator[RunningUsdm]:
    started = RunningUsdm(accounts=2)
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def disarmed(usdm: RunningUsdm) -> Iterator[None]:
    usdm.advance(30)  # a fresh book: what was taken of the old one is gone until the next quote
    yield
    usdm.tell("/faults", {}, "DELETE")
    usdm.fault("A14", skew_ms=0)
    usdm.flatten()


def buy(usdm: RunningUsdm, **params: Any) -> tuple[int, Any]:
    return usdm.order("BUY", "MARKET", **{"quantity": "0.01"} | params)


def find(usdm: RunningUsdm, name: str) -> Any:
    return usdm.call("GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId=name)[1]


def told(usdm: RunningUsdm, act: Any) -> list[Told]:
    """What the customer is told while `act` runs."""
    trader = usdm.futures.accounts.all[0]
    heard: list[Told] = []
    trader.listeners.append(heard.append)
    act()
    trader.listeners.remove(heard.append)
    return heard


def fills(heard: list[Told]) -> list[tuple[str, int]]:
    return [(one.event, one.fill.trade_id if one.fill else 0) for one in heard if isinstance(one, OrderTold)]


def test_a1_the_reply_is_lost_but_the_order_stands(usdm: RunningUsdm) -> None:
    usdm.fault("A1")
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        buy(usdm, newClientOrderId="lost")
    assert find(usdm, "lost")["status"] == "FILLED"


def test_a2_the_order_is_accepted_after_the_timeout(usdm: RunningUsdm) -> None:
    usdm.fault("A2", delay_ms=0)
    assert buy(usdm, newClientOrderId="late")[1]["code"] == -1007
    assert find(usdm, "late")["status"] == "FILLED"


def test_a3_a4_a5_the_stream_stutters_and_turns_round(usdm: RunningUsdm) -> None:
    usdm.fault("A3")
    heard = fills(told(usdm, lambda: buy(usdm, quantity="0.001")))
    assert heard[0][0] == "NEW" and heard[1] == heard[2]
    usdm.fault("A4")
    heard = fills(told(usdm, lambda: buy(usdm, quantity="0.001")))
    assert [event for event, _ in heard] == ["TRADE", "NEW"]
    usdm.flatten()
    usdm.fault("A5")
    heard = fills(told(usdm, lambda: buy(usdm, quantity="0.05")))
    numbers = [number for event, number in heard if event == "TRADE"]
    assert len(numbers) > 1 and numbers == sorted(numbers, reverse=True)


def test_a6_the_order_fills_as_its_cancel_arrives(usdm: RunningUsdm) -> None:
    params = {"quantity": "0.001", "price": usdm.price(0.99), "timeInForce": "GTC", "newClientOrderId": "race"}
    assert usdm.order("BUY", "LIMIT", **params)[1]["status"] == "NEW"
    usdm.fault("A6")
    found = usdm.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="race")[1]
    assert found["code"] == -2011 and find(usdm, "race")["status"] == "FILLED"


def test_a6_cancelling_all_goes_on_past_one_that_fills(usdm: RunningUsdm) -> None:
    params = {"quantity": "0.001", "price": usdm.price(0.99), "timeInForce": "GTC"}
    names = ("first", "second")
    for name in names:
        usdm.order("BUY", "LIMIT", newClientOrderId=name, **params)
    usdm.fault("A6")
    assert usdm.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")[1]["code"] == 200
    assert [find(usdm, name)["status"] for name in names] == ["FILLED", "CANCELED"]


def test_a7_a8_a22_stops_meet_a_503_and_are_cancelled_by_the_venue(usdm: RunningUsdm) -> None:
    usdm.fault("A7", order_types=["STOP_MARKET"], count=2)
    buy(usdm)
    stop = {"triggerPrice": usdm.price(0.9), "closePosition": "true"}
    assert [usdm.algo("SELL", "STOP_MARKET", **stop)[0] for _ in range(3)] == [503, 503, 200]
    assert usdm.ask("v1/openOrders") == []  # A22: only the algo book has it
    heard = told(usdm, lambda: usdm.fault("A8", order_types=["STOP_MARKET"]))
    assert [one.algo.status for one in heard if isinstance(one, AlgoTold)] == ["CANCELED"]
    assert usdm.ask("v1/openAlgoOrders") == []


def test_a9_a_position_is_liquidated_while_nobody_listens(usdm: RunningUsdm) -> None:
    buy(usdm, quantity="0.005")
    usdm.order("SELL", "LIMIT", quantity="0.001", price=usdm.price(1.1), timeInForce="GTC", newClientOrderId="resting")
    usdm.algo("SELL", "STOP_MARKET", triggerPrice=usdm.price(0.5), closePosition="true")
    before = float(usdm.ask("v3/balance")[0]["balance"])
    (risk,) = usdm.ask("v3/positionRisk", symbol="BTCUSDT")
    heard = told(usdm, lambda: None)
    trader = usdm.futures.accounts.all[0]
    trader.listeners.append(heard.append)
    usdm.fault("A9", symbol="BTCUSDT")
    assert heard == [] and trader.listeners == []  # the connections were cut first
    (forced,) = usdm.ask("v1/forceOrders", symbol="BTCUSDT")
    assert forced["clientOrderId"].startswith("autoclose-") and forced["status"] == "FILLED"
    assert float(forced["avgPrice"]) == pytest.approx(float(risk["liquidationPrice"]), rel=1e-3)
    assert usdm.ask("v3/positionRisk", symbol="BTCUSDT") == [] == usdm.ask("v1/openAlgoOrders")
    assert find(usdm, "resting")["status"] == "EXPIRED"
    rows = [row for row in usdm.ask("v1/income") if row["time"] >= forced["time"]]
    assert {"REALIZED_PNL", "COMMISSION", "INSURANCE_CLEAR"} == {row["incomeType"] for row in rows}
    after = float(usdm.ask("v3/balance")[0]["balance"])
    assert after - before == pytest.approx(sum(float(row["income"]) for row in rows), abs=1e-8)
    assert before - after < float(risk["positionInitialMargin"]) * 1.01


def test_a_liquidation_is_told(usdm: RunningUsdm) -> None:
    buy(usdm, quantity="0.001")
    heard = told(usdm, lambda: usdm.futures.liquidate(usdm.futures.accounts.all[0], 0))
    orders = [one for one in heard if isinstance(one, OrderTold)]
    assert [(one.event, one.order.status) for one in orders] == [("CALCULATED", "FILLED")]
    assert isinstance(heard[-1], AccountTold)


def test_a10_a11_somebody_else_acts(usdm: RunningUsdm) -> None:
    usdm.fault("A11", symbol="ETHUSDT", lots=-100)
    (risk,) = usdm.ask("v3/positionRisk", symbol="ETHUSDT")
    assert float(risk["positionAmt"]) < 0 and float(risk["liquidationPrice"]) > float(risk["entryPrice"])
    usdm.fault("A10", symbol="ETHUSDT")
    assert usdm.ask("v3/positionRisk", symbol="ETHUSDT") == []


def test_a12_filters_change_at_once(usdm: RunningUsdm) -> None:
    usdm.fault("A12", symbol="BTCUSDT", min_notional="2000")
    assert buy(usdm)[1]["msg"] == "Order's notional must be no smaller than 2000 (unless you choose reduce only)."
    shown = usdm.get("/fapi/v1/exchangeInfo")["symbols"][0]["filters"]
    assert {f["filterType"]: f for f in shown}["MIN_NOTIONAL"]["notional"] == "2000"
    usdm.fault("A12", symbol="BTCUSDT", min_notional="5")


def test_a14_the_clock_jumps_here_alone(usdm: RunningUsdm) -> None:
    usdm.fault("A14", skew_ms=6000)
    assert buy(usdm)[1]["code"] == -1021
    assert usdm.exchange.clock.skew_ms == 0


def listen(usdm: RunningUsdm, path: str, count: int) -> list[Any]:
    async def conversation() -> list[Any]:
        heard: list[Any] = []
        async with aiohttp.ClientSession() as session, session.ws_connect(usdm.ws + path) as ws:
            for _ in range(count):
                await asyncio.to_thread(usdm.advance, 30)
                try:
                    heard.append(json.loads((await ws.receive(0.5)).data))
                except TimeoutError:
                    heard.append(None)
        return heard

    return asyncio.run(conversation())


def test_a15_a16_mute_sockets_and_missing_depth(usdm: RunningUsdm) -> None:
    usdm.fault("A15", count=-1)
    assert listen(usdm, "/public/ws/btcusdt@bookTicker", 1) == [None]
    usdm.tell("/faults", {}, "DELETE")
    usdm.fault("A16")
    heard = [one for one in listen(usdm, "/public/ws/btcusdt@depth@100ms", 4) if one]
    assert len(heard) >= 2 and all(b["pu"] == a["u"] for a, b in zip(heard, heard[1:], strict=False))


def test_a23_a_revoked_key_is_nobody(usdm: RunningUsdm) -> None:
    usdm.fault("A23", account=1)
    assert usdm.call("GET", "/fapi/v3/balance", account=1)[1]["code"] == -2015


def test_a13_those_who_do_not_wait_are_banned(usdm: RunningUsdm) -> None:
    usdm.fault("A13", count=11)
    answers = [usdm.call("GET", "/fapi/v1/ping", signed=False) for _ in range(12)]
    assert [answer[0] for answer in answers] == [429] * 10 + [418] * 2
    usdm.fault("A14", skew_ms=180_000)
    assert usdm.call("GET", "/fapi/v1/ping", signed=False)[0] == 200
