"""API keys of the sandbox's customers: what they sign with, and whether a signature is theirs.

A customer has one key of each kind (HMAC, Ed25519, RSA), all with the same rights: trading, and no withdrawals unless
the control endpoint says so (nothing can be withdrawn in any case).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

KeyKind = Literal["HMAC", "ED25519", "RSA"]
KINDS: Final[tuple[KeyKind, ...]] = ("HMAC", "ED25519", "RSA")


@dataclass(frozen=True)
class Key:
    """An API key. `secret` is the client's half: hex text (HMAC) or a PKCS#8 PEM."""

    kind: KeyKind
    api_key: str
    secret: str = field(repr=False)

    def is_signature(self, payload: bytes, signature: str) -> bool:
        """Whether the client's half made this signature: lower- or upper-case hex (HMAC), else base64."""
        if self.kind == "HMAC":
            made = hmac.new(self.secret.encode(), payload, hashlib.sha256).hexdigest()
            return hmac.compare_digest(made.encode(), signature.lower().encode())
        try:
            given = base64.b64decode(signature, validate=True)
        except ValueError:
            return False
        private = serialization.load_pem_private_key(self.secret.encode(), None)
        try:
            if isinstance(private, rsa.RSAPrivateKey):
                private.public_key().verify(given, payload, padding.PKCS1v15(), hashes.SHA256())
            elif isinstance(private, ed25519.Ed25519PrivateKey):
                private.public_key().verify(given, payload)
        except InvalidSignature:
            return False
        return True


def new_key(kind: KeyKind, holder: int = 0) -> Key:
    """A fresh random key; no two holders of one venue share an RSA pair."""
    api_key = secrets.token_hex(32)
    if kind == "HMAC":
        return Key(kind, api_key, secrets.token_hex(32))
    return Key(kind, api_key, _rsa_pem(holder) if kind == "RSA" else _pem(ed25519.Ed25519PrivateKey.generate()))


@cache
def _rsa_pem(holder: int) -> str:
    """A holder's RSA pair, random and made once a process: two primes take longer than all else of opening a venue."""
    return _pem(rsa.generate_private_key(65537, 2048))


def _pem(private: Any) -> str:
    made: bytes = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.decode()
