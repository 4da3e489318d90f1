"""One websocket that stays connected.

Rules
-----
* Attempts are spaced by an exponential back-off with full jitter; a connection that lasted `STEADY_S` resets it, one
  that delivered for `BRIEF_S` halves it: the other side is there again, and only one that keeps breaking is spared.
* Life is data: pings and pongs do not count. A socket without data for `mute_s` is cut and opened anew. A socket that
  may rightly be silent gives a `heartbeat`, a question whose answer is data.
* Binance ends every connection after 24 h: ours end themselves at `LIFE_S`, at a moment that is not busy.
* A message nobody understands is counted, told about now and then, and left out; it never ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final, Protocol

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from engine.contracts.errors import Retryable
from engine.venues.port import NoticeKind, StreamHealth
from engine.venues.undecodable import Undecodable, shown

FIRST_WAIT_S: Final = 0.05
LONGEST_WAIT_S: Final = 30.0
STEADY_S: Final = 10.0
BRIEF_S: Final = 1.0
HANDSHAKE_S: Final = 5.0
LIFE_S: Final = 23 * 3600.0
BUSY_S: Final = 1.0
_SILENT: Final = logging.getLogger("engine.venues.connection")
_SILENT.setLevel(logging.CRITICAL + 1)  # picows logs, below this name, addresses: a listen key may stand in one
NOT_OURS: Final = (WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE)


class Ear(Protocol):
    """Who listens. All are called on the loop's thread."""

    def up(self) -> None:
        """The socket is open; first messages may be sent."""

    def hear(self, message: bytes, ts_ns: int) -> None:
        """A whole message. `ts_ns` is wall time when its read began: of several that came together, the time the first
        was seen, so that nobody's wait for those before it is hidden. Raises Undecodable for one that is to be counted.
        """

    def down(self) -> None:
        """The socket is gone; called once for each `up`."""

    def say(self, kind: NoticeKind, text: str) -> None:
        """Tell people."""


