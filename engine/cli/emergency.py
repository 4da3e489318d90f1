"""``trading-cli emergency``: cancel every entry, close every position, halt, and say FLAT only where it is proved.

It writes the request file, wakes the engine and follows what is told. Needs no Redis, no PostgreSQL, and no settings
that are right but the home folder. Exit codes: 0 FLAT, 5 NOT FLAT within `--wait` (it is tried on), 4 nothing ever ran.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from engine.cli.control import who
from engine.cli.terminal import TIMED_OUT, JsonOption, print_json, say
from engine.contracts.errors import BadData, Fatal, KeelError, Refused, Retryable

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.store.emergency_file import Progress, Request
    from engine.store.redis_server import LiveRedis
    from engine.store.running import Running

LOOK_S: Final = 0.02
AUDIT_S: Final = 2.0
LIMITER_REPLY_S: Final = 0.25
BY: Final = "cli"
DEFAULT_WHY: Final = "emergency by command"
Tell = Callable[["Progress"], None]


def emergency(
    why: Annotated[str, typer.Option("--why", help="The reason, for the audit.")] = DEFAULT_WHY,
    wait: Annotated[float, typer.Option("--wait", min=0.1, max=86_400.0, help="Seconds to wait for FLAT.")] = 60.0,
    everything: Annotated[bool, typer.Option("--all", help="Not there: what is not Keel's is left alone.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Cancel every entry, close every position, halt; asks nothing, waits for the proof. Only `resume` lifts it.

    Example: trading-cli emergency --why "key may be stolen"
    """
    from engine.store import emergency_file

    if everything:
        raise Refused("--all is not there: Keel touches nothing that is not its own; close that at the exchange itself")
    in_force, home = _settings()
    if not home.is_dir():
        raise Retryable(f"no engine runs in {home.absolute()}, and none ever did; KEEL_HOME names another folder")
    request = emergency_file.request(home, who(), why.strip() or DEFAULT_WHY)
    told = _carried_out(in_force, home, request, time.monotonic() + wait, _teller(as_json))
    audited = in_force is not None and audit(in_force, request)
    _show(home, request, told, wait, audited, as_json)


def _settings() -> tuple[Settings | None, Path]:
    """What is in force; where a setting is wrong, at least the home folder."""
    from engine import settings

    try:
        in_force = settings.load()
    except KeelError as error:
        say(f"settings: {error}; the emergency goes on without them")
        return None, settings.home_at_least()
    return in_force, in_force.home


def _carried_out(
    in_force: Settings | None, home: Path, request: Request, give_up_s: float, tell: Tell
) -> Progress | None:
    """Have it carried out by whoever can; the last word, None where nobody said one."""
    from engine.store import emergency_file

    while True:
        actor = _actor(home)
        if actor is None:
            told = _by_ourselves(in_force, home, request, give_up_s, tell)
            if told is not None or time.monotonic() >= give_up_s:
                return told
            continue
        if emergency_file.wake(home) is None:
            say(f"process {actor.pid} takes it up by itself")
        told = _follow(home, request, give_up_s, actor, tell)
        if (told is not None and told.flat) or time.monotonic() >= give_up_s:
            return told
        say(f"process {actor.pid} has ended")


def _actor(home: Path) -> Running | None:
    """The engine, else the watchdog, of this home: whoever lives."""
    from engine.store.running import FILE, WATCHDOG, read_running

    for file in (FILE, WATCHDOG):
        try:
            if (found := read_running(home, file)) is not None:
                return found
        except BadData as error:
            say(str(error))
    return None


def _follow(home: Path, request: Request, give_up_s: float, actor: Running, tell: Tell) -> Progress | None:
    """What is told until it is FLAT, the time is up, or `actor` has ended."""
    from engine.store import emergency_file

    while True:
        lives = actor.is_alive
        told = emergency_file.progress(home)
        if told is not None and not told.answers(request):
            told = None
        if told is not None:
            tell(told)
        if (told is not None and told.flat) or not lives or time.monotonic() >= give_up_s:
            return told
        time.sleep(LOOK_S)


def _by_ourselves(
    in_force: Settings | None, home: Path, request: Request, give_up_s: float, tell: Tell
) -> Progress | None:
    """No process lives that could: the stand-in, in this one, in the watchdog's place so that there is only one. None
    where somebody else took that place meanwhile. Raises Retryable where nothing can be done here."""
    from engine.journal.recovery import last_run
    from engine.store.running import WATCHDOG, WATCHING, clear_running, write_running

    if in_force is None:
        raise Retryable("NOT FLAT: no engine and no watchdog runs; correct the settings, then emergency again")
    if in_force.mode != "live":
        return _nothing_there(home, in_force.mode, request)
    run_dir = last_run(home, in_force.mode)
    if run_dir is None:
        raise Retryable(f"NOT FLAT: no engine runs in {home.absolute()}, and no run of mode live lies there")
    say(f"no engine and no watchdog runs: closing what {run_dir.name} left, from this process")
    try:
        write_running(home, WATCHING, in_force.mode, list(in_force.venues), WATCHDOG)
    except Refused:
        return None
    try:
        return _stand_in(in_force, run_dir, request, give_up_s, tell)
    finally:
        clear_running(home, WATCHDOG)


def _nothing_there(home: Path, mode: str, request: Request) -> Progress:
    from engine.store import emergency_file

    told = emergency_file.Progress(
        request=request.id, phase=emergency_file.FLAT, flat=True, by=BY, seconds=0.0, ts_ns=time.time_ns(),
        words=f"FLAT: mode {mode}, the account is simulated, and no engine runs: nothing is open at a venue",
    )  # fmt: skip
    emergency_file.report(home, told)
    return told


