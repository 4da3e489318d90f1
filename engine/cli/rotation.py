"""One API key in the place of another, with or without a running engine.

The new key lies beside the old one until it was accepted: by the venue (it may trade, it may not withdraw), then by the
engine that runs, which goes on with it without a restart. Whatever fails on the way leaves the old one in force.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from engine.cli.control import checked_why, running_engine, who
from engine.cli.terminal import say
from engine.contracts.errors import KeelError, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.settings import Settings
    from engine.store.keys import KeyFile, StoredKey
    from engine.venues.plan import VenuePlan


def rotate(
    settings: Settings, file: KeyFile, plans: Sequence[VenuePlan], old: StoredKey, new: StoredKey, why: str,
    wait_s: float,
) -> dict[str, Any]:  # fmt: skip
    """Put the proposed key `new` in force; what was done, for people and programs. `plans`: where it is tried first.

    Raises Refused, Retryable with the old one in force, TimeoutError where the engine did not answer (it still may).
    """
    reason = checked_why(why)
    try:
        for line in asyncio.run(_tried(settings, plans, new)):
            say(line)
        message = _taken_up(settings, old.name, reason, wait_s)
    except KeelError:
        file.settle(old.name, accept=False)
        raise
    file.settle(old.name, accept=True)  # the engine did where one runs: then nothing is left to do
    told = {"rotated": old.name, "exchange": old.exchange, "before": old.hint, "after": new.hint, "message": message}
    return {**told, "audited": _audited(settings, old, new, reason)}


async def _tried(settings: Settings, plans: Sequence[VenuePlan], new: StoredKey) -> list[str]:
    """What the venues say of the new key. Raises Refused where one does not take it."""
    from engine.cli.venue_check import examine_venue, opener

    async with opener(settings) as opened:
        checks = [check for plan in plans for check in await examine_venue(plan, new, opened)]
    failed = [f"{check.name}: {check.found} -> {check.fix}" for check in checks if not check.ok]
    if failed:
        raise Refused(f"the new key is not taken, the old one is in force: {'; '.join(failed)}")
    return [f"{check.name}: {check.found}" + (f" -> {check.fix}" if check.fix else "") for check in checks]


def _taken_up(settings: Settings, name: str, why: str, wait_s: float) -> str:
    """The running engine's word, or that there is none that uses this key. Raises what `rotate` does."""
    from engine.store import control
    from engine.store.running import read_running

    found = read_running(settings.home)
    used = [plan.name for plan in settings.venues.values() if plan.key == name]
    if found is None or found.mode == "paper" or not set(used) & set(found.venues):
        return "no running engine uses it; it is in force from the next start on"
    with running_engine(settings) as (running, live):
        command = control.Rekey(id=control.new_id(), who=who(), why=why, ts_ns=time.time_ns(), key=name)
        control.send(live.blocking, running.run, command)
        answer = control.await_answer(live.blocking, running.run, command.id, wait_s)
    if answer is None:
        raise TimeoutError(
            f"run {running.run} was told to take up the new key but has not answered within {wait_s:g} s; it may "
            "still: trading-cli keys list shows which one is in force then; rotate again if it is the old one"
        )
    if not answer.accepted:
        raise Refused(f"run {running.run}: {answer.message}")
    return answer.message


def _audited(settings: Settings, old: StoredKey, new: StoredKey, why: str) -> bool:
    """Who replaced which key and why, by the last characters of the public part. False, and told, where PostgreSQL is
    away: a key that may be stolen does not wait for a database."""
    from engine import bootstrap
    from engine.store import audit

    note = audit.Change(
        who=who(), what="keys.rotate", why=why, before={"of": old.name, "value": old.hint},
        after={"of": old.name, "value": new.hint}, evidence={"exchange": old.exchange},
    )  # fmt: skip
    try:
        with bootstrap.open_store(settings) as store:
            audit.append(store, [note])
    except KeelError as error:
        say(f"done, but your reason is not in the audit: {error}")
        return False
    return True
