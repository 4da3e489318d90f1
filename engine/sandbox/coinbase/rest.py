"""REST over HTTP: the table of calls, who may make them, and the faults that wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from engine.sandbox.coinbase import account_calls as money
from engine.sandbox.coinbase import market_calls as market
from engine.sandbox.coinbase import trading
from engine.sandbox.coinbase.errors import HttpError, too_many
from engine.sandbox.coinbase.floor import Customer, Floor
from engine.sandbox.coinbase.parameters import Query
from engine.sandbox.coinbase.rates import PRIVATE, PUBLIC, Rates
from engine.sandbox.coinbase.tickets import FORMS, form_of
from engine.sandbox.coinbase.tokens import Tokens

SIMULATED: Final = {"X-Keel-Sandbox": "simulated exchange; no order, price or balance here is real"}
V3: Final = "/api/v3/brokerage"


class Call(NamedTuple):
    """One call: public ones get ``work(floor, query)``, private ones ``work(floor, customer, query)``."""

    method: str
    path: str
    is_public: bool
    work: Callable[..., Any]
    is_order: bool = False


CALLS: Final[tuple[Call, ...]] = (
    Call("GET", f"{V3}/time", True, market.server_time),
    Call("GET", f"{V3}/market/products", True, market.products),
    Call("GET", f"{V3}/market/products/{{product_id}}", True, market.product),
    Call("GET", f"{V3}/market/products/{{product_id}}/candles", True, market.candles),
    Call("GET", f"{V3}/market/products/{{product_id}}/ticker", True, market.ticker),
    Call("GET", f"{V3}/market/product_book", True, market.product_book),
    Call("GET", f"{V3}/products", False, lambda floor, customer, query: market.products(floor, query)),
    Call("GET", f"{V3}/products/{{product_id}}", False, lambda floor, customer, query: market.product(floor, query)),
    Call(
        "GET", f"{V3}/products/{{product_id}}/candles", False,
        lambda floor, customer, query: market.candles(floor, query),
    ),
    Call(
        "GET", f"{V3}/products/{{product_id}}/ticker", False,
        lambda floor, customer, query: market.ticker(floor, query),
    ),
    Call("GET", f"{V3}/product_book", False, lambda floor, customer, query: market.product_book(floor, query)),
    Call("GET", f"{V3}/best_bid_ask", False, lambda floor, customer, query: market.best_bid_ask(floor, query)),
    Call("GET", f"{V3}/accounts", False, money.accounts),
    Call("GET", f"{V3}/accounts/{{account_uuid}}", False, money.account),
    Call("GET", f"{V3}/portfolios", False, money.portfolios),
    Call("GET", f"{V3}/key_permissions", False, money.key_permissions),
    Call("GET", f"{V3}/transaction_summary", False, money.transaction_summary),
    Call("POST", f"{V3}/orders", False, trading.create, True),
    Call("POST", f"{V3}/orders/preview", False, trading.preview),
    Call("POST", f"{V3}/orders/batch_cancel", False, trading.cancel),
    Call("GET", f"{V3}/orders/historical/batch", False, trading.list_orders),
    Call("GET", f"{V3}/orders/historical/fills", False, trading.fills),
    Call("GET", f"{V3}/orders/historical/{{order_id}}", False, trading.get_order),
    Call("GET", "/v2/accounts", False, money.v2_accounts),
    Call("GET", "/v2/currencies", True, money.v2_currencies),
    Call("GET", "/v2/currencies/crypto", True, money.v2_crypto),
    Call("GET", "/v2/exchange-rates", True, money.v2_rates),
    Call("GET", "/v2/prices/{symbol}/{kind:spot|buy|sell}", True, money.v2_price),
    Call("GET", "/v2/time", True, money.v2_time),
)  # fmt: skip
_encode: Final = msgspec.json.Encoder().encode


class Rest:
    """The HTTP side of the exchange."""

    def __init__(self, floor: Floor, tokens: Tokens) -> None:
        self._floor = floor
        self._tokens = tokens
        self._rates = Rates(floor.clock)

    def add_routes(self, app: web.Application) -> None:
        """Every call of the table."""
        for call in CALLS:
            app.router.add_route(call.method, call.path, self._handler(call))

    def _handler(self, call: Call) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return self._answer(call, request, await request.read())

        return handle

    def _answer(self, call: Call, request: web.Request, body: bytes) -> web.StreamResponse:
        headers: dict[str, str] = {}
        query = Query(list(request.query.items()), request.match_info, body)
        try:
            customer = None if call.is_public else self._customer(request)
            is_within, headers = self._rates.charge(
                request.remote or "" if customer is None else customer.portfolio_id,
                PUBLIC if customer is None else PRIVATE,
            )
            if self._floor.faults.take("A13") or not is_within:
                raise too_many()
            found = call.work(self._floor, query) if customer is None else self._act(call, customer, query)
        except HttpError as error:
            return _refusal(error, headers)
        if call.is_order and self._floor.faults.take("A1", _word(query), symbol=_symbol(query)):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return _json(found, 200, headers)

    def _customer(self, request: web.Request) -> Customer:
        header = request.headers.get("Authorization")
        number = self._tokens.bearer(header, request.method, request.headers.get("Host", ""), request.rel_url.raw_path)
        return self._floor.customers[number]

    def _act(self, call: Call, customer: Customer, query: Query) -> Any:
        """A private call, past the faults that wait for orders."""
        if call.is_order:
            word, symbol = _word(query), _symbol(query)
            if self._floor.faults.take("A7", word, symbol=symbol):
                raise HttpError(503, "Service Unavailable")
            late = self._floor.faults.take("A2", word, symbol=symbol)
            if late is not None:
                wait_s = late.delay_ms / 1000
                asyncio.get_running_loop().call_later(wait_s, self._act_late, call, customer, query)
                raise HttpError(504, "upstream request timeout")
        return call.work(self._floor, customer, query)

    def _act_late(self, call: Call, customer: Customer, query: Query) -> None:
        try:
            call.work(self._floor, customer, query)
        except HttpError:
            return  # refused after all: nobody is there to be told


def _word(query: Query) -> str:
    """The exchange's word for the type of an order, by which faults are narrowed."""
    try:
        name, fields = form_of(query.document())
    except HttpError:
        return ""
    form = FORMS.get(name)
    if form is None:
        return ""
    return "LIMIT_MAKER" if fields.get("post_only") is True and form.engine_type == "LIMIT" else form.engine_type


def _symbol(query: Query) -> str:
    """The product an order is for, by which faults are narrowed; empty where none can be read."""
    try:
        return str(query.document().get("product_id", ""))
    except HttpError:
        return ""


def _refusal(error: HttpError, headers: dict[str, str]) -> web.Response:
    said = {"X-Keel-Reason": error.why} if error.why else {}
    if isinstance(error.body, str):
        return web.Response(text=error.body, status=error.status, headers=SIMULATED | headers | said)
    return _json(error.body, error.status, headers | said)


def _json(document: Any, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(
        body=_encode(document), status=status, content_type="application/json", charset="utf-8",
        headers=SIMULATED | headers,
    )  # fmt: skip
