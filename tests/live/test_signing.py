"""Signatures against Binance's documented examples, the cryptography library's verifiers and ccxt's own sign()."""

from __future__ import annotations

import copy
import json
import pickle
from base64 import b64decode, b64encode
from urllib.parse import parse_qs, unquote

import ccxt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from engine.contracts.errors import BadInput
from engine.venues.signing import (
    RequestTemplate,
    Secret,
    Signer,
    binance_signer,
    query_string,
    signed_parameters,
    signed_query,
)

API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = Secret("NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j")
ORDER = {
    "symbol": "LTCBTC", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": 1, "price": "0.1",
    "recvWindow": 5000, "timestamp": 1499827319559,
}  # fmt: skip
RSA_KEY = rsa.generate_private_key(65537, 2048)
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def pem(key: PrivateKeyTypes, phrase: bytes = b"") -> str:
    how = BestAvailableEncryption(phrase) if phrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()


SIGNERS = {
    "hmac": binance_signer(SECRET), "rsa": binance_signer(Secret(pem(RSA_KEY))),
    "ed25519": binance_signer(Secret(pem(ED_KEY))),
}  # fmt: skip


def test_the_documented_hmac_example() -> None:
    assert signed_query(SIGNERS["hmac"], ORDER) == (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
        "&timestamp=1499827319559&signature=c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    )


def test_the_documented_websocket_example() -> None:
    params = {
        "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000",
        "price": "52000.00", "newOrderRespType": "ACK", "recvWindow": 100, "timestamp": 1645423376532,
    }  # fmt: skip
    signed = signed_parameters(SIGNERS["hmac"], API_KEY, params)
    assert signed["signature"] == "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"


def test_names_and_values_are_percent_encoded_before_signing() -> None:
    assert query_string({"symbol": "币安人生USDT", "list": '["a/b"]', "x": "a b+~"}) == (
        "symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&list=%5B%22a%2Fb%22%5D&x=a%20b%2B~"
    )


def verify(kind: str, payload: bytes, signature: str) -> None:
    if kind == "rsa":
        RSA_KEY.public_key().verify(b64decode(signature), payload, padding.PKCS1v15(), SHA256())
    elif kind == "ed25519":
        ED_KEY.public_key().verify(b64decode(signature), payload)
    else:
        assert signature == SIGNERS["hmac"].sign(payload)


@pytest.mark.parametrize("kind", SIGNERS)
def test_every_kind_verifies_over_the_bytes_sent(kind: str) -> None:
    query = signed_query(SIGNERS[kind], {**ORDER, "newClientOrderId": "k 1/é"})
    payload, _, signature = query.rpartition("&signature=")
    verify(kind, payload.encode(), unquote(signature))


@pytest.mark.parametrize("kind", ["hmac", "rsa", "ed25519"])
def test_the_same_as_ccxt(kind: str) -> None:
    secret = {"hmac": SECRET.reveal(), "rsa": pem(RSA_KEY), "ed25519": pem(ED_KEY)}[kind]
    exchange = ccxt.binance({"apiKey": API_KEY, "secret": secret, "nonce": lambda: 1499827319559})
    exchange.nonce = lambda: 1499827319559
    theirs = exchange.sign("order", ["private"], "POST", {k: v for k, v in ORDER.items() if k != "timestamp"})["body"]
    payload, _, _ = theirs.rpartition("&signature=")
    ours = signed_query(SIGNERS[kind], {name: values[0] for name, values in parse_qs(payload).items()})
    assert unquote(ours) == unquote(theirs)


values = st.one_of(st.integers(0, 10**15), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
names = st.sampled_from(["aboveType", "price", "quantity", "symbol", "timestamp", "newClientOrderId", "zulu", "side"])


@pytest.mark.parametrize("kind", SIGNERS)
@given(parameters=st.dictionaries(names, values), split=st.integers(0, 8))
def test_a_template_signs_like_one_by_one(kind: str, parameters: dict[str, str | int], split: int) -> None:
    fixed = dict(list(parameters.items())[:split])
    variable = {name: parameters[name] for name in parameters if name not in fixed}
    template = RequestTemplate(SIGNERS[kind], API_KEY, "order.place", fixed, list(variable))
    assert json.loads(template.frame("id-1", *variable.values())) == {
        "id": "id-1", "method": "order.place", "params": signed_parameters(SIGNERS[kind], API_KEY, parameters),
    }  # fmt: skip


def test_a_template_refuses_a_wrong_number_of_values_and_names_given_twice() -> None:
    template = RequestTemplate(SIGNERS["hmac"], API_KEY, "order.place", {"side": "BUY"}, ["price"])
    with pytest.raises(ValueError, match="zip"):
        template.frame(1, "1.0", "2.0")
    with pytest.raises(BadInput, match="side"):
        RequestTemplate(SIGNERS["hmac"], API_KEY, "order.place", {"side": "BUY"}, ["side"])


PUBLIC = ED_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
FAULTS = {
    "": "empty", " padded ": "blanks", "gr\u00fcn": "blanks",
    pem(ED_KEY).replace("\n", "\\n"): "two characters", PUBLIC: "public key",
    pem(ED_KEY).replace("\n", " "): "single line", pem(ED_KEY)[:60]: "no whole PEM",
    pem(ED_KEY, b"phrase"): "passphrase", pem(ED_KEY).replace("MC4C", "MC5C"): "damaged",
    pem(ec.generate_private_key(ec.SECP256K1())): "elliptic-curve key .secp256k1",
    pem(rsa.generate_private_key(65537, 1024)): "1024 bits",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----": "another kind",
}  # fmt: skip


@pytest.mark.parametrize("secret", FAULTS, ids=list(FAULTS.values()))
def test_key_faults_are_named_and_never_shown(secret: str) -> None:
    with pytest.raises(BadInput, match=FAULTS[secret]) as caught:
        binance_signer(Secret(secret), "venues.binance.secret")
    assert "venues.binance.secret" in str(caught.value)
    assert not any(len(line) > 20 and line in str(caught.value) for line in secret.split())
    assert caught.value.__cause__ is None


def test_a_secret_never_shows() -> None:
    secret = Secret("hunter2")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{[secret]}", f"{secret!r}"):
        assert "hunter2" not in shown
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, msgspec.json.encode, json.dumps, vars, hash):
        with pytest.raises(TypeError) as caught:
            leak(secret)
        assert "hunter2" not in str(caught.value)
    assert secret == Secret("hunter2") and secret != Secret("hunter3") and secret != "hunter2"
    assert secret.reveal() == "hunter2" and not Secret("")


def test_signers_do_not_show_their_key_either() -> None:
    signer: Signer
    for signer in SIGNERS.values():
        assert "PRIVATE" not in repr(vars(signer)) and SECRET.reveal() not in repr(vars(signer))
    with pytest.raises(TypeError):
        pickle.dumps(SIGNERS["hmac"])


def test_ed25519_fixed_vector() -> None:
    """RFC 8032 §7.1, test 2: one byte signed."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    signer = binance_signer(Secret(pem(ed25519.Ed25519PrivateKey.from_private_bytes(seed))))
    expected = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert signer.sign(b"\x72") == b64encode(bytes.fromhex(expected)).decode()
