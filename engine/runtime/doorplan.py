"""What a person says about alerts (``[alerts]``) and about the doors for an emergency (``[doors]``)."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from engine.contracts.errors import BadInput

# name: (default, lowest, highest, unit, meaning)
BOUNDS: Final[dict[str, tuple[float, float, float, str, str]]] = {
    "port": (3001, 0, 65_535, "port", "where the emergency's HTTP door listens on 127.0.0.1; 0: nowhere"),
}
# table: {name: (meaning, example)}
MEANINGS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "alerts": {
        "urls_file": ("file with an apprise URL a line (chmod 600: secrets); unset: stderr only", "secrets/alerts"),
    },
    "doors": {
        "public_url": ("https address of your proxy in front of `port`, for the phone link", "https://keel.example.net"),
    },
}  # fmt: skip


class AlertsPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """See `MEANINGS`."""

    urls_file: Path | None = None


class DoorsPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """See `BOUNDS` and `MEANINGS`. Raises BadInput naming the field and the fix."""

    port: int = 3001
    public_url: str | None = None

    def __post_init__(self) -> None:
        _, low, high, _, meaning = BOUNDS["port"]
        if not low <= self.port <= high:
            raise BadInput(f"doors.port = {self.port} is outside {low:g}..{high:g} ({meaning})")
        if self.public_url is None:
            return
        parts = urlsplit(self.public_url)
        is_here = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if parts.scheme not in ("https", *(("http",) if is_here else ())) or not parts.hostname:
            raise BadInput(f"doors.public_url = {self.public_url} must be https://HOST: the link is as good as a key")
        if parts.query or parts.fragment or parts.username:
            raise BadInput("doors.public_url must hold scheme, host and path only")
