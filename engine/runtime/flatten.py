"""Cancelling and closing what is ours, at the venues themselves, when no engine can.

Rules
-----
* Each venue is worked on by itself, in rounds: look, say where it stands, act, look again. What a round did not achieve
  the next one does; only the venue's own answers say that something is gone.
* Stops go only with the position they protect: on spot before it is sold (they lock the coins), on perpetuals after.
* An exit goes first as a limit order, immediate or cancelled, within `cap_bps` of the touch, then at the market.
* What is not ours is left alone, and told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, NamedTuple

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import KeelError
from engine.runtime.ours import Ours
from engine.runtime.stand_in import PAUSES_S, Look, StandIn, end, keep
from engine.runtime.watchplan import Policy
from engine.store.emergency_file import VenueProgress
from engine.venues.port import OpenOrder, Venue

CONNECT_S: Final = 2.0
"""A venue that has not answered for so long is told to be unreachable."""
AGAIN_S: Final = 5.0
"""How often a venue that is done is looked at again."""
TOO_SMALL: Final = (reasons.LOT_SIZE, reasons.MIN_NOTIONAL)


class Standing(NamedTuple):
    """Where one venue stands. `is_done`: what the policy asks for is achieved; `told.flat` says whether nothing of ours
    is open, whatever the policy."""

    is_done: bool
    told: VenueProgress


class Flatten:
    """`venues` are opened under `ClientIds.stand_in()` of the run's prefix; they are closed at the end of `run`.
    `told` hears where all of them stand whenever one has moved; `say` takes a line for people."""

    def __init__(
        self, venues: Sequence[Venue], ours: Ours, policy: Policy, told: Callable[[tuple[Standing, ...]], None],
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:  # fmt: skip
        self.ours, self.policy = ours, policy
        self._venues, self._told, self._say = venues, told, say
        self._standing = {venue.name: _unknown(venue.name) for venue in venues}
        self._woken = asyncio.Event()

    @property
    def standing(self) -> tuple[Standing, ...]:
        """Every venue, in the order given."""
        return tuple(self._standing.values())

    @property
    def is_done(self) -> bool:
        """The policy is achieved everywhere."""
        return all(one.is_done for one in self.standing)

    def escalate(self, policy: Policy) -> None:
        """Another policy from now on."""
        self.policy = policy
        self._woken.set()

    async def run(self, for_good: bool = False) -> None:
        """Until everything is done, `for_good`: until cancelled. Never gives up by itself."""
        async with AsyncExitStack() as stack:
            work = []
            for venue in self._venues:
                stand = await stack.enter_async_context(StandIn(venue, self.ours, self._say))
                one = _AtVenue(stand, self, for_good)
                work.append(asyncio.create_task(keep(venue.name, one.run, self._say)))
            try:
                await asyncio.gather(*work)
            finally:
                for task in work:
                    await end(task)

    def note(self, standing: Standing) -> None:
        """A venue has moved."""
        self._standing[standing.told.venue] = standing
        self._told(self.standing)

    async def pause(self, wait_s: float) -> None:
        """A moment, or until the policy changes."""
        self._woken.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
        except TimeoutError:
            pass


def _unknown(venue: str) -> Standing:
    return Standing(False, VenueProgress(venue=venue, words="connecting"))


class _AtVenue:
    """The work at one venue."""

    def __init__(self, stand: StandIn, whole: Flatten, for_good: bool) -> None:
        self._stand, self._whole, self._for_good = stand, whole, for_good
        self._began_s = time.monotonic()
        self._answered = False
        self._tries: dict[int, int] = {}
        self._too_small: set[int] = set()

    async def run(self) -> None:
        """Rounds, until done."""
        quiet = 0
        while True:
            look = await self._look()
            if look is None:
                quiet += 1
                await self._whole.pause(PAUSES_S[min(quiet, len(PAUSES_S) - 1)])
                continue
            policy = self._whole.policy
            standing = self._judge(look, policy)
            self._whole.note(standing)
            if standing.is_done:
                quiet = 0
                if not self._for_good:
                    return
                await self._whole.pause(AGAIN_S)
                continue
            await self._act(look, policy)
            quiet += 1
            await self._whole.pause(0.0 if quiet < 3 else PAUSES_S[min(quiet, len(PAUSES_S) - 1)])

    async def _look(self) -> Look | None:
        """The venue's answers; None, and told, where it cannot be asked."""
        try:
            look = await self._stand.look()
        except KeelError as error:
            if self._answered or time.monotonic() - self._began_s > CONNECT_S:
                name = self._stand.venue.name
                told = VenueProgress(venue=name, flat=False, unreachable=str(error), words="asking again")
                self._whole.note(Standing(False, told))
            return None
        self._answered = True
        return look

    # --- what is there ----------------------------------------------------------------------------

    def _judge(self, look: Look, policy: Policy) -> Standing:
        left = self._left(look)
        small = {number: lots for number, lots in left.items() if self._is_dust(number, lots)}
        closing = self._closing(look, policy)
        kept = [number for number in left if number not in small and number not in closing]
        entries = [one for one in look.orders if self._is_entry(one, left)]
        is_flat = not look.orders and not left.keys() - small.keys()
        is_done = is_flat if policy == "flatten_all" else not entries and not closing
        spoken = self._stand.spoken
        told = VenueProgress(
            venue=self._stand.venue.name,
            flat=is_flat,
            orders=len(look.orders),
            positions=tuple(spoken(number, lots) for number, lots in left.items() if number not in small),
            foreign=look.foreign,
            dust=tuple(spoken(number, lots) for number, lots in small.items()),
            words=f"kept: {', '.join(spoken(n, left[n]) for n in kept)}" if is_done and kept else "",
        )
        return Standing(is_done, told)

    def _left(self, look: Look) -> dict[int, int]:
        """Signed lots of ours that are still there, by instrument."""
        lots = {number: self._stand.left(number, look.positions, look.wallets) for number in self._stand.numbers}
        return {number: count for number, count in lots.items() if count}

    def _closing(self, look: Look, policy: Policy) -> dict[int, int]:
        """What is to be closed."""
        if policy == "cancel_only":
            return {}
        left = self._left(look)
        return {
            number: lots
            for number, lots in left.items()
            if not self._is_dust(number, lots)
            and (policy == "flatten_all" or not self._is_protected(look, number, lots))
        }

    def _is_protected(self, look: Look, number: int, lots: int) -> bool:
        """Stops at the venue stand for all of it."""
        stops = [
            one.qty_lots - one.filled_lots
            for one in look.orders
            if one.instrument == number and self._is_stop(one) and one.side * lots < 0
        ]
        return sum(stops) >= abs(lots)

    def _is_stop(self, order: OpenOrder) -> bool:
        role = self._role(order)
        return role == r.ROLE_STOP or order.book != "orders" or "STOP" in order.order_type.upper()

    def _is_entry(self, order: OpenOrder, left: Mapping[int, int]) -> bool:
        """It opens: as the run remembers it, else because it does not reduce what there is."""
        if self._is_stop(order):
            return False
        role = self._role(order)
        return role == r.ROLE_ENTRY if role else order.side * left.get(order.instrument, 0) >= 0

    def _role(self, order: OpenOrder) -> int:
        return self._stand.ours.roles.get(order.client_id or 0, 0)

    def _is_dust(self, number: int, lots: int) -> bool:
        """Too little for the venue to take an order for it."""
        one = self._stand.ours.instruments[number]
        if one.kind == "perp":
            return False
        touch = self._stand.touches.get(number)
        if one.quantity(lots) < one.min_qty or number in self._too_small:
            return True
        return touch is not None and one.price(touch[0]) * one.quantity(lots) < one.min_notional

    # --- what is done -----------------------------------------------------------------------------

    async def _act(self, look: Look, policy: Policy) -> None:
        """Cancels first, all at once; then every exit by itself."""
        left, closing = self._left(look), self._closing(look, policy)
        cancels = [one for one in look.orders if self._goes(one, left, closing, policy)]
        await _together([partial(self._stand.cancel, one) for one in cancels])
        stops = [one for one in look.orders if self._is_stop(one)]
        await _together(
            [
                partial(self._exit, number, lots, [one for one in stops if one.instrument == number])
                for number, lots in closing.items()
            ]
        )

    def _goes(self, order: OpenOrder, left: Mapping[int, int], closing: Mapping[int, int], policy: Policy) -> bool:
        """The order is cancelled now; the stop of what is to be closed goes with its exit."""
        if self._is_entry(order, left):
            return True
        if policy == "cancel_only":
            return False
        if self._is_stop(order):
            return order.instrument not in left or (policy == "flatten_all" and order.instrument not in closing)
        return policy == "flatten_all" or order.instrument in closing

    async def _exit(self, number: int, lots: int, stops: Sequence[OpenOrder]) -> None:
        """One try to close a position."""
        stand = self._stand
        one = stand.ours.instruments[number]
        if one.kind == "spot" and stops:
            await _together([partial(stand.cancel, stop) for stop in stops])
            try:
                lots = min(lots, (await stand.look()).wallets.get(one.base, (0, 0))[0] // one.lot_base_e8)
            except KeelError:
                return  # the next round looks again
        lots = max(-int(one.max_qty / one.lot_size), min(lots, int(one.max_qty / one.lot_size)))
        if lots == 0:
            return
        tries = self._tries[number] = self._tries.get(number, 0) + 1
        touch = await stand.touch(number) if tries == 1 else None
        sent = await stand.exit(number, lots, self._limit(number, lots, touch) if touch else 0)
        if one.kind == "spot" and sent.reason in TOO_SMALL:
            self._too_small.add(number)

    def _limit(self, number: int, lots: int, touch: tuple[int, int]) -> int:
        """The worst price of the first try, in ticks."""
        cap = self._stand.ours.cap_bps / 10_000
        bid, ask = touch
        return max(int(bid * (1 - cap)), 1) if lots > 0 else int(ask * (1 + cap)) + 1


async def _together(work: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """All of it at the same time."""
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one())
