"""Coinbase Advanced keys: one JWT per request, valid for 120 s, and every usual key fault named.

A key is a name (``organizations/{org}/apiKeys/{id}``) and an EC P-256 private key in PEM (ES256), or the newer kind:
an id and the Base64 of 64 bytes, an Ed25519 seed with its public half (EdDSA).

Source: docs.cdp.coinbase.com, Coinbase App, "API key authentication".
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, urlsafe_b64encode
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from engine.contracts.errors import BadInput
from engine.venues.signing import Secret, key_kind, load_private_key

TOKEN_S: Final = 120
_NAME: Final = re.compile(r"organizations/[0-9a-fA-F-]+/apiKeys/[0-9a-fA-F-]+")
_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class CoinbaseKey:
    """A usable key. `name` is no secret."""

    def __init__(self, name: str, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> None:
        self.name = name
        self._key = key

    @property
    def algorithm(self) -> str:
        return "ES256" if isinstance(self._key, ec.EllipticCurvePrivateKey) else "EdDSA"

    def token(self, method: str, host: str, path: str, now_s: int, nonce: str) -> str:
        """The JWT of one REST request; `path` with or without its query, which Coinbase leaves out of the claim.
        `nonce` is fresh random hex (``secrets.token_hex(16)``)."""
        uri = f"{method} {host}{path.partition('?')[0]}"
        return self._jwt({"uri": uri} if self.algorithm == "ES256" else {"uris": [uri]}, now_s, nonce)

    def websocket_token(self, now_s: int, nonce: str) -> str:
        """The JWT of one websocket subscription: names no request."""
        return self._jwt({}, now_s, nonce)

    def _jwt(self, about: dict[str, str | list[str]], now_s: int, nonce: str) -> str:
        header = {"alg": self.algorithm, "typ": "JWT", "kid": self.name, "nonce": nonce}
        claims = {"sub": self.name, "iss": "cdp", "nbf": now_s, "exp": now_s + TOKEN_S, **about}
        message = _part(msgspec.json.encode(header)) + b"." + _part(msgspec.json.encode(claims))
        return (message + b"." + _part(self._sign(message))).decode()

    def _sign(self, message: bytes) -> bytes:
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")  # RFC 7518 §3.4: not DER


def coinbase_key(name: str, secret: Secret, field: str = "coinbase") -> CoinbaseKey:
    """The key named `name`. Raises BadInput naming ``{field}.key`` or ``{field}.secret`` and the exact fault."""
    text = secret.reveal()
    _check_name(name, text, f"{field}.key")
    if not text.strip():
        raise BadInput(f"{field}.secret is empty; it is `privateKey` in the file Coinbase let you download")
    if "-----" in text:
        key = load_private_key(text, f"{field}.secret")
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            if not _NAME.fullmatch(name):
                raise BadInput(f"{field}.key must be the whole name organizations/.../apiKeys/..., not only its id")
            return CoinbaseKey(name, key)
        raise BadInput(
            f"{field}.secret is {key_kind(key)}; Coinbase Advanced takes EC P-256 (ECDSA) keys: "
            "create one with the signature algorithm ECDSA"
        )
    return CoinbaseKey(name, _ed25519_of(text.strip(), f"{field}.secret"))


def _check_name(name: str, secret: str, field: str) -> None:
    if _NAME.fullmatch(name) or _ID.fullmatch(name):
        return
    if not name.strip():
        raise BadInput(f"{field} is empty; it is `name` in the file Coinbase let you download")
    if "-----BEGIN" in name:
        raise BadInput(f"{field} holds a PEM key; give the name organizations/.../apiKeys/... here")
    if "organizations/" in secret:
        raise BadInput(f"{field} and its secret are swapped")
    if name != name.strip():
        raise BadInput(f"{field} has blanks or line breaks around it; remove them")
    if re.fullmatch(r"[0-9A-Za-z]{16}", name):
        raise BadInput(f"{field} is a legacy key, which Coinbase has retired; create a new one on its developer portal")
    if not name.startswith("organizations/"):
        raise BadInput(f"{field} lacks the organisation: it must read organizations/.../apiKeys/...")
    if "/apiKeys/" not in name:
        raise BadInput(f"{field} lacks /apiKeys/ and the key's id: it must read organizations/.../apiKeys/...")
    raise BadInput(f"{field} must read organizations/<id>/apiKeys/<id>, both ids made of hex digits and dashes")


def _ed25519_of(text: str, field: str) -> ed25519.Ed25519PrivateKey:
    if "\\n" in text or "\n" in text or " " in text:
        raise BadInput(f"{field} lacks its -----BEGIN line, or has line breaks in its Base64; copy it whole")
    try:
        raw = b64decode(text, validate=True)
    except binascii.Error:
        raise BadInput(f"{field} is neither a PEM private key nor Base64; copy `privateKey` whole") from None
    if len(raw) == 64:
        key = ed25519.Ed25519PrivateKey.from_private_bytes(raw[:32])
        if key.public_key().public_bytes_raw() == raw[32:]:
            return key
        raise BadInput(f"{field} is a damaged Ed25519 key: its halves do not belong together; copy it again")
    if len(raw) > 64:
        raise BadInput(f"{field} lacks its -----BEGIN and -----END lines; copy the whole PEM key")
    raise BadInput(f"{field} is Base64 of {len(raw)} bytes; an Ed25519 key has 64")


def _part(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")
