"""A journal ENTRY as a plain tuple: what reads millions of them reads these."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

PLAIN: Final = np.dtype(
    [
        ("seq", "<i8"), ("ts_ns", "<i8"), ("strategy", "<u2"), ("order_type", "u1"), ("tif", "u1"), ("leverage", "<u2"),
        ("role", "<u2"), ("kind", "<u2"), ("instrument", "<u2"), ("side", "i1"), ("bits", "u1"), ("reason", "<u2"),
        ("w0", "<i8"), ("w1", "<i8"), ("w2", "<i8"), ("w3", "<i8"), ("w4", "<i8"),
    ]
)  # fmt: skip
"""ENTRY without overlaps, so that rows become plain tuples; w0..w4 are the five payload words of `records`."""


class Row(NamedTuple):
    """One ENTRY; fields that other kinds name otherwise lie at the same place (see `engine.contracts.records`)."""

    seq: int
    ts_ns: int
    strategy: int
    order_type: int
    tif: int
    leverage: int
    role: int
    kind: int
    instrument: int
    side: int
    bits: int
    reason: int
    w0: int
    w1: int
    w2: int
    w3: int
    w4: int
