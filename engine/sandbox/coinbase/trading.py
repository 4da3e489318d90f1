"""The calls about orders; each takes the floor, the customer and the query, and returns JSON."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final

from engine.sandbox.accounts import Order
from engine.sandbox.coinbase.amounts import plain
from engine.sandbox.coinbase.errors import FAILURES, Failure, HttpError, OrderFailed, invalid_argument, not_found
from engine.sandbox.coinbase.floor import Customer, Draft, Floor
from engine.sandbox.coinbase.order_shapes import SIDES, fill_shape, order_shape, status_of
from engine.sandbox.coinbase.parameters import Query
from engine.sandbox.coinbase.tickets import FORMS, form_of, read_order
from engine.sandbox.exchange import OrderRefused

Json = Any
MOST_CANCELS: Final = 100
UNSAID: Final = "UNKNOWN_CANCEL_FAILURE_REASON"


def create(floor: Floor, customer: Customer, query: Query) -> Json:
    """POST orders. A client order id that was there before returns the order it named."""
    document = query.document()
    _check_portfolio(customer, document.get("retail_portfolio_id"))
    client_id = document.get("client_order_id")
    if not isinstance(client_id, str) or not 1 <= len(client_id) <= 128:
        raise invalid_argument("client_order_id is required")
    given = dict([form_of(document)])
    draft = customer.by_client_id.get(client_id)
    if draft is None:
        try:
            draft, ticket = read_order(floor, customer, document, client_id)
            floor.place(customer, draft, ticket)
        except OrderFailed as error:
            return _failed(error.failure, given)
        except OrderRefused as error:
            return _failed(FAILURES[error.reason], given)
    return {
        "success": True,
        "success_response": {
            "order_id": draft.order_id,
            "product_id": draft.product.product_id,
            "side": SIDES[customer.order_of(draft).side],
            "client_order_id": client_id,
            "attached_order_id": "",
        },
        "order_configuration": {draft.form: draft.configuration},
    }


def _failed(failure: Failure, given: dict[str, Any]) -> Json:
    return {
        "success": False,
        "error_response": {
            "error": failure.error,
            "message": failure.message,
            "error_details": failure.message,
            "preview_failure_reason": failure.preview,
        },
        "order_configuration": given,
    }


def _check_portfolio(customer: Customer, named: object) -> None:
    """A key acts for its own portfolio only."""
    if named not in (None, "", customer.portfolio_id):
        details = "the key is not permitted to act for this portfolio"
        body = {"error": "PERMISSION_DENIED", "error_details": details, "message": details}
        raise HttpError(403, body)


def preview(floor: Floor, customer: Customer, query: Query) -> Json:
    """POST orders/preview: everything but the order. Values and fees are those of the book that stands now."""
    document, errors = query.document(), []
    _check_portfolio(customer, document.get("retail_portfolio_id"))
    lots = value_e8 = fee_e8 = 0
    try:
        _, ticket = read_order(floor, customer, document, str(uuid.uuid4()))
        tape = floor.exchange.tapes[ticket.symbol]
        lots, ticks = ticket.lots, ticket.ticks or (tape.ask_ticks if ticket.side > 0 else tape.bid_ticks)
        value_e8 = tape.cost_e8(ticks, lots) if ticket.side > 0 else tape.value_e8(ticks, lots)
        fee_e8 = -(-value_e8 * int(floor.exchange.filters(tape).taker_fee_e8) // 10**8)
        reason = floor.exchange.refusal(customer.account, ticket)
        errors = [FAILURES[reason].preview] if reason else []
    except OrderFailed as error:
        errors = [error.failure.preview]
    tape = floor.product(document.get("product_id")).tape
    side = 1 if document.get("side") == "BUY" else -1
    return {
        "order_total": plain(value_e8 + side * fee_e8),
        "commission_total": plain(fee_e8),
        "errs": errors,
        "warning": [],
        "quote_size": plain(value_e8),
        "base_size": plain(lots * tape.lot_e8),
        "best_bid": plain(tape.bid_ticks * tape.tick_e8),
        "best_ask": plain(tape.ask_ticks * tape.tick_e8),
        "is_max": False,
        "order_margin_total": "",
        "leverage": "",
        "long_leverage": "",
        "short_leverage": "",
        "slippage": "",
        "preview_id": str(uuid.uuid4()),
    }


def cancel(floor: Floor, customer: Customer, query: Query) -> Json:
    """POST orders/batch_cancel: a result for each id, in the order asked."""
    wanted = query.document().get("order_ids")
    if not isinstance(wanted, list) or not wanted:
        raise invalid_argument("order_ids is required")
    if len(wanted) > MOST_CANCELS:
        raise invalid_argument(f"cannot cancel more than {MOST_CANCELS} orders at once")
    return {"results": [_cancel(floor, customer, number) for number in wanted]}


def _cancel(floor: Floor, customer: Customer, number: object) -> dict[str, Any]:
    draft = customer.drafts.get(number) if isinstance(number, str) else None
    failure = "" if draft is not None else "UNKNOWN_CANCEL_ORDER"
    if draft is not None:
        try:
            floor.exchange.cancel(customer.account, customer.order_of(draft), "")
        except OrderRefused:
            failure = "UNKNOWN_CANCEL_ORDER"
    return {"success": not failure, "failure_reason": failure or UNSAID, "order_id": number}


def get_order(floor: Floor, customer: Customer, query: Query) -> Json:
    """GET orders/historical/{order_id}."""
    draft = customer.drafts.get(query.path["order_id"])
    if draft is None:
        raise not_found("order with this orderID was not found", "unknown")
    return {"order": order_shape(floor, customer, draft, customer.order_of(draft))}


def list_orders(floor: Floor, customer: Customer, query: Query) -> Json:
    """GET orders/historical/batch: newest first."""
    statuses = query.all("order_status")
    if "OPEN" in statuses and len(statuses) > 1:
        raise invalid_argument("OPEN order status cannot be combined with other statuses")
    ids, products, types = query.all("order_ids"), query.all("product_id", "product_ids"), query.all("order_types")
    forces, side = query.all("time_in_forces"), query.one("order_side")
    start, end = query.time_ms("start_date") or 0, query.time_ms("end_date") or 2**62
    found = [
        (draft, order)
        for draft, order in _newest(customer)
        if (not statuses or status_of(draft, order) in statuses)
        and (not ids or draft.order_id in ids)
        and (not products or draft.product.product_id in products)
        and (not types or FORMS[draft.form].order_type in types)
        and (not forces or FORMS[draft.form].tif in forces)
        and side in (None, "UNKNOWN_ORDER_SIDE", SIDES[order.side])
        and start <= order.time_ms < end
    ]
    page, cursor = _page(query, found, [draft.order_id for draft, _ in found])
    return {
        "orders": [order_shape(floor, customer, draft, order) for draft, order in page],
        "sequence": "0",
        "has_next": bool(cursor),
        "cursor": cursor,
    }


def fills(floor: Floor, customer: Customer, query: Query) -> Json:
    """GET orders/historical/fills: newest first."""
    ids, products = query.all("order_id", "order_ids"), query.all("product_id", "product_ids")
    trades = query.all("trade_ids")
    start, end = query.time_ms("start_sequence_timestamp") or 0, query.time_ms("end_sequence_timestamp") or 2**62
    rows = [
        (fill.trade_id, fill_shape(customer, draft, order, fill))
        for draft, order in _newest(customer)
        if (not ids or draft.order_id in ids) and (not products or draft.product.product_id in products)
        for fill in order.fills
        if start <= fill.time_ms <= end
    ]
    rows.sort(key=lambda row: row[0], reverse=True)
    found = [shape for _, shape in rows if not trades or shape["trade_id"] in trades]
    page, cursor = _page(query, found, [shape["entry_id"] for shape in found])
    return {"fills": page, "cursor": cursor}


def _newest(customer: Customer) -> Iterable[tuple[Draft, Order]]:
    drafts = sorted(customer.drafts.values(), key=lambda draft: draft.number, reverse=True)
    return [(draft, customer.order_of(draft)) for draft in drafts]


def _page(query: Query, found: list[Any], ids: list[str]) -> tuple[list[Any], str]:
    """What follows the cursor, `limit` of it, and the next cursor: the id of the page's last, empty at the end."""
    cursor = query.one("cursor")
    if cursor and cursor not in ids:
        raise invalid_argument("cursor is invalid")
    start = ids.index(cursor) + 1 if cursor else 0
    end = start + query.number("limit", 100, 1000)
    return found[start:end], ids[end - 1] if end < len(found) else ""
