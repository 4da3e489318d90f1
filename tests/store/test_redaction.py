"""The filter behind everything that is said: no secret survives it in any form, and what is none passes unchanged."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent))
from secret_forms import FORMS  # noqa: E402

from engine.contracts.redaction import SHORTEST, WINDOW, Redactor  # noqa: E402

HMAC = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
PASSPHRASE = 'correct "horse" & battery/staple +%'
PEM = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
).decode()  # fmt: skip


def knowing(*secrets: str) -> Redactor:
    made = Redactor()
    for one in secrets:
        made.learn(one)
    return made


def pieces(secret: str) -> list[str]:
    """Every stretch of a secret that must not be seen (of a PEM key: of its body)."""
    body = "".join(line for line in secret.splitlines() if "-----" not in line) if "-----" in secret else secret
    return [body[i : i + WINDOW] for i in range(len(body) - WINDOW + 1)] or [body]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [HMAC, PASSPHRASE, PEM], ids=["HMAC", "passphrase", "PEM"])
def test_a_secret_is_hidden_in_every_form_it_travels_in(secret: str, form: str) -> None:
    said = f"before {FORMS[form](secret)} after"
    cleaned = knowing(secret).clean(said)
    assert cleaned.startswith("before ") and cleaned.endswith(" after") and "hidden" in cleaned
    left = cleaned.replace("[hidden]", "")
    assert len(left) < (140 if "-----" in secret else 60), cleaned  # the PEM's first and last lines; a token's claims
    if form != "in a token":
        assert not any(FORMS[form](piece)[:WINDOW] in left for piece in pieces(secret)), cleaned


@pytest.mark.parametrize("kept", [(0, 60), (4, 64), (20, 40)])
def test_a_secret_that_was_cut_short_on_its_way_is_hidden_too(kept: tuple[int, int]) -> None:
    assert knowing(HMAC).clean(f"refused: {HMAC[slice(*kept)]}...") == "refused: [hidden]..."


@pytest.mark.parametrize(("said", "left"), [
    ("GET https://x/api?a=1&signature=" + "ab" * 32, "GET https://x/api?a=1&signature=[hidden]"),
    ("wss://x/private/ws?listenKey=" + "Qw12" * 16 + "&b=2", "wss://x/private/ws?listenKey=[hidden]&b=2"),
    ('{"listenKey":"' + "Qw12" * 16 + '"}', '{"listenKey":"[hidden]"}'),
    ('"{\\"apiKey\\":\\"' + "Qw12" * 16 + '\\"}"', '"{\\"apiKey\\":\\"[hidden]\\"}"'),
    ("Authorization: Bearer " + "x" * 40, "Authorization: Bearer [hidden]"),
    ("jwt eyJhbGciOiJFUzI1.eyJzdWIiOiJvcmdh." + "s" * 40 + " sent", "jwt [hidden] sent"),
    ("redis://:hunter2@db:6379/0 is gone", "redis://:[hidden]@db:6379/0 is gone"),
    ("postgresql://keel:p@ss is odd", "postgresql://keel:[hidden]@ss is odd"),
])  # fmt: skip
def test_what_nobody_could_learn_goes_by_its_shape(said: str, left: str) -> None:
    assert Redactor().clean(said) == left


def test_a_strangers_private_key_goes_by_its_shape() -> None:
    cleaned = Redactor().clean(f"it holds {PEM!r} and more")
    assert not any(piece in cleaned for piece in pieces(PEM)) and cleaned.endswith("and more")


@pytest.mark.parametrize("said", [
    "sandbox connected: quotes", "limits.day_loss_usd = 5 is outside 1..2", "redis://:password@host:port/0",
    "a PEM key starts with -----BEGIN PRIVATE KEY-----", "the secret has 63 characters", "", "signature: refused",
    "run 20250101-000000-000000-paper, digest " + "0a" * 32, "postgresql://127.0.0.1:5432/keel", "postgres://u:***@h/d",
])  # fmt: skip
def test_what_is_no_secret_is_said(said: str) -> None:
    assert knowing(HMAC, PASSPHRASE, PEM, "short").clean(said) == said


@pytest.mark.parametrize(("url", "secret"), [
    ("tgram://123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc/998877", "AAEhBOweik6ad9r_QXMENQjcrGbqCr4K"),
    ("https://hooks.example.org/services/T0000/XXXXverylongtokenXXXX", "XXXXverylongtokenXXXX"),
    ("mailtos://keel:pass-word-long@mail.example.org?to=a@example.org", "pass-word-long"),
    ("json://127.0.0.1:8000/hook?token=0123456789abcdef", "0123456789abcdef"),
])  # fmt: skip
def test_of_an_address_its_secrets_are_hidden_and_its_host_is_not(url: str, secret: str) -> None:
    known = Redactor()
    known.learn_address(url)
    assert secret not in known.clean(f"cannot reach {url}")
    for host in ("hooks.example.org", "mail.example.org", "http://127.0.0.1:8000", "https://hooks.example.org"):
        assert known.clean(f"cannot reach {host}") == f"cannot reach {host}"


def test_two_secrets_that_overlap_leave_nothing_of_either() -> None:
    assert knowing("abcdefgh", "efghijkl").clean("<abcdefghijkl>") == "<[hidden]>"


def test_brackets_in_a_secret_change_the_mark() -> None:
    known = knowing("ab[hidden]cd", "12345678")
    assert known.clean("ab12345678cd") == "ab<hidden>cd"


LETTERS = st.characters(codec="utf-8")
SECRETS = st.lists(st.text(LETTERS, min_size=SHORTEST, max_size=90), min_size=1, max_size=4)


@given(secrets=SECRETS, around=st.lists(st.text(LETTERS), min_size=5, max_size=5), form=st.sampled_from(list(FORMS)))
def test_no_secret_survives(secrets: list[str], around: list[str], form: str) -> None:
    known = knowing(*secrets)
    said = "".join(lead + FORMS[form](secret) for lead, secret in zip(around, secrets, strict=False)) + around[-1]
    cleaned = known.clean(said)
    for secret in secrets:
        assert secret not in cleaned
        if form != "in a token":
            assert FORMS[form](secret) not in cleaned


@given(secrets=SECRETS, said=st.text(LETTERS, max_size=200))
def test_no_secret_survives_in_any_text(secrets: list[str], said: str) -> None:
    cleaned = knowing(*secrets).clean(said)
    assert not any(secret in cleaned for secret in secrets)
    assert knowing(*secrets).clean(cleaned) == cleaned


@given(
    secrets=st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=SHORTEST), max_size=4),
    said=st.text(st.characters(min_codepoint=0x3B1, max_codepoint=0x3C9) | st.just(" "), max_size=200),
)
def test_a_text_without_secrets_is_unchanged(secrets: list[str], said: str) -> None:
    assert knowing(*secrets).clean(said) == said
