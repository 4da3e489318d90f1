"""Answers on the WS API: accepted, refused, or unknown.

Rules
-----
* The request id carries the order (`client_ids.Request`), so an error without a body still finds it.
* An answer about an order of ours that cannot be understood is ORDER_UNKNOWN, never an error: the venue may have
  done it.
* Fills listed in an answer are left to the user stream, which numbers and never repeats them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.contracts import reasons
from engine.contracts.errors import Unknown
from engine.contracts.records import CANCEL_ACK, CANCEL_REJECT, ORDER_ACK, ORDER_REJECT, ORDER_UNKNOWN
from engine.venues.binance.asides import Fault, Reply
from engine.venues.binance.client_ids import CANCEL, PLACE, Request
from engine.venues.binance.decimals import time_ns
from engine.venues.binance.faults import Verdict, verdict
from engine.venues.binance.market_messages import Int64, Stamp
from engine.venues.binance.slate import Slate
from engine.venues.undecodable import Undecodable, shown

RequestId = str | Int64 | None


class ErrorData(msgspec.Struct):
    """What an error adds: when to come back, or the two halves of a cancelReplace."""

    retryAfter: Int64 | None = None
    cancelResult: str | None = None
    newOrderResult: str | None = None
    cancelResponse: msgspec.Raw = msgspec.Raw(b"null")
    newOrderResponse: msgspec.Raw = msgspec.Raw(b"null")


class ErrorBody(msgspec.Struct):
    """`{"code":-2010,"msg":"Account has insufficient balance for requested action."}`"""

    code: Int64
    msg: str = ""
    data: ErrorData | None = None


class OrderResult(msgspec.Struct):
    """What an accepted place or cancel returns; the algo API uses algoId and clientAlgoId."""

    orderId: Int64 | None = None
    algoId: Int64 | None = None
    clientOrderId: str | None = None
    origClientOrderId: str | None = None
    clientAlgoId: str | None = None
    transactTime: Stamp | None = None
    updateTime: Stamp | None = None


class ReplaceResult(msgspec.Struct):
    """An accepted cancelReplace."""

    cancelResponse: OrderResult
    newOrderResponse: OrderResult


_ERROR: Final = msgspec.json.Decoder(ErrorBody)
_ORDER: Final = msgspec.json.Decoder(OrderResult)
_REPLACE: Final = msgspec.json.Decoder(ReplaceResult)
_NO_VERDICT: Final = Verdict(0, Unknown)


def read_reply(slate: Slate, request_id: RequestId, status: int, result: bytes, error: bytes) -> None:
    """Records and asides of one answer. `status` 0: the message has none (market streams answer without)."""
    request = Request.decode(request_id)
    if request is not None and not _is_known(slate, request):
        raise Undecodable(
            f"answer {shown(request_id)} is about instrument {request.instrument}, which is not loaded here"
        )
    try:
        if error:
            _read_error(slate, request_id, request, status, _ERROR.decode(error))
        elif request is not None and 200 <= status < 300:
            _read_accepted(slate, request, result)
        elif request is not None:
            _unknown(slate, request)
        else:
            slate.asides.append(Reply(request_id, status, bytes(result)))
    except (msgspec.MsgspecError, Undecodable):
        if request is None:
            raise
        slate.sheet.count = 0
        _unknown(slate, request)


def _is_known(slate: Slate, request: Request) -> bool:
    return any(market.number == request.instrument for market in slate.markets.values())


def _put(slate: Slate, kind: int, request: Request, client_id: int, code: int, at: int, order_id: int) -> None:
    slate.sheet.put(kind, request.instrument, at, 0, 0, code, client_id, 0, 0, 0, order_id)


def _unknown(slate: Slate, request: Request) -> None:
    for client_id in (request.client_id, request.replaced_id):
        if client_id:
            _put(slate, ORDER_UNKNOWN, request, client_id, 0, slate.sheet.ts_ns, 0)


def _read_accepted(slate: Slate, request: Request, result: bytes) -> None:
    if request.action == PLACE:
        _accept(slate, ORDER_ACK, request, request.client_id, _ORDER.decode(result))
    elif request.action == CANCEL:
        _accept(slate, CANCEL_ACK, request, request.client_id, _ORDER.decode(result))
    else:
        both = _REPLACE.decode(result)
        _accept(slate, CANCEL_ACK, request, request.replaced_id, both.cancelResponse)
        _accept(slate, ORDER_ACK, request, request.client_id, both.newOrderResponse)


def _accept(slate: Slate, kind: int, request: Request, client_id: int, result: OrderResult) -> None:
    order_id = result.orderId if result.orderId is not None else result.algoId
    text = result.origClientOrderId if kind == CANCEL_ACK and result.origClientOrderId else result.clientOrderId
    text = result.clientAlgoId if text is None else text
    if order_id is None or text is None or slate.client_ids.decode(text) != client_id:
        raise Undecodable(f"the answer about order {client_id} names order {shown(text)}")
    stamp = result.transactTime if result.transactTime is not None else result.updateTime
    _put(slate, kind, request, client_id, 0, time_ns(stamp) if stamp is not None else slate.sheet.ts_ns, order_id)


def _read_error(slate: Slate, request_id: RequestId, request: Request | None, status: int, error: ErrorBody) -> None:
    reason, reaction = found = verdict(status, error.code, error.msg)
    after = error.data.retryAfter if error.data is not None and error.data.retryAfter is not None else 0
    if request is not None:
        if error.data is not None and error.data.newOrderResult is not None and request.replaced_id:
            reason, reaction = _read_halves(slate, request, error.data)
        elif reaction is Unknown:
            _unknown(slate, request)
        elif request.action == CANCEL:
            _put(slate, CANCEL_REJECT, request, request.client_id, found.reason, slate.sheet.ts_ns, 0)
        else:
            if request.replaced_id:
                _put(slate, CANCEL_REJECT, request, request.replaced_id, found.reason, slate.sheet.ts_ns, 0)
            _put(slate, ORDER_REJECT, request, request.client_id, found.reason, slate.sheet.ts_ns, 0)
    slate.asides.append(Fault(request_id, request, status, error.code, error.msg, reason, reaction, after))


def _read_halves(slate: Slate, request: Request, data: ErrorData) -> Verdict:
    """A cancelReplace of which at least one half failed. Returns the verdict on the half that did."""
    at = slate.sheet.ts_ns
    cancel, place = _half(data.cancelResult, data.cancelResponse), _half(data.newOrderResult, data.newOrderResponse)
    if cancel is None:
        _accept(slate, CANCEL_ACK, request, request.replaced_id, _ORDER.decode(data.cancelResponse))
    elif cancel.reaction is Unknown:
        _put(slate, ORDER_UNKNOWN, request, request.replaced_id, cancel.reason, at, 0)
    else:
        _put(slate, CANCEL_REJECT, request, request.replaced_id, cancel.reason, at, 0)
    if place is None:
        _accept(slate, ORDER_ACK, request, request.client_id, _ORDER.decode(data.newOrderResponse))
    elif data.newOrderResult == "NOT_ATTEMPTED":
        _put(slate, ORDER_REJECT, request, request.client_id, reasons.REPLACED_ORDER_GONE, at, 0)
    elif place.reaction is Unknown:
        _put(slate, ORDER_UNKNOWN, request, request.client_id, place.reason, at, 0)
    else:
        _put(slate, ORDER_REJECT, request, request.client_id, place.reason, at, 0)
    return cancel or place or _NO_VERDICT


def _half(outcome: str | None, response: msgspec.Raw) -> Verdict | None:
    """None: it succeeded. NOT_ATTEMPTED and anything not understood count as a verdict of their own."""
    if outcome == "SUCCESS":
        return None
    if outcome != "FAILURE":
        return _NO_VERDICT
    error = _ERROR.decode(response)
    return verdict(400, error.code, error.msg)
