"""The websockets: who listens to what. One connection counts all its messages in `sequence_num`.

A public channel of a -USDC product speaks of its -USD book, as at Coinbase; only the user channel names -USDC.
level2 speaks every 50 ms, market_trades every 250 ms, candles and heartbeats every second, ticker_batch every five,
each only where something changed; ticker with every trade; user at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from engine.contracts.errors import KeelError
from engine.sandbox.accounts import Order
from engine.sandbox.coinbase import channels
from engine.sandbox.coinbase.amounts import stamp
from engine.sandbox.coinbase.errors import HttpError
from engine.sandbox.coinbase.floor import Customer, Draft, Floor, Listener, Product
from engine.sandbox.coinbase.order_shapes import user_shape
from engine.sandbox.coinbase.tokens import Tokens
from engine.sandbox.sockets import Socket
from engine.sandbox.tape import Tape, Trade

TURN_S: Final = 0.05
EVERY: Final = {"level2": 1, "market_trades": 5, "candles": 20, "heartbeats": 20, "ticker_batch": 100}
"""Channels that speak by the clock, and every how many turns."""
PUBLIC: Final = frozenset({"status", "ticker", *EVERY} - {"heartbeats"})
CHANNELS: Final = PUBLIC | {"heartbeats", "user", "futures_balance_summary"}
PRIVATE: Final = frozenset({"user", "futures_balance_summary"})
NAMES: Final = {"level2": "l2_data"}
"""What messages of a channel are called, where it is not the channel's own name."""
SILENT_S: Final = 5.0
"""Who has subscribed to nothing by then is disconnected."""
POSITIONS: Final[dict[str, list[Any]]] = {"perpetual_futures_positions": [], "expiring_futures_positions": []}


class BadSubscription(KeelError):
    """The sentence of an error message."""


class Session:
    """One connection: its channels with their products, in the order asked."""

    def __init__(self, floor: Floor) -> None:
        self.socket = Socket()
        self.asked: dict[str, list[str]] = {}
        self.heartbeats = 0
        self.customer: Customer | None = None
        self.listener: Listener | None = None
        self._floor = floor
        self._sequence = 0

    def send(self, channel: str, event: dict[str, Any], is_lost: bool = False) -> None:
        """A message with the next number; a lost one has a number, too."""
        number = self._sequence
        self._sequence += 1
        if is_lost:
            return
        now = stamp(self._floor.clock.now_ms())
        name = NAMES.get(channel, channel)
        message = {"channel": name, "client_id": "", "timestamp": now, "sequence_num": number, "events": [event]}
        self.socket.send(msgspec.json.encode(message).decode())


