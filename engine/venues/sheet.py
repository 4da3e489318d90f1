"""Records packed straight into the caller's array: what one message becomes.

Writing a 64-byte record field by field through numpy costs over a microsecond; one `struct` call costs a fifth.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np

from engine.contracts.errors import BadInput
from engine.contracts.records import RECORD, RECORD_BYTES
from engine.venues.undecodable import Undecodable

_PACK: Final = struct.Struct("<qqHHbBHqqqqq").pack_into


class Sheet:
    """A cursor over `out`. `begin` binds it (cheap when it is the same array as last time), `put` adds a record."""

    __slots__ = ("_memory", "_out", "_room", "count", "ts_ns")

    def __init__(self) -> None:
        self._out: np.ndarray[Any, Any] | None = None
        self._memory = memoryview(b"")
        self._room = 0
        self.count = 0
        self.ts_ns = 0

    def begin(self, out: np.ndarray[Any, Any], ts_ns: int) -> None:
        """Start on a fresh message seen at `ts_ns`. Raises BadInput where `out` is no writable row of RECORDs."""
        if out is not self._out:
            if out.dtype != RECORD or out.ndim != 1 or not out.flags.c_contiguous or not out.flags.writeable:
                raise BadInput(
                    f"out must be a writable contiguous 1-d array of RECORD, not {out.ndim}-d {out.dtype.kind}"
                )
            self._memory = memoryview(out.view(np.uint8).data)
            self._room = len(out)
            self._out = out
        self.count = 0
        self.ts_ns = ts_ns

    def put(
        self, kind: int, instrument: int, venue_ts_ns: int, side: int, bits: int, code: int,
        word0: int, word1: int, word2: int, word3: int, word4: int,
    ) -> None:  # fmt: skip
        """Add an event; `code` is its reason or level, the words are those of `contracts.records` at 24..56.

        Raises Undecodable where `out` is full or a number does not fit its field.
        """
        if self.count >= self._room:
            raise Undecodable(
                f"the message needs more than the {self._room} records `out` holds; give it a longer array"
            )
        try:
            _PACK(
                self._memory, self.count * RECORD_BYTES,
                self.ts_ns, venue_ts_ns, kind, instrument, side, bits, code, word0, word1, word2, word3, word4,
            )  # fmt: skip
        except struct.error as error:
            raise Undecodable(f"a number of a record of kind {kind} leaves its field: {error}") from error
        self.count += 1
