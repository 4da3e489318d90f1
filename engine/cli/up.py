"""``trading-cli up`` and ``down``: the engine and everything it needs, on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from engine.cli.terminal import JsonOption, print_json, say
from engine.contracts.errors import BadInput, Fatal, Refused, Retryable

if TYPE_CHECKING:
    from engine.cli.guard import Guard
    from engine.cli.supervise import Child
    from engine.settings import Settings

LIVE_WORDS: Final = "trade real money"
DOWN_S: Final = 30.0
LOG: Final = "engine.log"


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once it runs; it goes on by itself.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Carry nothing over from the last run: no halt, loss, position or order.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="With --fresh: the reason, for the audit.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="With --fresh: do not ask for a typed confirmation.")] = False,
) -> None:
    """Start the engine with PostgreSQL and Redis; Ctrl-C (or `down`) ends it. Trades what [venues] and `mode` say, and
    goes on where the last run of that mode ended.

    Example: trading-cli up
    """
    from engine import settings
    from engine.cli.afresh import allow_fresh
    from engine.store.running import check_free

    in_force = settings.load()
    check_free(in_force.home)
    if not in_force.venues:
        raise BadInput("no venue is configured: add [venues.NAME] to keel.toml (see keel.example.toml), or try: demo")
    if fresh:
        allow_fresh(in_force, why, yes, is_noted=not detach)  # else whoever is started notes it
    if in_force.mode == "live":
        _allow_live(in_force)
    if detach:
        _detach(in_force, ("--fresh", "--yes", "--why", why) if fresh else ())
    else:
        run_in_foreground(in_force, fresh)


def run_in_foreground(settings: Settings, fresh: bool) -> None:
    """Until Ctrl-C, SIGTERM or the engine's own end."""
    from engine.cli import supervise
    from engine.cli.servers import hold_servers
    from engine.settings import environment

    with ExitStack() as stack:
        hold_servers(settings, stack)
        for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job begins with SIGINT ignored
            signal.signal(number, signal.default_int_handler)
        typed = _typed(settings)
        guard = _guard(settings, typed[1:])
        stack.callback(guard.finish if guard else _nothing)
        child = stack.enter_context(supervise.engine_process(environment(), typed, fresh=fresh))
        projector = supervise.Projector(settings, child.run_dir)
        stack.callback(projector.finish)
        say(f"{settings.mode}: {child.run}; look with `trading-cli status --watch`, end with Ctrl-C")
        try:
            code = _wait(child, settings.home)
        except KeyboardInterrupt:
            code = supervise.end(child.process)
        if guard is not None and not _ended_in_order(settings.home, child.process.pid) and (dog := guard.leave()):
            say(f"THE ENGINE DIED (code {code}). The watchdog (process {dog}) goes on: it cancels entries, then does")
            say("what [watchdog] policy says. `trading-cli up` takes over again, `trading-cli down` ends it.")
    say(f"ended: {child.run_dir}")
    if projector.written:
        say(f"PostgreSQL: {projector.written}")
    raise typer.Exit(code)


def _wait(child: Child, home: Path) -> int:
    """Until the engine ends; systemd, where it started us, is told of every fresh sign of life."""
    from engine.runtime.systemd import Systemd
    from engine.settings import environment
    from engine.store.heartbeat import STALE_S, read_beat

    systemd = Systemd(environment().get("NOTIFY_SOCKET"))
    systemd.ready()
    while True:
        try:
            return child.process.wait(1.0)
        except subprocess.TimeoutExpired:
            beat = read_beat(home)
            if beat is not None and beat.run == child.run and beat.age_s < STALE_S:
                systemd.alive(f"{beat.run} {beat.state}")


def _nothing() -> None:
    """There is no watchdog to end."""


def _guard(settings: Settings, said: list[str]) -> Guard | None:
    """The watchdog beside the engine; `said`: the passphrase, where a person typed one."""
    from engine.cli.guard import Guard
    from engine.settings import environment

    if not settings.watchdog.enabled:
        say("no watchdog: [watchdog] enabled is false; nobody acts when the engine hangs or dies")
        return None
    return Guard(settings.home, environment(), said)


