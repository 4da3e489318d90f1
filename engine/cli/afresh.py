"""Beginning anew on purpose: what the last run left is not carried over, and a person says so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import typer

from engine.cli.terminal import say
from engine.contracts.errors import KeelError, Refused

if TYPE_CHECKING:
    from engine.settings import Settings

WORDS: Final = "begin afresh"


def allow_fresh(settings: Settings, why: str, yes: bool, is_noted: bool) -> None:
    """A start without the last run's state, confirmed by typing and audited: it lifts a halt, forgets the day's loss,
    and what is open at the venues is nobody's from then on. Where there is nothing to forget, nothing is asked.
    `is_noted`: into the audit; else it is only asked.

    Raises Refused where it is not confirmed, BadInput without a reason, Retryable where the audit cannot be written.
    """
    from engine import bootstrap
    from engine.cli.control import checked_why, who
    from engine.journal.recovery import last_run
    from engine.store import audit

    last = last_run(settings.home, settings.mode)
    if last is None:
        return
    reason = checked_why(why)
    say(f"--fresh leaves run {last.name} behind: its halt, losses, cool-downs and positions are forgotten here.")
    say("What it left at the exchange stays there, is shown as foreign, and is yours to close.")
    if not yes:
        if not sys.stdin.isatty():
            raise Refused(f"not confirmed: run it in a terminal and type '{WORDS}', or add --yes")
        if typer.prompt(f"type '{WORDS}' to go on", default="", show_default=False, err=True) != WORDS:
            raise Refused("not confirmed: nothing was started")
    if not is_noted:
        return
    note = audit.Change(
        who=who(), what="run.afresh", why=reason, before={"run": last.name}, after=None, evidence=_state_of(last)
    )
    with bootstrap.open_store(settings) as store:
        audit.append(store, [note])


def _state_of(run_dir: object) -> dict[str, object]:
    """What is left behind, as far as it can be read."""
    from pathlib import Path

    from engine.core.orders import TRADING_STATES
    from engine.journal.recovery import recover_run

    try:
        core = recover_run(Path(str(run_dir))).core
    except KeelError as error:
        return {"unreadable": str(error)}
    head = core.state.head[0]
    return {
        "state": TRADING_STATES[int(head["trading_state"])],
        "open_positions": int(head["open_positions"]),
        "day_start_usd": int(head["day_start_e8"]) / 1e8,
    }
