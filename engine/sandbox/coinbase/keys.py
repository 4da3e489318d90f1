"""Customers' keys: an EC P-256 key in PEM (ES256) and a newer one in Base64 (EdDSA), and whose they are."""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from engine.contracts.errors import BadInput

Algorithm = Literal["ES256", "EdDSA"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = ("ES256", "EdDSA")


@dataclass(frozen=True)
class CoinbaseKey:
    """A key. `name` is what clients send as `kid` and `sub`; `secret` is the client's half, as it is downloaded."""

    algorithm: Algorithm
    name: str
    secret: str = field(repr=False)
    _public: Any = field(repr=False, compare=False)

    def is_signature(self, message: bytes, signature: bytes) -> bool:
        """Whether the client's half made this JWS signature: r and s (RFC 7518 §3.4), or Ed25519's 64 bytes."""
        if len(signature) != 64:
            return False
        try:
            if self.algorithm == "EdDSA":
                self._public.verify(signature, message)
            else:
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                self._public.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


def new_key(algorithm: Algorithm, organization: str) -> CoinbaseKey:
    """A fresh random key: the portal's PEM with its whole name, or the newer kind with a bare id."""
    number = str(uuid.uuid4())
    if algorithm == "EdDSA":
        seed = ed25519.Ed25519PrivateKey.generate()
        raw = seed.private_bytes_raw() + seed.public_key().public_bytes_raw()
        return CoinbaseKey(algorithm, number, b64encode(raw).decode(), seed.public_key())
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return CoinbaseKey(algorithm, f"organizations/{organization}/apiKeys/{number}", pem.decode(), private.public_key())


class KeyRing:
    """All keys of all customers; the customer of a key is known by its number."""

    def __init__(self, customers: int) -> None:
        self.organization = str(uuid.uuid4())
        self.of: list[Sequence[CoinbaseKey]] = [
            tuple(new_key(algorithm, self.organization) for algorithm in ALGORITHMS) for _ in range(customers)
        ]
        self._revoked: set[str] = set()
        self._by_name = {key.name: (number, key) for number, keys in enumerate(self.of) for key in keys}

    def find(self, name: str, is_revoked: Callable[[int], bool]) -> tuple[int, CoinbaseKey] | None:
        """Customer's number and key; None for an unknown or revoked one."""
        found = self._by_name.get(name)
        return None if found is None or name in self._revoked or is_revoked(found[0]) else found

    def hand_out(self, number: int) -> tuple[str, str]:
        """One more key (ES256) for a customer: name and secret. Raises BadInput."""
        if not 0 <= number < len(self.of):
            raise BadInput(f"account = {number}: there are accounts 0..{len(self.of) - 1}")
        made = new_key("ES256", self.organization)
        self._by_name[made.name] = (number, made)
        return made.name, made.secret

    def revoke(self, name: str) -> None:
        """One key alone is taken back. Raises BadInput where there is none."""
        if name not in self._by_name:
            raise BadInput("no account has that key")
        self._revoked.add(name)
