"""JWTs as Coinbase checks them: who signed what, for which request, and for how long.

Source: docs.cdp.coinbase.com, "API key authentication"; the claims that clients of all kinds send: `sub` and header
`kid` (the key's name), `iss` (``cdp``, or ``coinbase-cloud`` of older clients), `nbf`, `exp`, a header `nonce`, and for
REST `uri` (``GET host/path``; Ed25519 keys may send `uris`, a list).
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any, Final

import msgspec

from engine.sandbox.coinbase.errors import unauthorized
from engine.sandbox.coinbase.keys import KeyRing

MOST_S: Final = 120
EARLY_S: Final = 5
"""How far a client's clock may run ahead."""
ISSUERS: Final = ("cdp", "coinbase-cloud")
REAL_HOST: Final = "api.coinbase.com"
"""Some clients name it whatever host they call."""


class Tokens:
    """Checks tokens against a key ring and the exchange's clock (`now_ms`)."""

    def __init__(self, ring: KeyRing, is_revoked: Callable[[int], bool], now_ms: Callable[[], int]) -> None:
        self._ring = ring
        self._is_revoked = is_revoked
        self._now_ms = now_ms

    def bearer(self, header: str | None, method: str, host: str, path: str) -> int:
        """The customer's number of an Authorization header. Raises HttpError 401."""
        if header is None:
            raise unauthorized("no Authorization header")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized("the Authorization header is no Bearer token")
        number, claims = self.verify(token.strip())
        allowed = {f"{method} {name}{path}" for name in (host, REAL_HOST)}
        named = claims.get("uris", [claims.get("uri")])
        said = (
            [uri.replace("http://", "", 1) for uri in named if isinstance(uri, str)] if isinstance(named, list) else []
        )
        if not allowed & set(said):
            wanted = f"{method} {host}{path}"
            raise unauthorized(f"the uri claim {said!a} is not {wanted!a}")
        return number

    def verify(self, token: str) -> tuple[int, dict[str, Any]]:
        """The customer's number and the claims of a token. Raises HttpError 401."""
        parts = token.split(".")
        if len(parts) != 3:
            raise unauthorized("the token has not three parts")
        header, claims, signature = _object(parts[0]), _object(parts[1]), _bytes(parts[2])
        name = header.get("kid")
        found = self._ring.find(name, self._is_revoked) if isinstance(name, str) else None
        if found is None:
            raise unauthorized("no active key has the name in kid")
        number, key = found
        if header.get("alg") != key.algorithm:
            raise unauthorized(f"alg is not {key.algorithm}")
        if not key.is_signature(".".join(parts[:2]).encode(), signature):
            raise unauthorized("the signature is not of this key")
        self._check_claims(claims, key.name)
        if not header.get("nonce"):
            raise unauthorized("the header has no nonce")
        return number, claims

    def _check_claims(self, claims: dict[str, Any], name: str) -> None:
        if claims.get("sub") != name:
            raise unauthorized("sub is not the key's name")
        if claims.get("iss") not in ISSUERS:
            raise unauthorized(f"iss is none of {', '.join(ISSUERS)}")
        start, end = claims.get("nbf"), claims.get("exp")
        if not isinstance(start, int) or not isinstance(end, int):
            raise unauthorized("nbf and exp must be whole seconds")
        now_s = self._now_ms() / 1000
        if start > now_s + EARLY_S:
            raise unauthorized("nbf lies in the future")
        if end <= now_s:
            raise unauthorized("exp lies in the past")
        if end - start > MOST_S:
            raise unauthorized(f"valid for {end - start} s, more than {MOST_S} s")


def _bytes(part: str) -> bytes:
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise unauthorized("a part of the token is no Base64") from None


def _object(part: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(_bytes(part), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise unauthorized("a part of the token is no JSON object") from None
    return found
