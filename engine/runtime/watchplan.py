"""What a person says about the watchdog (``[watchdog]``)."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from engine.contracts.errors import BadInput

Policy = Literal["flatten_all", "keep_protected", "cancel_only"]
POLICIES: Final = ("flatten_all", "keep_protected", "cancel_only")
# name: (default, lowest, highest, unit, meaning)
BOUNDS: Final[dict[str, tuple[float, float, float, str, str]]] = {
    "silence_cancel_s": (5.0, 3.0, 60.0, "s", "an engine silent for longer: its entry orders are cancelled"),
    "silence_flatten_s": (15.0, 5.0, 600.0, "s", "silent for longer: `policy` is carried out; not before the entries"),
    "countdown_s": (15.0, 10.0, 120.0, "s", "Binance USD-M cancels resting entries by itself, not renewed for so long"),
}  # fmt: skip
# name: (default, meaning, example)
MEANINGS: Final[dict[str, tuple[str, str, str]]] = {
    "enabled": ("true", "`up` starts a watchdog and keeps it running; in paper and shadow it only tells", ""),
    "policy": (
        '"keep_protected"',
        "flatten_all: close everything; keep_protected: what stands behind its stop at the venue is kept; cancel_only",
        "",
    ),
    "key": ("", "API key of its own, by name (same account as the venue's); unset: the venue's key", '"watchdog"'),
}


class WatchdogPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """See `BOUNDS` and `MEANINGS`. Raises BadInput naming the field and the fix."""

    enabled: bool = True
    policy: Policy = "keep_protected"
    silence_cancel_s: float = 5.0
    silence_flatten_s: float = 15.0
    countdown_s: float = 15.0
    key: str | None = None

    def __post_init__(self) -> None:
        for name, (_, low, high, unit, meaning) in BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:  # NaN fails this too
                raise BadInput(f"watchdog.{name} = {value} is outside {low:g}..{high:g} {unit} ({meaning})")
        if self.silence_flatten_s < self.silence_cancel_s:
            raise BadInput(
                f"watchdog.silence_flatten_s = {self.silence_flatten_s:g} is below watchdog.silence_cancel_s = "
                f"{self.silence_cancel_s:g}: entries are cancelled first; raise it"
            )