def _stand_in(settings: Settings, run_dir: Path, request: Request, give_up_s: float, tell: Tell) -> Progress | None:
    """What the run left is closed until it is flat or the time is up; the last word."""
    import asyncio

    import redis.asyncio

    from engine.cli.keys import open_keys
    from engine.cli.stand_in import open_stand_ins
    from engine.runtime.ours import ours_at_least, read_ours
    from engine.runtime.standing_in import carry_out

    said: list[Progress] = []

    def note(told: Progress) -> None:
        said.append(told)
        tell(told)

    async def work(live: LiveRedis | None) -> None:
        client = live.asynchronous(LIMITER_REPLY_S) if live else redis.asyncio.Redis(unix_socket_path="/dev/null")
        try:
            async with asyncio.timeout(max(0.1, give_up_s - time.monotonic())):
                venues = await open_stand_ins(settings, client, lambda: open_keys(settings), ours)
                await carry_out(settings.home, request, BY, venues, ours, note, say)
        except TimeoutError:
            pass
        finally:
            await client.aclose()

    try:
        ours = read_ours(run_dir)
    except Fatal as error:
        say(f"{error}; what is ours is added up from the venues' lists of trades")
        ours = ours_at_least(run_dir)
    with ExitStack() as stack:
        asyncio.run(work(_some_redis(settings, stack)))
    return said[-1] if said else None


def _some_redis(settings: Settings, stack: ExitStack) -> LiveRedis | None:
    """The one in force, else an embedded one: a count of our own is better than none."""
    from engine.cli.servers import open_redis
    from engine.store.redis_server import connect_redis

    for opened in (open_redis(settings), connect_redis(None, settings.home)):
        try:
            return stack.enter_context(opened)
        except KeelError as error:
            say(f"Redis: {error}")
    return None


def _teller(as_json: bool) -> Tell:
    said: list[Any] = [None]

    def tell(told: Progress) -> None:
        about = (told.phase, [(one.flat, one.orders, one.positions, one.unreachable) for one in told.venues])
        if about != said[0] and not told.flat:
            said[0] = about
            (say if as_json else print)(told.words)

    return tell


def _show(home: Path, request: Request, told: Progress | None, wait_s: float, audited: bool, as_json: bool) -> None:
    """The end: FLAT, or NOT FLAT with exit code 5."""
    import msgspec

    is_flat = told is not None and told.flat is True
    words = told.words if told is not None else f"NOT FLAT: {_silence(home, wait_s)}"
    if told is not None and told.by == BY and not is_flat:
        words = f"{words} Nobody does so after this: trading-cli emergency again, with a longer --wait."
    if not is_flat and not words.startswith("NOT FLAT"):
        words = f"NOT FLAT yet: {words}"
    if as_json:
        document = {} if told is None else msgspec.to_builtins(told)
        phase = told.phase if told is not None and is_flat else "NOT FLAT"
        document |= {"request": request.id, "flat": is_flat, "phase": phase, "words": words, "audited": audited}
        print_json(document)
    else:
        print(words)
        print("halted until: trading-cli resume --why ..." if is_flat else "trading-cli emergency looks again")
    if not is_flat:
        raise typer.Exit(TIMED_OUT)


def _silence(home: Path, wait_s: float) -> str:
    actor = _actor(home)
    if actor is None:
        return "nobody carried it out; look at the exchange"
    return (
        f"process {actor.pid} has said nothing within {wait_s:g} s; if it hangs: kill -9 {actor.pid}, then "
        "trading-cli emergency again; and look at the exchange"
    )


# --- the audit, and the end ---------------------------------------------------------------------------------------


def audit(settings: Settings, request: Request) -> bool:
    """Who asked and why, once for each request; False, and told, where PostgreSQL is not there within `AUDIT_S`."""
    why: list[str] = []

    def write() -> None:
        from engine import bootstrap
        from engine.store import audit as rows

        note = rows.Change(
            who=request.who, what="operator.emergency", why=request.why, key=f"emergency:{request.id}",
            evidence={"sent_ns": request.ts_ns},
        )  # fmt: skip
        try:
            with bootstrap.open_store(settings) as store:
                rows.append(store, [note])
        except KeelError as error:
            why.append(str(error))
        else:
            why.append("")

    if settings.database_url is None and not (settings.home / "postgres" / "postmaster.pid").exists():
        why.append("PostgreSQL does not run")
    else:
        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        thread.join(AUDIT_S)
    if why == [""]:
        return True
    say(f"your reason is not in the audit yet ({why[0] if why else 'PostgreSQL is slow'}); resume writes it")
    return False


def check_over(home: Path) -> Request | None:
    """The emergency that `resume` ends, None where there is none. Raises Refused while it is not proved flat."""
    from engine.store import emergency_file

    request = emergency_file.pending(home)
    if request is None:
        return None
    told = emergency_file.progress(home)
    if told is None or not told.answers(request) or not told.flat:
        words = told.words if told is not None and told.answers(request) else "nobody has said yet where it stands"
        raise Refused(f"the emergency of {request.who} ({request.why}) is not over: {words}")
    return request


def finish(settings: Settings, request: Request | None) -> None:
    """A person resumed: the files go, and who had asked lies in the audit, whatever door it came by."""
    from engine.store import emergency_file

    emergency_file.clear(settings.home)
    if request is not None:
        audit(settings, request)
