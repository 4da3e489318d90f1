"""Watching a running engine from a terminal, or line by line where there is none."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

from engine.cli.terminal import say
from engine.contracts.errors import Retryable

if TYPE_CHECKING:
    import redis
    from rich.console import RenderableType
    from rich.live import Live

    from engine.store.viewrows import Picture

TELL_S: Final = 5.0


class Screen:
    """`look` shows the run as it is now. In a terminal a table that redraws itself, else a line every five seconds."""

    def __init__(self, client: redis.Redis, run: str, mode: str, pid: int, out: TextIO) -> None:
        self._client, self._run, self._mode, self._pid, self._out = client, run, mode, pid, out
        self._live: Live | None = None
        self._last: RenderableType | None = None
        self._told = float("-inf")

    def __enter__(self) -> Self:
        if self._out.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self._out), auto_refresh=False, screen=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            if self._last is not None:  # the redrawn screen is gone now; its last picture stays readable
                self._live.console.print(self._last)

    def look(self) -> Picture | None:
        """Show the present; None where Redis does not answer or has nothing yet."""
        from engine.store.liveview import read_live
        from engine.store.viewrows import picture_of

        try:
            view = read_live(self._client, self._run)
        except Retryable:
            return None
        if not view.equity:
            return None
        picture = picture_of(view, self._mode, self._pid)
        if self._live is not None:
            from engine.cli.panel import panel

            self._last = panel(picture, time.time_ns(), self._live.console.height)
            self._live.update(self._last, refresh=True)
        elif time.monotonic() - self._told >= TELL_S:
            self._told = time.monotonic()
            say(line_of(picture))
        return picture


def line_of(picture: Picture) -> str:
    """The most important of a picture in one line."""
    account, engine = picture.account, picture.engine
    order_us = engine.tick_to_order_us_p50
    return (
        f"{account.state}  equity ${account.equity_usd:,.2f}  today {account.day_pnl_usd:+.2f} of "
        f"-{account.day_limit_usd:.2f}  positions {account.positions}  orders {engine.orders}  {_cycles(picture)}"
        f"{engine.events_per_s:,.0f} events/s" + (f"  tick to order {order_us:,.0f} us" if order_us is not None else "")
    )


def _cycles(picture: Picture) -> str:
    """Triangular cycles: those sent and those that won, or how many were seen in shadow."""
    begun, won, rehearsed = (
        sum(getattr(one, name) for one in picture.desks.values()) for name in ("begun", "won", "rehearsed")
    )
    return f"cycles {won} of {begun} won  " if begun else f"cycles {rehearsed} in shadow  " if rehearsed else ""
