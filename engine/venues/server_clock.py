"""How far the venue's clock is from ours, from (send, server, receive) triples.

Binance takes a request when ``timestamp < server time + 1 s`` and ``server time - timestamp <= recvWindow``;
everything else is -1021.
"""

from __future__ import annotations

from collections import deque
from statistics import median_low
from typing import Final, NamedTuple

from engine.contracts.errors import BadInput, Refused

_KEPT: Final = 32
_MS: Final = 1_000_000
_AHEAD_NS: Final = 1_000 * _MS  # further ahead than this and Binance refuses the request
_JUMP_NS: Final = 1_000 * _MS
_JITTER_NS: Final = 50 * _MS  # two estimates further apart than this plus their round trips: a clock was set


class _Sample(NamedTuple):
    rtt_ns: int
    offset_ns: int


class ServerClock:
    """Offset estimate: the median over the quarter of the samples with the shortest round trips.

    One sample that disagrees is noise; two in a row that agree with each other mean that a clock was set, and the
    older ones are forgotten. All times are wall-clock ns of this machine.
    """

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._samples: deque[_Sample] = deque(maxlen=_KEPT)
        self._doubted: _Sample | None = None
        self._offset_ns = 0
        self._rtt_ns = 0
        self._settled_ns: int | None = None

    @property
    def offset_ms(self) -> float | None:
        """`offset_ns` for people; None before the first sample."""
        return self._offset_ns / _MS if self._samples else None

    @property
    def offset_ns(self) -> int:
        """Add it to our clock to get the venue's; 0 before the first sample."""
        return self._offset_ns

    @property
    def rtt_ns(self) -> int:
        """The shortest round trip kept: the offset is known to half of it."""
        return self._rtt_ns

    @property
    def samples(self) -> int:
        return len(self._samples)

    def note(self, send_ns: int, server_ns: int, receive_ns: int) -> None:
        """One exchange. Raises BadInput when the reply came before the question."""
        if receive_ns < send_ns:
            raise BadInput(f"{self._venue}: a reply at {receive_ns} before its request at {send_ns}: the clock was set")
        sample = _Sample(receive_ns - send_ns, server_ns - (send_ns + receive_ns) // 2)
        if self._samples and self._far(sample, _Sample(self._rtt_ns, self._offset_ns)):
            if self._doubted is None or self._far(sample, self._doubted):
                self._doubted = sample
                return
            self._samples.clear()
            self._samples.append(self._doubted)
        self._doubted = None
        self._samples.append(sample)
        best = sorted(self._samples)[: max(1, (len(self._samples) + 3) // 4)]
        self._offset_ns = median_low(s.offset_ns for s in best)
        self._rtt_ns = best[0].rtt_ns

    def jump(self) -> str:
        """A sentence, once, where the offset moved by more than a second since it was asked for before; else empty."""
        before, now = self._settled_ns, self._offset_ns
        if not self._samples or (before is not None and abs(now - before) <= _JUMP_NS):
            return ""
        self._settled_ns = now
        if before is None:
            return ""
        return (
            f"{self._venue}'s clock jumped against ours by {(now - before) / 1e9:+.1f} s: it is now "
            f"{spoken_offset(now / _MS)}; requests are stamped with its time. Where this machine's clock was set, turn "
            "on time synchronisation (timedatectl set-ntp true)"
        )

    def timestamp_ms(self, now_ns: int) -> int:
        """The ``timestamp`` of a signed request: the venue's time now, rounded down (never ahead)."""
        return (now_ns + self._offset_ns) // _MS

    def check(self, recv_window_ms: int) -> None:
        """Raises Refused when the clocks are further apart than half of recvWindow (or 1 s where we are ahead), or
        when nothing was measured yet."""
        if not self._samples:
            raise Refused(f"{self._venue}: its clock was never measured; ask for its server time first")
        skew_ns = -self._offset_ns  # ours minus theirs
        if abs(skew_ns) <= recv_window_ms * _MS // 2 and skew_ns < _AHEAD_NS:
            return
        raise Refused(
            f"this machine's clock is {abs(skew_ns) / 1e9:.3f} s {'ahead of' if skew_ns > 0 else 'behind'} "
            f"{self._venue}'s (allowed: half of recv_window, {recv_window_ms / 2000:g} s, and less than 1 s ahead); "
            "turn on time synchronisation (timedatectl set-ntp true), then try again"
        )

    @staticmethod
    def _far(a: _Sample, b: _Sample) -> bool:
        return abs(a.offset_ns - b.offset_ns) > (a.rtt_ns + b.rtt_ns) // 2 + _JITTER_NS


def spoken_offset(offset_ms: float) -> str:
    """``5.0 s ahead of ours`` or ``12 ms behind ours``: the venue's clock (its offset is the venue's less ours)."""
    size = f"{abs(offset_ms):.0f} ms" if abs(offset_ms) < 1_000 else f"{abs(offset_ms) / 1e3:.1f} s"
    return f"{size} {'behind' if offset_ms < 0 else 'ahead of'} ours"
