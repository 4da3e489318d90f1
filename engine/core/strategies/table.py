"""The strategies there are: one row each, and the compiled dispatch drawn from the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from engine.core.compile import kernel
from engine.core.strategies import arbitrage, crossover, momentum, scalping
from engine.core.strategies.spec import Strategy

STRATEGIES: Final[tuple[Strategy, ...]] = (
    momentum.STRATEGY,
    crossover.STRATEGY,
    arbitrage.STRATEGY,
    scalping.STRATEGY,
)
"""By rising number."""

LAST_NUMBER: Final = STRATEGIES[-1].number

NAMES: Final = {row.number: row.name for row in STRATEGIES}


def _call_on_bar(rows: Sequence[Strategy]) -> Callable[..., None]:
    on_bar, number = rows[0].on_bar, rows[0].number
    rest = _call_on_bar(rows[1:]) if len(rows) > 1 else None
    if rest is None:

        @kernel
        def last(s: Any, out: Any, i: int, closed_mask: int) -> None:
            if s.enabled[number] != 0:
                on_bar(s, out, i, closed_mask)

        return last

    @kernel
    def each(s: Any, out: Any, i: int, closed_mask: int) -> None:
        if s.enabled[number] != 0:
            on_bar(s, out, i, closed_mask)
        rest(s, out, i, closed_mask)

    return each


def _call_on_tick(rows: Sequence[Strategy]) -> Callable[..., None]:
    on_tick, number = rows[0].on_tick, rows[0].number
    rest = _call_on_tick(rows[1:]) if len(rows) > 1 else None
    if rest is None:

        @kernel
        def last(s: Any, out: Any, i: int, owner: int) -> None:
            if owner == number:
                on_tick(s, out, i)

        return last

    @kernel
    def each(s: Any, out: Any, i: int, owner: int) -> None:
        if owner == number:
            on_tick(s, out, i)
        else:
            rest(s, out, i, owner)

    return each


def _call_on_price(rows: Sequence[Strategy]) -> Callable[..., None]:
    if not rows:

        @kernel(hot=True)
        def nobody(s: Any, out: Any, i: int, kind: int) -> None:
            """No strategy wants every price."""

        return nobody
    on_price, number = rows[0].on_price, rows[0].number
    assert on_price is not None, "only rows that have it are given"
    rest = _call_on_price(rows[1:])

    @kernel(hot=True)
    def each(s: Any, out: Any, i: int, kind: int) -> None:
        if s.enabled[number] != 0:
            on_price(s, out, i, kind)
        rest(s, out, i, kind)

    return each


def _call_forget(rows: Sequence[Strategy]) -> Callable[..., None]:
    forget_one = rows[0].forget
    rest = _call_forget(rows[1:]) if len(rows) > 1 else None
    if rest is None:
        return forget_one

    @kernel
    def each(s: Any, i: int) -> None:
        forget_one(s, i)
        rest(s, i)

    return each


forget: Final = _call_forget(STRATEGIES)
on_bar: Final = _call_on_bar(STRATEGIES)
on_tick: Final = _call_on_tick(STRATEGIES)
on_price: Final = _call_on_price([row for row in STRATEGIES if row.on_price is not None])
