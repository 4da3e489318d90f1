"""Coinbase JWTs verified by the cryptography library and against ccxt's, and every key fault by its name (X7)."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64decode

import ccxt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engine.contracts.errors import BadInput
from engine.venues.coinbase_keys import coinbase_key
from engine.venues.signing import Secret

NAME = "organizations/3b910e93-0000-4000-8000-1234567890ab/apiKeys/d2efa49a-369c-43d7-a60e-ae26e28853c2"
ID = "d2efa49a-369c-43d7-a60e-ae26e28853c2"
KEY = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
ED_SECRET = b64encode(ED.private_bytes_raw() + ED.public_key().public_bytes_raw()).decode()


def pem(key: PrivateKeyTypes) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def pkcs8(key: PrivateKeyTypes) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def parts(token: str) -> tuple[dict[str, object], dict[str, object], bytes, bytes]:
    head, claims, signature = token.split(".")
    raw = [urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in (head, claims, signature)]
    return json.loads(raw[0]), json.loads(raw[1]), f"{head}.{claims}".encode(), raw[2]


def verify(message: bytes, signature: bytes) -> None:
    assert len(signature) == 64
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    KEY.public_key().verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))


@pytest.mark.parametrize("secret", [pem(KEY), pkcs8(KEY)], ids=["sec1", "pkcs8"])
def test_es256_token_of_a_request(secret: str) -> None:
    key = coinbase_key(NAME, Secret(secret))
    for _ in range(8):  # leading zero bytes of r and s come by chance
        header, claims, message, signature = parts(
            key.token("GET", "api.coinbase.com", "/api/v3/brokerage/accounts?limit=1", 1_700_000_000, "ab" * 16)
        )
        verify(message, signature)
    assert header == {"alg": "ES256", "typ": "JWT", "kid": NAME, "nonce": "ab" * 16}
    assert claims == {
        "sub": NAME, "iss": "cdp", "nbf": 1_700_000_000, "exp": 1_700_000_120,
        "uri": "GET api.coinbase.com/api/v3/brokerage/accounts",
    }  # fmt: skip


def test_websocket_token_names_no_request() -> None:
    _, claims, message, signature = parts(coinbase_key(NAME, Secret(pem(KEY))).websocket_token(1_700_000_000, "00"))
    verify(message, signature)
    assert claims == {"sub": NAME, "iss": "cdp", "nbf": 1_700_000_000, "exp": 1_700_000_120}


def test_ed25519_token() -> None:
    key = coinbase_key(ID, Secret(ED_SECRET))
    token = key.token("POST", "api.coinbase.com", "/api/v3/brokerage/orders", 5, "0")
    header, claims, message, signature = parts(token)
    ED.public_key().verify(signature, message)
    assert header["alg"] == "EdDSA" and header["kid"] == ID
    assert claims["uris"] == ["POST api.coinbase.com/api/v3/brokerage/orders"]


@pytest.mark.parametrize(("name", "secret"), [(NAME, pem(KEY)), (ID, ED_SECRET)], ids=["es256", "eddsa"])
def test_claims_agree_with_ccxt(name: str, secret: str) -> None:
    exchange = ccxt.coinbase({"apiKey": name, "secret": secret})
    signed = exchange.sign("brokerage/accounts", ["v3", "private"], "GET", {"limit": 1})
    header, claims, _, _ = parts(signed["headers"]["Authorization"].removeprefix("Bearer "))
    host, _, path = signed["url"].removeprefix("https://").partition("/")
    now = int(str(claims["nbf"]))
    ours = parts(coinbase_key(name, Secret(secret)).token("GET", host, "/" + path, now, str(header["nonce"])))
    assert ours[0] == header
    for claim in ("sub", "nbf", "exp", "uri", "uris"):
        assert ours[1].get(claim) == claims.get(claim)


NAME_FAULTS = [
    ("", pem(KEY), "coinbase.key is empty"),
    (pem(KEY), NAME, "holds a PEM key"),
    ("main key", NAME, "swapped"),
    (NAME + "\n", pem(KEY), "blanks or line breaks"),
    ("AbCdEf0123456789", "c2VjcmV0", "legacy key"),
    ("3b910e93/apiKeys/d2efa49a", pem(KEY), "lacks the organisation"),
    (NAME.partition("/apiKeys")[0], pem(KEY), "lacks /apiKeys/"),
    (NAME.replace("apiKeys/d2", "apiKeys/zz"), pem(KEY), "hex digits"),
    (ID, pem(KEY), "whole name"),
]
SECRET_FAULTS = [
    ("", "is empty"),
    (pem(KEY).replace("\n", "\\n"), "two characters"),
    (pem(KEY).replace("\n", " "), "single line"),
    (pem(KEY).partition("-----END")[0], "no whole PEM"),
    ("".join(pem(KEY).splitlines()[1:-1]), "lacks its -----BEGIN"),
    (pem(rsa.generate_private_key(65537, 2048)), "an RSA key"),
    (pem(ec.generate_private_key(ec.SECP256K1())), "secp256k1"),
    (pkcs8(ED), "an Ed25519 key; Coinbase Advanced takes EC P-256"),
    (ED_SECRET[:-8] + "AAAAAA==", "halves do not belong together"),
    (b64encode(bytes(16)).decode(), "Base64 of 16 bytes"),
    ("not a key!", "lacks its|neither"),
    ("not-a-key!", "neither a PEM"),
]


@pytest.mark.parametrize(("name", "secret", "fault"), NAME_FAULTS, ids=[f for _, _, f in NAME_FAULTS])
def test_name_faults(name: str, secret: str, fault: str) -> None:
    with pytest.raises(BadInput, match=fault):
        coinbase_key(name, Secret(secret))


@pytest.mark.parametrize(("secret", "fault"), SECRET_FAULTS, ids=[f for _, f in SECRET_FAULTS])
def test_secret_faults(secret: str, fault: str) -> None:
    with pytest.raises(BadInput, match=fault) as caught:
        coinbase_key(NAME, Secret(secret), "venues.coinbase")
    assert "venues.coinbase.secret" in str(caught.value)
    assert not any(len(line) > 12 and line in str(caught.value) for line in secret.split())
