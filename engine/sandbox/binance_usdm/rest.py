"""fapi over HTTP: the table of calls, their weights and who may make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine.sandbox.binance_spot import market_calls as spot
from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.binance_spot.rest import Call, Rest
from engine.sandbox.binance_spot.security import check_key
from engine.sandbox.binance_usdm import account_calls as account
from engine.sandbox.binance_usdm import algo_calls as algo
from engine.sandbox.binance_usdm import catalogue, trading
from engine.sandbox.binance_usdm import market_calls as market
from engine.sandbox.binance_usdm import settings_calls as settings


def _by_symbol(one: int, every: int) -> Callable[[Parameters], int]:
    return lambda p: one if "symbol" in p else every


def _depth_weight(p: Parameters) -> int:
    limit = p.limit(500, 1000)
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


def _kline_weight(p: Parameters) -> int:
    limit = p.limit(500, 1500)
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


USER: Final = "USER"
"""Needs an API key but no signature, and acts for its owner."""
CALLS: Final[tuple[Call, ...]] = (
    Call("GET", "/fapi/v1/ping", 1, "NONE", spot.ping),
    Call("GET", "/fapi/v1/time", 1, "NONE", spot.server_time),
    Call("GET", "/fapi/v1/exchangeInfo", 1, "NONE", catalogue.exchange_info),
    Call("GET", "/fapi/v1/depth", _depth_weight, "NONE", market.depth),
    Call("GET", "/fapi/v1/trades", 5, "NONE", market.trades),
    Call("GET", "/fapi/v1/historicalTrades", 20, "KEY", market.historical_trades),
    Call("GET", "/fapi/v1/aggTrades", 20, "NONE", market.agg_trades),
    Call("GET", "/fapi/v1/klines", _kline_weight, "NONE", market.klines),
    Call("GET", "/fapi/v1/continuousKlines", _kline_weight, "NONE", market.continuous_klines),
    Call("GET", "/fapi/v1/markPriceKlines", _kline_weight, "NONE", market.mark_klines),
    Call("GET", "/fapi/v1/indexPriceKlines", _kline_weight, "NONE", market.mark_klines),
    Call("GET", "/fapi/v1/ticker/24hr", _by_symbol(1, 40), "NONE", market.day_ticker),
    Call("GET", "/fapi/v1/ticker/price", _by_symbol(1, 2), "NONE", market.price_ticker),
    Call("GET", "/fapi/v2/ticker/price", _by_symbol(1, 2), "NONE", market.price_ticker),
    Call("GET", "/fapi/v1/ticker/bookTicker", _by_symbol(2, 5), "NONE", market.book_ticker),
    Call("GET", "/fapi/v1/premiumIndex", _by_symbol(1, 10), "NONE", market.premium_index),
    Call("GET", "/fapi/v1/fundingRate", 1, "NONE", market.funding_rates),
    Call("GET", "/fapi/v1/fundingInfo", 1, "NONE", market.funding_info),
    Call("GET", "/fapi/v1/openInterest", 1, "NONE", market.open_interest),
    Call("POST", "/fapi/v1/order", 1, "SIGNED", trading.place, 1),
    Call("GET", "/fapi/v1/order", 1, "SIGNED", trading.get_order),
    Call("PUT", "/fapi/v1/order", 1, "SIGNED", trading.modify, 1),
    Call("DELETE", "/fapi/v1/order", 1, "SIGNED", trading.cancel),
    Call("POST", "/fapi/v1/order/test", 1, "SIGNED", trading.test_order),
    Call("POST", "/fapi/v1/batchOrders", 5, "SIGNED", trading.batch, 1),
    Call("DELETE", "/fapi/v1/batchOrders", 1, "SIGNED", trading.cancel_batch),
    Call("GET", "/fapi/v1/openOrder", 1, "SIGNED", trading.open_order),
    Call("GET", "/fapi/v1/openOrders", _by_symbol(1, 40), "SIGNED", trading.open_orders),
    Call("DELETE", "/fapi/v1/allOpenOrders", 1, "SIGNED", trading.cancel_all),
    Call("GET", "/fapi/v1/allOrders", 5, "SIGNED", trading.all_orders),
    Call("GET", "/fapi/v1/forceOrders", _by_symbol(20, 50), "SIGNED", trading.forced_orders),
    Call("GET", "/fapi/v1/userTrades", 5, "SIGNED", trading.own_trades),
    Call("POST", "/fapi/v1/countdownCancelAll", 10, "SIGNED", trading.countdown),
    Call("POST", "/fapi/v1/algoOrder", 1, "SIGNED", algo.place, 1),
    Call("GET", "/fapi/v1/algoOrder", 1, "SIGNED", algo.get),
    Call("DELETE", "/fapi/v1/algoOrder", 1, "SIGNED", algo.cancel),
    Call("GET", "/fapi/v1/openAlgoOrders", _by_symbol(1, 40), "SIGNED", algo.open_algos),
    Call("GET", "/fapi/v1/allAlgoOrders", 5, "SIGNED", algo.all_algos),
    Call("DELETE", "/fapi/v1/algoOpenOrders", 1, "SIGNED", algo.cancel_all),
    Call("GET", "/fapi/v2/account", 5, "SIGNED", account.account_v2),
    Call("GET", "/fapi/v3/account", 5, "SIGNED", account.account_v3),
    Call("GET", "/fapi/v2/balance", 5, "SIGNED", account.balance),
    Call("GET", "/fapi/v3/balance", 5, "SIGNED", account.balance),
    Call("GET", "/fapi/v2/positionRisk", 5, "SIGNED", account.risk_v2),
    Call("GET", "/fapi/v3/positionRisk", 5, "SIGNED", account.risk_v3),
    Call("GET", "/fapi/v1/income", 30, "SIGNED", account.income),
    Call("GET", "/fapi/v1/commissionRate", 20, "SIGNED", catalogue.commission),
    Call("GET", "/fapi/v1/leverageBracket", 1, "SIGNED", catalogue.brackets),
    Call("POST", "/fapi/v1/leverage", 1, "SIGNED", settings.set_leverage),
    Call("POST", "/fapi/v1/marginType", 1, "SIGNED", settings.set_margin_type),
    Call("GET", "/fapi/v1/positionSide/dual", 30, "SIGNED", settings.position_side),
    Call("POST", "/fapi/v1/positionSide/dual", 1, "SIGNED", settings.set_position_side),
    Call("GET", "/fapi/v1/multiAssetsMargin", 30, "SIGNED", settings.multi_assets),
    Call("POST", "/fapi/v1/multiAssetsMargin", 1, "SIGNED", settings.set_multi_assets),
    Call("GET", "/fapi/v1/accountConfig", 5, "SIGNED", settings.account_config),
    Call("GET", "/fapi/v1/symbolConfig", 5, "SIGNED", settings.symbol_config),
    Call("GET", "/fapi/v1/adlQuantile", 5, "SIGNED", settings.adl_quantile),
    Call("GET", "/fapi/v1/apiTradingStatus", 1, "SIGNED", settings.trading_status),
    Call("GET", "/fapi/v1/rateLimit/order", 1, "SIGNED", settings.order_limits),
    Call("GET", "/fapi/v1/feeBurn", 30, "SIGNED", settings.fee_burn),
    Call("GET", "/sapi/v1/account/apiRestrictions", 1, "SIGNED", settings.api_restrictions),
    Call("POST", "/fapi/v1/listenKey", 1, USER, settings.start_stream),
    Call("PUT", "/fapi/v1/listenKey", 1, USER, settings.keep_stream),
    Call("DELETE", "/fapi/v1/listenKey", 1, USER, settings.end_stream),
)


class UsdmRest(Rest):
    """The HTTP side of the futures venue, where limits are told without what is used of them."""

    counted_at = ()

    def _work(self, call: Call, p: Parameters, api_key: str | None, payload: bytes) -> Any:
        if call.security == USER:
            return call.work(self._exchange, check_key(self._exchange, api_key), p)
        return super()._work(call, p, api_key, payload)
