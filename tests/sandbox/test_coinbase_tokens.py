"""JWTs: what Coinbase accepts, and each thing it does not, always with the bare word and 401."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from running_coinbase import V3, RunningCoinbase

from engine.sandbox.coinbase.keys import new_key
from engine.venues.coinbase_keys import coinbase_key
from engine.venues.signing import Secret

PATH = f"{V3}/key_permissions"


@pytest.fixture(scope="module")
def running() -> Iterator[RunningCoinbase]:
    started = RunningCoinbase(minutes=1, history_s=30, accounts=2)
    yield started
    started.stop()


def forged(running: RunningCoinbase, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A well-signed token with some claims or header fields changed; None removes one."""
    key = running.signer()
    now = running.now_s()
    uri = f"GET {running.host}{PATH}"
    plain = {"sub": key.name, "iss": "cdp", "nbf": now, "exp": now + 120, "uri": uri} | claims
    top = {"alg": "ES256", "typ": "JWT", "kid": key.name, "nonce": secrets.token_hex(8)} | (header or {})
    parts = [{k: v for k, v in part.items() if v is not None} for part in (top, plain)]
    message = b".".join(urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=") for part in parts)
    return f"Bearer {(message + b'.' + urlsafe_b64encode(key._sign(message)).rstrip(b'=')).decode()}"


def answer(running: RunningCoinbase, token: str | None) -> tuple[int, Any, str]:
    status, body, headers = running.send("GET", PATH, token=token)
    return status, body, headers.get("x-keel-reason", "")


@pytest.mark.parametrize("kind", ["ES256", "EdDSA"])
def test_both_kinds_of_keys_are_accepted(running: RunningCoinbase, kind: str) -> None:
    status, body, _ = answer(running, running.bearer("GET", PATH, kind))
    assert status == 200
    assert body == {
        "can_view": True,
        "can_trade": True,
        "can_transfer": False,
        "portfolio_uuid": running.coinbase["accounts"][0]["portfolio"],
        "portfolio_type": "DEFAULT",
    }


def test_what_clients_of_all_kinds_send_is_accepted(running: RunningCoinbase) -> None:
    now = running.now_s()
    for claims in (
        {"uri": f"GET api.coinbase.com{PATH}"}, {"uri": f"GET http://{running.host}{PATH}"},
        {"iss": "coinbase-cloud", "aud": ["retail_rest_api_proxy"], "iat": now},
        {"uri": None, "uris": [f"GET {running.host}{PATH}"]}, {"nbf": now + 2, "exp": now + 60},
    ):  # fmt: skip
        assert answer(running, forged(running, **claims))[0] == 200


@pytest.mark.parametrize(
    ("header", "claims", "why"),
    [
        ({}, {"uri": None}, "uri claim"),
        ({}, {"uri": f"POST HOST{PATH}"}, "uri claim"),
        ({}, {"uri": f"GET HOST{V3}/accounts"}, "uri claim"),
        ({}, {"uri": f"GET evil.example{PATH}"}, "uri claim"),
        ({}, {"uris": "GET"}, "uri claim"),
        ({}, {"sub": "organizations/x"}, "sub"),
        ({}, {"iss": "me"}, "iss"),
        ({}, {"nbf": 60, "exp": 170}, "exp lies in the past"),
        ({}, {"nbf": "+60", "exp": "+170"}, "nbf lies in the future"),
        ({}, {"exp": "+500"}, "more than 120 s"),
        ({}, {"nbf": None}, "whole seconds"),
        ({"nonce": None}, {}, "nonce"),
        ({"alg": "none"}, {}, "alg"),
        ({"alg": "HS256"}, {}, "alg"),
        ({"kid": "organizations/a/apiKeys/b"}, {}, "no active key"),
        ({"kid": None}, {}, "no active key"),
    ],
)
def test_each_fault_is_401(running: RunningCoinbase, header: dict[str, Any], claims: dict[str, Any], why: str) -> None:
    now = running.now_s()
    said = {k: v.replace("HOST", running.host) if k == "uri" and v else v for k, v in claims.items()}
    said = {k: now + int(v) if isinstance(v, str) and v.startswith("+") else v for k, v in said.items()}
    status, body, reason = answer(running, forged(running, header, **said))
    assert (status, body) == (401, "Unauthorized\n") and why in reason


def test_strangers_and_damaged_tokens_are_401(running: RunningCoinbase) -> None:
    name, _ = running.pair()
    stranger = coinbase_key(name, Secret(new_key("ES256", "0").secret))
    token = stranger.token("GET", running.host, PATH, running.now_s(), "00")
    assert answer(running, f"Bearer {token}")[2] == "the signature is not of this key"
    good = running.bearer("GET", PATH)
    for damaged, why in (
        (None, "no Authorization"), ("Basic abc", "no Bearer"), ("Bearer ", "no Bearer"), ("Bearer a.b", "three parts"),
        ("Bearer a.b.c", "Base64"), ("Bearer e30.W10.AAAA", "no JSON object"), (good[:-40], "the signature"),
    ):  # fmt: skip
        status, body, reason = answer(running, damaged)
        assert (status, body) == (401, "Unauthorized\n") and why in reason, damaged


def test_a_token_is_for_one_request_of_one_customer(running: RunningCoinbase) -> None:
    token = running.bearer("GET", f"{V3}/accounts")
    assert running.send("GET", f"{V3}/accounts", token=token, limit=1)[0] == 200
    assert running.send("GET", f"{V3}/portfolios", token=token)[0] == 401
    mine, other = (running.send("GET", PATH, account=k)[1]["portfolio_uuid"] for k in (0, 1))
    assert mine != other


def test_a_key_may_be_given_too_many_rights(running: RunningCoinbase) -> None:
    running.tell("/rights", {"venue": "coinbase", "account": 0, "withdraw": True})
    assert running.send("GET", PATH)[1]["can_transfer"] is True
    running.tell("/rights", {"venue": "coinbase", "account": 0, "withdraw": False})
    assert running.send("GET", PATH)[1]["can_transfer"] is False


def test_a23_a_revoked_key_is_nobody(running: RunningCoinbase) -> None:
    assert running.send("GET", PATH, account=1)[0] == 200
    running.fault("A23", venue="coinbase", account=1)
    assert running.send("GET", PATH, account=1)[0] == 401
    request = {"type": "subscribe", "channel": "user", "product_ids": [], "jwt": running.websocket_token(account=1)}
    assert running.hear([request], bool) == [{"type": "error", "message": "authentication failure"}]