def _ended_in_order(home: Path, pid: int) -> bool:
    """The engine has taken its engine.json away."""
    from engine.store.running import read_last

    try:
        last = read_last(home)
    except BadInput:
        return False
    return last is None or last.pid != pid


def _typed(settings: Settings) -> list[str]:
    """What the engine's process has to be told by a person: see `engine.cli.engine`."""
    from engine import bootstrap
    from engine.store.passphrase import find_passphrase

    words = [LIVE_WORDS] if settings.mode == "live" else []
    if bootstrap.needs_keys(settings):
        try:
            find_passphrase(settings.passphrase_file, settings.home)
        except BadInput:
            if not sys.stdin.isatty():
                raise
            words.append(typer.prompt("passphrase of the key file, for the engine", hide_input=True, err=True))
    return words


def _allow_live(settings: Settings) -> None:
    """Limits written by a person, a healthy machine, and a sentence typed by hand. Raises Refused."""
    from engine.cli import doctor
    from engine.settings import missing_for_live

    missing = missing_for_live(settings)
    if missing:
        raise Refused(
            f"mode = live needs every limit written down by you; add to keel.toml (their defaults are in "
            f"keel.example.toml): {', '.join(missing)}"
        )
    failed = [f"{check.name}: {check.found} -> {check.fix}" for check in doctor.examine(settings) if not check.ok]
    if failed:
        raise Refused("doctor found what must be put right before real money is traded: " + "; ".join(failed))
    say("LIVE: orders will be sent to real exchanges with real money. You can lose it. Decisions are yours.")
    if not sys.stdin.isatty() or typer.prompt(f"type '{LIVE_WORDS}' to go on", default="", err=True) != LIVE_WORDS:
        raise Refused(f"not confirmed: run it in a terminal and type '{LIVE_WORDS}'")


def _detach(settings: Settings, options: Sequence[str]) -> None:
    """Start `up` again in a session of its own; returns once the engine runs. Raises what its exit code says, with
    its last words. The log is only ever added to: whatever else writes there keeps its words."""
    from engine.cli.supervise import REACTIONS
    from engine.store.running import STARTING, read_running

    if settings.mode == "live":
        raise Refused("mode = live starts in the foreground, where a person confirms; use a terminal multiplexer")
    settings.home.mkdir(parents=True, exist_ok=True)
    log = settings.home / LOG
    with log.open("ab") as out:
        begun = out.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", "up", *options],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    while process.poll() is None:
        running = read_running(settings.home)
        if running is not None and running.run != STARTING and running.starter == process.pid:
            say(f"{running.mode}: {running.run} (process {running.pid}); its words are in {log}")
            return
        _wait_a_moment(process)
    lines = _said(log, begun).strip().splitlines()
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")] or lines or ["no word of why"]
    raise REACTIONS.get(process.returncode, Fatal)(f"the engine did not start: {told[-1]} (all of it in {log})")


def _wait_a_moment(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(0.1)
    except subprocess.TimeoutExpired:
        pass


def _said(log: Path, begun: int) -> str:
    """What was written into the log from its byte `begun` on."""
    with log.open("rb") as words:
        words.seek(begun)
        return words.read().decode("utf-8", "replace")


def down(as_json: JsonOption = False) -> None:
    """End the engine that runs in this home, in order: its journal is closed, stops at venues stay. A watchdog that was
    left without its starter ends too.

    Example: trading-cli down
    """
    from engine import settings
    from engine.cli.supervise import wait_for_exit
    from engine.store.running import WATCHDOG, read_running

    in_force = settings.load()
    running, dog = read_running(in_force.home), read_running(in_force.home, WATCHDOG)
    if dog is not None and Path(f"/proc/{dog.starter}").exists() and running is not None:
        dog = None  # whoever started it sees to it
    if running is None and dog is None:
        raise Retryable(f"no engine runs in {in_force.home}")
    for one in filter(None, (running, dog)):
        os.kill(one.pid, signal.SIGTERM)
        if not wait_for_exit(one.pid, DOWN_S):
            raise TimeoutError(f"process {one.pid} has not ended {DOWN_S:.0f} s after it was asked to")
        if not as_json:
            print(f"ended: {one.run}")
    if as_json:
        print_json({"run": running.run if running is not None else None, "ended": True})
