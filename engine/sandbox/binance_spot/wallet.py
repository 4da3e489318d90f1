"""The wallet calls that clients make before they trade: coins, margin pairs (none), fees, what the key may do."""

from __future__ import annotations

from typing import Any

from engine.sandbox.accounts import Account
from engine.sandbox.binance_spot.catalogue import chosen
from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.exchange import Exchange
from engine.sandbox.tape import text_e8


def coins(exchange: Exchange, account: Account, p: Parameters) -> list[dict[str, Any]]:
    """GET capital/config/getall: coins and balances; nothing can be deposited or withdrawn, so no networks."""
    return [
        {
            "coin": name,
            "depositAllEnable": False,
            "free": text_e8(free),
            "freeze": "0",
            "ipoable": "0",
            "ipoing": "0",
            "isLegalMoney": False,
            "locked": text_e8(locked),
            "name": name,
            "networkList": [],
            "storage": "0",
            "trading": True,
            "withdrawAllEnable": False,
            "withdrawing": "0",
        }
        for name, (free, locked) in sorted(exchange.balances(account).items())
    ]


def no_pairs(exchange: Exchange, p: Parameters) -> list[dict[str, Any]]:
    """GET margin/allPairs and margin/isolated/allPairs: there is no margin trading here."""
    return []


def api_restrictions(exchange: Exchange, account: Account, p: Parameters) -> dict[str, Any]:
    """GET account/apiRestrictions: what the key may do."""
    return restrictions(account.update_ms, account.may_withdraw, is_futures=False)


def restrictions(created_ms: int, may_withdraw: bool, is_futures: bool) -> dict[str, Any]:
    """What a key may do; it trades either spot or futures here."""
    return {
        "ipRestrict": False,
        "createTime": created_ms,
        "enableReading": True,
        "enableWithdrawals": may_withdraw,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": is_futures,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": not is_futures,
        "enablePortfolioMarginTrading": False,
    }


def trade_fee(exchange: Exchange, account: Account, p: Parameters) -> list[dict[str, Any]]:
    """GET asset/tradeFee, of all symbols or one."""
    return [
        {
            "symbol": tape.name,
            "makerCommission": text_e8(int(exchange.filters(tape).maker_fee_e8)),
            "takerCommission": text_e8(int(exchange.filters(tape).taker_fee_e8)),
        }
        for tape in chosen(exchange, p) or exchange.tapes
    ]
