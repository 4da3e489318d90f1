"""Answers on the WS API, and the table of error codes: one reaction each."""

from __future__ import annotations

from typing import Any

import pytest
from binance_rig import SPOT, USDM, Rig

from engine.contracts import reasons
from engine.contracts.errors import Fatal, KeelError, Refused, Retryable, Unknown
from engine.venues.binance.asides import Fault, Reply
from engine.venues.binance.client_ids import CANCEL, PLACE, REPLACE, Request
from engine.venues.binance.faults import ERRORS, STATUSES, Verdict, verdict
from engine.venues.undecodable import Undecodable

PLACED = Request(PLACE, 1, 7)
CANCELLED = Request(CANCEL, 1, 7)
REPLACED = Request(REPLACE, 1, 8, 7)
AT = 1660801715639


def placed(**change: Any) -> dict[str, Any]:
    return {
        "symbol": "ETHUSDT",
        "orderId": 125,
        "orderListId": -1,
        "clientOrderId": "keel-7",
        "transactTime": AT,
    } | change


def cancelled(**change: Any) -> dict[str, Any]:
    own = {"origClientOrderId": "keel-7", "clientOrderId": "91fe37ce9e69c90d6358c0", "status": "CANCELED"}
    return placed(**own) | change


def answer(request: Request | str | int, status: int, **body: Any) -> dict[str, Any]:
    return {
        "id": request.encode() if isinstance(request, Request) else request,
        "status": status,
        "rateLimits": [],
    } | body


def refused(request: Request | str, status: int, code: int, message: str = "", data: Any = None) -> dict[str, Any]:
    return answer(request, status, error={"code": code, "msg": message} | ({"data": data} if data else {}))


def told(records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(r["kind"], r["client_id"], r["reason"], r["venue_order_id"]) for r in records]


def test_an_accepted_order_is_acknowledged() -> None:
    rig = Rig(SPOT)
    got = rig(answer(PLACED, 200, result=placed()))
    assert told(got) == [("order_ack", 7, 0, 125)]
    assert (got[0]["instrument"], got[0]["venue_ts_ns"]) == (1, AT * 1_000_000)


def test_usdm_answers_and_algo_answers() -> None:
    rig = Rig(USDM)
    usdm = placed(updateTime=5, status="NEW")
    usdm.pop("transactTime")
    assert told(rig(answer(PLACED, 200, result=usdm))) == [("order_ack", 7, 0, 125)]
    algo = {"algoId": 2146760, "clientAlgoId": "keel-7", "algoType": "CONDITIONAL", "createTime": 1}
    assert told(rig(answer(PLACED, 200, result=algo))) == [("order_ack", 7, 0, 2146760)]


def test_a_cancel_and_a_replacement() -> None:
    rig = Rig(SPOT)
    assert told(rig(answer(CANCELLED, 200, result=cancelled()))) == [("cancel_ack", 7, 0, 125)]
    both = {
        "cancelResult": "SUCCESS", "newOrderResult": "SUCCESS", "cancelResponse": cancelled(),
        "newOrderResponse": placed(clientOrderId="keel-8", orderId=126),
    }  # fmt: skip
    assert told(rig(answer(REPLACED, 200, result=both))) == [("cancel_ack", 7, 0, 125), ("order_ack", 8, 0, 126)]


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "reason", "reaction"),
    [
        (400, -2010, "Account has insufficient balance.", "order_reject", reasons.INSUFFICIENT_BALANCE, Refused),
        (400, -2010, "Order would immediately match and take.", "order_reject", reasons.WOULD_TAKE, Refused),
        (400, -2010, "Stop price would trigger immediately.", "order_reject", reasons.WOULD_TRIGGER, Refused),
        (400, -2010, "Duplicate order sent.", "order_reject", reasons.DUPLICATE_CLIENT_ID, Refused),
        (400, -1013, "Filter failure: MIN_NOTIONAL", "order_reject", reasons.MIN_NOTIONAL, Refused),
        (400, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE", "order_reject", reasons.PERCENT_PRICE, Refused),
        (400, -4164, "Order's notional must be no smaller than 5", "order_reject", reasons.MIN_NOTIONAL, Refused),
        (400, -4120, "Order type not supported for this endpoint.", "order_reject", reasons.OTHER_ORDER_BOOK, Refused),
        (400, -2021, "Order would immediately trigger.", "order_reject", reasons.WOULD_TRIGGER, Refused),
        (400, -1021, "Timestamp ... outside of the recvWindow.", "order_reject", reasons.CLOCK_SKEW, Retryable),
        (429, -1003, "Too many requests; current limit ...", "order_reject", reasons.RATE_LIMITED, Retryable),
        (418, -1003, "Way too many requests; IP banned.", "order_reject", reasons.RATE_LIMITED, Retryable),
        (503, -1008, "Server is currently overloaded.", "order_reject", reasons.RATE_LIMITED, Retryable),
        (401, -2015, "Invalid API-key, IP, or permissions for action.", "order_reject", reasons.KEY_REFUSED, Fatal),
        (400, -9999, "Something nobody documented", "order_reject", reasons.VENUE_REFUSED, Refused),
        (500, -1000, "An unknown error occurred", "order_unknown", 0, Unknown),
        (400, -1007, "Timeout waiting for response from backend server.", "order_unknown", 0, Unknown),
        (400, -1006, "An unexpected response was received", "order_unknown", 0, Unknown),
        (503, -2010, "even a refusal is not believed with a 5xx", "order_unknown", 0, Unknown),
    ],
)  # fmt: skip
def test_an_order_not_accepted(
    status: int, code: int, message: str, kind: str, reason: int, reaction: type[KeelError]
) -> None:
    rig = Rig(SPOT)
    assert told(rig(refused(PLACED, status, code, message))) == [(kind, 7, reason, 0)]
    (fault,) = rig.asides
    assert (fault.request, fault.code, fault.message, fault.reaction) == (PLACED, code, message, reaction)


