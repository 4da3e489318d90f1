"""The forms a secret may travel in."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "URL": lambda text: quote(text, safe=""),
    "URL path": quote,
    "form": quote_plus,
    "JSON": lambda text: json.dumps({"a": text}),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON with slashes escaped": lambda text: json.dumps(text).replace("/", "\\/"),
    "repr": repr,
    "bytes": lambda text: repr(text.encode()),
    "HTML": html.escape,
    "hex": lambda text: text.encode().hex(),
    "Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "basic authorization": lambda text: base64.b64encode(f"keel:{text}".encode()).decode(),
    "in a token": lambda text: base64.urlsafe_b64encode(json.dumps({"sub": text, "n": 1}).encode()).decode(),
}
_BARE = ("plain", "URL", "form", "hex", "Base64")


def found_in(told: bytes, secrets: dict[str, str]) -> list[str]:
    """Which secrets stand in there, and in which form: the whole, or a stretch of 24 characters as it is; of a PEM key
    any line of its body counts."""
    found = []
    for name, secret in secrets.items():
        for line in [line for line in secret.splitlines() if "-----" not in line and len(line) > 20] or [secret]:
            found += [f"{name} ({form})" for form in _BARE if FORMS[form](line).encode().rstrip(b"=") in told]
            stretches = {line[i : i + 16] for i in range(0, len(line) - 15, 8)}
            found += [f"{name} (a part)" for one in stretches if one.encode() in told]
    return sorted(set(found))
