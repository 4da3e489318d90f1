"""The one error of every codec."""

from __future__ import annotations

from typing import Final

from engine.contracts.errors import KeelError

_SHOWN: Final = 60


class Undecodable(KeelError):
    """A message from a venue that cannot be understood or believed. Names what and why.

    Reaction: count it, drop the message, go on; one about our own orders or account is followed by a
    reconciliation, because what it said is lost.
    """


def shown(value: object) -> str:
    """A value from outside, short enough for an error message and without control characters."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else "?" for c in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
