"""Binance signatures: HMAC-SHA256, RSA and Ed25519 over query strings and WebSocket API parameters.

* REST signs the bytes as sent: names and values percent-encoded *before* signing (Binance refuses the other order with
  -1022 since 2026-01), in the caller's order, ``&signature=`` last.
* The WebSocket API signs ``name=value`` pairs sorted by name, in plain UTF-8, ``apiKey`` among them.
* HMAC signatures are hex; RSA (PKCS#1 v1.5, SHA-256) and Ed25519 ones are Base64, percent-encoded in a URL.

Sources: developers.binance.com, spot REST API and WebSocket API, "request security".
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, Protocol
from urllib.parse import quote

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from engine.contracts.errors import BadInput

Value = str | int
_ENCODER: Final = msgspec.json.Encoder()


class Secret:
    """Key material that no repr, str, format, pickle or copy shows. `reveal()` is the only way in."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        return self.__text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.__text.encode(), other.__text.encode())

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never pickled, copied or serialised")


class Signer(Protocol):
    """Signs bytes; `sign` gives the signature as Binance expects it (not yet percent-encoded)."""

    def sign(self, payload: bytes) -> str: ...

    def after(self, prefix: bytes) -> Signer:
        """A signer of ``prefix + payload`` that has done the work of the prefix already, where that is possible."""


class HmacSigner:
    """HMAC-SHA256 in hex; the key schedule and any prefix are hashed once."""

    def __init__(self, secret: Secret) -> None:
        self._begun = hmac.new(secret.reveal().encode(), digestmod=hashlib.sha256)

    def sign(self, payload: bytes) -> str:
        mac = self._begun.copy()
        mac.update(payload)
        return mac.hexdigest()

    def after(self, prefix: bytes) -> HmacSigner:
        made = HmacSigner.__new__(HmacSigner)
        made._begun = self._begun.copy()
        made._begun.update(prefix)
        return made


class KeySigner:
    """RSA (PKCS#1 v1.5 with SHA-256) or Ed25519, in Base64. These sign whole messages: a prefix is only kept."""

    def __init__(self, key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, prefix: bytes = b"") -> None:
        self._key = key
        self._prefix = prefix

    def sign(self, payload: bytes) -> str:
        message = self._prefix + payload
        if isinstance(self._key, rsa.RSAPrivateKey):
            return b64encode(self._key.sign(message, padding.PKCS1v15(), SHA256())).decode()
        return b64encode(self._key.sign(message)).decode()

    def after(self, prefix: bytes) -> KeySigner:
        return KeySigner(self._key, self._prefix + prefix)