class Connection(WSListener):
    """`run` it as a task; `send` while `is_up`.

    `url` is asked before every attempt (it may have to wait for a rate limit, or a fresh listen key); what it raises
    as Retryable counts as a failed attempt. `is_busy` holds the planned reconnect back. `on_sent`: told of every frame
    of every connection once it is in the kernel's hands (for benches).
    """

    on_sent: ClassVar[Callable[[bytes], None] | None] = None

    def __init__(
        self,
        name: str,
        url: Callable[[], Awaitable[str]],
        ear: Ear,
        mute_s: float,
        heartbeat: bytes = b"",
        is_busy: Callable[[], bool] = lambda: False,
        life_s: float = LIFE_S,
    ) -> None:
        self._name, self._url, self._ear = name, url, ear
        self._mute_s, self._heartbeat, self._is_busy, self._life_s = mute_s, heartbeat, is_busy, life_s
        self._transport: WSTransport | None = None
        self._parts = b""
        self._timers: list[asyncio.TimerHandle] = []
        self._why = ""
        self._heard_s = 0.0
        self._opened = self._messages = self._undecodable = self._failures = 0
        self._data_ns = 0
        self._read_ns = 0
        self._delivers = self._told_lost = False
        self.gaps = 0

    @property
    def is_up(self) -> bool:
        return self._transport is not None

    @property
    def health(self) -> StreamHealth:
        return StreamHealth(
            self._name, self.is_up, self._data_ns, self._messages, max(0, self._opened - 1), self.gaps,
            self._undecodable,
        )  # fmt: skip

    def send(self, frame: bytes) -> None:
        """Put a text message on the socket. Raises Retryable where there is none."""
        if self._transport is None:
            raise Retryable(f"{self._name}: not connected; it is being opened again")
        self._transport.send(WSMsgType.TEXT, frame)
        if Connection.on_sent is not None:
            Connection.on_sent(frame)

    def renew(self, why: str) -> None:
        """Cut the connection and open another."""
        self._why = why
        if self._transport is not None:
            self._transport.disconnect(False)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        try:
            while True:
                began_s = time.monotonic()
                why = await self._once()
                lasted_s = time.monotonic() - began_s
                if lasted_s >= STEADY_S:
                    self._failures = 0
                elif self._delivers and lasted_s >= BRIEF_S:
                    self._failures //= 2
                if not self._told_lost:
                    self._told_lost = True
                    self._ear.say("lost", f"{self._name}: {why}; connecting again")
                wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self._failures, 16))
                self._failures += 1
                await asyncio.sleep(random.uniform(0, wait_s))
        finally:
            self._stop_timers()
            if self._transport is not None:
                self._transport.send_close()
                self._transport.disconnect()

    async def _once(self) -> str:
        """One connection from opening to end. Returns why it ended."""
        self._why = ""
        try:
            url = await self._url()
            transport, _ = await ws_connect(
                lambda: self, url, websocket_handshake_timeout=HANDSHAKE_S, logger_name=_SILENT
            )
            await transport.wait_disconnected()
        except (WSError, OSError, TimeoutError) as error:
            return self._why or f"{type(error).__name__}: {_plain(error)}"
        except Retryable as error:
            return str(error)
        return self._why or "the other side closed the connection"

    # --- called by picows -----------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._opened += 1
        self._delivers = False
        self._parts = b""
        self._heard_s = time.monotonic()
        self._timers = [
            loop.call_later(self._mute_s, self._check_mute),
            loop.call_later(self._life_s * random.uniform(0.97, 1.0), self._retire),
        ]
        if self._heartbeat:
            self._timers.append(loop.call_later(self._mute_s / 2, self._beat))
        self._ear.up()
        if self._heartbeat:  # asked at once, so that "connected" need not wait for the first event
            self.send(self._heartbeat)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        ts_ns = self._read_ns
        if not ts_ns:
            ts_ns = self._read_ns = time.time_ns()
            self._loop.call_soon(self._read_over)
        kind = frame.msg_type
        if kind in NOT_OURS:
            if kind == WSMsgType.CLOSE:
                reason = shown(frame.get_close_reason() or "")
                self._why = f"the other side closed it: {frame.get_close_code()} {reason}"
                transport.send_close(frame.get_close_code())
                transport.disconnect()
            return
        message = frame.get_payload_as_bytes()
        if not frame.fin or self._parts:
            self._parts += message
            if not frame.fin:
                return
            message, self._parts = self._parts, b""
        self._messages += 1
        try:
            self._ear.hear(message, ts_ns)
        except Undecodable as error:
            self._undecodable += 1
            if self._undecodable in (1, 10, 100, 1_000) or self._undecodable % 10_000 == 0:
                self._ear.say("undecodable", f"{self._name}: message left out ({self._undecodable} so far): {error}")
            return
        self._data_ns = ts_ns
        self._heard_s = time.monotonic()
        if not self._delivers:
            self._begin()

    def _read_over(self) -> None:
        self._read_ns = 0

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._stop_timers()
        self._transport = None
        self._ear.down()

    # --- life -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._delivers, self._told_lost = True, False
        self._ear.say("connected", f"{self._name}: delivers")

    def _check_mute(self) -> None:
        left_s = self._mute_s - (time.monotonic() - self._heard_s)
        if left_s <= 0:
            self.renew(f"no data for {self._mute_s:g} s (pings do not count)")
        else:
            self._timers[0] = asyncio.get_running_loop().call_later(left_s, self._check_mute)

    def _beat(self) -> None:
        left_s = self._mute_s / 2 - (time.monotonic() - self._heard_s)
        if left_s <= 0:
            self.send(self._heartbeat)
            left_s = self._mute_s / 2
        self._timers[2] = asyncio.get_running_loop().call_later(left_s, self._beat)

    def _retire(self) -> None:
        if self._is_busy():
            self._timers[1] = asyncio.get_running_loop().call_later(BUSY_S, self._retire)
        else:
            self.renew("planned: before the venue's 24 h are over")

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []


def _plain(error: BaseException) -> str:
    """What went wrong without the address (a listen key may stand in it)."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "the handshake failed" if isinstance(error, WSError) else "no answer in time"
