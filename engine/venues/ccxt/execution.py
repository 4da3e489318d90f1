"""Orders to an exchange through ccxt, and what becomes of them.

Rules
-----
* A send is a task of its own: placed, refused or unknown, each told as a record. A cancel waits until the answer to
  its order's placing is in.
* A replacement is a confirmed cancel and then a new order: no exchange here replaces atomically through ccxt.
* An order that could not leave within `LEAVE_S` is refused: the engine may have given it up by then.
* While the venue refuses our key, entries are refused here (`key_watch`); all others are tried.
* What the streams and the answers say goes through `Reports`, which tells everything once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import BadInput, KeelError, Retryable, Unknown
from engine.contracts.instruments import Instrument
from engine.venues.budgets import Urgency
from engine.venues.ccxt.board import Board, Listing
from engine.venues.ccxt.faults import Failure
from engine.venues.ccxt.inquiry import Inquiry
from engine.venues.ccxt.refresh import Refresh
from engine.venues.ccxt.reports import Reports, Sent
from engine.venues.ccxt.session import Session
from engine.venues.ccxt.user_stream import UserStream
from engine.venues.emulated_stops import EmulatedStops, HeldStop
from engine.venues.key_watch import AGAIN_S, KeyWatch
from engine.venues.port import Inlet, StreamHealth
from engine.venues.signing import Secret

LEAVE_S: Final = 5.0  # with the longest wait for the rate limit, less than an unknown order is asked for
CONFIRM_S: Final = 5.0  # how long a cancel may take to be confirmed by the stream
_STOPS: Final = (r.STOP_MARKET, r.STOP_LIMIT)
_PRICED: Final = (r.LIMIT_ORDER, r.STOP_LIMIT)
_SIDES: Final = {r.BUY: "buy", r.SELL: "sell"}
_TIFS: Final = {r.IOC: "IOC", r.FOK: "FOK"}
_FILTERS: Final = (reasons.PRICE_FILTER, reasons.LOT_SIZE, reasons.MIN_NOTIONAL, reasons.PERCENT_PRICE)


class Want(NamedTuple):
    """A command, copied out of its record."""

    kind: int
    instrument: int
    client_id: int
    side: int
    order_type: int
    tif: int
    bits: int
    role: int
    leverage: int
    price_ticks: int
    qty_lots: int
    trigger_ticks: int
    ref_id: int

    @property
    def urgency(self) -> Urgency:
        if self.kind == r.CANCEL:
            return Urgency.CANCEL
        return Urgency.ENTRY if self.role == r.ROLE_ENTRY else Urgency.EXIT


class CcxtExecution:
    """See `port.Execution`."""

    def __init__(
        self, session: Session, board: Board, reports: Reports, stops: EmulatedStops, refresh: Refresh,
        key_again_s: float = AGAIN_S,
    ) -> None:  # fmt: skip
        self._session, self._board, self._reports, self._stops = session, board, reports, stops
        self._refresh = refresh
        self._inquiry = Inquiry(session, board, reports, stops)
        self._key = KeyWatch(lambda: session.ask("fetch_balance"), reports.notice, session.spawn, key_again_s)
        self._stream = UserStream(session, board, reports, stops, self._inquiry, self._key)
        self._leverage: dict[int, int] = {}
        self._has_told_emulated = False
        stops.fire = self._fire

    # --- life ---------------------------------------------------------------------------------------

    async def run(self, instruments: Sequence[Instrument], inlet: Inlet) -> None:
        """See the port."""
        self._reports.inlet, self._session.say = inlet, self._reports.notice
        listings = self._board.bind(instruments)
        async with self._session.use():
            if not listings:
                return
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._stream.run())
                tasks.create_task(self._refresh.run(self._reports))

    def rekey(self, key: str, secret: Secret) -> None:
        """Another key of the account, from now on."""
        self._session.rekey(key, secret)
        self._key.look_now()

    @property
    def is_ready(self) -> bool:
        """See the port."""
        return self._stream.stands

    def health(self) -> list[StreamHealth]:
        """See the port."""
        return [self._stream.health()]

    # --- commands -----------------------------------------------------------------------------------

    def send(self, command: Any) -> None:
        """See the port."""
        want = Want(*(int(command[name]) for name in Want._fields))
        if want.kind == r.CANCEL:
            self._session.spawn(self._cancel(want))
            return
        if want.kind != r.PLACE:
            raise BadInput(f"a command of kind {want.kind} is neither PLACE nor CANCEL")
        listing = self._board.at(want.instrument)
        sent = Sent(want.client_id, listing, want.side, want.qty_lots, want.price_ticks, want.trigger_ticks)
        if want.order_type not in _STOPS:
            sent.trigger_ticks = 0
        if want.client_id in self._reports.sent:
            self._reports.notice("refused", f"order {want.client_id} was sent already; it is not sent again")
            return
        self._session.spawn(self._place(want, self._reports.begin(sent)))

    async def _place(self, want: Want, sent: Sent) -> None:
        leaves_s = asyncio.get_running_loop().time() + LEAVE_S
        try:
            if want.ref_id and not await self._withdraw(want, sent):
                return
            if want.order_type in _STOPS and not self._session.facts.has_stops:
                self._hold(want, sent)
                return
            await self._create(want, sent, leaves_s)
        finally:
            sent.answered.set()

    async def _create(self, want: Want, sent: Sent, leaves_s: float) -> None:
        if want.urgency is Urgency.ENTRY and self._key.is_refused:
            self._reports.tell(r.ORDER_REJECT, sent, reasons.KEY_REFUSED)
            return
        if want.urgency is Urgency.ENTRY and not self._stream.stands:
            self._reports.tell(r.ORDER_REJECT, sent, reasons.MARKET_CLOSED)  # its fills would not be heard
            return
        try:
            params = {self._session.facts.id_param: self._id_text(want.client_id)} | self._params(want, sent.listing)
        except BadInput as error:
            self._reports.notice("refused", str(error), want.instrument)
            self._reports.tell(r.ORDER_REJECT, sent, reasons.BAD_REQUEST)
            return
        failure = await self._session.leave_for_order(want.urgency) or await self._set_leverage(want, sent.listing)
        if failure is None and asyncio.get_running_loop().time() > leaves_s:
            failure = Failure(reasons.RATE_LIMITED, Retryable, "what has to be done first took too long for this order")
        if failure is None:
            listing, is_market = sent.listing, want.order_type in (r.MARKET, r.STOP_MARKET)
            price: str | None = listing.prices.text(want.price_ticks)
            if is_market and self._session.facts.is_priced_market:
                price = self._worst(want, listing)
                is_market, params["timeInForce"] = False, "IOC"
            elif is_market:
                price = None
            order = await self._session.attempt(
                want.urgency, "create_order", listing.symbol, "market" if is_market else "limit", _SIDES[want.side],
                listing.lots.text(want.qty_lots), price, params,
            )  # fmt: skip
            if not isinstance(order, Failure):
                self._accepted(sent, order)
                return
            failure = order
        self._failed(sent, failure)

    def _id_text(self, client_id: int) -> str:
        text, most = self._reports.text(client_id), self._session.facts.longest_id
        if len(text) > most:
            raise BadInput(f"client id {text} is longer than the {most} characters {self._session.name} takes")
        return text

    def _params(self, want: Want, listing: Listing) -> dict[str, Any]:
        params: dict[str, Any] = {}
        if want.order_type in _STOPS:
            params["triggerPrice"] = listing.prices.text(want.trigger_ticks)
        if want.order_type in _PRICED and want.tif in _TIFS:
            params["timeInForce"] = _TIFS[want.tif]
        if want.bits & r.POST_ONLY:
            params["postOnly"] = True
        if want.bits & r.REDUCE_ONLY and listing.instrument.kind == "perp":
            params["reduceOnly"] = True
        return params

    def _worst(self, want: Want, listing: Listing) -> str:
        """The price of a market order where the venue wants one: the command's, else the edge of the band."""
        ticks = want.price_ticks
        if ticks <= 0:
            bid, ask = self._stops.touch(want.instrument)
            one = listing.instrument
            ticks = int(ask * one.band_up) if want.side == r.BUY else int(bid * one.band_down) + 1
        return listing.prices.text(ticks)

    async def _set_leverage(self, want: Want, listing: Listing) -> Failure | None:
        if listing.instrument.kind != "perp" or want.leverage < 1 or want.role != r.ROLE_ENTRY:
            return None
        if self._leverage.get(want.instrument) == want.leverage:
            return None
        found = await self._session.attempt(want.urgency, "set_leverage", want.leverage, listing.symbol)
        if isinstance(found, Failure):
            return found if found.reaction is not Unknown else found._replace(reaction=Retryable)
        self._leverage[want.instrument] = want.leverage
        return None

    def _accepted(self, sent: Sent, order: dict[str, Any]) -> None:
        told = dict(order) | {
            "symbol": sent.listing.symbol, "clientOrderId": self._reports.text(sent.client_id),
            "status": order.get("status") or "open",
        }  # fmt: skip
        trades = order.get("trades") or []
        sent.venue_id = str(order.get("id") or "")
        if trades and told["status"] != "rejected":
            if not sent.is_acked:
                sent.is_acked = True
                self._reports.tell(r.ORDER_ACK, sent)
            self._reports.adopt(sent.listing, sent.venue_id, sent.client_id)
            for trade in trades:
                named = {"order": sent.venue_id, "symbol": sent.listing.symbol, "side": _SIDES[sent.side]}
                self._reports.trade(dict(trade) | named)
        self._reports.order(told)
        if not self._stream.stands and not sent.is_over:  # nobody would tell its fills: they are asked for
            self._reports.tell(r.ORDER_UNKNOWN, sent, reasons.VENUE_REFUSED)

    def _failed(self, sent: Sent, failure: Failure) -> None:
        self._react(failure, sent.listing)
        if sent.is_acked or sent.is_over:
            return  # the stream knew better
        if failure.reaction is Unknown:
            self._reports.tell(r.ORDER_UNKNOWN, sent, failure.reason)
        else:
            self._reports.tell(r.ORDER_REJECT, sent, failure.reason)

    def _react(self, failure: Failure, listing: Listing) -> None:
        """What a failure asks for besides being told."""
        if failure.reason == reasons.CLOCK_SKEW:
            self._reports.notice("clock", f"{failure.text}; measuring the venue's clock again")
            self._session.spawn(self._measure())
        elif failure.reason == reasons.KEY_REFUSED:
            self._key.refused(failure.text)
        elif failure.reason == reasons.RATE_LIMITED:
            self._reports.notice("refused", failure.text, listing.number)
        elif failure.reason in _FILTERS:
            self._refresh.now.set()

    async def _measure(self) -> None:
        try:
            await self._session.measure_clock()
        except KeelError as error:
            self._reports.notice("clock", f"its clock cannot be read: {error}")

    # --- cancels ------------------------------------------------------------------------------------

    async def _cancel(self, want: Want) -> None:
        if self._drop_held(want.client_id):
            return
        sent = self._reports.sent.get(want.client_id)
        if sent is None:
            sent = Sent(want.client_id, self._board.at(want.instrument), want.side, 0)
            sent.answered.set()
        await sent.answered.wait()
        if self._drop_held(want.client_id):
            return
        order = await self._cancel_at_venue(sent, Urgency.CANCEL)
        if not isinstance(order, Failure):
            await self._confirm(sent, order)
            return
        self._react(order, sent.listing)
        kind = r.ORDER_UNKNOWN if order.reaction is Unknown else r.CANCEL_REJECT
        self._reports.tell(kind, sent, order.reason)

    def _drop_held(self, client_id: int) -> bool:
        sent = self._reports.sent.get(client_id)
        if sent is None or self._stops.drop(client_id) is None:
            return False
        self._reports.order(
            {"symbol": sent.listing.symbol, "clientOrderId": self._reports.text(client_id), "status": "canceled"}
        )
        return True

    async def _cancel_at_venue(self, sent: Sent, urgency: Urgency) -> Any:
        facts, last = self._session.facts, Failure(reasons.UNKNOWN_ORDER, KeelError, "not found")
        if facts.ids == "venue" and not sent.venue_id:
            try:
                found = await self._inquiry.find(sent.listing, sent.client_id)
            except KeelError as error:
                return Failure(reasons.VENUE_REFUSED, Unknown, str(error))
            if found is None:
                return last
            sent.venue_id = str(found["id"])
        for book in self._inquiry.books(sent):
            params = book | ({"clientOrderId": self._reports.text(sent.client_id)} if facts.ids == "client" else {})
            last = await self._session.attempt(urgency, "cancel_order", sent.venue_id, sent.listing.symbol, params)
            if isinstance(last, Failure) and last.reason == facts.gone:
                last = last._replace(reason=reasons.UNKNOWN_ORDER)
            if not isinstance(last, Failure) or last.reason != reasons.UNKNOWN_ORDER:
                return last
        return last

    async def _confirm(self, sent: Sent, order: dict[str, Any]) -> None:
        """Tell the end of a cancelled order, by the answer where it says so, else by the stream or by asking."""
        if order.get("status") == "canceled":
            self._reports.order(
                order | {"symbol": sent.listing.symbol, "clientOrderId": self._reports.text(sent.client_id)}
            )
        try:
            async with asyncio.timeout(CONFIRM_S):
                await sent.ended.wait()
        except TimeoutError:
            await self._inquiry.look_again(sent)

    async def _withdraw(self, want: Want, sent: Sent) -> bool:
        """Cancel the order that is to be replaced; False where the new one must not be placed."""
        if not self._has_told_emulated:
            self._has_told_emulated = True
            self._reports.notice("emulated", "orders are replaced by a cancel and, once that is confirmed, a new order")
        old = self._reports.sent.get(want.ref_id)
        if old is None or old.is_over:
            self._reports.tell(r.ORDER_REJECT, sent, reasons.REPLACED_ORDER_GONE)
            return False
        await old.answered.wait()
        if not self._drop_held(want.ref_id):
            answer = await self._cancel_at_venue(old, want.urgency)
            if isinstance(answer, Failure):
                self._react(answer, old.listing)
                is_gone = answer.reason == reasons.UNKNOWN_ORDER
                if not is_gone:
                    self._reports.tell(
                        r.ORDER_UNKNOWN if answer.reaction is Unknown else r.CANCEL_REJECT, old, answer.reason
                    )
                self._reports.tell(r.ORDER_REJECT, sent, reasons.REPLACED_ORDER_GONE if is_gone else answer.reason)
                return False
            await self._confirm(old, answer)
        if old.end != r.CANCEL_ACK:
            why = reasons.REPLACED_ORDER_GONE if old.is_over else reasons.VENUE_REFUSED
            self._reports.tell(r.ORDER_REJECT, sent, why)
            return False
        return True

    # --- stops the venue does not have ----------------------------------------------------------------

    def _hold(self, want: Want, sent: Sent) -> None:
        if self._stops.would_trigger(want.instrument, want.side, want.trigger_ticks):
            self._reports.tell(r.ORDER_REJECT, sent, reasons.WOULD_TRIGGER)
            return
        self._stops.hold(HeldStop(want.client_id, want.instrument, want.side, want.trigger_ticks, (want, sent)))
        sent.is_acked = True
        self._reports.tell(r.ORDER_ACK, sent)
        text = f"{sent.listing.symbol}: stop {want.client_id} is watched by this program, because the venue has none: "
        self._reports.notice("emulated", text + "it protects only while Keel runs and is connected", want.instrument)

    def _fire(self, stop: HeldStop) -> None:
        want, sent = stop.order
        sent.is_triggered = True
        sent.answered.clear()
        self._reports.tell(r.ORDER_TRIGGERED, sent)
        order_type = r.MARKET if want.order_type == r.STOP_MARKET else r.LIMIT_ORDER
        self._session.spawn(self._place(want._replace(order_type=order_type, ref_id=0), sent))

    # --- questions ----------------------------------------------------------------------------------

    def know(self, instrument: int, trade_ids: Iterable[int]) -> None:
        """See the port."""
        self._reports.know(instrument, trade_ids)

    async def ask(self, instrument: int, client_id: int) -> bool:
        """See the port."""
        return await self._inquiry.ask(instrument, client_id)