def test_a_refused_cancel() -> None:
    rig = Rig(SPOT)
    assert told(rig(refused(CANCELLED, 400, -2011, "Unknown order sent."))) == [
        ("cancel_reject", 7, reasons.UNKNOWN_ORDER, 0)
    ]
    assert told(rig(refused(CANCELLED, 502, -1001))) == [("order_unknown", 7, 0, 0)]


def test_when_to_come_back_is_told() -> None:
    rig = Rig(SPOT)
    rig(refused(PLACED, 418, -1003, "banned", {"serverTime": 1, "retryAfter": 1659146400000}))
    assert rig.asides[0].retry_after_ms == 1659146400000


NOT_THERE = {"code": -2011, "msg": "Unknown order sent."}
WOULD_TAKE = {"code": -2010, "msg": "Order would immediately match and take."}


def halves(cancel: str, place: str, cancel_response: Any, place_response: Any) -> dict[str, Any]:
    return {
        "cancelResult": cancel, "newOrderResult": place, "cancelResponse": cancel_response,
        "newOrderResponse": place_response,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "data", "expected", "reason"),
    [
        (
            400, -2022, halves("FAILURE", "NOT_ATTEMPTED", NOT_THERE, None),
            [("cancel_reject", 7, reasons.UNKNOWN_ORDER, 0), ("order_reject", 8, reasons.REPLACED_ORDER_GONE, 0)],
            reasons.UNKNOWN_ORDER,
        ),
        (
            409, -2021, halves("SUCCESS", "FAILURE", cancelled(), WOULD_TAKE),
            [("cancel_ack", 7, 0, 125), ("order_reject", 8, reasons.WOULD_TAKE, 0)],
            reasons.WOULD_TAKE,
        ),
        (
            409, -2021, halves("FAILURE", "SUCCESS", NOT_THERE, placed(clientOrderId="keel-8")),
            [("cancel_reject", 7, reasons.UNKNOWN_ORDER, 0), ("order_ack", 8, 0, 125)],
            reasons.UNKNOWN_ORDER,
        ),
        (
            400, -2022, halves("FAILURE", "FAILURE", NOT_THERE, {"code": -1007, "msg": ""}),
            [("cancel_reject", 7, reasons.UNKNOWN_ORDER, 0), ("order_unknown", 8, reasons.VENUE_REFUSED, 0)],
            reasons.UNKNOWN_ORDER,
        ),
        (
            429, -1015, None,
            [("cancel_reject", 7, reasons.RATE_LIMITED, 0), ("order_reject", 8, reasons.RATE_LIMITED, 0)],
            reasons.RATE_LIMITED,
        ),
        (500, -1000, None, [("order_unknown", 8, 0, 0), ("order_unknown", 7, 0, 0)], reasons.VENUE_REFUSED),
    ],
    ids=["cancel failed", "new failed", "only new", "both failed", "rate", "5xx"],
)  # fmt: skip
def test_a_replacement_of_which_a_half_failed(
    status: int, code: int, data: Any, expected: list[tuple[Any, ...]], reason: int
) -> None:
    rig = Rig(SPOT)
    assert told(rig(refused(REPLACED, status, code, "Order cancel-replace failed.", data))) == expected
    assert rig.asides[0].reason == reason


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"result": None},
        {"result": {"orderId": "125"}},
        {"result": {"orderId": 125}},
        {"result": placed(clientOrderId="keel-9")},
        {"result": placed(clientOrderId="web_1")},
        {"error": {"msg": "no code"}},
        {"error": "gone"},
    ],
)
def test_an_answer_nobody_understands_leaves_the_order_unknown(body: dict[str, Any]) -> None:
    assert told(Rig(SPOT)(answer(PLACED, 200, **body))) == [("order_unknown", 7, 0, 0)]


