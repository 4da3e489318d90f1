"""The calls about a customer's money and rights; each takes the floor, the customer and the query, and returns JSON."""

from __future__ import annotations

import uuid
from typing import Any, Final

from engine.sandbox.coinbase.amounts import plain, stamp
from engine.sandbox.coinbase.errors import not_found
from engine.sandbox.coinbase.floor import Customer, Floor
from engine.sandbox.coinbase.parameters import Query
from engine.sandbox.coinbase.products import FIAT, product_name

Json = Any
OPENED: Final = "2024-01-01T00:00:00Z"
DEPTH_OF_PAGE: Final = 49


def accounts(floor: Floor, customer: Customer, query: Query) -> Json:
    """GET accounts: one per currency, `limit` a page."""
    names = sorted(floor.exchange.balances(customer.account))
    ids = [customer.wallet_id(name) for name in names]
    cursor = query.one("cursor")
    if cursor and cursor not in ids:
        raise not_found("cursor is of no account")
    start = ids.index(cursor) + 1 if cursor else 0
    page = names[start : start + query.number("limit", DEPTH_OF_PAGE, 250)]
    has_next = start + len(page) < len(names)
    return {
        "accounts": [_account(floor, customer, name) for name in page],
        "has_next": has_next,
        "cursor": customer.wallet_id(page[-1]) if has_next and page else "",
        "size": len(page),
    }


def account(floor: Floor, customer: Customer, query: Query) -> Json:
    """GET accounts/{account_uuid}."""
    for name in floor.exchange.balances(customer.account):
        if customer.wallet_id(name) == query.path["account_uuid"]:
            return {"account": _account(floor, customer, name)}
    raise not_found("account not found")


def _account(floor: Floor, customer: Customer, name: str) -> dict[str, Any]:
    free, held = customer.account.wallet.balance(name)
    return {
        "uuid": customer.wallet_id(name),
        "name": f"{name} Wallet",
        "currency": name,
        "available_balance": {"value": plain(free), "currency": name},
        "default": True,
        "active": True,
        "created_at": OPENED,
        "updated_at": stamp(customer.account.update_ms) if customer.account.update_ms else OPENED,
        "deleted_at": None,
        "type": "ACCOUNT_TYPE_FIAT" if name in FIAT else "ACCOUNT_TYPE_CRYPTO",
        "ready": True,
        "hold": {"value": plain(held), "currency": name},
        "retail_portfolio_id": customer.portfolio_id,
        "platform": "ACCOUNT_PLATFORM_CONSUMER",
    }


def portfolios(floor: Floor, customer: Customer, query: Query) -> Json:
    """GET portfolios: the one the key is bound to."""
    kind = query.one("portfolio_type")
    one = {"name": "Default", "uuid": customer.portfolio_id, "type": "DEFAULT", "deleted": False}
    return {"portfolios": [one] if kind in (None, "DEFAULT", "UNDEFINED") else []}


def key_permissions(floor: Floor, customer: Customer, query: Query) -> Json:
    """GET key_permissions: seeing and trading; no transfers unless the control endpoint gave that right."""
    return {
        "can_view": True,
        "can_trade": True,
        "can_transfer": customer.account.may_withdraw,
        "portfolio_uuid": customer.portfolio_id,
        "portfolio_type": "DEFAULT",
    }


def transaction_summary(floor: Floor, customer: Customer, query: Query) -> Json:
    """GET transaction_summary: the fee tier, and what was traded in USD and USDC."""
    rates = floor.exchange.filters(floor.exchange.tapes[0])
    volume_e8 = fees_e8 = 0
    for order in customer.account.orders.values():
        volume_e8 += order.quote_e8
        fees_e8 += sum(fill.fee_e8 for fill in order.fills)
    volume, fees = volume_e8 / 1e8, fees_e8 / 1e8
    return {
        "total_volume": volume,
        "total_fees": fees,
        "fee_tier": {
            "pricing_tier": "Advanced 1",
            "usd_from": "0",
            "usd_to": "1000",
            "taker_fee_rate": plain(int(rates.taker_fee_e8)),
            "maker_fee_rate": plain(int(rates.maker_fee_e8)),
            "aop_from": "",
            "aop_to": "",
        },
        "margin_rate": None,
        "goods_and_services_tax": None,
        "advanced_trade_only_volume": volume,
        "advanced_trade_only_fees": fees,
        "coinbase_pro_volume": 0,
        "coinbase_pro_fees": 0,
        "total_balance": "",
        "has_promo_fee": False,
    }


