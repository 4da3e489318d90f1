"""What the tests of the simulated Coinbase ask of a running sandbox: signed requests, and its websockets."""

from __future__ import annotations

import asyncio
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import aiohttp
from running_sandbox import Running

from engine.venues.coinbase_keys import CoinbaseKey, coinbase_key
from engine.venues.signing import Secret

V3 = "/api/v3/brokerage"


class RunningCoinbase(Running):
    """A sandbox with dollar pairs, seen as a customer of Coinbase sees it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"speed": 0.0, "symbols": ("BTC/USDT", "BTC/USD", "ETH/USD"), "minutes": 12} | options)
        self.coinbase: Any = self.line["venues"]["coinbase"]
        self.floor: Any = self.sandbox.sites["coinbase"].stage
        self.host = self.coinbase["rest"].removeprefix("http://")

    def pair(self, kind: str = "ES256", account: int = 0) -> tuple[str, str]:
        """Name and secret of a key."""
        keys = self.coinbase["accounts"][account]["keys"]
        return next((key["key"], key["secret"]) for key in keys if key["type"] == kind)

    def signer(self, kind: str = "ES256", account: int = 0) -> CoinbaseKey:
        """Our own venue's half of the protocol."""
        name, secret = self.pair(kind, account)
        return coinbase_key(name, Secret(secret))

    def bearer(self, method: str, path: str, kind: str = "ES256", account: int = 0) -> str:
        token = self.signer(kind, account).token(method, self.host, path, self.now_s(), secrets.token_hex(16))
        return f"Bearer {token}"

    def send(
        self, method: str, path: str, document: Any = None, token: str | None = "", account: int = 0, **params: Any
    ) -> tuple[int, Any, dict[str, str]]:
        """One request: (status, JSON or text, headers in lower case). `token` None: unsigned.
        One that is signed here and comes too soon is sent again a second later by the exchange's clock."""
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = token or self.bearer(method, path, account=account)
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.coinbase["rest"] + path + query, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, text, found = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            status, text, found = error.code, error.read(), error.headers
        if status == 429 and token == "":
            self.fault("A14", venue="coinbase", skew_ms=self.floor.clock.skew_ms + 1000)
            return self.send(method, path, document, token, account, **params)
        plain = {name.lower(): value for name, value in found.items()}
        return status, json.loads(text) if text.startswith((b"{", b"[")) else text.decode(), plain

    def ask(self, path: str, **params: Any) -> Any:
        """GET, signed: the JSON of a 200."""
        status, found, _ = self.send("GET", V3 + path, **params)
        assert status == 200, found
        return found

    def new_order(self, side: str, form: str, account: int = 0, **fields: Any) -> Any:
        """POST orders of BTC-USD (or `product`)."""
        product, name = fields.pop("product", "BTC-USD"), fields.pop("name", secrets.token_hex(8))
        document = {"client_order_id": name, "product_id": product, "side": side, "order_configuration": {form: fields}}
        return self.send("POST", f"{V3}/orders", document, account=account)[1]

    def placed(self, side: str, form: str, **fields: Any) -> str:
        """The id of an order that must be accepted."""
        found = self.new_order(side, form, **fields)
        assert found["success"], found
        return str(found["success_response"]["order_id"])

    def named(self, order_id: str) -> Any:
        return self.ask(f"/orders/historical/{order_id}")["order"]

    def touch(self, product: str = "BTC-USD") -> tuple[float, float]:
        """Best bid and ask."""
        one = self.ask("/best_bid_ask", product_ids=product)["pricebooks"][0]
        return float(one["bids"][0]["price"]), float(one["asks"][0]["price"])

    def wallets(self, account: int = 0) -> dict[str, Any]:
        """Currency: (available, held)."""
        accounts = self.send("GET", f"{V3}/accounts", account=account)[1]["accounts"]
        return {
            one["currency"]: (float(one["available_balance"]["value"]), float(one["hold"]["value"])) for one in accounts
        }

    def now_s(self) -> int:
        """The exchange's time."""
        return int(self.floor.clock.now_ms()) // 1000

    def websocket_token(self, kind: str = "ES256", account: int = 0) -> str:
        return self.signer(kind, account).websocket_token(self.now_s(), secrets.token_hex(16))

    def hear(
        self,
        requests: list[dict[str, Any]],
        until: Callable[[list[Any]], bool],
        act: Callable[[], None] | None = None,
        user: bool = False,
    ) -> list[Any]:
        """All messages of a socket until `until` is content with them; `act` runs after the first answers."""

        async def conversation() -> list[Any]:
            heard: list[Any] = []
            url = self.coinbase["ws_user" if user else "ws"]
            async with aiohttp.ClientSession() as session, session.ws_connect(url) as ws, asyncio.timeout(8):
                for request in requests:
                    await ws.send_json(request)
                answers = 0
                while answers < len(requests):
                    heard.append(json.loads((await ws.receive()).data))
                    answers += heard[-1].get("channel") == "subscriptions" or heard[-1].get("type") == "error"
                if act is not None:
                    await asyncio.to_thread(act)
                while not until(heard):
                    heard.append(json.loads((await ws.receive()).data))
            return heard

        return asyncio.run(conversation())