def binance_signer(secret: Secret, field: str = "binance.secret") -> Signer:
    """The signer for a Binance secret: a PEM private key is RSA or Ed25519, anything else an HMAC secret.

    Raises BadInput naming `field` and the exact fault.
    """
    text = secret.reveal()
    if "-----" not in text:
        if not text or text != text.strip() or not text.isascii() or " " in text:
            raise BadInput(f"{field} is empty or has blanks in or around it; copy it again from Binance's API page")
        return HmacSigner(secret)
    key = load_private_key(text, field)
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < 2048:
        raise BadInput(f"{field} is an RSA key of {key.key_size} bits; Binance takes 2048 or 4096")
    if isinstance(key, (rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
        return KeySigner(key)
    raise BadInput(f"{field} is {key_kind(key)}; Binance takes Ed25519, RSA or HMAC keys: register one of those")


def load_private_key(text: str, field: str) -> PrivateKeyTypes:
    """A PEM private key; raises BadInput naming the usual faults one by one, never showing the text."""
    if "\\n" in text:
        raise BadInput(rf"{field} holds \n as two characters instead of line breaks: replace each \n by a line break")
    if "PUBLIC KEY-----" in text:
        raise BadInput(f"{field} is the public key; it belongs to the exchange: give the private key here")
    if "-----BEGIN" not in text or "-----END" not in text:
        raise BadInput(f"{field} is no whole PEM key; it starts with -----BEGIN and ends with the -----END line")
    if "PRIVATE KEY-----" not in text:
        raise BadInput(f"{field} is a PEM block of another kind; give the block named PRIVATE KEY")
    if "\n" not in text.strip():
        raise BadInput(f"{field} is a PEM key on a single line; keep its line breaks (in .env: put it in quotes)")
    try:
        return load_pem_private_key(text.strip().encode(), password=None)
    except TypeError:
        raise BadInput(f"{field} is encrypted with a passphrase; export it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadInput(f"{field} is a damaged PEM private key; download or export it again") from None


def key_kind(key: PrivateKeyTypes) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return f"an elliptic-curve key ({key.curve.name})"
    if isinstance(key, rsa.RSAPrivateKey):
        return "an RSA key"
    return "an Ed25519 key" if isinstance(key, ed25519.Ed25519PrivateKey) else f"a {type(key).__name__}"


def query_string(parameters: Mapping[str, Value]) -> str:
    """``name=value&...`` in the order given, percent-encoded (UTF-8, only unreserved characters stay)."""
    return "&".join(f"{quote(name, safe='')}={quote(str(value), safe='')}" for name, value in parameters.items())


def signed_query(signer: Signer, parameters: Mapping[str, Value]) -> str:
    """The query string or form body of a signed REST call; put ``timestamp`` (ms) and ``recvWindow`` in first."""
    query = query_string(parameters)
    return f"{query}&signature={quote(signer.sign(query.encode()), safe='')}"


def signed_parameters(signer: Signer, api_key: str, parameters: Mapping[str, Value]) -> dict[str, Value]:
    """The ``params`` of a signed WebSocket API request, ``apiKey`` and ``signature`` added."""
    complete = {"apiKey": api_key, **parameters}
    payload = "&".join(f"{name}={complete[name]}" for name in sorted(complete))
    return {**complete, "signature": signer.sign(payload.encode())}


class RequestTemplate:
    """A WebSocket API request of one shape, with everything that does not change prepared (and pre-hashed for HMAC).

    `fixed` are parameters of every such request (``{"symbol": "BTCUSDT", "side": "BUY"}``), `variable` the names of
    those that `frame` is given in the same order (``("price", "quantity", "newClientOrderId", "timestamp")``).
    Decimals are given as text, integers as int: that is how Binance wants them in JSON.
    """

    def __init__(
        self, signer: Signer, api_key: str, method: str, fixed: Mapping[str, Value], variable: Sequence[str]
    ) -> None:
        known = {"apiKey": api_key, **fixed}
        if twice := known.keys() & set(variable):
            raise BadInput(f"{method}: {sorted(twice)} are both fixed and variable")
        names = sorted([*known, *variable])
        lead = next((i for i, name in enumerate(names) if name not in known), len(names))
        head = "&".join(f"{name}={known[name]}" for name in names[:lead])
        self._signer = signer.after(head.encode())
        behind = [f"{name}={str(known[name]).replace('%', '%%') if name in known else '%s'}" for name in names[lead:]]
        self._payload = ("&" if lead and behind else "") + "&".join(behind)
        self._variable = tuple(variable)
        self._order = tuple(variable.index(name) for name in names[lead:] if name not in known)
        params = _ENCODER.encode(known)[:-1]
        self._start = b'{"id":'
        self._middle = b',"method":' + _ENCODER.encode(method) + b',"params":' + params + b"," * bool(variable)

    def frame(self, request_id: str | int, *values: Value) -> bytes:
        """The text frame to send."""
        payload = self._payload % tuple([values[i] for i in self._order])
        signature = self._signer.sign(payload.encode())
        encode = _ENCODER.encode
        body = encode(dict(zip(self._variable, values, strict=True)))  # {"price":"1.5",...}
        return b'%b%b%b%b,"signature":"%b"}}' % (
            self._start, encode(request_id), self._middle, body[1:-1], signature.encode(),
        )  # fmt: skip