def test_answers_about_something_else_are_passed_on() -> None:
    rig = Rig(SPOT)
    assert rig(answer("logon", 200, result={"apiKey": "v"})) == []
    assert rig.asides == [Reply("logon", 200, b'{"apiKey": "v"}')]
    assert rig({"result": None, "id": 1}) == []
    assert rig.asides == [Reply(1, 0, b"null")]
    assert rig(refused("logon", 401, -2014, "API-key format invalid.")) == []
    assert rig.asides == [Fault("logon", None, 401, -2014, "API-key format invalid.", reasons.KEY_REFUSED, Fatal, 0)]
    assert rig({"code": 2, "msg": "Invalid request: unknown variant"}) == []
    assert (rig.asides[0].code, rig.asides[0].reaction) == (2, Refused)


def test_an_answer_about_an_instrument_not_loaded_is_an_error() -> None:
    with pytest.raises(Undecodable, match="instrument 9"):
        Rig(SPOT)(answer(Request(PLACE, 9, 7), 200, result=placed()))


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, -1021, Verdict(reasons.CLOCK_SKEW, Retryable)),
        (400, -1003, Verdict(reasons.RATE_LIMITED, Retryable)),
        (400, -2013, Verdict(reasons.UNKNOWN_ORDER, Refused)),
        (0, -2011, Verdict(reasons.UNKNOWN_ORDER, Refused)),
        (403, 0, Verdict(reasons.RATE_LIMITED, Retryable)),
        (504, 0, Verdict(reasons.VENUE_REFUSED, Unknown)),
        (503, -1008, Verdict(reasons.RATE_LIMITED, Retryable)),
    ],
)
def test_the_reaction_to_what_rest_answers(status: int, code: int, expected: Verdict) -> None:
    assert verdict(status, code, "") == expected


def test_every_row_has_one_of_the_four_reactions_and_a_venue_reason() -> None:
    for row in [*ERRORS.values(), *STATUSES.values()]:
        assert row.reaction in (Retryable, Refused, Unknown, Fatal)
        assert 200 <= row.reason < 300 and row.reason in reasons.NAMES


def test_ccxt_agrees_on_the_errors_it_knows() -> None:
    """ccxt's own table as a second opinion: what it calls rate, key, funds or not-found errors, so do we."""
    import ccxt

    same = {
        ccxt.AuthenticationError: (reasons.KEY_REFUSED,),
        ccxt.RateLimitExceeded: (reasons.RATE_LIMITED,),
        ccxt.OrderNotFound: (reasons.UNKNOWN_ORDER,),
        ccxt.InvalidNonce: (reasons.CLOCK_SKEW, reasons.KEY_REFUSED),
        ccxt.InsufficientFunds: (reasons.INSUFFICIENT_BALANCE, reasons.INSUFFICIENT_MARGIN),
        ccxt.OperationFailed: (reasons.VENUE_REFUSED,),
        ccxt.RequestTimeout: (reasons.VENUE_REFUSED,),
    }
    table = ccxt.binance().exceptions["exact"]
    compared = 0
    for code, row in ERRORS.items():
        expected = same.get(table.get(str(code)))
        if expected:
            compared += 1
            assert row.reason in expected, f"{code}: {reasons.name(row.reason)}, ccxt {table[str(code)].__name__}"
    assert compared >= 12


def test_request_ids_fit_and_come_back() -> None:
    request = Request(REPLACE, 65535, 1234567890, 1234567889)
    assert len(request.encode()) <= 36
    assert Request.decode(request.encode()) == request
    assert [Request.decode(x) for x in (None, 7, "", "p-1", "x-1-2-3", "p-1-2-3-4", "p--1-2-3")] == [None] * 7
    assert told(Rig(SPOT)({"id": PLACED.encode(), "status": 504})) == [("order_unknown", 7, 0, 0)]
