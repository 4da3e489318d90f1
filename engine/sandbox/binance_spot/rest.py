"""REST v3 over HTTP: the table of calls, their weights and who may make them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from engine.sandbox.binance_spot import catalogue, market_calls, order_lists, trading, windows
from engine.sandbox.binance_spot.errors import BANNED, BinanceError
from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.binance_spot.security import check_key, check_signed
from engine.sandbox.binance_spot.tickets import order_types
from engine.sandbox.binance_spot.wallet import api_restrictions, coins, no_pairs, trade_fee
from engine.sandbox.show import Show
from engine.sandbox.weights import Budget

SIMULATED: Final = {"X-Keel-Sandbox": "simulated exchange; no order, price or balance here is real"}
Weigh = int | Callable[[Parameters], int]


class Call(NamedTuple):
    """One call. `security` NONE and KEY call `work(exchange, parameters)`, SIGNED adds the account.
    `orders`: how many it places."""

    method: str
    path: str
    weight: Weigh
    security: str
    work: Callable[..., Any]
    orders: int = 0


def _depth_weight(p: Parameters) -> int:
    limit = p.limit(100, 5000)
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250


def _by_symbol(one: int, every: int) -> Callable[[Parameters], int]:
    return lambda p: one if "symbol" in p else every


def _day_weight(p: Parameters) -> int:
    named = p.plain("symbols").count(",") + 1 if "symbols" in p else 1 if "symbol" in p else 101
    return 2 if named <= 20 else 40 if named <= 100 else 80


def _prevented_weight(p: Parameters) -> int:
    return 2 if "preventedMatchId" in p else 20


CALLS: Final[tuple[Call, ...]] = (
    Call("GET", "/api/v3/ping", 1, "NONE", market_calls.ping),
    Call("GET", "/api/v3/time", 1, "NONE", market_calls.server_time),
    Call("GET", "/api/v3/exchangeInfo", 20, "NONE", catalogue.exchange_info),
    Call("GET", "/api/v3/depth", _depth_weight, "NONE", market_calls.depth),
    Call("GET", "/api/v3/trades", 25, "NONE", market_calls.trades),
    Call("GET", "/api/v3/historicalTrades", 25, "KEY", market_calls.historical_trades),
    Call("GET", "/api/v3/aggTrades", 4, "NONE", market_calls.agg_trades),
    Call("GET", "/api/v3/klines", 2, "NONE", market_calls.klines),
    Call("GET", "/api/v3/uiKlines", 2, "NONE", market_calls.klines),
    Call("GET", "/api/v3/avgPrice", 2, "NONE", market_calls.average_price),
    Call("GET", "/api/v3/ticker/24hr", _day_weight, "NONE", market_calls.day_ticker),
    Call("GET", "/api/v3/ticker", windows.weight, "NONE", windows.rolling),
    Call("GET", "/api/v3/ticker/tradingDay", windows.weight, "NONE", windows.trading_day),
    Call("GET", "/api/v3/ticker/price", _by_symbol(2, 4), "NONE", market_calls.price_ticker),
    Call("GET", "/api/v3/ticker/bookTicker", _by_symbol(2, 4), "NONE", market_calls.book_ticker),
    Call("GET", "/api/v3/account", 20, "SIGNED", trading.account_state),
    Call("GET", "/api/v3/account/commission", 20, "SIGNED", trading.commission),
    Call("POST", "/api/v3/order", 1, "SIGNED", trading.place, 1),
    Call("GET", "/api/v3/order", 4, "SIGNED", trading.get_order),
    Call("DELETE", "/api/v3/order", 1, "SIGNED", trading.cancel),
    Call(
        "POST",
        "/api/v3/order/test",
        lambda p: 20 if p.plain("computeCommissionRates") == "true" else 1,
        "SIGNED",
        trading.test_order,
    ),
    Call("POST", "/api/v3/order/cancelReplace", 1, "SIGNED", trading.cancel_replace, 1),
    Call("GET", "/api/v3/openOrders", _by_symbol(6, 80), "SIGNED", trading.open_orders),
    Call("DELETE", "/api/v3/openOrders", 1, "SIGNED", trading.cancel_all),
    Call("GET", "/api/v3/allOrders", 20, "SIGNED", trading.all_orders),
    Call("GET", "/api/v3/myTrades", lambda p: 5 if "orderId" in p else 20, "SIGNED", trading.own_trades),
    Call("GET", "/api/v3/myPreventedMatches", _prevented_weight, "SIGNED", trading.prevented_matches),
    Call("POST", "/api/v3/orderList/oco", 1, "SIGNED", order_lists.place_oco, 2),
    Call("POST", "/api/v3/order/oco", 1, "SIGNED", order_lists.place_old_oco, 2),
    Call("GET", "/api/v3/orderList", 4, "SIGNED", order_lists.get_list),
    Call("DELETE", "/api/v3/orderList", 1, "SIGNED", order_lists.cancel_list),
    Call("GET", "/api/v3/openOrderList", 6, "SIGNED", order_lists.open_lists),
    Call("GET", "/api/v3/allOrderList", 20, "SIGNED", order_lists.all_lists),
    Call("GET", "/sapi/v1/capital/config/getall", 10, "SIGNED", coins),
    Call("GET", "/sapi/v1/account/apiRestrictions", 1, "SIGNED", api_restrictions),
    Call("GET", "/sapi/v1/asset/tradeFee", 1, "SIGNED", trade_fee),
    Call("GET", "/sapi/v1/margin/allPairs", 1, "KEY", no_pairs),
    Call("GET", "/sapi/v1/margin/isolated/allPairs", 10, "KEY", no_pairs),
)
GONE: Final = "/api/v3/userDataStream"
_SIGNATURE: Final = re.compile(r"(^|&)signature=[^&]*")
_encode: Final = msgspec.json.Encoder().encode


class Rest:
    """The HTTP side of the exchange. `counted_at`: where clients ask how many orders were counted."""

    counted_at: ClassVar[tuple[str, ...]] = ("/api/v3/rateLimit/order",)

    def __init__(self, exchange: Show, budget: Budget, calls: tuple[Call, ...] = CALLS) -> None:
        self._exchange = exchange
        self._budget = budget
        counts = [Call("GET", path, 40, "SIGNED", lambda *_: budget.order_counts()) for path in self.counted_at]
        self._table = {(call.method, call.path): call for call in (*counts, *calls)}
        self._paths = {path for _, path in self._table}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any HTTP request."""
        path = request.path
        if path == GONE:  # X1: listen keys are no more
            return self._json({"code": -1000, "msg": "This endpoint is no longer available."}, 410)
        call = self._table.get((request.method, path))
        if call is None:
            status = 405 if path in self._paths else 404
            page = "<html><body><h2>404 Not found</h2></body></html>" if status == 404 else ""
            return web.Response(status=status, text=page, content_type="text/html", headers=SIMULATED)
        body = await request.text()
        query = request.rel_url.raw_query_string
        values = dict(parse_qsl(body, keep_blank_values=True)) | dict(parse_qsl(query, keep_blank_values=True))
        p = Parameters(values)
        try:
            self.charge(call.weight if isinstance(call.weight, int) else call.weight(p))
            payload = _SIGNATURE.sub("", query) + _SIGNATURE.sub("", body)
            found = self._work(call, p, request.headers.get("X-MBX-APIKEY"), payload.encode())
        except BinanceError as error:
            return self._json(error.body(), error.status, call.orders > 0, error.wait_s)
        if call.orders and self._exchange.faults.take("A1", *order_types(p), symbol=p.plain("symbol")):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return self._json(found, 200, call.orders > 0)

    def charge(self, weight: int) -> None:
        """Use weight of the budget. Raises -1003 with 429 or 418 where there is none left."""
        status, wait_s = self._budget.charge(weight, self._exchange.faults.take("A13") is not None)
        if status == 418:
            raise BinanceError(-1003, message=BANNED.format(self._budget.banned_until_ms), status=418, wait_s=wait_s)
        if status == 429:
            raise BinanceError(-1003, self._budget.weight.limit, wait_s=wait_s)

    def _work(self, call: Call, p: Parameters, api_key: str | None, payload: bytes) -> Any:
        exchange = self._exchange
        if call.security == "NONE":
            return call.work(exchange, p)
        if call.security == "KEY":
            check_key(exchange, api_key)
            return call.work(exchange, p)
        account = check_signed(exchange, api_key, p, lambda: payload)
        return self.act(call.work, account, p, call.orders)

    def act(self, work: Callable[..., Any], account: Any, p: Parameters, orders: int) -> Any:
        """A signed call, past the order count and the faults that wait for orders."""
        if not orders:
            return work(self._exchange, account, p)
        too_many = self._budget.charge_order(orders)
        if too_many is not None:
            raise BinanceError(-1015, *too_many)
        kinds, symbol = order_types(p), p.plain("symbol")
        if self._exchange.faults.take("A7", *kinds, symbol=symbol):
            raise BinanceError(-1001)
        late = self._exchange.faults.take("A2", *kinds, symbol=symbol)
        if late is not None:
            asyncio.get_running_loop().call_later(late.delay_ms / 1000, self._act_late, work, account, p)
            raise BinanceError(-1007)
        return work(self._exchange, account, p)

    def _act_late(self, work: Callable[..., Any], account: Any, p: Parameters) -> None:
        try:
            work(self._exchange, account, p)
        except BinanceError:
            return  # refused after all: nobody is there to be told

    def _json(self, document: Any, status: int, with_orders: bool = False, wait_s: int = 0) -> web.Response:
        headers = SIMULATED | self._budget.headers(with_orders)
        if wait_s:
            headers["Retry-After"] = str(wait_s)
        return web.Response(
            body=_encode(document), status=status, content_type="application/json", charset="utf-8", headers=headers
        )
