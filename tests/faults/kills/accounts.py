"""An account's books at the sandbox's venues, asked for over REST as its customer."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

E8 = 10**8


class Fill(NamedTuple):
    """A fill of ours as the venue tells it; `side` +1 bought, -1 sold."""

    trade_id: int
    price: Decimal
    quantity: Decimal
    fee: Decimal
    side: int
    time_ms: int


class Asked:
    """Signed questions of one account at one venue."""

    def __init__(self, line: dict[str, Any], account: int) -> None:
        own = line["accounts"][account]
        self._key, self._secret = own["key"], own["secret"]
        self._at = urlsplit(line["rest"]).netloc
        self._line: http.client.HTTPConnection | None = None

    def get(self, path: str, **params: Any) -> Any:
        query = urlencode(params | {"timestamp": round(time.time() * 1000), "recvWindow": 60_000})
        query += "&signature=" + hmac.new(self._secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        for attempt in (1, 2):
            if self._line is None:
                self._line = http.client.HTTPConnection(self._at, timeout=30)
            try:
                self._line.request("GET", f"{path}?{query}", headers={"X-MBX-APIKEY": self._key})
                answer = self._line.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, OSError):  # the server closed an idle line
                self._line = None
                if attempt == 2:
                    raise
        assert answer.status == 200, (path, answer.status, text)
        return json.loads(text)


class Spot:
    """The spot account."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def balances(self) -> dict[str, int]:
        """Free and locked, 1e-8 of each asset."""
        rows = self._asked.get("/api/v3/account")["balances"]
        return {row["asset"]: int((Decimal(row["free"]) + Decimal(row["locked"])) * E8) for row in rows}

    def open_orders(self) -> list[dict[str, Any]]:
        return [
            {"text": row["clientOrderId"], "symbol": row["symbol"], "side": row["side"],
             "is_stop": row["type"].startswith("STOP"),
             "left": Decimal(row["origQty"]) - Decimal(row["executedQty"])}
            for row in self._asked.get("/api/v3/openOrders")
        ]  # fmt: skip

    def orders(self, symbol: str) -> list[str]:
        """Our ids of every order there ever was."""
        return [row["clientOrderId"] for row in self._all("/api/v3/allOrders", symbol, "orderId", "orderId")]

    def fills(self, symbol: str) -> list[Fill]:
        """All there ever were, in order."""
        return sorted(
            Fill(row["id"], Decimal(row["price"]), Decimal(row["qty"]), Decimal(row["commission"]),
                 1 if row["isBuyer"] else -1, row["time"])
            for row in self._all("/api/v3/myTrades", symbol, "id", "fromId")
        )  # fmt: skip

    def _all(self, path: str, symbol: str, number: str, name: str) -> list[dict[str, Any]]:
        return _pages(self._asked, path, symbol, number, name)


class Usdm:
    """The futures account."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def balance(self) -> int:
        """The wallet, 1e-8 USDT: what is realised, without what is open."""
        rows = self._asked.get("/fapi/v3/balance")
        return sum(int(Decimal(row["balance"]) * E8) for row in rows if row["asset"] == "USDT")

    def positions(self) -> dict[str, Decimal]:
        rows = self._asked.get("/fapi/v3/positionRisk")
        return {row["symbol"]: Decimal(row["positionAmt"]) for row in rows if Decimal(row["positionAmt"])}

    def open_orders(self) -> list[dict[str, Any]]:
        plain = [
            {"text": row["clientOrderId"], "symbol": row["symbol"], "side": row["side"], "is_stop": False,
             "left": Decimal(row["origQty"]) - Decimal(row["executedQty"])}
            for row in self._asked.get("/fapi/v1/openOrders")
        ]  # fmt: skip
        waiting = [
            {"text": row["clientAlgoId"], "symbol": row["symbol"], "side": row["side"], "is_stop": True,
             "left": Decimal(row["quantity"])}
            for row in self._asked.get("/fapi/v1/openAlgoOrders")
        ]  # fmt: skip
        return plain + waiting

    def orders(self, symbol: str) -> tuple[list[str], list[str]]:
        """Our ids of every order there ever was: plain ones, conditional ones."""
        plain = _pages(self._asked, "/fapi/v1/allOrders", symbol, "orderId", "orderId")
        waiting = _pages(self._asked, "/fapi/v1/allAlgoOrders", symbol, "algoId", "algoId")
        return [row["clientOrderId"] for row in plain], [row["clientAlgoId"] for row in waiting]

    def fills(self, symbol: str) -> list[Fill]:
        return sorted(
            Fill(row["id"], Decimal(row["price"]), Decimal(row["qty"]), Decimal(row["commission"]),
                 1 if row["side"] == "BUY" else -1, row["time"])
            for row in _pages(self._asked, "/fapi/v1/userTrades", symbol, "id", "fromId")
        )  # fmt: skip


class NoFutures(Usdm):
    """The futures account of who has none."""

    def __init__(self) -> None:
        pass

    def balance(self) -> int:
        return 0

    def positions(self) -> dict[str, Decimal]:
        return {}

    def open_orders(self) -> list[dict[str, Any]]:
        return []


def _pages(asked: Asked, path: str, symbol: str, number: str, name: str) -> list[dict[str, Any]]:
    """Everything, a thousand at a time."""
    found: list[dict[str, Any]] = []
    first = 0
    while True:
        rows = asked.get(path, symbol=symbol, limit=1000, **{name: first})
        found += rows
        if len(rows) < 1000:
            return found
        first = max(int(row[number]) for row in rows) + 1
