"""The same trip through ccxt.pro alone: quotes of the same sandbox at the same rate, orders back over the same WS API.

Nothing of Keel decides or sends here: the program awaits ``watch_bids_asks`` and calls ``create_order_ws``, as ccxt's
manual shows it. The clock starts when ccxt hands a decoded message to the exchange class (its own reading and JSON are
not counted, in its favour) and ends when the request was handed to the socket. *Wire to wire* is the sandbox's own
measure, as for Keel; quotes that wait unread in ccxt show there alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import ccxt.pro
import numpy as np

from engine.research.wirebench import QUOTES_PER_S, Figures, Played, Sandbox, percentiles

SECOND_NS: Final = 1_000_000_000
NOTIONAL_USD: Final = 20.0
READY_S: Final = 20.0


class Stamped(ccxt.pro.binance):  # type: ignore[misc]
    """ccxt.pro's Binance that notes when messages came and orders left (ns, CLOCK_MONOTONIC)."""

    def __init__(self, venue: Mapping[str, Any]) -> None:
        """`venue` is its part of the sandbox's start line; the last account trades."""
        account = venue["accounts"][-1]
        super().__init__({"apiKey": account["key"], "secret": account["secret"], "enableRateLimit": False})
        api = self.urls["api"]
        api["public"] = api["private"] = f"{venue['rest']}/api/v3"
        api["sapi"] = f"{venue['rest']}/sapi/v1"
        api["ws"]["spot"], api["ws"]["ws-api"]["spot"] = f"{venue['ws']}/ws", venue["ws_api"]
        self.options["fetchMarkets"] = {"types": ["spot"]}
        self.heard_ns = self.quotes = 0
        self.left_ns: dict[str, int] = {}

    def handle_message(self, client: Any, message: Any) -> None:
        """ccxt's way in: every decoded message."""
        if isinstance(message, dict) and "u" in message:
            self.heard_ns = time.monotonic_ns()
            self.quotes += 1
        super().handle_message(client, message)

    def client(self, url: str) -> Any:
        """ccxt's way out: one client a socket, here with a stamp behind its `send`."""
        is_new = url not in (self.clients or {})
        made = super().client(url)
        if is_new:
            send = made.send

            async def stamped(message: Any) -> None:
                await send(message)
                if isinstance(message, dict) and message.get("method") == "order.place":
                    self.left_ns[message["params"]["newClientOrderId"]] = time.monotonic_ns()

            made.send = stamped
        return made


async def bench_ccxt(venue: Mapping[str, Any], control: str, symbols: Sequence[str], seconds: float) -> Figures:
    """One order for each symbol and second of quotes: limit at the ask, immediate or cancel."""
    exchange, sandbox = Stamped(venue), Sandbox(control)
    begun: dict[str, int] = {}
    try:
        async with asyncio.timeout(READY_S):
            await exchange.load_markets()
            await _order(exchange, symbols[0], 0, await exchange.fetch_ticker(symbols[0]))  # opens the socket
        trading = asyncio.create_task(_trade(exchange, symbols, begun))
        played = await sandbox.play(QUOTES_PER_S, seconds, even=True)
        trading.cancel()
        with suppress(asyncio.CancelledError):
            await trading
        arrivals = dict((await sandbox.ask("arrivals"))["arrivals"])
    finally:
        await exchange.close()
    inside = [exchange.left_ns[name] - ns for name, ns in begun.items() if name in exchange.left_ns]
    outside = [ns for name in begun if name in arrivals if (ns := _trip_ns(name, arrivals[name], played)) is not None]
    return (
        {"ccxt_version": ccxt.pro.__version__, "ccxt_orders": len(inside), "ccxt_quotes_read": exchange.quotes}
        | {"ccxt_quotes_sent": played.quotes}
        | percentiles("ccxt_tick_to_order_us", inside)
        | percentiles("ccxt_wire_to_wire_us", outside)
    )


async def _trade(exchange: Stamped, symbols: Sequence[str], begun: dict[str, int]) -> None:
    """Watch; at each symbol's first quote of a second, order. `begun`: when that quote came, by the order's name."""
    seconds: dict[str, int] = {}
    async with asyncio.TaskGroup() as orders:
        while True:
            tickers = await exchange.watch_bids_asks(list(symbols))
            heard_ns = exchange.heard_ns
            for symbol, ticker in tickers.items():
                second = heard_ns // SECOND_NS
                if seconds.setdefault(symbol, second) != second:
                    seconds[symbol] = second
                    number = int(ticker["info"]["u"])
                    begun[f"{ticker['info']['s']}-{number}"] = heard_ns
                    orders.create_task(_order(exchange, symbol, number, ticker))


async def _order(exchange: Stamped, symbol: str, number: int, ticker: Mapping[str, Any]) -> None:
    amount = float(exchange.amount_to_precision(symbol, NOTIONAL_USD / ticker["ask"]))
    words = {"timeInForce": "IOC", "newClientOrderId": f"{exchange.market(symbol)['id']}-{number}"}
    await exchange.create_order_ws(symbol, "limit", "buy", amount, ticker["ask"], words)


def _trip_ns(name: str, arrived_ns: int, played: Played) -> int | None:
    """From the quote an order names leaving the sandbox to the order's arrival there."""
    symbol, _, number = name.partition("-")
    last = played.last[:, played.symbols.index(symbol)]
    row = int(np.searchsorted(last, int(number)))
    return arrived_ns - int(played.left_ns[row]) if 0 < row < len(last) else None
