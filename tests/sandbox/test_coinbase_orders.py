"""Orders over REST: every configuration, every reason to fail, lists with cursors, and two wallets on one book."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from running_coinbase import V3, RunningCoinbase

GTC, MARKET, STOP = "limit_limit_gtc", "market_market_ioc", "stop_limit_stop_limit_gtc"


@pytest.fixture(scope="module")
def running() -> Iterator[RunningCoinbase]:
    started = RunningCoinbase(accounts=2)
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def tidy(running: RunningCoinbase) -> Iterator[None]:
    yield
    open_ones = running.ask("/orders/historical/batch", order_status="OPEN")["orders"]
    if open_ones:
        running.send("POST", f"{V3}/orders/batch_cancel", {"order_ids": [one["order_id"] for one in open_ones]})


def low(running: RunningCoinbase, share: float = 0.9) -> str:
    return f"{running.touch()[0] * share:.2f}"


def iso(running: RunningCoinbase, seconds: float) -> str:
    return datetime.fromtimestamp(running.floor.clock.now_ms() / 1000 + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_limit_order_rests_holds_and_is_cancelled(running: RunningCoinbase) -> None:
    price = low(running)
    number = running.placed("BUY", GTC, base_size="0.01", limit_price=price, post_only=True, name="mine")
    one = running.named(number)
    assert one["status"] == "OPEN" and one["time_in_force"] == "GOOD_UNTIL_CANCELLED" and one["order_type"] == "LIMIT"
    assert one["order_configuration"] == {GTC: {"base_size": "0.01", "limit_price": price, "post_only": True}}
    held = float(price) * 0.01 * 1.001
    assert float(one["outstanding_hold_amount"]) == pytest.approx(held)
    assert running.wallets()["USD"] == (pytest.approx(10_000 - held), pytest.approx(held))
    status, body, _ = running.send("POST", f"{V3}/orders/batch_cancel", {"order_ids": [number, number, "nobody"]})
    assert (status, [(r["success"], r["failure_reason"]) for r in body["results"]]) == (
        200, [(True, "UNKNOWN_CANCEL_FAILURE_REASON"), (False, "UNKNOWN_CANCEL_ORDER"), (False, "UNKNOWN_CANCEL_ORDER")]
    )  # fmt: skip
    assert running.named(number)["status"] == "CANCELLED" and running.wallets()["USD"] == (10_000, 0)


def test_the_same_client_order_id_is_the_same_order(running: RunningCoinbase) -> None:
    price = low(running)
    first = running.new_order("BUY", GTC, name="once", base_size="0.01", limit_price=price)
    again = running.new_order("BUY", GTC, name="once", base_size="0.02", limit_price=price)
    assert first == again and first["success_response"]["client_order_id"] == "once"
    assert running.wallets()["USD"][1] < float(price) * 0.011
    failed = running.new_order("BUY", GTC, name="twice", base_size="9000", limit_price=price)
    assert failed["error_response"]["error"] == "INSUFFICIENT_FUND"
    assert running.new_order("BUY", GTC, name="twice", base_size="0.01", limit_price=price)["success"]


def test_money_spent_by_quote_size_includes_the_fee(running: RunningCoinbase) -> None:
    before = running.wallets()
    number = running.placed("BUY", MARKET, quote_size="250")
    one = running.named(number)
    after = running.wallets()
    spent = before["USD"][0] - after["USD"][0]
    assert one["status"] == "FILLED" and one["size_inclusive_of_fees"] and one["settled"]
    assert 249 < spent <= 250 and float(one["total_value_after_fees"]) == pytest.approx(spent, abs=1e-8)
    assert float(one["total_fees"]) == pytest.approx(float(one["filled_value"]) * 0.001, abs=1e-7)
    assert after["BTC"][0] - before.get("BTC", (0, 0))[0] == pytest.approx(float(one["filled_size"]))
    fills = running.ask("/orders/historical/fills", order_id=number)["fills"]
    assert str(len(fills)) == one["number_of_fills"] and {fill["liquidity_indicator"] for fill in fills} == {"TAKER"}
    assert sum(float(fill["commission"]) for fill in fills) == pytest.approx(float(one["total_fees"]))
    mean = float(one["filled_value"]) / float(one["filled_size"])
    assert float(one["average_filled_price"]) == pytest.approx(mean)
    sold = running.named(running.placed("SELL", MARKET, base_size="0.0005"))
    assert sold["side"] == "SELL" and sold["completion_percentage"] == "100"


def test_usdc_pays_for_the_same_book_from_another_wallet(running: RunningCoinbase) -> None:
    assert running.touch("BTC-USD") == running.touch("BTC-USDC")
    before = running.wallets()
    bought = running.named(running.placed("BUY", MARKET, product="BTC-USDC", base_size="0.001"))
    after = running.wallets()
    assert bought["product_id"] == "BTC-USDC" and after["USD"] == before["USD"]
    assert before["USDC"][0] - after["USDC"][0] == pytest.approx(float(bought["total_value_after_fees"]))
    sold = running.named(running.placed("SELL", MARKET, base_size="0.001"))  # the coins know no dollar
    assert sold["product_id"] == "BTC-USD" and sold["status"] == "FILLED"
    assert running.wallets()["USD"][0] > after["USD"][0]
    products = running.ask("/products/BTC-USDC")
    assert products["alias"] == "BTC-USD" and running.ask("/products/BTC-USD")["alias_to"] == ["BTC-USDC"]


def test_immediate_orders_rest_never(running: RunningCoinbase) -> None:
    price = low(running, 0.999)
    ioc = running.named(running.placed("BUY", "sor_limit_ioc", base_size="0.01", limit_price=price))
    fok = running.named(running.placed("BUY", "limit_limit_fok", base_size="0.01", limit_price=price))
    assert [(one["status"], one["time_in_force"]) for one in (ioc, fok)] == [
        ("CANCELLED", "IMMEDIATE_OR_CANCEL"), ("CANCELLED", "FILL_OR_KILL")
    ]  # fmt: skip
    running.advance(50)
    ask = f"{running.touch()[1]:.2f}"
    assert (
        running.named(running.placed("BUY", "limit_limit_fok", base_size="0.001", limit_price=ask))["status"]
        == "FILLED"
    )


def test_a_good_until_order_ends_by_itself(running: RunningCoinbase) -> None:
    fields = {"base_size": "0.01", "limit_price": low(running), "end_time": iso(running, 0.2)}
    number = running.placed("BUY", "limit_limit_gtd", **fields)
    token = running.websocket_token()
    heard = running.hear(
        [{"type": "subscribe", "channel": "user", "product_ids": ["BTC-USD"], "jwt": token}],
        lambda said: any(one["status"] == "EXPIRED" for m in said for e in m["events"] for one in e.get("orders", [])),
    )
    assert heard[-1]["events"][0]["orders"][0]["order_id"] == number
    assert (
        running.named(number)["status"] == "EXPIRED"
        and running.named(number)["time_in_force"] == "GOOD_UNTIL_DATE_TIME"
    )


def test_a_stop_waits_and_is_triggered(running: RunningCoinbase) -> None:
    running.placed("BUY", MARKET, base_size="0.002")
    bid = running.touch()[0]
    fields = {"base_size": "0.001", "limit_price": f"{bid * 0.9:.2f}", "stop_direction": "STOP_DIRECTION_STOP_DOWN"}
    far = running.placed("SELL", STOP, stop_price=f"{bid * 0.95:.2f}", **fields)
    assert running.named(far)["trigger_status"] == "STOP_PENDING" and running.named(far)["order_type"] == "STOP_LIMIT"
    profit = fields | {"limit_price": f"{bid * 1.2:.2f}", "stop_direction": "STOP_DIRECTION_STOP_UP"}
    assert running.named(running.placed("SELL", STOP, stop_price=f"{bid * 1.1:.2f}", **profit))["status"] == "OPEN"
    last = float(running.ask("/products/BTC-USD")["price"])
    near = running.placed("SELL", STOP, stop_price=f"{last - 1:.2f}", **fields)
    for _ in range(60):
        running.advance(400)
        if running.named(near)["status"] == "FILLED":
            break
    assert running.named(near)["trigger_status"] == "STOP_TRIGGERED" and running.named(far)["status"] == "OPEN"


@pytest.mark.parametrize(
    ("form", "fields", "error", "preview"),
    [
        (GTC, {"base_size": "1", "limit_price": "0.9*"}, "INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND"),
        (GTC, {"base_size": "0.01", "limit_price": "1.1*", "post_only": True}, "INVALID_LIMIT_PRICE_POST_ONLY",
         "PREVIEW_INVALID_LIMIT_PRICE_POST_ONLY"),
        (GTC, {"base_size": "0.0000000001", "limit_price": "1"}, "INVALID_SIZE_PRECISION",
         "PREVIEW_INVALID_SIZE_PRECISION"),
        (GTC, {"base_size": "0", "limit_price": "1"}, "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL"),
        (GTC, {"base_size": "1000000", "limit_price": "1"}, "UNKNOWN_FAILURE_REASON",
         "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE"),
        (GTC, {"base_size": "0.01", "limit_price": "1.001"}, "INVALID_PRICE_PRECISION",
         "PREVIEW_INVALID_PRICE_PRECISION"),
        (GTC, {"base_size": "0.01", "limit_price": "99999999999"}, "UNKNOWN_FAILURE_REASON",
         "PREVIEW_INVALID_PRICE_TOO_LARGE"),
        (GTC, {"base_size": "0.01"}, "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_ORDER_CONFIG"),
        (GTC, {"base_size": "0.01", "limit_price": "0.05*"}, "LIMIT_PRICE_TOO_FAR_FROM_MARKET",
         "PREVIEW_LIMIT_PRICE_TOO_FAR_FROM_MARKET"),
        (MARKET, {"quote_size": "0.5"}, "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"),
        (MARKET, {"quote_size": "10.001"}, "INVALID_SIZE_PRECISION", "PREVIEW_INVALID_QUOTE_SIZE_PRECISION"),
        (MARKET, {"quote_size": "10", "base_size": "1"}, "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_ORDER_CONFIG"),
        (MARKET, {"quote_size": "50000"}, "INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND"),
        (STOP, {"base_size": "0.01", "limit_price": "0.9*", "stop_price": "0.8*"}, "UNKNOWN_FAILURE_REASON",
         "PREVIEW_STOP_PRICE_BELOW_LAST_TRADE_PRICE"),
        (STOP, {"base_size": "0.01", "limit_price": "0.8*", "stop_price": "0.9*"}, "UNKNOWN_FAILURE_REASON",
         "PREVIEW_STOP_PRICE_ABOVE_LIMIT_PRICE"),
        ("limit_limit_gtd", {"base_size": "0.01", "limit_price": "0.9*"}, "GTD_ORDERS_MUST_HAVE_END_TIME",
         "PREVIEW_GTD_ORDERS_MUST_HAVE_END_TIME"),
        ("limit_limit_gtd", {"base_size": "0.01", "limit_price": "0.9*", "end_time": "2020-01-01T00:00:00Z"},
         "END_TIME_IS_IN_THE_PAST", "PREVIEW_END_TIME_IS_IN_THE_PAST"),
        ("trigger_bracket_gtc", {"base_size": "0.01", "limit_price": "0.9*"}, "UNSUPPORTED_ORDER_CONFIGURATION",
         "PREVIEW_INVALID_ORDER_CONFIG"),
    ],
)  # fmt: skip
def test_why_orders_fail(running: RunningCoinbase, form: str, fields: dict[str, Any], error: str, preview: str) -> None:
    bid = running.touch()[0]
    sent: dict[str, Any] = {
        k: f"{bid * float(v[:-1]):.2f}" if isinstance(v, str) and v.endswith("*") else v for k, v in fields.items()
    }
    before = running.wallets()
    answer = running.new_order("BUY", form, **sent)
    assert answer["success"] is False and answer["order_configuration"] == {form: sent}
    found = answer["error_response"]
    assert (found["error"], found["preview_failure_reason"]) == (error, preview)
    assert set(found) == {"error", "message", "error_details", "preview_failure_reason"}
    assert running.wallets() == before


def test_requests_that_are_none(running: RunningCoinbase) -> None:
    good = {
        "client_order_id": "x",
        "product_id": "BTC-USD",
        "side": "BUY",
        "order_configuration": {MARKET: {"quote_size": "9"}},
    }
    for change, details in (
        ({"client_order_id": ""}, "client_order_id is required"),
        ({"product_id": "FOO-USD"}, "valid product_id is required"),
        ({"order_configuration": {}}, "order_configuration is required"),
    ):  # fmt: skip
        status, body, _ = running.send("POST", f"{V3}/orders", good | change)
        assert (status, body) == (400, {"error": "INVALID_ARGUMENT", "error_details": details, "message": details})
    assert running.send("POST", f"{V3}/orders", good | {"retail_portfolio_id": str(uuid.uuid4())})[0] == 403
    assert running.send("POST", f"{V3}/orders", good | {"side": "HOLD"})[1]["error_response"]["error"] == "INVALID_SIDE"
    status, body, _ = running.send("GET", f"{V3}/orders/historical/{uuid.uuid4()}")
    assert (status, body["message"]) == (404, "order with this orderID was not found")
    assert running.send("GET", f"{V3}/orders/historical/batch", order_status=["OPEN", "FILLED"])[0] == 400
    assert running.send("POST", f"{V3}/orders/batch_cancel", {})[0] == 400
    assert running.send("GET", f"{V3}/products/FOO-USD")[0] == 404
    assert running.send("GET", f"{V3}/intx/positions/x")[0] == 404


@pytest.mark.parametrize(
    "nasty", ["²", "\n", "%0d%0aX: y", "NaN", "-1", "1e5", "9" * 40, "ß" * 300, "../..", "null", "{}"]
)
def test_nothing_a_client_sends_breaks_anything(running: RunningCoinbase, nasty: str) -> None:
    fields = {"base_size": nasty, "limit_price": nasty, "stop_price": nasty, "end_time": nasty}
    for form in ("limit_limit_gtc", "market_market_ioc", "stop_limit_stop_limit_gtd", nasty):
        order = {
            "client_order_id": nasty,
            "product_id": "BTC-USD",
            "side": "BUY",
            "order_configuration": {form: fields},
        }
        answer = running.send("POST", f"{V3}/orders", order)[1]
        assert answer.get("error") == "INVALID_ARGUMENT" or answer["success"] is False
    answers = [
        running.send("POST", f"{V3}/orders/batch_cancel", {"order_ids": [nasty, 1, None]}),
        running.send("GET", f"{V3}/orders/historical/batch", limit=nasty, start_date=nasty, cursor=nasty),
        running.send("GET", f"{V3}/accounts", cursor=nasty, limit=nasty),
        running.send("GET", f"{V3}/products/BTC-USD/candles", granularity=nasty, start=nasty, end=nasty),
        running.send("GET", f"{V3}/product_book", product_id=nasty),
        running.send("GET", f"{V3}/products/{quote(nasty)}", token="Bearer a.b.c"),
    ]
    assert all(status < 500 for status, _, _ in answers), answers


def test_lists_are_filtered_and_paged(running: RunningCoinbase) -> None:
    price, low_eth = low(running), f"{running.touch('ETH-USD')[0] * 0.9:.0f}"
    ids = [running.placed("BUY", GTC, base_size="0.001", limit_price=price) for _ in range(5)]
    other = running.placed("BUY", GTC, product="ETH-USD", base_size="0.01", limit_price=low_eth)
    first = running.ask("/orders/historical/batch", order_status="OPEN", product_ids="BTC-USD", limit=3)
    assert [one["order_id"] for one in first["orders"]] == ids[:1:-1] and first["has_next"]
    rest = running.ask("/orders/historical/batch", order_status="OPEN", product_ids="BTC-USD", cursor=first["cursor"])
    assert [one["order_id"] for one in rest["orders"]] == ids[1::-1] and not rest["has_next"] and rest["cursor"] == ""
    assert [o["order_id"] for o in running.ask("/orders/historical/batch", order_ids=[other, ids[0]])["orders"]] == [
        other,
        ids[0],
    ]
    assert running.ask("/orders/historical/batch", order_status="OPEN", order_side="SELL")["orders"] == []
    assert running.ask("/orders/historical/batch", start_date=iso(running, 60))["orders"] == []
    fills = running.ask("/orders/historical/fills", limit=1)
    assert len(fills["fills"]) == 1 and fills["cursor"]
    more = running.ask("/orders/historical/fills", cursor=fills["cursor"], limit=1)["fills"]
    assert more[0]["entry_id"] != fills["fills"][0]["entry_id"]


def test_a_preview_is_no_order(running: RunningCoinbase) -> None:
    before = running.ask("/orders/historical/batch")["orders"]
    wanted = {"product_id": "BTC-USD", "side": "BUY", "order_configuration": {MARKET: {"base_size": "0.01"}}}
    found = running.send("POST", f"{V3}/orders/preview", wanted)[1]
    ask = running.touch()[1]
    assert found["errs"] == [] and float(found["order_total"]) == pytest.approx(0.01 * ask * 1.001)
    wanted["order_configuration"] = {MARKET: {"base_size": "5"}}
    assert running.send("POST", f"{V3}/orders/preview", wanted)[1]["errs"] == ["PREVIEW_INSUFFICIENT_FUND"]
    assert running.ask("/orders/historical/batch")["orders"] == before
