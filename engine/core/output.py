"""Where the core writes commands and notes: a caller-owned buffer, never part of the state."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.contracts.records import ENTRY, NO_INSTRUMENT, RECORD
from engine.core.compile import kernel
from engine.core.memory import Flat

HEADROOM = 4096
"""Most entries one event can cause; a caller flushes before fewer places than this are left."""


def new_output(capacity: int = 65_536) -> Flat:
    """An empty buffer: `records[k]` was caused by event `seqs[k]`; `count[0]` of them are filled."""
    arrays = {
        "records": np.zeros(capacity, RECORD),
        "seqs": np.zeros(capacity, np.int64),
        "count": np.zeros(1, np.int64),
    }
    return Flat("output", arrays)


def drain(out: Flat) -> np.ndarray[Any, Any]:
    """Copy what was written as journal `ENTRY`s and empty the buffer."""
    filled = int(out.count[0])
    entries = np.zeros(filled, ENTRY)
    entries["seq"] = out.seqs[:filled]
    entries["record"] = out.records[:filled]
    out.count[0] = 0
    return entries


@kernel
def emit(s: Any, out: Any, kind: int, instrument: int) -> Any:
    """A fresh record of `kind` caused by the event being applied; the caller fills the rest."""
    place = out.count[0]
    if place >= out.records.shape[0]:
        raise IndexError("output buffer full")
    out.count[0] = place + 1
    out.seqs[place] = s.head[0].seq
    record = out.records[place]
    record.ts_ns = s.head[0].now_ns
    record.venue_ts_ns = 0
    record.kind = kind
    record.instrument = instrument
    record.side = 0
    record.bits = 0
    record.reason = 0
    record.client_id = 0
    record.price_ticks = 0
    record.qty_lots = 0
    record.trigger_ticks = 0
    record.ref_id = 0
    return record


@kernel
def emit_copy(s: Any, out: Any, event: Any, seq: int) -> None:
    """Journal an event as it is (market events of a recording are referenced instead)."""
    record = emit(s, out, event.kind, event.instrument)
    out.seqs[out.count[0] - 1] = seq
    record.ts_ns = event.ts_ns
    record.venue_ts_ns = event.venue_ts_ns
    record.side = event.side
    record.bits = event.bits
    record.reason = event.reason
    record.client_id = event.client_id
    record.price_ticks = event.price_ticks
    record.qty_lots = event.qty_lots
    record.trigger_ticks = event.trigger_ticks
    record.ref_id = event.ref_id


__all__ = ["HEADROOM", "NO_INSTRUMENT", "drain", "emit", "emit_copy", "new_output"]
