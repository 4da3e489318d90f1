"""``trading-cli pause``, ``reduce``, ``resume``: an operator's word to the running engine.

The word goes over Redis, the engine journals it, acts and answers; the answer is awaited. Exit codes: 3 the engine
refused, 4 no engine or Redis not reachable, 5 no answer in time (it may still come: ask `status`).
"""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from engine.cli.terminal import JsonOption, print_json, say
from engine.contracts.errors import BadInput, KeelError, Refused, Retryable

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.store.control import Answer, AnyCommand
    from engine.store.redis_server import LiveRedis
    from engine.store.running import Running

LONGEST_WHY: Final = 500
RESUME_WORDS: Final = "trade again"
WhyOption = Annotated[str, typer.Option("--why", help="The reason, for the audit.")]
WaitOption = Annotated[float, typer.Option("--wait", min=0.1, max=600.0, help="Seconds to wait for the answer.")]


def pause(why: WhyOption, wait: WaitOption = 10.0, as_json: JsonOption = False) -> None:
    """No entries until resumed; positions keep their stops.

    Example: trading-cli pause --why "exchange maintenance at noon"
    """
    _tell("pause", why, wait, as_json)


def reduce(why: WhyOption, wait: WaitOption = 10.0, as_json: JsonOption = False) -> None:
    """Exits only until resumed.

    Example: trading-cli reduce --why "holidays"
    """
    _tell("reduce", why, wait, as_json)


def resume(
    why: WhyOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for a typed confirmation.")] = False,
    wait: WaitOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Trade again after a pause, a limit or an emergency. Only a person does this: it is confirmed by typing.

    Example: trading-cli resume --why "looked at the losses, the cause is fixed"
    """
    from engine import settings
    from engine.cli.emergency import check_over, finish

    in_force = settings.load()
    check_over(in_force.home)
    if not yes:
        if not sys.stdin.isatty():
            raise Refused(f"not confirmed: run it in a terminal and type '{RESUME_WORDS}', or add --yes")
        if typer.prompt(f"type '{RESUME_WORDS}' to go on", default="", show_default=False, err=True) != RESUME_WORDS:
            raise Refused("not confirmed: nothing was changed")
    request = check_over(in_force.home)  # again: typing took its time
    told = send(in_force, "resume", why, wait)
    finish(in_force, request)
    _show("resume", told, as_json)


@contextmanager
def running_engine(settings: Settings) -> Iterator[tuple[Running, LiveRedis]]:
    """The engine of this home and the Redis it listens on. Raises Retryable where either is missing, saying which."""
    from engine.cli.servers import open_redis
    from engine.store.running import STARTING, read_last

    last = read_last(settings.home)
    if last is None:
        raise Retryable(f"no engine runs in {settings.home.absolute()}; trading-cli up starts one")
    if not last.is_alive:
        raise Retryable(
            f"no engine runs in {settings.home.absolute()}: run {last.run} (process {last.pid}) died without ending in "
            "order; start it again, it reconciles with the venues"
        )
    if last.run == STARTING:
        raise Retryable(f"the engine (process {last.pid}, {last.mode}) is starting: ask again when it runs")
    try:
        with open_redis(settings) as live:
            yield last, live
    except Retryable as error:
        raise Retryable(
            f"the engine runs (run {last.run}, process {last.pid}, {last.mode}) but cannot be asked: {error}. "
            f"It trades on; to end it in order: kill -TERM {last.pid}"
        ) from None


def send(settings: Settings, word: str, why: str, wait_s: float, **more: Any) -> dict[str, Any]:
    """Hand a command over, await its answer, and write who and why into the audit. `more`: the command's own fields; of
    `set`, the values in force `before` and `after` come back. Raises Refused with the engine's reason, Retryable,
    TimeoutError."""
    from engine.store import control

    with running_engine(settings) as (running, live):
        command: AnyCommand = _command(word, control.new_id(), why, more)
        control.send(live.blocking, running.run, command)
        answer = control.await_answer(live.blocking, running.run, command.id, wait_s)
    if answer is None:
        raise TimeoutError(
            f"{word} was handed over (id {command.id}) but run {running.run} has not answered within {wait_s:g} s; "
            "it may still: look at status, and send it again if nothing changed"
        )
    if not answer.accepted:
        raise Refused(f"run {running.run} refused: {answer.message}")
    told = {"run": running.run, "command": word, "id": command.id, "accepted": True, "message": answer.message}
    changed = {"before": answer.before, "after": answer.after} if word == "set" else {}
    return {**told, **changed, "audited": _audit(settings, running.run, command, word, answer, more)}


def _audit(settings: Settings, run: str, command: AnyCommand, word: str, answer: Answer, more: dict[str, Any]) -> bool:
    """Who said it and why, once the engine carried it out: its journal knows only what was said. False, and told,
    where PostgreSQL is away: a word to the engine does not wait for a database."""
    from engine import bootstrap
    from engine.store import audit

    note = audit.Change(
        who=command.who, what=f"operator.{word}", why=command.why, key=f"{run}:command:{command.id}",
        before={"of": more["key"], "value": answer.before} if word == "set" else None,
        after={"of": more["key"], "value": answer.after} if word == "set" else more or None,
        evidence={"run": run, "command": command.id, "sent_ns": command.ts_ns},
    )  # fmt: skip
    try:
        with bootstrap.open_store(settings) as store:
            audit.append(store, [note])
    except KeelError as error:
        say(f"done, but your reason is not in the audit: {error}")
        return False
    return True


def _command(word: str, command_id: str, why: str, more: dict[str, Any]) -> AnyCommand:
    from engine.store import control

    kinds = {
        one.__name__.lower(): one
        for one in (control.Pause, control.Reduce, control.Resume, control.Adopt, control.Set)
    }
    made: AnyCommand = kinds[word](id=command_id, who=who(), why=checked_why(why), ts_ns=time.time_ns(), **more)
    return made


def checked_why(why: str) -> str:
    """A reason worth keeping. Raises BadInput."""
    if not 1 <= len(why.strip()) <= LONGEST_WHY:
        raise BadInput(f"--why must hold 1 to {LONGEST_WHY} characters: the reason, for the audit")
    return why.strip()


def who() -> str:
    """The person, as this machine knows them."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "cli"


def _tell(word: str, why: str, wait_s: float, as_json: bool) -> None:
    from engine import settings

    _show(word, send(settings.load(), word, why, wait_s), as_json)


def _show(word: str, told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        print(told["message"] or f"{word}: done")
