"""User streams: documented and recorded order and account events, to the exact records and asides."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from binance_rig import AT_MS, AT_NS, NOW_NS, SPOT, USDM, Rig, filled, fixtures, instrument, spot_event, usdm_event

from engine.contracts import reasons
from engine.contracts.records import ADOPTED, BUY, FEE_IN_BASE, FORCED, MAKER, SELL
from engine.venues.binance.asides import (
    Balance,
    ForeignFee,
    ForeignOrder,
    FundingPaid,
    Holding,
    OrderList,
    StreamEnded,
    Wallet,
    WalletChange,
)
from engine.venues.undecodable import Undecodable

ACKED = {
    "kind": "order_ack", "ts_ns": NOW_NS, "instrument": 1, "client_id": 7, "price_ticks": 250000, "qty_lots": 10000,
    "trigger_ticks": 0, "venue_order_id": 4293153, "venue_ts_ns": AT_NS, "reason": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    "wrap",
    [lambda m: m, lambda m: {"subscriptionId": 0, "event": m}, lambda m: {"stream": "abc", "data": m}],
    ids=["raw", "ws-api", "stream"],
)
def test_an_order_event_is_the_same_in_every_envelope(wrap: Any) -> None:
    assert Rig(SPOT)(wrap(spot_event())) == [ACKED]


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ({"x": "CANCELED", "X": "CANCELED"}, "cancel_ack", 0),
        ({"x": "CANCELED", "X": "CANCELED", "c": "a-web-click", "C": "keel-7"}, "cancel_ack", 0),
        ({"x": "REJECTED", "X": "REJECTED", "r": "GTX_ORDER_REJECT"}, "order_reject", reasons.WOULD_TAKE),
        ({"x": "REJECTED", "X": "REJECTED", "r": "INSUFFICIENT_BALANCE"}, "order_reject", reasons.INSUFFICIENT_BALANCE),
        ({"x": "REJECTED", "X": "REJECTED", "r": "SOMETHING_NEW"}, "order_reject", reasons.VENUE_REFUSED),
        ({"x": "EXPIRED", "X": "EXPIRED", "f": "IOC"}, "order_expired", reasons.NO_LIQUIDITY),
        ({"x": "EXPIRED", "X": "EXPIRED", "o": "MARKET"}, "order_expired", reasons.NO_LIQUIDITY),
        ({"x": "EXPIRED", "X": "EXPIRED"}, "order_expired", 0),  # the other leg of an OCO
        ({"x": "TRADE_PREVENTION", "X": "EXPIRED_IN_MATCH", "l": "0.5"}, "order_expired", reasons.SELF_TRADE),
        ({"x": "TRADE", "X": "EXPIRED"}, "order_expired", 0),  # a trade that traded nothing
        ({"x": "TRADE", "X": "CANCELED"}, "cancel_ack", 0),
    ],
)
def test_how_an_order_ends(change: dict[str, Any], kind: str, reason: int) -> None:
    assert Rig(SPOT)(spot_event(**change)) == [ACKED | {"kind": kind, "reason": reason}]


def test_an_order_that_goes_on_after_trade_prevention_says_nothing() -> None:
    assert Rig(SPOT)(spot_event(x="TRADE_PREVENTION", X="PARTIALLY_FILLED")) == []


def test_a_stop_that_comes_onto_the_book_was_triggered() -> None:
    stop = {"o": "STOP_LOSS_LIMIT", "P": "2450.00", "S": "SELL"}
    rig = Rig(SPOT)
    assert [(r["kind"], r["trigger_ticks"]) for r in rig(spot_event(**stop, w=False))] == [("order_ack", 245000)]
    assert [r["kind"] for r in rig(spot_event(**stop, w=True))] == ["order_ack", "order_triggered"]


FILLED = {
    "kind": "fill", "ts_ns": NOW_NS, "instrument": 1, "venue_ts_ns": AT_NS, "client_id": 7, "side": BUY, "bits": 0,
    "price_ticks": 249950, "qty_lots": 5000, "fee_e8": 0, "trade_id": 98765432,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"n": "1.24975000", "N": "USDT"}, {"fee_e8": 124975000}),
        ({"n": "0.00050000", "N": "ETH", "m": True}, {"fee_e8": 50000, "bits": FEE_IN_BASE | MAKER}),
        ({"n": "-0.00010000", "N": "USDT", "m": True}, {"fee_e8": -10000, "bits": MAKER}),
        ({"n": "0.000000001", "N": "USDT"}, {"fee_e8": 1}),  # finer than 1e-8: against us
        ({"n": "0", "N": None, "S": "SELL"}, {"side": SELL}),
    ],
)
def test_a_fill_and_its_fee(change: dict[str, Any], expected: dict[str, Any]) -> None:
    rig = Rig(SPOT)
    assert rig(filled(**change)) == [FILLED | expected]
    assert rig.asides == []


def test_a_fee_in_a_third_asset_waits_in_an_aside_for_its_price() -> None:
    rig = Rig(SPOT)
    assert rig(filled(n="0.00123456", N="BNB")) == [FILLED]
    assert rig.asides == [ForeignFee(0, 1, 7, 98765432, "BNB", 123456)]
    rig.out["fee_e8"][rig.asides[0].record] = 71_234
    assert rig.out[0].fee_e8 == 71_234


def test_a_fill_that_ends_the_order_otherwise_says_both() -> None:
    got = Rig(SPOT)(filled(X="EXPIRED_IN_MATCH", n="0"))
    assert [(r["kind"], r.get("reason")) for r in got] == [("fill", None), ("order_expired", reasons.SELF_TRADE)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"L": "0.00000000"}, "price 0.00000000 is absurd"),
        ({"L": "2499.505"}, "not a whole number of ticks"),
        ({"l": "0.00001"}, "not a whole number of lots of 0.0001"),
        ({"n": "1", "N": None}, "names no asset"),
        ({"n": "NaN", "N": "USDT"}, "fee 'NaN'"),
        ({"x": "EXPLODED"}, "execution EXPLODED"),
        ({"X": "VAPORISED"}, "status VAPORISED"),
        ({"S": "HOLD"}, "side HOLD"),
        ({"s": "XRPUSDT"}, "XRPUSDT"),
        ({"i": None}, "Expected `int`"),
    ],
)
def test_an_order_event_that_cannot_be_believed(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Undecodable, match=said):
        Rig(SPOT)(filled(**change))


def test_a_foreign_order_is_an_aside_and_no_record() -> None:
    rig = Rig(SPOT)
    assert rig(filled(c="web_123", N="BNB", n="1")) == []
    one, half = Decimal("1.00000000"), Decimal("0.5000")
    assert rig.asides == [
        ForeignOrder(
            1, "web_123", 4293153, "TRADE", "FILLED", BUY, one, Decimal("2500.00000000"), half, Decimal("2499.50"),
            98765432, AT_NS,
        )
    ]  # fmt: skip
    for other in ("", "keel-", "keel-07", "keel-7x", "keeler-7", "KEEL-7", "keel-9223372036854775808"):
        assert rig(spot_event(c=other)) == [] and isinstance(rig.asides[0], ForeignOrder)


def test_usdm_orders_and_fills() -> None:
    rig = Rig(USDM)
    acked = rig(usdm_event(o="STOP", sp="9920.0"))
    assert [(r["kind"], r["client_id"], r["price_ticks"], r["trigger_ticks"]) for r in acked] == [
        ("order_ack", 7, 99105, 99200)
    ]
    fill = rig(usdm_event(x="TRADE", X="FILLED", l="0.001", L="9910.6", n="0.00495530", N="USDT", t=5, m=True))
    assert fill == [
        {
            "kind": "fill", "ts_ns": NOW_NS, "instrument": 0, "venue_ts_ns": AT_NS, "client_id": 7, "side": SELL,
            "bits": MAKER, "price_ticks": 99106, "qty_lots": 1, "fee_e8": 495530, "trade_id": 5,
        }
    ]  # fmt: skip
    expired = rig(usdm_event(x="EXPIRED", X="EXPIRED", f="GTX"))
    assert [(r["kind"], r["reason"]) for r in expired] == [("order_expired", reasons.WOULD_TAKE)]


@pytest.mark.parametrize("text", ["autoclose-123", "adl_autoclose", "settlement_autoclose-1", "delivery_autoclose-1"])
def test_a_forced_close_is_a_forced_fill_rounded_against_us(text: str) -> None:
    rig = Rig(USDM)
    event = usdm_event(c=text, x="CALCULATED", X="FILLED", l="0.014", L="9910.12", n="0.06937084", N="USDT", t=9)
    got = rig(event)[0]
    assert (got["kind"], got["client_id"], got["bits"], got["price_ticks"]) == ("fill", 0, FORCED, 99101)
    event["o"] |= {"S": "BUY"}
    assert rig(event)[0]["price_ticks"] == 99102
    assert rig(usdm_event(c=text)) == [] and rig.asides == [], "the venue's own order is no news, its fill is"


def test_a_stand_ins_fill_is_adopted_as_it_is_and_its_order_no_news() -> None:
    rig = Rig(USDM)
    name = "keelw-1764338400000001"
    got = rig(usdm_event(c=name, x="TRADE", X="FILLED", l="0.014", L="9910.10", n="0.069", N="USDT", t=9))[0]
    assert (got["kind"], got["client_id"], got["bits"], got["trade_id"]) == ("fill", 0, ADOPTED, 9)
    assert (got["price_ticks"], got["qty_lots"], got["fee_e8"], got["side"]) == (99101, 14, 6_900_000, SELL)
    for quiet in ({"x": "NEW", "X": "NEW"}, {"x": "CANCELED", "X": "CANCELED"}, {"x": "EXPIRED", "X": "EXPIRED"}):
        assert rig(usdm_event(c=name, **quiet)) == [] and rig.asides == []
    spot = Rig(SPOT)
    assert spot(spot_event(c=name)) == [] and spot.asides == []
    assert Rig(USDM)(algo(caid=name)) == []


def algo(**change: Any) -> dict[str, Any]:
    """ALGO_UPDATE as documented, about conditional order 8 of ours unless said otherwise."""
    order = {
        "caid": "keel-8", "aid": 2148719, "at": "CONDITIONAL", "o": "STOP_MARKET", "s": "BNBUSDT", "S": "SELL",
        "ps": "BOTH", "f": "GTC", "q": "0.01", "X": "NEW", "ai": "", "ap": "0.00000", "aq": "0.00000", "act": "0",
        "tp": "750", "p": "0", "V": "EXPIRE_MAKER", "wt": "CONTRACT_PRICE", "pm": "NONE", "cp": False, "pP": False,
        "R": True, "tt": 0, "gtd": 0, "rm": "",
    } | change  # fmt: skip
    return {"e": "ALGO_UPDATE", "T": AT_MS, "E": AT_MS + 3, "o": order}


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ({}, "order_ack", 0),
        ({"X": "CANCELED"}, "cancel_ack", 0),
        ({"X": "EXPIRED"}, "order_expired", 0),
        ({"X": "REJECTED", "rm": "Reduce Only reject"}, "order_reject", reasons.REDUCE_ONLY_REJECTED),
        ({"X": "TRIGGERED", "ai": "88"}, "order_triggered", 0),
        ({"X": "FINISHED", "ai": "88", "aq": "0.00"}, "order_expired", 0),
        ({"X": "FINISHED", "ai": "88", "aq": "0.01"}, None, 0),
        ({"X": "TRIGGERING"}, None, 0),
    ],
)
def test_conditional_orders(change: dict[str, Any], kind: str | None, reason: int) -> None:
    expected = {
        "kind": kind, "ts_ns": NOW_NS, "instrument": 3, "client_id": 8, "price_ticks": 0, "qty_lots": 1,
        "trigger_ticks": 75000, "venue_order_id": 2148719, "venue_ts_ns": AT_NS, "reason": reason,
    }  # fmt: skip
    assert Rig(USDM)(algo(**change)) == ([expected] if kind else [])


def test_the_order_a_stop_turned_into_is_ours_even_under_a_foreign_name() -> None:
    rig = Rig(USDM)
    child = usdm_event(s="BNBUSDT", c="x-algo", i=88, q="0.01", p="0", x="TRADE", X="FILLED", l="0.01", L="749.90", t=5)
    assert rig(child) == [] and isinstance(rig.asides[0], ForeignOrder)
    rig(algo(X="TRIGGERED", ai="88"))
    assert [(r["kind"], r["client_id"]) for r in rig(child)] == [("fill", 8)]


def test_a_foreign_conditional_order_is_an_aside() -> None:
    rig = Rig(USDM)
    assert rig(algo(caid="Q5xaq5EG")) == []
    assert rig.asides[0].execution == "ALGO" and rig.asides[0].client_text == "Q5xaq5EG"


def account(cause: str, positions: list[dict[str, str]]) -> dict[str, Any]:
    balances = [{"a": "USDT", "wb": "122624.12345678", "cw": "100.1", "bc": "-0.50125"}]
    return {"e": "ACCOUNT_UPDATE", "E": AT_MS, "T": AT_MS, "a": {"m": cause, "B": balances, "P": positions}}


def test_account_updates_are_wallets_and_funding_is_a_record_where_it_names_its_position() -> None:
    rig = Rig(USDM)
    eth = {"s": "ETHUSDT", "pa": "-10", "ep": "6563.8", "ps": "BOTH"}
    assert rig(account("ORDER", [eth, eth | {"s": "XYZUSDT"}])) == []
    usdt = Balance("USDT", Decimal("122624.12345678"), Decimal(0))
    held = (Holding("ETHUSDT", 1, Decimal(-10), "BOTH"), Holding("XYZUSDT", None, Decimal(-10), "BOTH"))
    assert rig.asides == [Wallet(AT_NS, "ORDER", (usdt,), held)]
    paid = rig(account("FUNDING_FEE", [eth]))
    assert [(r["kind"], r["instrument"], r["amount_e8"], r["rate_e12"]) for r in paid] == [("funding", 1, -50125000, 0)]
    assert rig(account("FUNDING_FEE", [])) == []
    assert rig.asides[0] == FundingPaid(AT_NS, "USDT", -50125000)


def test_spot_wallets_lists_and_streams_that_end() -> None:
    rig = Rig(SPOT)
    position = {"e": "outboundAccountPosition", "E": 1, "u": AT_MS, "B": [{"a": "ETH", "f": "10000.0", "l": "0.5"}]}
    assert rig({"subscriptionId": 0, "event": position}) == []
    balances = (Balance("ETH", Decimal("10000.0"), Decimal("0.5")),)
    assert rig.asides == [Wallet(AT_NS, "outboundAccountPosition", balances, ())]
    rig({"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "-100.0", "T": AT_MS})
    assert rig.asides == [WalletChange(AT_NS, "BTC", Decimal(-100))]
    rig({
        "e": "listStatus", "E": 1, "s": "ETHUSDT", "g": 2, "c": "OCO", "l": "EXEC_STARTED", "L": "EXECUTING",
        "r": "NONE", "C": "F4QN", "T": AT_MS, "O": [],
    })  # fmt: skip
    assert rig.asides == [OrderList(AT_NS, 1, 2, "F4QN", "EXEC_STARTED", "EXECUTING")]
    rig({"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1}})
    assert rig.asides == [StreamEnded("eventStreamTerminated")]


def test_every_recorded_user_event_is_understood() -> None:
    """All fixtures of both libraries' folders: foreign ids, so asides; forced closes are records."""
    pairs = ("BTC/USDT", "ETH/USDT", "DOGE/USDT", "BNB/USDT", "ETH/BTC", "BNB/BTC", "BTC/USD")
    fine = [instrument(pair, "0.00000001", "0.00000001") for pair in pairs]
    rigs = {"spot": Rig(fine), "futures": Rig(fine)}
    seen = forced = 0
    for part in ("ws_messages/ws_", "user_data_json/"):
        for name, message in fixtures(part).items():
            is_futures = "futures" in name or "stream" not in message and _is_usdm(message)
            if "delivery" in name:
                continue  # a coin-margined contract
            records = rigs["futures" if is_futures else "spot"](message)
            seen += 1
            forced += sum(1 for r in records if r["kind"] == "fill")
            assert all(r["client_id"] == 0 for r in records if r["kind"] == "fill"), name
    assert seen > 50
    assert forced == 9


def _is_usdm(message: dict[str, Any]) -> bool:
    return message.get("e") in ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ALGO_UPDATE", "TRADE_LITE")
