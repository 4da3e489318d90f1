"""From a tick's arrival to its order on the socket: a window of the latest measurements."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

WINDOW: Final = 16_384


class Latency:
    """The last `WINDOW` measurements in ns; noting one costs next to nothing."""

    def __init__(self) -> None:
        self._ns: np.ndarray[Any, np.dtype[np.int64]] = np.zeros(WINDOW, np.int64)
        self._memory = self._ns.data
        self.count = 0

    def note(self, ns: int) -> None:
        """One measurement."""
        self._memory[self.count % WINDOW] = ns
        self.count += 1

    def percentile_us(self, *shares: float) -> list[float]:
        """Percentiles (0..100) of the window in µs; empty where nothing was measured."""
        kept = self._ns[: min(self.count, WINDOW)]
        return [float(x) for x in np.percentile(kept, shares) / 1000.0] if kept.size else []
