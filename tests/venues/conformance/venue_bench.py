"""A venue under test: its own thread and loop, what it tells, and commands to it; the test stays synchronous."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np

from engine.contracts import records as r
from engine.contracts.instruments import Instrument
from engine.venues.port import Notice, Venue

PATIENCE_S = 10.0


class Heard:
    """An inlet that remembers. Written from the venue's thread, waited for from the test's."""

    def __init__(self) -> None:
        self.market_records: list[Any] = []
        self.account_records: list[Any] = []
        self.notices: list[Notice] = []
        self._changed = threading.Condition()

    def market(self, records: Any, count: int) -> None:
        with self._changed:
            self.market_records += [records[k].copy() for k in range(count)]
            self._changed.notify_all()

    def account(self, records: Any, count: int) -> None:
        with self._changed:
            self.account_records += [records[k].copy() for k in range(count)]
            self._changed.notify_all()

    def notice(self, notice: Notice) -> None:
        with self._changed:
            self.notices.append(notice)
            self._changed.notify_all()

    def until(self, what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
        """The first true value of `what`, looked at whenever something is heard."""
        with self._changed:
            found = self._changed.wait_for(what, patience_s)
        assert found, f"not heard in {patience_s} s; notices: {self.notices[-5:]}, records: {self.told()[-8:]}"
        return found

    def told(self) -> list[tuple[str, int]]:
        return [(r.KINDS[int(one["kind"])].name, int(one["client_id"])) for one in self.account_records]


class Bench:
    """One opened venue that runs. `numbers` maps symbols to instrument numbers."""

    def __init__(self, open_venue: Callable[[], Venue], symbols: Sequence[str], first_id: int = 1) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.heard = Heard()
        self._next_id = first_id
        self._tasks: list[asyncio.Task[None]] = []
        self.play: Callable[..., None] = lambda events=20: None
        self.stands_at: Callable[[], int] = lambda: self.ask
        self.venue: Venue = self.do(self._opened(open_venue))
        self.instruments: list[Instrument] = self.do(self.venue.market.load(symbols)) if symbols else []

    async def _opened(self, open_venue: Callable[[], Venue]) -> Venue:
        return open_venue()

    def start(self) -> None:
        """Run everything and wait until orders can be sent."""
        self.loop.call_soon_threadsafe(self._run)
        self.until_ready()

    def until_ready(self) -> None:
        """Wait until orders can be sent."""
        end = time.monotonic() + PATIENCE_S
        while not self.venue.execution.is_ready:
            assert time.monotonic() < end, f"not ready in {PATIENCE_S} s; notices: {self.heard.notices[-5:]}"
            self.quiet(0.01)

    def start_market(self) -> None:
        self.loop.call_soon_threadsafe(self._run_market)

    def _run_market(self) -> None:
        self._tasks.append(self.loop.create_task(self.venue.market.run(self.instruments, self.heard)))

    def _run(self) -> None:
        self._run_market()
        self._tasks.append(self.loop.create_task(self.venue.execution.run(self.instruments, self.heard)))

    def do(self, work: Coroutine[Any, Any, Any], patience_s: float = PATIENCE_S) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(patience_s)

    def stop(self) -> None:
        async def end() -> None:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for part in (self.venue.market, self.venue.execution, self.venue.account):
                if hasattr(part, "close"):
                    await part.close()

        self.do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    # --- the market -------------------------------------------------------------------------------

    def quotes(self, instrument: int = 0) -> list[Any]:
        return [
            one for one in self.heard.market_records if one["kind"] == r.QUOTE and int(one["instrument"]) == instrument
        ]

    def play_until_quoted(self) -> None:
        """Let the market move until the first instrument has a fresh price."""
        known = len(self.quotes())
        end = time.monotonic() + PATIENCE_S
        while len(self.quotes()) == known and time.monotonic() < end:
            self.play(20)
            self.quiet(0.02)
        assert len(self.quotes()) > known, f"no quote came; notices: {self.heard.notices[-5:]}"

    def play_until_all_is_heard(self) -> None:
        """As `play_until_quoted`, and the last of what was played is heard too: the market stands where we know it."""
        self.play_until_quoted()
        self.heard.until(lambda: self.ask == self.stands_at())

    @property
    def bid(self) -> int:
        return int(self.quotes()[-1]["bid_ticks"])

    @property
    def ask(self) -> int:
        return int(self.quotes()[-1]["ask_ticks"])

    def lots(self, usd: float) -> int:
        """Lots of the first instrument worth about so much."""
        one = self.instruments[0]
        return max(int(usd / float(one.price(self.ask) * one.contract_size * one.lot_size)), 1)

    # --- commands ---------------------------------------------------------------------------------

    def place(
        self, side: int, lots: int, order_type: int = r.MARKET, ticks: int = 0, trigger: int = 0, *, tif: int = r.GTC,
        bits: int = 0, role: int = r.ROLE_ENTRY, ref: int = 0, client_id: int = 0, instrument: int = 0,
    ) -> int:  # fmt: skip
        """Send a PLACE; returns its client id."""
        if not client_id:
            client_id, self._next_id = self._next_id, self._next_id + 1
        command: Any = np.zeros(1, r.RECORD)
        fields = {
            "kind": r.PLACE, "instrument": instrument, "client_id": client_id, "side": side, "order_type": order_type,
            "tif": tif, "bits": bits, "role": role, "price_ticks": ticks, "qty_lots": lots, "trigger_ticks": trigger,
            "ref_id": ref, "leverage": 1,
        }  # fmt: skip
        for name, value in fields.items():
            command[name] = value
        self._send(command)
        return client_id

    def cancel(self, client_id: int, instrument: int = 0) -> None:
        command: Any = np.zeros(1, r.RECORD)
        command["kind"], command["instrument"], command["client_id"] = r.CANCEL, instrument, client_id
        self._send(command)

    def _send(self, command: Any) -> None:
        async def send() -> None:
            self.venue.execution.send(command[0])
            command[0] = np.zeros(1, r.RECORD)[0]  # valid only during the call

        self.do(send())

    # --- what was heard ---------------------------------------------------------------------------

    def of(self, client_id: int) -> list[Any]:
        return [one for one in self.heard.account_records if int(one["client_id"]) == client_id]

    def kinds(self, client_id: int) -> list[int]:
        return [int(one["kind"]) for one in self.of(client_id)]

    def wait(self, client_id: int, *kinds: int) -> Any:
        """The first record of one of these kinds about an order."""
        return self.heard.until(lambda: next((one for one in self.of(client_id) if int(one["kind"]) in kinds), None))

    def wait_filled(self, client_id: int, lots: int) -> list[Any]:
        """All fills of an order, once they add up to `lots`."""

        def fills() -> list[Any]:
            found = [one for one in self.of(client_id) if int(one["kind"]) == r.FILL]
            return found if sum(int(one["qty_lots"]) for one in found) >= lots else []

        return self.heard.until(fills)

    def wait_notice(self, kind: str, word: str = "", patience_s: float = PATIENCE_S) -> Notice:
        return self.heard.until(
            lambda: next((n for n in self.heard.notices if n.kind == kind and word in n.text), None), patience_s
        )

    def quiet(self, seconds: float = 0.3) -> None:
        """Give what should not come the time to come."""
        time.sleep(seconds)
