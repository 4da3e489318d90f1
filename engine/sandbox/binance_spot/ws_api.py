"""The WS API: the same calls as REST over one socket, and the user data stream.

A request is ``{"id": .., "method": "order.place", "params": {..}}``; signed ones carry apiKey, timestamp and a
signature over all other parameters sorted by name (``a=1&b=2``).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from engine.sandbox.accounts import Account, Listener, ListListener, OrderList, Report
from engine.sandbox.binance_spot import catalogue, market_calls, order_lists, trading, windows
from engine.sandbox.binance_spot.errors import BinanceError
from engine.sandbox.binance_spot.order_shapes import account_position, execution_report, list_status
from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.binance_spot.rest import Rest
from engine.sandbox.binance_spot.security import check_signed
from engine.sandbox.binance_spot.tickets import order_types
from engine.sandbox.sockets import Socket
from engine.sandbox.weights import Budget


class Method(NamedTuple):
    """One method: `is_signed` ones get the account; `orders`: how many it places."""

    weight: int
    is_signed: bool
    work: Callable[..., Any]
    orders: int = 0


METHODS: Final[dict[str, Method]] = {
    "ping": Method(1, False, market_calls.ping),
    "time": Method(1, False, market_calls.server_time),
    "exchangeInfo": Method(20, False, catalogue.exchange_info),
    "depth": Method(5, False, market_calls.depth),
    "trades.recent": Method(25, False, market_calls.trades),
    "trades.aggregate": Method(4, False, market_calls.agg_trades),
    "klines": Method(2, False, market_calls.klines),
    "avgPrice": Method(2, False, market_calls.average_price),
    "ticker.24hr": Method(2, False, market_calls.day_ticker),
    "ticker": Method(4, False, windows.rolling),
    "ticker.tradingDay": Method(4, False, windows.trading_day),
    "ticker.price": Method(2, False, market_calls.price_ticker),
    "ticker.book": Method(2, False, market_calls.book_ticker),
    "order.place": Method(1, True, trading.place, 1),
    "order.test": Method(1, True, trading.test_order),
    "order.cancel": Method(1, True, trading.cancel),
    "order.cancelReplace": Method(1, True, trading.cancel_replace, 1),
    "order.status": Method(4, True, trading.get_order),
    "openOrders.status": Method(6, True, trading.open_orders),
    "openOrders.cancelAll": Method(1, True, trading.cancel_all),
    "allOrders": Method(20, True, trading.all_orders),
    "myTrades": Method(20, True, trading.own_trades),
    "myPreventedMatches": Method(20, True, trading.prevented_matches),
    "orderList.place": Method(1, True, order_lists.place_old_oco, 2),
    "orderList.place.oco": Method(1, True, order_lists.place_oco, 2),
    "orderList.status": Method(4, True, order_lists.get_list),
    "orderList.cancel": Method(1, True, order_lists.cancel_list),
    "openOrderLists.status": Method(6, True, order_lists.open_lists),
    "allOrderLists": Method(20, True, order_lists.all_lists),
    "account.status": Method(20, True, trading.account_state),
    "account.commission": Method(20, True, trading.commission),
}
MOST_ARRIVALS: Final = 500_000
SUBSCRIBE: Final = "userDataStream.subscribe.signature"
UNSUBSCRIBE: Final = "userDataStream.unsubscribe"
ORDER_COUNTS: Final = "account.rateLimits.orders"
OWN: Final = {SUBSCRIBE: 2, UNSUBSCRIBE: 2, ORDER_COUNTS: 40}
"""What the socket itself answers on spot, with its weights."""


class Session:
    """One connection and its subscriptions to user data."""

    def __init__(self) -> None:
        self.socket = Socket()
        self.subscriptions: dict[int, tuple[Account, Listener, ListListener]] = {}
        self.next_subscription = 0


class WsApi:
    """The WS API of the exchange. `arrivals`: requests for orders, oldest first, as (client order id, ns of
    CLOCK_MONOTONIC when the request was read)."""

    def __init__(self, exchange: Any, budget: Budget, rest: Rest, methods: Mapping[str, Method] = METHODS) -> None:
        self.arrivals: deque[tuple[str, int]] = deque(maxlen=MOST_ARRIVALS)
        self._exchange = exchange
        self._methods = methods
        self._budget = budget
        self._rest = rest

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """``/ws-api/v3``."""
        session = Session()
        try:
            await session.socket.serve(request, lambda said: self._hear(session, said), lambda: None)
        finally:
            self._unsubscribe(session, None)
        return session.socket.response

    def _hear(self, session: Session, said: str) -> None:
        number: Any = None
        heard_ns = time.monotonic_ns()
        try:
            number, method, p = _read(said)
            if method in self._methods and self._methods[method].orders:
                self.arrivals.append((p.plain("newClientOrderId"), heard_ns))
            result = self._answer(session, method, p)
        except BinanceError as error:
            body = {"id": number, "status": error.status, "error": error.body()}
            if error.wait_s:
                body["error"]["data"] = {"retryAfter": self._exchange.clock.now_ms() + error.wait_s * 1000}
        else:
            if result is None:  # A1: the answer is lost, and the connection with it
                session.socket.abort()
                return
            body = {"id": number, "status": 200, "result": result}
        session.socket.send(msgspec.json.encode(body | {"rateLimits": self._limits()}).decode())

    def _answer(self, session: Session, name: str, p: Parameters) -> Any:
        method = self._methods.get(name)
        if method is None and (name not in OWN or self._methods is not METHODS):
            raise BinanceError(-1130, "method")
        self._rest.charge(method.weight if method else OWN[name])
        if name == ORDER_COUNTS:
            check_signed(self._exchange, p.text("apiKey"), p, p.signed_bytes)
            return self._budget.order_counts()
        if name == UNSUBSCRIBE:
            self._unsubscribe(session, p.integer("subscriptionId"))
            return {}
        if method is not None and not method.is_signed:
            return method.work(self._exchange, p)
        account = check_signed(self._exchange, p.text("apiKey"), p, p.signed_bytes)
        if method is None:
            return {"subscriptionId": self._subscribe(session, account)}
        result = self._rest.act(method.work, account, p, method.orders)
        lost = method.orders and self._exchange.faults.take("A1", *order_types(p), symbol=p.plain("symbol"))
        return None if lost else result

    def _limits(self) -> list[dict[str, Any]]:
        used = self._budget.weight.used
        return [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
             "limit": self._budget.weight.limit, "count": used}
        ]  # fmt: skip

    # --- user data --------------------------------------------------------------------------------

    def _subscribe(self, session: Session, account: Account) -> int:
        number = session.next_subscription
        session.next_subscription += 1

        def listener(report: Report) -> None:
            self._tell(session, number, execution_report(self._exchange, report))
            self._tell(session, number, account_position(self._exchange, report))

        def list_listener(one: OrderList) -> None:
            self._tell(session, number, list_status(self._exchange, one))

        account.listeners.append(listener)
        account.list_listeners.append(list_listener)
        session.subscriptions[number] = (account, listener, list_listener)
        return number

    def _tell(self, session: Session, number: int, event: dict[str, Any]) -> None:
        session.socket.send(msgspec.json.encode({"subscriptionId": number, "event": event}).decode())

    def _unsubscribe(self, session: Session, number: int | None) -> None:
        """End one subscription, or all."""
        for key in list(session.subscriptions) if number is None else [number]:
            found = session.subscriptions.pop(key, None)
            if found is None:
                raise BinanceError(-1130, "subscriptionId")
            found[0].listeners.remove(found[1])
            found[0].list_listeners.remove(found[2])


def _read(said: str) -> tuple[Any, str, Parameters]:
    try:
        request = msgspec.json.decode(said)
    except msgspec.DecodeError:
        raise BinanceError(-1135) from None
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise BinanceError(-1135)
    params = request.get("params") or {}
    if not isinstance(params, dict):
        raise BinanceError(-1135)
    return request.get("id"), request["method"], Parameters({name: _plain(value) for name, value in params.items()})


def _plain(value: Any) -> str:
    """A JSON value as it stands in a query."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
