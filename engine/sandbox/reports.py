"""In which order the reports of one burst are sent."""

from __future__ import annotations

from typing import Protocol, TypeVar

from engine.sandbox.faults import Faults


class Told(Protocol):
    """Something that happened to an order; `fill` where it was a trade."""

    @property
    def event(self) -> str:
        """The exchange's word for it."""

    @property
    def fill(self) -> object | None:
        """The trade."""


T = TypeVar("T", bound=Told)


def arranged(faults: Faults, told: list[T], symbol: str) -> list[T]:
    """As it happened to orders of a symbol, unless a fault is armed: A3 (twice), A4 (fills before the acceptance), A5
    (fills last first)."""
    fills = [one for one in told if one.fill is not None]
    if fills and faults.take("A3", symbol=symbol):
        told = [one for report in told for one in ([report] * (2 if report.fill is not None else 1))]
    if fills and any(one.event == "NEW" for one in told) and faults.take("A4", symbol=symbol):
        told = sorted(told, key=lambda one: one.fill is None)
    if len(fills) > 1 and faults.take("A5", symbol=symbol):
        backwards = iter(fills[::-1])
        told = [next(backwards, one) if one.fill is not None else one for one in told]
    return told
