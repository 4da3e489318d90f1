"""``trading-cli status``: what the running engine does now, from its live view."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from engine.cli.terminal import JsonOption, print_json
from engine.contracts.errors import Retryable

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.store.viewrows import Picture

EVERY_S: Final = 0.5
WatchOption = Annotated[bool, typer.Option("--watch", help="Live, until Ctrl-C.")]


def status(watch: WatchOption = False, as_json: JsonOption = False) -> None:
    """State, equity, today's loss against its limit, positions with stops, feed ages, last decisions and refusals.

    Example: trading-cli status --watch
    """
    from engine import settings

    in_force = settings.load()
    if watch and not as_json:
        _watch(in_force)
        return
    from engine.store.heartbeat import watchdog_state

    picture = look(in_force)
    lives, words, _ = watchdog_state(in_force.home)
    if as_json:
        print_json(document(picture, time.time_ns()) | {"watchdog": {"alive": lives, "state": words}})
        return
    from rich.console import Console

    from engine.cli.panel import panel

    Console().print(panel(picture, time.time_ns()))
    if in_force.watchdog.enabled:
        Console().print(f"watchdog: {words}", style="" if lives else "bold red")


def look(settings: Settings) -> Picture:
    """One look at the running engine. Raises Retryable where there is none, or it cannot be seen."""
    from engine.cli.control import running_engine
    from engine.store.liveview import read_live
    from engine.store.viewrows import picture_of

    with running_engine(settings) as (running, live):
        view = read_live(live.blocking, running.run)
    if not view.equity:
        raise Retryable(
            f"run {running.run} (process {running.pid}) shows nothing yet: it is starting, or Redis lost its view"
        )
    return picture_of(view, running.mode, running.pid)


def document(picture: Picture, now_ns: int) -> dict[str, Any]:
    """The JSON of a look: rows as they are in the live view, feeds with the age of their data."""
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(picture)
    for name, feed in picture.feeds.items():
        found["feeds"][name]["age_s"] = (now_ns - feed.data_ns) / 1e9 if feed.data_ns else None
    found["heard_of"] = picture.beat_ns is not None
    found["beat_age_s"] = (now_ns - picture.beat_ns) / 1e9 if picture.beat_ns is not None else None
    return found


def _watch(settings: Settings) -> None:
    """Redraw until Ctrl-C, or until the engine has ended."""
    from rich.live import Live

    from engine.cli.panel import panel

    with Live(screen=True, auto_refresh=False) as live:
        try:
            while True:
                live.update(panel(look(settings), time.time_ns(), live.console.height), refresh=True)
                time.sleep(EVERY_S)
        except KeyboardInterrupt:
            return
