"""Orders, fills and the user channel's events as Coinbase writes them."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, Final

from engine.contracts.instruments import E8
from engine.sandbox.accounts import Fill, Order
from engine.sandbox.coinbase.amounts import plain, ratio, stamp
from engine.sandbox.coinbase.floor import Customer, Draft, Floor
from engine.sandbox.coinbase.tickets import FORMS
from engine.sandbox.self_trade import ENDED
from engine.sandbox.tape import Tape

SIDES: Final = {1: "BUY", -1: "SELL"}
# the exchange's status: Coinbase's
STATUSES: Final = {
    "NEW": "OPEN", "PARTIALLY_FILLED": "OPEN", "FILLED": "FILLED", "CANCELED": "CANCELLED", "EXPIRED": "CANCELLED",
    "REJECTED": "FAILED", ENDED: "CANCELLED",
}  # fmt: skip
USER_TYPES: Final = {"MARKET": "Market", "LIMIT": "Limit", "STOP_LIMIT": "Stop Limit"}


def status_of(draft: Draft, order: Order) -> str:
    """What has become of an order, in Coinbase's word."""
    return "EXPIRED" if draft.is_over_time and not order.is_open else STATUSES[order.status]


def _trigger_status(order: Order) -> str:
    if not order.stop_ticks:
        return "INVALID_ORDER_TYPE"
    return "STOP_PENDING" if order.working_ms < 0 else "STOP_TRIGGERED"


def _fees_e8(order: Order) -> int:
    return sum(fill.fee_e8 for fill in order.fills)


def _after_fees_e8(order: Order) -> int:
    return order.quote_e8 + order.side * _fees_e8(order)


def _average(tape: Tape, order: Order) -> str:
    """Mean price: value over quantity, in 1e-8 of the quote for a whole coin."""
    return ratio(order.quote_e8 * E8, order.executed_lots * tape.lot_e8 * E8)


def order_shape(floor: Floor, customer: Customer, draft: Draft, order: Order) -> dict[str, Any]:
    """An order as historical/{order_id} and historical/batch show it."""
    form, tape = FORMS[draft.form], draft.product.tape
    is_quote = "quote_size" in draft.configuration
    last = order.fills[-1].time_ms if order.fills else 0
    status = status_of(draft, order)
    return {
        "order_id": draft.order_id,
        "product_id": draft.product.product_id,
        "user_id": customer.user_id,
        "order_configuration": {draft.form: draft.configuration},
        "side": SIDES[order.side],
        "client_order_id": draft.client_order_id,
        "status": status,
        "time_in_force": form.tif,
        "created_time": stamp(order.time_ms),
        "completion_percentage": ratio(order.executed_lots * 100, order.lots),
        "filled_size": plain(order.executed_lots * tape.lot_e8),
        "average_filled_price": _average(tape, order),
        "fee": "",
        "number_of_fills": str(len(order.fills)),
        "filled_value": plain(order.quote_e8),
        "pending_cancel": False,
        "size_in_quote": is_quote,
        "total_fees": plain(_fees_e8(order)),
        "size_inclusive_of_fees": is_quote and form.order_type == "MARKET",
        "total_value_after_fees": plain(_after_fees_e8(order)) if order.fills else "0",
        "trigger_status": _trigger_status(order),
        "order_type": form.order_type,
        "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "settled": status == "FILLED",
        "product_type": "SPOT",
        "reject_message": "",
        "cancel_message": "User requested cancel" if status == "CANCELLED" and order.status == "CANCELED" else "",
        "order_placement_source": "RETAIL_ADVANCED",
        "outstanding_hold_amount": plain(floor.hold_e8(customer, order)),
        "is_liquidation": False,
        "last_fill_time": stamp(last) if last else None,
        "edit_history": [],
        "leverage": "",
        "margin_type": "UNKNOWN_MARGIN_TYPE",
        "retail_portfolio_id": customer.portfolio_id,
        "originating_order_id": "",
        "attached_order_id": "",
        "attached_order_configuration": None,
    }


def fill_shape(customer: Customer, draft: Draft, order: Order, fill: Fill) -> dict[str, Any]:
    """A trade of the customer's; its commission is in the quote currency."""
    tape = draft.product.tape
    trade_id = str(uuid.uuid5(uuid.UUID(draft.order_id), str(fill.trade_id)))
    return {
        "entry_id": hashlib.sha256(trade_id.encode()).hexdigest(),
        "trade_id": trade_id,
        "order_id": draft.order_id,
        "trade_time": stamp(fill.time_ms),
        "trade_type": "FILL",
        "price": plain(fill.ticks * tape.tick_e8),
        "size": plain(fill.lots * tape.lot_e8),
        "commission": plain(fill.fee_e8),
        "product_id": draft.product.product_id,
        "sequence_timestamp": stamp(fill.time_ms),
        "liquidity_indicator": "MAKER" if fill.is_maker else "TAKER",
        "size_in_quote": False,
        "user_id": customer.user_id,
        "side": SIDES[order.side],
        "retail_portfolio_id": customer.portfolio_id,
    }


def user_shape(floor: Floor, customer: Customer, draft: Draft, order: Order) -> dict[str, Any]:
    """An order as the user channel tells it."""
    form, tape = FORMS[draft.form], draft.product.tape
    status = status_of(draft, order)
    return {
        "order_id": draft.order_id,
        "client_order_id": draft.client_order_id,
        "cumulative_quantity": plain(order.executed_lots * tape.lot_e8),
        "leaves_quantity": plain(order.left_lots * tape.lot_e8) if order.is_open else "0",
        "avg_price": _average(tape, order),
        "total_fees": plain(_fees_e8(order)),
        "status": status,
        "product_id": draft.product.product_id,
        "creation_time": stamp(order.time_ms),
        "order_side": SIDES[order.side],
        "order_type": USER_TYPES[form.order_type],
        "cancel_reason": "User requested cancel" if status == "CANCELLED" and order.status == "CANCELED" else "",
        "reject_Reason": "",
        "reject_reason": "",
        "completion_percentage": ratio(order.executed_lots * 100, order.lots),
        "filled_value": plain(order.quote_e8),
        "limit_price": plain(order.ticks * tape.tick_e8),
        "number_of_fills": str(len(order.fills)),
        "outstanding_hold_amount": plain(floor.hold_e8(customer, order)),
        "post_only": "true" if draft.configuration.get("post_only") is True else "false",
        "stop_price": plain(order.stop_ticks * tape.tick_e8) if order.stop_ticks else "",
        "total_value_after_fees": plain(_after_fees_e8(order)) if order.fills else "0",
        "retail_portfolio_id": customer.portfolio_id,
        "contract_expiry_type": "UNKNOWN_CONTRACT_EXPIRY_TYPE",
        "product_type": "SPOT",
        "risk_managed_by": "UNKNOWN_RISK_MANAGEMENT_TYPE",
        "time_in_force": form.tif,
        "trigger_status": _trigger_status(order),
        "start_time": "0001-01-01T00:00:00Z",
        "end_time": stamp(draft.end_ms) if draft.end_ms else "0001-01-01T00:00:00Z",
    }
