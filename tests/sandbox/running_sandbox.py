"""A sandbox for tests: its own thread and loop, so that blocking and asynchronous clients can both talk to it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlencode

from engine.sandbox.server import Sandbox, SandboxOptions


class Running:
    """A started sandbox: the start line in `line`, and what tests ask of it."""

    def __init__(self, **options: Any) -> None:
        self.sandbox = Sandbox(SandboxOptions(**options))
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.line = self.run(self.sandbox.start())
        self.venue = self.line["venues"]["binance_spot"]
        self.rest, self.ws, self.ws_api = (self.venue[name] for name in ("rest", "ws", "ws_api"))
        self.control = self.line["control"]
        self.exchange: Any = self.sandbox.sites["binance_spot"].stage

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def stop(self) -> None:
        self.run(self.sandbox.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def key(self, kind: str = "HMAC", account: int = 0) -> tuple[str, str]:
        found = next(key for key in self.venue["accounts"][account]["keys"] if key["type"] == kind)
        return found["key"], found["secret"]

    def tell(self, path: str, document: Any, method: str = "POST") -> Any:
        """A call of the control endpoint."""
        body = json.dumps(document).encode()
        request = urllib.request.Request(self.control + path, body, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def fault(self, number: str, **fields: Any) -> None:
        self.tell("/faults", {"fault": number} | fields)

    def advance(self, events: int) -> None:
        self.tell("/advance", {"events": events})

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, signed=False, **params)[1]

    def call(
        self, method: str, path: str, signed: bool = True, account: int = 0, **params: Any
    ) -> tuple[int, Any, dict[str, str]]:
        """One request with HMAC: (status, JSON, headers in lower case)."""
        query, headers = urlencode(params), {}
        if signed:
            key, secret = self.key(account=account)
            query = urlencode({"timestamp": int(time.time() * 1000)} | params)
            query += "&signature=" + hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
            headers = {"X-MBX-APIKEY": key}
        return self.raw(method, path, query, headers)

    def raw(self, method: str, path: str, query: str, headers: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        request = urllib.request.Request(f"{self.rest}{path}?{query}", headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, text, found = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            status, text, found = error.code, error.read(), error.headers
        plain = {name.lower(): value for name, value in found.items()}
        return status, json.loads(text) if text.startswith((b"{", b"[")) else text, plain

    def order(self, side: str, kind: str, **params: Any) -> tuple[int, Any]:
        """POST order of BTCUSDT."""
        params = {"symbol": "BTCUSDT", "side": side, "type": kind} | params
        return self.call("POST", "/api/v3/order", **params)[:2]
