"""What the engine and the process of a signal source tell each other: MessagePack, each message behind its length."""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts.signals import BARS
from engine.signals.plan import SignalPlan

LENGTH: Final = struct.Struct("<I")
CLOSED: Final = np.dtype([("instrument", "<i8"), ("forgotten", "<i8"), ("bar", BARS)])
"""A bar that closed; `forgotten`: none, the bars of this instrument begin anew."""


class Begin(msgspec.Struct, frozen=True):
    """First to the process: what to load. `path` is where the engine looks for modules; `names` venue and symbol."""

    plan: SignalPlan
    path: list[str]
    names: list[tuple[str, str]]


class Begun(msgspec.Struct, frozen=True):
    """First back. `fault`: why the class cannot be used; the rest is empty then."""

    fault: str = ""
    timeframe_s: int = 0
    lookback: int = 0
    digest: int = 0
    text: str = ""


class Closed(msgspec.Struct, frozen=True):
    """Bars that closed since the last message (`CLOSED` rows as bytes); `about`: the instrument that is asked for
    after them, or -1: nothing is asked."""

    rows: bytes
    about: int


class Answer(msgspec.Struct, frozen=True):
    """To a `Closed` with a question: value, confidence, valid_s; None for no opinion. `fault`: why there is none."""

    forecast: tuple[float, float, float] | None = None
    fault: str = ""


def packed(message: msgspec.Struct) -> bytes:
    """A message as it goes through the pipe."""
    body = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(body)) + body


def unpacked(body: bytes, kind: Any) -> Any:
    """The message of that kind, from what stood behind its length."""
    return msgspec.msgpack.decode(body, type=kind)
