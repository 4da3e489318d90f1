"""What recorded files do not say, as one typed, bounded set: latency, spread, depth and fees of the replayed feed."""

from __future__ import annotations

from typing import Final

import msgspec

from engine.contracts.errors import BadInput

# name: (lowest, highest, unit)
BOUNDS: Final[dict[str, tuple[float, float, str]]] = {
    "feed_latency_ms": (0.001, 60_000.0, "ms"),
    "spread_bps": (0.0, 1_000.0, "bps"),
    "spread_range_share": (0.0, 1.0, "share"),
    "depth_volume_share": (1e-6, 1.0, "share"),
    "first_depth_usd": (1.0, 1e9, "USD"),
    "maker_fee": (-0.01, 0.04, "fraction"),
    "taker_fee": (-0.01, 0.04, "fraction"),
    "max_leverage": (1, 150, "x"),
    "maintenance_margin_rate": (0.0001, 0.5, "fraction"),
}


class FeedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Assumptions about the feed. Raises BadInput naming the field when one is out of bounds.

    feed_latency_ms: the engine sees an event this long after the venue.
    spread_bps: smallest full spread (bid to ask) of a candle path; also the spread before any range was seen.
    spread_range_share: spread as a share of the mean high-low range of *previous* candles, where that is wider.
    depth_volume_share: top-of-book size as a share of the mean volume of *previous* candles.
    first_depth_usd: the same before any volume was seen, in dollars (about).
    maker_fee, taker_fee: fractions; None takes 0.1 % for spot, 0.02 % and 0.05 % for perpetuals.
    max_leverage, maintenance_margin_rate: of perpetuals; spot has no leverage.
    """

    feed_latency_ms: float = 50.0
    spread_bps: float = 2.0
    spread_range_share: float = 0.05
    depth_volume_share: float = 0.02
    first_depth_usd: float = 500.0
    maker_fee: float | None = None
    taker_fee: float | None = None
    max_leverage: int = 20
    maintenance_margin_rate: float = 0.01

    def __post_init__(self) -> None:
        for name, (low, high, unit) in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:  # NaN fails this too
                raise BadInput(f"feed.{name} = {value} is outside {low:g}..{high:g} {unit}")

    @property
    def latency_ns(self) -> int:
        """Feed latency as whole nanoseconds."""
        return round(self.feed_latency_ms * 1e6)
