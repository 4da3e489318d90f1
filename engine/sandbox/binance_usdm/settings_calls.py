"""The calls about a customer's settings and listen key."""

from __future__ import annotations

import secrets
from typing import Any, Final

from engine.sandbox.binance_spot.parameters import Parameters, needed
from engine.sandbox.binance_spot.wallet import restrictions
from engine.sandbox.binance_usdm.catalogue import MINUTE_ORDERS, NO_CAP_E8, TEN_SECOND_ORDERS
from engine.sandbox.binance_usdm.errors import UsdmError
from engine.sandbox.binance_usdm.tickets import flag, perp
from engine.sandbox.exchange import OrderRefused
from engine.sandbox.futures import Futures
from engine.sandbox.traders import LeverageTold, Trader

Json = Any
SUCCESS: Final = {"code": 200, "msg": "success"}
LISTEN_MS: Final = 3_600_000


def set_leverage(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """POST leverage."""
    tape, leverage = perp(futures, p), needed(p.integer("leverage"), "leverage")
    if not 1 <= leverage <= tape.instrument.max_leverage:
        raise UsdmError(-4028, leverage)
    if trader.isolated[tape.index] and trader.positions[tape.index].lots and leverage < trader.leverages[tape.index]:
        raise UsdmError(-4161)
    try:
        futures.set_leverage(trader, tape.index, leverage)
    except OrderRefused:
        raise UsdmError(-2028) from None
    trader.tell(LeverageTold(tape.index, leverage, futures.clock.now_ms()))
    return {"leverage": leverage, "maxNotionalValue": str(NO_CAP_E8 // 10**8), "symbol": tape.name}


def set_margin_type(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """POST marginType."""
    tape = perp(futures, p)
    apart = needed(p.word("marginType", ("ISOLATED", "CROSSED")), "marginType") == "ISOLATED"
    if apart == trader.isolated[tape.index]:
        raise UsdmError(-4046)
    if any(order.symbol == tape.index for order in trader.working.values()):
        raise UsdmError(-4047)
    if trader.positions[tape.index].lots:
        raise UsdmError(-4048)
    trader.isolated[tape.index] = apart
    return SUCCESS


def api_restrictions(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET account/apiRestrictions of the wallet, which a sandbox answers under every venue's address."""
    return restrictions(trader.update_ms, trader.may_withdraw, is_futures=True)


def position_side(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET positionSide/dual."""
    return {"dualSidePosition": trader.is_hedged}


def set_position_side(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """POST positionSide/dual."""
    needed(p.text("dualSidePosition"), "dualSidePosition")
    wanted = flag(p, "dualSidePosition")
    if wanted == trader.is_hedged:
        raise UsdmError(-4059)
    if trader.working or trader.waiting():
        raise UsdmError(-4067)
    if any(held.lots for held in trader.positions):
        raise UsdmError(-4068)
    trader.is_hedged = wanted
    return SUCCESS


def multi_assets(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET multiAssetsMargin."""
    return {"multiAssetsMargin": trader.is_multi_asset}


def set_multi_assets(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """POST multiAssetsMargin."""
    needed(p.text("multiAssetsMargin"), "multiAssetsMargin")
    wanted = flag(p, "multiAssetsMargin")
    if wanted == trader.is_multi_asset:
        raise UsdmError(-4171)
    trader.is_multi_asset = wanted
    return SUCCESS


def account_config(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET accountConfig."""
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": False,
        "canWithdraw": False,
        "dualSidePosition": trader.is_hedged,
        "updateTime": 0,
        "multiAssetsMargin": trader.is_multi_asset,
        "tradeGroupId": -1,
    }


def symbol_config(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET symbolConfig."""
    return [
        {
            "symbol": tape.name,
            "marginType": "ISOLATED" if trader.isolated[tape.index] else "CROSSED",
            "isAutoAddMargin": False,
            "leverage": trader.leverages[tape.index],
            "maxNotionalValue": str(NO_CAP_E8 // 10**8),
        }
        for tape in ([perp(futures, p)] if "symbol" in p else futures.tapes)
    ]


def adl_quantile(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET adlQuantile: nobody is ever deleveraged here."""
    found = [perp(futures, p)] if "symbol" in p else futures.tapes
    return [{"symbol": t.name, "adlQuantile": {"BOTH": 0}} for t in found if trader.positions[t.index].lots]


def trading_status(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET apiTradingStatus: no indicator is violated."""
    return {"indicators": {}, "updateTime": futures.clock.now_ms()}


def fee_burn(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET feeBurn: fees have no BNB discount."""
    return {"feeBurn": False}


def order_limits(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET rateLimit/order."""
    return [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": TEN_SECOND_ORDERS},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": MINUTE_ORDERS},
    ]


def start_stream(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """POST listenKey: the same one while it is valid."""
    now = futures.clock.now_ms()
    if not trader.listen_key or now >= trader.listen_until_ms:
        trader.listen_key = secrets.token_hex(32)
    trader.listen_until_ms = now + LISTEN_MS
    return {"listenKey": trader.listen_key}


def keep_stream(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """PUT listenKey."""
    if not trader.listen_key or futures.clock.now_ms() >= trader.listen_until_ms:
        raise UsdmError(-1125)
    return start_stream(futures, trader, p)


def end_stream(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """DELETE listenKey."""
    trader.listen_until_ms = 0
    return {}