class Feed:
    """All websocket connections of the exchange."""

    def __init__(self, floor: Floor, tokens: Tokens) -> None:
        self._floor = floor
        self._tokens = tokens
        self._sessions: list[Session] = []
        self._books = {
            one.book: channels.BookChannel(floor, floor.products[one.book]) for one in floor.products.values()
        }
        self._by_tape = {one.tape.index: one for one in floor.products.values() if one.book == one.product_id}
        self._trades: dict[str, list[Trade]] = {}
        self._traded: set[str] = set()
        floor.exchange.on_trade.append(self._hear_trade)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Either socket: market data, or (with ``user`` in its path) orders alone."""
        session = Session(self._floor)
        is_user = "user" in request.path
        timer = asyncio.get_running_loop().call_later(SILENT_S, self._give_up, session)
        self._sessions.append(session)
        try:
            await session.socket.serve(request, lambda said: self._hear(session, said, is_user), lambda: None)
        finally:
            timer.cancel()
            self._sessions.remove(session)
            self._forget_user(session)
        return session.socket.response

    def _give_up(self, session: Session) -> None:
        if not session.asked:
            session.socket.close()

    # --- requests ---------------------------------------------------------------------------------

    def _hear(self, session: Session, said: str, is_user: bool) -> None:
        try:
            self._do(session, said, is_user)
        except BadSubscription as error:
            session.socket.send(msgspec.json.encode({"type": "error", "message": str(error)}).decode())

    def _do(self, session: Session, said: str, is_user: bool) -> None:
        kind, channel, names, token = _read(said)
        if channel not in CHANNELS or (is_user and channel in PUBLIC):
            raise BadSubscription("failure to subscribe" if kind == "subscribe" else "failure to unsubscribe")
        if any(name not in self._floor.products for name in names):
            raise BadSubscription("failure to subscribe")
        customer = self._customer(token) if token is not None or channel in PRIVATE else None
        if kind == "unsubscribe":
            self._unsubscribe(session, channel, names)
        elif channel == "user" and customer is not None:
            self._subscribe_user(session, customer, names)
        else:
            self._subscribe(session, channel, names)
        session.send("subscriptions", {"subscriptions": {k: list(v) for k, v in session.asked.items()}})

    def _customer(self, token: object) -> Customer:
        try:
            if not isinstance(token, str):
                raise BadSubscription("authentication failure")
            return self._floor.customers[self._tokens.verify(token)[0]]
        except HttpError:
            raise BadSubscription("authentication failure") from None

    def _subscribe(self, session: Session, channel: str, names: list[str]) -> None:
        if channel in PRIVATE or channel == "heartbeats":
            session.asked[channel] = [channel]
            return
        chosen = names or ([*self._floor.products] if channel == "status" else [])
        if not chosen:
            raise BadSubscription("failure to subscribe")
        asked = session.asked.get(channel, [])
        tellers = {"level2": self._tell_books, "market_trades": self._tell_trades}
        for name in chosen:
            if name not in asked:
                product = self._floor.products[self._floor.products[name].book]
                if channel in tellers:  # what the snapshot shows is not told again
                    tellers[channel](product.product_id)
                session.asked[channel] = asked = [*asked, name]
                session.send(channel, self._snapshot(channel, product))

    def _snapshot(self, channel: str, product: Product) -> dict[str, Any]:
        if channel == "level2":
            return self._books[product.product_id].snapshot()
        if channel == "market_trades":
            return channels.trades_event(product, "snapshot", list(product.tape.trades)[-channels.SNAPSHOT_TRADES :])
        if channel == "candles":
            return channels.candles_event(product, "snapshot", channels.SNAPSHOT_CANDLES)
        if channel == "status":
            return channels.status_event([product])
        return channels.ticker_event(self._floor, product, "snapshot", channel == "ticker")

    def _unsubscribe(self, session: Session, channel: str, names: list[str]) -> None:
        left = [] if channel in PRIVATE or not names else [n for n in session.asked.get(channel, []) if n not in names]
        if left:
            session.asked[channel] = left
        else:
            session.asked.pop(channel, None)
        if channel == "user":
            self._forget_user(session)

    # --- orders -----------------------------------------------------------------------------------

    def _subscribe_user(self, session: Session, customer: Customer, names: list[str]) -> None:
        """A snapshot of open orders; then, to those who come back, the latest events once more."""
        self._forget_user(session)

        def shape(draft: Draft, order: Order) -> dict[str, Any]:
            return user_shape(self._floor, customer, draft, order)

        def listener(draft: Draft, order: Order) -> None:
            if not names or draft.product.product_id in names:
                session.send("user", {"type": "update", "orders": [shape(draft, order)], "positions": POSITIONS})

        orders = [(draft, customer.order_of(draft)) for draft in customer.drafts.values()]
        shown = [
            shape(draft, order) for draft, order in orders
            if order.is_open and (not names or draft.product.product_id in names)
        ]  # fmt: skip
        session.send("user", {"type": "snapshot", "orders": shown, "positions": POSITIONS})
        if customer.was_heard:
            for draft, order in customer.recent:
                listener(draft, order)
        customer.was_heard = True
        customer.listeners.append(listener)
        session.customer, session.listener = customer, listener
        session.asked["user"] = [customer.user_id]

    def _forget_user(self, session: Session) -> None:
        if session.customer is not None and session.listener is not None:
            session.customer.listeners.remove(session.listener)
        session.customer = session.listener = None

    # --- the market -------------------------------------------------------------------------------

    def _listeners(self, channel: str, book: str) -> list[Session]:
        """Who hears of a book under either of its names."""
        names = {one.product_id for one in self._floor.products.values() if one.book == book}
        return [one for one in self._sessions if names.intersection(one.asked.get(channel, ()))]

    def _send(self, channel: str, book: str, event: dict[str, Any] | None, is_lost: bool = False) -> None:
        listeners = self._listeners(channel, book) if event is not None else []
        if event is None or not listeners or self._floor.faults.take("A15"):
            return
        for one in listeners:
            one.send(channel, event, is_lost)

    def _hear_trade(self, tape: Tape, trade: Trade) -> None:
        product = self._by_tape.get(tape.index)
        if product is None or not self._sessions:
            return
        if self._listeners("market_trades", product.product_id):
            self._trades.setdefault(product.product_id, []).append(trade)
        self._traded.add(product.product_id)
        if self._listeners("ticker", product.product_id):
            event = channels.ticker_event(self._floor, product, "update", with_touch=True)
            self._send("ticker", product.product_id, event)

    def _tell_books(self, book: str) -> None:
        event = self._books[book].update()
        heard = event is not None and bool(self._listeners("level2", book))
        is_lost = heard and self._floor.faults.take("A16", symbol=book) is not None
        self._send("level2", book, event, is_lost)

    def _tell_trades(self, book: str) -> None:
        trades = self._trades.pop(book, [])
        if trades:
            self._send("market_trades", book, channels.trades_event(self._floor.products[book], "update", trades))

    def _tell_candles(self, book: str) -> None:
        if book in self._traded and self._listeners("candles", book):
            self._send("candles", book, channels.candles_event(self._floor.products[book], "update", 1))

    def _tell_batch(self, book: str) -> None:
        if self._listeners("ticker_batch", book):
            event = channels.ticker_event(self._floor, self._floor.products[book], "update", with_touch=False)
            self._send("ticker_batch", book, event)

    def _beat(self) -> None:
        now = stamp(self._floor.clock.now_ms()).replace("T", " ").replace("Z", "000 +0000 UTC")
        for one in self._sessions:
            if "heartbeats" in one.asked:
                one.send("heartbeats", {"current_time": now, "heartbeat_counter": one.heartbeats})
                one.heartbeats += 1

    async def run(self) -> None:
        """Let the channels speak that speak by the clock."""
        tellers: dict[str, Callable[[str], None]] = {
            "level2": self._tell_books, "market_trades": self._tell_trades, "candles": self._tell_candles,
            "ticker_batch": self._tell_batch,
        }  # fmt: skip
        turn = 0
        while True:
            await asyncio.sleep(TURN_S)
            turn += 1
            if not self._sessions:
                continue
            for channel, tell in tellers.items():
                for book in self._books if turn % EVERY[channel] == 0 else ():
                    if self._listeners(channel, book):
                        tell(book)
            if turn % EVERY["candles"] == 0:
                self._traded.clear()
            if turn % EVERY["heartbeats"] == 0:
                self._beat()


def _read(said: str) -> tuple[str, str, list[str], object]:
    """Type, channel, products and token of a request."""
    try:
        request = msgspec.json.decode(said, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise BadSubscription("failure to parse message") from None
    kind, channel, names = request.get("type"), request.get("channel"), request.get("product_ids") or []
    if kind not in ("subscribe", "unsubscribe"):
        raise BadSubscription("invalid message type")
    if not isinstance(channel, str) or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise BadSubscription(f"failure to {kind}")
    return kind, channel, names, request.get("jwt")
