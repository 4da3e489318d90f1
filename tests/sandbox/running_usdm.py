"""A sandbox for tests of the futures venue: perpetuals beside a spot pair, played by hand."""

from __future__ import annotations

from typing import Any

from running_sandbox import Running


class RunningUsdm(Running):
    """The same questions, asked of the futures venue."""

    def __init__(self, **options: Any) -> None:
        given = {"speed": 0.0, "minutes": 12, "symbols": ("BTC/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT")}
        super().__init__(**given | options)
        self.venue = self.line["venues"]["binance_usdm"]
        self.rest, self.ws, self.ws_api = (self.venue[name] for name in ("rest", "ws", "ws_api"))
        self.futures: Any = self.sandbox.sites["binance_usdm"].stage

    def fault(self, number: str, **fields: Any) -> None:
        super().fault(number, venue="binance_usdm", **fields)

    def fund(self, symbol: str, rate: str) -> None:
        self.tell("/fund", {"venue": "binance_usdm", "symbol": symbol, "rate": rate})

    def order(self, side: str, kind: str, account: int = 0, **params: Any) -> tuple[int, Any]:
        """POST order of BTCUSDT, answered with its result."""
        params = {"symbol": "BTCUSDT", "side": side, "type": kind, "newOrderRespType": "RESULT"} | params
        return self.call("POST", "/fapi/v1/order", account=account, **params)[:2]

    def algo(self, side: str, kind: str, account: int = 0, **params: Any) -> tuple[int, Any]:
        """POST algoOrder of BTCUSDT."""
        params = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": side, "type": kind} | params
        return self.call("POST", "/fapi/v1/algoOrder", account=account, **params)[:2]

    def ask(self, path: str, account: int = 0, **params: Any) -> Any:
        """A signed GET."""
        status, found, _ = self.call("GET", f"/fapi/{path}", account=account, **params)
        assert status == 200, found
        return found

    def price(self, share: float = 1.0) -> str:
        """A share of the best bid, in whole ticks."""
        tape = self.futures.by_name["BTCUSDT"]
        return tape.price(int(tape.bid_ticks * share))

    def flatten(self, account: int = 0) -> None:
        """No orders and no position in BTCUSDT."""
        for path in ("allOpenOrders", "algoOpenOrders"):
            self.call("DELETE", f"/fapi/v1/{path}", account=account, symbol="BTCUSDT")
        self.fault("A10", symbol="BTCUSDT", account=account)
