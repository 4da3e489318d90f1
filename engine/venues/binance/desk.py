"""Orders to Binance: over one open socket, its answers, and what becomes of requests whose answer is lost.

* A PLACE or CANCEL leaves at once with a grant taken ahead; nothing on that way waits.
* Without one, the limiter is asked on the side: entries are refused where there is no room, all others wait for it.
* Without a socket, entries are refused here, as while our fills would not be heard; exits, stops and cancels go
  over HTTP. What is accepted while the user stream is down is ORDER_UNKNOWN at once, and so asked for.
* While the venue refuses our key, entries are refused here (`key_watch`); all others are tried.
* A command that could not leave while its answer was waited for is refused: the engine may have given it up by then.
* An answer that does not come in time, and every request in flight when the socket breaks, is ORDER_UNKNOWN.
"""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from engine.contracts import reasons
from engine.contracts.errors import Fatal, KeelError, Refused, Retryable, Unknown
from engine.contracts.records import (
    CANCEL,
    CANCEL_REJECT,
    ORDER_REJECT,
    ORDER_UNKNOWN,
    PLACE,
    REDUCE_ONLY,
    ROLE_ENTRY,
)
from engine.venues.binance.asides import Fault, StreamEnded
from engine.venues.binance.flight import Flight, Sent
from engine.venues.binance.link import Link
from engine.venues.binance.margins import Margins
from engine.venues.binance.market import allow_connection
from engine.venues.binance.order_words import Command, OrderWords, stop_stands_in
from engine.venues.binance.queries import Queries
from engine.venues.binance.replies import RequestId
from engine.venues.binance.rest import CLOCK, KeyRefused, NotSent, heed_cancellation
from engine.venues.binance.swaps import Swaps
from engine.venues.binance.teller import Teller
from engine.venues.binance.user_stream import PULSE, UserStream
from engine.venues.budgets import Urgency
from engine.venues.connection import Connection
from engine.venues.limiter import BudgetFull
from engine.venues.port import NoticeKind, StreamHealth
from engine.venues.ready import ReadyGrants
from engine.venues.signing import Signer
from engine.venues.undecodable import Undecodable, shown

READY: Final = 4
"""Requests of each kind that may leave at the same moment without asking the limiter."""
FILTERS: Final = frozenset(
    (reasons.PRICE_FILTER, reasons.LOT_SIZE, reasons.MIN_NOTIONAL, reasons.PERCENT_PRICE)
)  # fmt: skip


class _Answered(msgspec.Struct):
    id: RequestId = None


_ANSWERED: Final = msgspec.json.Decoder(_Answered)


