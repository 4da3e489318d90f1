"""What people tell a running engine, as events: pause, reduce, resume, a limit, a parameter, an adoption, a key.
An emergency comes by a file (`engine.runtime.emergency`).

The core judges every value by the same bounds as the configuration; here they are only looked up by name, so that a
person gets an answer that names the fault instead of a protocol violation in the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import numpy as np
import redis.asyncio

from engine.contracts import reasons
from engine.contracts.errors import BadInput, KeelError, Refused, Retryable
from engine.contracts.records import LIMIT, NO_INSTRUMENT, OPERATOR, PARAMETER, RECORD
from engine.core import selector
from engine.core.limits import BOUNDS, SCALE, USD
from engine.core.orders import TRADING_STATES
from engine.core.state import Core
from engine.core.strategies.table import STRATEGIES
from engine.store.control import (
    Adopt,
    AnyCommand,
    CommandInbox,
    Delivery,
    Pause,
    Reduce,
    Rekey,
    Resume,
    Set,
)
from engine.store.coreview import in_force

RETRY_S: Final = 1.0
# the word, its reason in the journal, and what is answered
WORDS: Final[dict[type[Any], tuple[int, str]]] = {
    Pause: (reasons.OPERATOR_PAUSE, "paused: no entries until resumed; stops and exits go on"),
    Reduce: (reasons.OPERATOR_REDUCE, "reducing: exits only until resumed"),
    Resume: (reasons.OPERATOR_RESUME, "resumed: entries are allowed again"),
}


def event_of(command: AnyCommand, now_ns: int, core: Core) -> np.ndarray[Any, Any]:
    """The event a command is. Raises BadInput for an unknown key, or a value out of its bounds or at odds with the
    other values in force in `core`."""
    event = np.zeros(1, RECORD)
    event["ts_ns"], event["instrument"] = now_ns, NO_INSTRUMENT
    if not isinstance(command, Set):
        event["kind"], event["reason"] = OPERATOR, WORDS[type(command)][0]
        return event
    section, _, name = command.key.rpartition(".")
    if section == "limits":
        _limit(event, name, command.value)
    elif section == selector.NAME:
        selector.resolved({name: command.value})
        event["kind"], event["reason"] = PARAMETER, selector.NUMBER
        event["index"] = [param.name for param in selector.PARAMS].index(name)
        event["value_e9"] = round(command.value * 1e9)
    else:
        _parameter(event, section.removeprefix("strategies."), name, command.value, core)
    return event


def _limit(event: np.ndarray[Any, Any], name: str, value: float) -> None:
    if name not in BOUNDS:
        raise BadInput(f"limits.{name} is not a limit; known: {', '.join(BOUNDS)}")
    _, low, high, unit, _ = BOUNDS[name]
    if not low <= value <= high:
        raise BadInput(f"limits.{name} = {value:g} is outside {low:g}..{high:g} {unit}")
    event["kind"], event["index"] = LIMIT, list(BOUNDS).index(name)
    event["amount_e8"] = round(value * (USD if name.endswith("_usd") else SCALE))


def _parameter(event: np.ndarray[Any, Any], strategy: str, name: str, value: float, core: Core) -> None:
    row = next((row for row in STRATEGIES if row.name == strategy), None)
    if row is None:
        known = ", ".join(f"strategies.{row.name}" for row in STRATEGIES)
        raise BadInput(f"{strategy}.{name} is neither a limit nor a parameter; known: limits, {known}")
    if not core.state.enabled[row.number]:
        raise BadInput(f"{strategy} does not run in this engine; add it to `strategies` in [runtime] of keel.toml")
    names = [param.name for param in row.params]
    first = int(core.state.param_start[row.number])
    in_force = dict(zip(names, core.state.params[first : first + len(names)].tolist(), strict=True))
    row.resolve(in_force | {name: value})
    event["kind"], event["reason"] = PARAMETER, row.number
    event["index"], event["value_e9"] = names.index(name), round(value * 1e9)


class People:
    """Carries out what comes over the control channel: `carry_out` journals one event and takes it into `core`; `rekey`
    takes up a key on the side, so that nobody's word waits for a venue."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        run: str,
        core: Core,
        carry_out: Callable[[np.ndarray[Any, Any]], None],
        clock_ns: Callable[[], int],
        rekey: Callable[[str], Awaitable[str]] | None = None,
        adopt: Callable[[str, float], np.ndarray[Any, Any]] | None = None,
    ) -> None:
        self._core = core
        self._inbox = CommandInbox(client, run)
        self._carry_out = carry_out
        self._clock_ns = clock_ns
        self._rekey = rekey
        self._adopt = adopt
        self._aside: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Until cancelled; with Redis away nobody can be heard, and nothing else changes."""
        me = asyncio.current_task()
        while me is None or not me.cancelling():  # redis-py loses a cancellation that meets a reply
            try:
                for delivery in await self._inbox.receive():
                    if isinstance(delivery.command, Rekey):
                        task = asyncio.create_task(self._take_up(delivery, delivery.command.key))
                        self._aside.add(task)
                        task.add_done_callback(self._aside.discard)
                    else:
                        await self._inbox.acknowledge(delivery, *self._judge(delivery.command))
            except Retryable:
                await asyncio.sleep(RETRY_S)

    async def _take_up(self, delivery: Delivery, name: str) -> None:
        """A new API key. Its answer is lost where Redis is gone by then: whoever asked looks at `keys list`."""
        accepted, said = False, "this engine works without API keys: there is none to replace"
        if self._rekey is not None:
            try:
                accepted, said = True, await self._rekey(name)
            except KeelError as error:
                said = str(error)
        with suppress(Retryable):
            await self._inbox.acknowledge(delivery, accepted, said)

    def _judge(self, command: AnyCommand) -> tuple[bool, str, float | None, float | None]:
        """Accepted or not, what to say, and of a `set` the values in force before and after."""
        try:
            if isinstance(command, Adopt):
                return True, self._taken_over(command), None, None
            event = event_of(command, self._clock_ns(), self._core)
        except (BadInput, Refused) as error:
            return False, str(error), None, None
        if not isinstance(command, Set):
            return True, self._said(WORDS[type(command)][1], event), None, None
        before = in_force(self._core)[command.key].value
        self._carry_out(event)
        after = in_force(self._core)[command.key].value
        return True, f"{command.key}: {before:.10g} -> {after:.10g}, in force from now on", before, after

    def _taken_over(self, command: Adopt) -> str:
        if self._adopt is None:
            raise Refused("nothing is reconciled here: there is nothing to adopt")
        self._carry_out(self._adopt(command.instrument, command.stop))
        return f"{command.instrument} is ours from now on, its stop at {command.stop:.10g} is being placed"

    def _said(self, meaning: str, event: np.ndarray[Any, Any]) -> str:
        """Carries out an operator's word; what it did, the engine's state, and the peak where that moved."""
        head = self._core.state.head[0]
        peak_e8 = int(head.peak_e8)
        self._carry_out(event)
        said = f"{meaning}; the engine is {TRADING_STATES[int(head.trading_state)]} now"
        if int(head.peak_e8) == peak_e8:
            return said
        return f"{said}; drawdown counts from ${int(head.peak_e8) / USD:,.2f}, no more from ${peak_e8 / USD:,.2f}"