# --- v2: what clients ask for first -----------------------------------------------------------------


def v2_accounts(floor: Floor, customer: Customer, query: Query) -> Json:
    """GET /v2/accounts: wallets with all that is in them, held or not."""
    return {
        "pagination": {
            "ending_before": None,
            "starting_after": None,
            "previous_ending_before": None,
            "next_starting_after": None,
            "limit": query.number("limit", 25, 300),
            "order": "desc",
            "previous_uri": None,
            "next_uri": None,
        },
        "data": [_v2_account(customer, name) for name in sorted(floor.exchange.balances(customer.account))],
    }


def _v2_account(customer: Customer, name: str) -> dict[str, Any]:
    number = customer.wallet_id(name)
    return {
        "id": number,
        "name": f"{name} Wallet",
        "primary": False,
        "type": "fiat" if name in FIAT else "wallet",
        "currency": _currency(name),
        "balance": {"amount": plain(sum(customer.account.wallet.balance(name))), "currency": name},
        "created_at": OPENED,
        "updated_at": OPENED,
        "resource": "account",
        "resource_path": f"/v2/accounts/{number}",
        "allow_deposits": False,
        "allow_withdrawals": False,
    }


def _currency(name: str) -> dict[str, Any]:
    if name in FIAT:
        return {"code": name, "name": product_name(name), "color": "#0066cf", "exponent": 2, "type": "fiat"}
    return {
        "asset_id": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "code": name,
        "name": product_name(name),
        "color": "#0433FF",
        "sort_index": 100,
        "exponent": 8,
        "type": "crypto",
        "address_regex": "",
    }


def v2_currencies(floor: Floor, query: Query) -> Json:
    """GET /v2/currencies: those of states."""
    found = sorted({tape.instrument.quote for tape in floor.exchange.tapes} & set(FIAT))
    return {"data": [{"id": name, "name": product_name(name), "min_size": "0.01"} for name in found]}


def v2_crypto(floor: Floor, query: Query) -> Json:
    """GET /v2/currencies/crypto."""
    return {"data": [_currency(name) for name in sorted(_assets(floor) - set(FIAT))]}


def _assets(floor: Floor) -> set[str]:
    return {name for tape in floor.exchange.tapes for name in (tape.instrument.base, tape.instrument.quote)}


def v2_rates(floor: Floor, query: Query) -> Json:
    """GET /v2/exchange-rates: coins for a dollar, where they are traded against it."""
    rates = {"USD": "1", "USDC": "1"}
    for tape in floor.exchange.tapes:
        if tape.instrument.quote == "USD" and tape.last_ticks:
            rates[tape.instrument.base] = f"{1e8 / (tape.last_ticks * tape.tick_e8):.16f}".rstrip("0")
    return {"data": {"currency": "USD", "rates": rates}}


def v2_price(floor: Floor, query: Query) -> Json:
    """GET /v2/prices/{symbol}/spot, buy or sell."""
    tape = floor.product(query.path["symbol"]).tape
    ticks = {"spot": tape.last_ticks, "buy": tape.ask_ticks, "sell": tape.bid_ticks}[query.path["kind"]]
    amount = plain(ticks * tape.tick_e8)
    return {"data": {"amount": amount, "base": tape.instrument.base, "currency": tape.instrument.quote}}


def v2_time(floor: Floor, query: Query) -> Json:
    """GET /v2/time."""
    now = floor.clock.now_ms()
    return {"data": {"iso": stamp(now // 1000 * 1000)[:19] + "Z", "epoch": now // 1000}}