class Desk:
    """One run: the sockets, what is in flight, the grants."""

    def __init__(self, link: Link, answer_s: float, mute_s: float) -> None:
        signer = link.rest.signer
        assert signer is not None
        self._link, self._patience_s = link, answer_s
        self._teller = Teller(link)
        self.queries = Queries(link, self._teller)
        self._words = OrderWords(link, signer)
        self._words.prepare()
        self._flight = Flight(answer_s, self._late)
        self._margins = Margins(link)
        self._swaps = Swaps(self._teller, self._place)
        budget, limiter = link.dialect.budget, link.rest.limiter
        self._cancel_charges = {f"{budget}.weight": 1}
        self._place_charges = {f"{budget}.weight": 1, f"{budget}.orders": 1}
        self._entries = ReadyGrants(limiter, self._place_charges, Urgency.ENTRY, READY)
        self._exits = ReadyGrants(limiter, self._place_charges, Urgency.EXIT, READY)
        self._cancels = ReadyGrants(limiter, self._cancel_charges, Urgency.CANCEL, READY)
        self._grants = (self._entries, self._exits, self._cancels)
        name = f"{link.venue} orders"
        self._socket = Connection(name, self._where, self, mute_s, PULSE, lambda: len(self._flight) > 0)
        self._user = UserStream(link, signer, self._teller, self.queries, mute_s)

    async def begin(self) -> None:
        """Set the margin mode, take the first grants."""
        await self._margins.begin()
        for grants in self._grants:
            await grants.renew()
            heed_cancellation()

    def work(self) -> list[Any]:
        """What runs as long as the desk is open."""
        for number, one in self._link.mine.items():
            if stop_stands_in(self._link.dialect, self._link, one):
                text = f"{one.symbol} takes no stop-market orders: stops are stop-limit orders 5 % beyond the trigger"
                self._link.say("emulated", text, number)
            if not self._replaces(number):
                text = f"{one.symbol}: orders are replaced by a cancel, then a new order once that is confirmed"
                self._link.say("emulated", text, number)
        return [
            self._socket.run(), self._user.connection.run(), self._user.keep_alive(), self._teller.keep_prices(),
            *(grants.renew_on() for grants in self._grants),
        ]  # fmt: skip

    async def close(self) -> None:
        """Give back what is not used; what is in flight is unknown."""
        for sent in self._flight.drain():
            self._late(sent)
        for grants in self._grants:
            await grants.close()

    def rekey(self, signer: Signer) -> None:
        """Sign with another key of the account from now on. What is in flight was signed already: its answers count."""
        words = OrderWords(self._link, signer)
        words.prepare()
        self._words = words
        self._user.rekey(signer)

    @property
    def is_ready(self) -> bool:
        return self._socket.is_up and self._user.is_ready

    def health(self) -> list[StreamHealth]:
        offset_ms = self._link.rest.clock.offset_ms
        both = (self._socket.health, self._user.connection.health)
        return [one._replace(clock_offset_ms=offset_ms) for one in both]

    def _replaces(self, number: int) -> bool:
        """The venue replaces an order of this instrument in one request."""
        rules = self._link.rules.get(self._link.mine[number].symbol)
        return self._link.dialect.replaces and (rules is None or rules.replaces)

    async def _where(self) -> str:
        await allow_connection(self._link)
        return self._link.rest.endpoints.ws_api

    # --- out --------------------------------------------------------------------------------------------

    def send(self, order: Command) -> None:
        """PLACE or CANCEL."""
        if order.kind == CANCEL:
            self._cancel(order)
        elif order.kind != PLACE:
            raise Refused(f"{self._link.venue}: record of kind {order.kind} is neither PLACE nor CANCEL")
        elif order.ref_id and not self._replaces(order.instrument):
            self._swaps.begin(order)
            self._cancel(order._replace(kind=CANCEL, client_id=order.ref_id, ref_id=0))
        else:
            self._place(order)

    def _place(self, order: Command) -> None:
        is_entry = order.role == ROLE_ENTRY and not order.bits & REDUCE_ONLY
        if is_entry and order.instrument in self._link.frozen:
            self._refuse(order, reasons.PRICE_FILTER)
        elif is_entry and self._link.key.is_refused:
            self._refuse(order, reasons.KEY_REFUSED)
        elif is_entry and not self._margins.fits(order.instrument, order.leverage):
            self._link.spawn(self._levered(order))
        elif is_entry and not self.is_ready:
            self._refuse(order, reasons.MARKET_CLOSED)
        elif not self._socket.is_up:
            self._link.spawn(self._by_http(order))
        elif (self._entries if is_entry else self._exits).take():
            self._leave(order)
        else:
            self._link.spawn(self._when_allowed(order, Urgency.ENTRY if is_entry else Urgency.EXIT))

    def _cancel(self, order: Command) -> None:
        if not self._socket.is_up:
            self._link.spawn(self._by_http(order))
        elif self._cancels.take():
            self._leave(order)
        else:
            self._link.spawn(self._when_allowed(order, Urgency.CANCEL))

    def _leave(self, order: Command, is_again: bool = False) -> None:
        """Onto the socket."""
        make = self._words.place if order.kind == PLACE else self._words.cancel
        request_id, frame = make(order, self._link.timestamp_ms)
        self._socket.send(frame)
        self._flight.add(request_id, order, is_again)

    def rehearse(self, order: Command) -> None:
        """All that an entry does but take a grant and leave."""
        link = self._link
        if order.instrument in link.frozen or not self._margins.fits(order.instrument, order.leverage):
            return
        request_id, _ = self._words.place(order, link.timestamp_ms)
        link.algo_book.pop(order.client_id, None)
        self._flight.add(request_id, order)
        self._flight.pop(request_id)

    async def _levered(self, order: Command) -> None:
        """The first entry with another leverage: set it, then go on."""
        began_s = time.monotonic()
        try:
            await self._margins.lever(order.instrument, order.leverage)
        except KeyRefused as error:
            self._link.key.refused(str(error))
            self._refuse(order, reasons.KEY_REFUSED)
            return
        except (Refused, Retryable, Unknown) as error:
            self._link.say("refused", f"leverage not set: {error}", order.instrument)
            self._refuse(order, reasons.VENUE_REFUSED)
            return
        if self._is_late(began_s):
            self._link.say("refused", "setting the leverage took too long for this entry", order.instrument)
            self._refuse(order, reasons.VENUE_REFUSED)
            return
        self._place(order)

    def _is_late(self, began_s: float) -> bool:
        return time.monotonic() - began_s > self._patience_s

    async def _when_allowed(self, order: Command, urgency: Urgency) -> None:
        """No grant is ready: ask for one. An entry is refused where there is no room, all others wait for it."""
        patience_s = 0.0 if urgency is Urgency.ENTRY else self._patience_s
        try:
            await self._link.rest.limiter.acquire_all(self._charges(order), urgency, patience_s)
        except BudgetFull:
            self._refuse(order, reasons.RATE_LIMITED)
            return
        heed_cancellation()
        if urgency is Urgency.ENTRY and self._link.key.is_refused:
            self._refuse(order, reasons.KEY_REFUSED)
        elif self._socket.is_up:
            self._leave(order)
        elif urgency is Urgency.ENTRY:
            self._refuse(order, reasons.MARKET_CLOSED)
        else:
            await self._by_http(order)

    def _charges(self, order: Command) -> dict[str, int]:
        return self._cancel_charges if order.kind == CANCEL else self._place_charges

    async def _by_http(self, order: Command) -> None:
        """The fallback while no socket is up: the answer is read as if it came over the socket."""
        link, words = self._link, self._words
        is_cancel = order.kind == CANCEL
        request_id, _ = (words.cancel if is_cancel else words.place)(order, link.timestamp_ms)
        params = words.cancel_words(order) if is_cancel else words.place_words(order)
        is_algo = words.is_algo(order) if is_cancel else order.order_type in link.dialect.algo_types
        call = link.dialect.algo_order if is_algo else link.dialect.order
        assert call is not None
        if order.ref_id and not is_cancel:
            call = call._replace(path=f"{call.path}/cancelReplace")
        method, urgency = ("DELETE", Urgency.CANCEL) if is_cancel else ("POST", Urgency.EXIT)
        try:
            answer = await link.rest.exchange(method, call, params, True, urgency, charges=self._charges(order))
        except NotSent as error:
            link.say("refused", f"not sent: {error}", order.instrument)
            self._refuse(order, reasons.MARKET_CLOSED)
            return
        except (Unknown, Retryable):
            self._in_doubt(order)
            return
        part = b"result" if answer.is_good else b"error"
        body = answer.body if answer.body.startswith(b"{") else b'{"code":0}'
        message = b'{"id":"%b","status":%d,"%b":%b}' % (request_id.encode(), answer.status, part, body)
        try:
            faults = [aside for aside in self._teller.read(message, time.time_ns()) if isinstance(aside, Fault)]
        except Undecodable:
            self._in_doubt(order)
            return
        self._teller.tell()
        for fault in faults:
            self._react(fault, None)
        if not faults:
            self._doubt_unheard(order)

    # --- in ---------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Orders can leave."""

    def down(self) -> None:
        for sent in self._flight.drain():
            self._late(sent)

    def say(self, kind: NoticeKind, text: str) -> None:
        self._link.say(kind, text)

    def hear(self, message: bytes, ts_ns: int) -> None:
        sent = None
        try:
            sent = self._flight.pop(_ANSWERED.decode(message).id)
            asides = self._teller.read(message, ts_ns)
        except (Undecodable, msgspec.MsgspecError, UnicodeDecodeError) as error:
            if sent is not None:
                self._late(sent)
            raise error if isinstance(error, Undecodable) else Undecodable(f"not an answer: {error}") from error
        for aside in list(asides):
            if isinstance(aside, Fault) and self._react(aside, sent):
                return  # sent once more: no record yet
            if isinstance(aside, StreamEnded):
                self._socket.renew(f"the venue ends the connection ({aside.event})")
        is_good = not any(isinstance(aside, Fault) for aside in asides)
        self._teller.tell()
        if sent is not None and is_good:
            self._doubt_unheard(sent.command)

    def _react(self, fault: Fault, sent: Sent | None) -> bool:
        """What an error asks for besides its record. True: the request is sent once more."""
        link = self._link
        if fault.code == CLOCK and sent is not None and not sent.is_again:
            link.spawn(self._again(sent.command))
            return True
        if fault.code == CLOCK:
            link.say("clock", "the venue refuses our time; turn on time synchronisation (timedatectl set-ntp true)")
        elif fault.reaction is Fatal:
            link.key.refused(f"{fault.code} {shown(fault.message)}")
        elif fault.reason == reasons.RATE_LIMITED:
            link.spawn(self._slow_down(fault))
        elif fault.reason in FILTERS:
            link.doubt_rules()
        return False

    async def _slow_down(self, fault: Fault) -> None:
        """Tell the limiter, so that everybody backs off."""
        headers = {}
        if fault.retry_after_ms:
            wait_ms = fault.retry_after_ms - self._link.timestamp_ms
            headers = {"retry-after": str(max(1, -(-wait_ms // 1000)))}
        status = fault.status if fault.status in (418, 429) else 429
        self._link.say("refused", f"the venue limits our rate: {fault.code} {shown(fault.message)}")
        await self._link.rest.limiter.observe(self._link.dialect.budget, headers, status, fault.code)

    async def _again(self, order: Command) -> None:
        """A refused time stamp: nothing was done. Measure the clock, send once more."""
        began_s = time.monotonic()
        try:
            await self._link.rest.measure_clock()
            if not self._is_late(began_s):
                self._leave(order, is_again=True)
                return
        except KeelError:
            pass  # no clock, or no socket any more
        self._refuse(order, reasons.CLOCK_SKEW)

    # --- records of our own -----------------------------------------------------------------------------

    def _late(self, sent: Sent) -> None:
        self._in_doubt(sent.command)

    def _in_doubt(self, order: Command) -> None:
        self._put(ORDER_UNKNOWN, order, reasons.VENUE_REFUSED)
        if order.kind == PLACE and order.ref_id:
            self._put(ORDER_UNKNOWN, order._replace(client_id=order.ref_id), reasons.VENUE_REFUSED)

    def _doubt_unheard(self, order: Command) -> None:
        """Accepted while nobody would tell its fills: to be asked for."""
        if order.kind == PLACE and not self._user.is_ready:
            self._put(ORDER_UNKNOWN, order, reasons.VENUE_REFUSED)

    def _refuse(self, order: Command, reason: int) -> None:
        """Nothing left: certainly not done."""
        if order.kind == PLACE and order.ref_id and self._link.dialect.replaces:
            self._put(CANCEL_REJECT, order._replace(client_id=order.ref_id), reason)
        self._put(CANCEL_REJECT if order.kind == CANCEL else ORDER_REJECT, order, reason)

    def _put(self, kind: int, order: Command, reason: int) -> None:
        words = order.client_id, order.price_ticks, order.qty_lots, order.trigger_ticks, 0
        self._teller.put(kind, order.instrument, time.time_ns(), order.side, 0, reason, *words)
