"""Which accounts and keys a venue lets us trade with, and that nobody is ever shown a secret."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator

import pytest
from conformance_subjects import Stage, Subject
from venue_bench import Bench

from engine.contracts.errors import KeelError, Refused, Retryable


@pytest.fixture(scope="module")
def trader(subject: Subject, sandbox: Stage) -> Iterator[Bench]:
    """A loaded venue that does not run."""
    if not subject.is_real:
        pytest.skip("a paper account has no key")
    made = subject.bench(sandbox)
    yield made
    made.stop()


def refusal(made: Bench) -> KeelError:
    """What `check` raises; no part of it shows the secret."""
    with pytest.raises(KeelError) as caught:
        made.do(made.venue.account.check())
    return caught.value


def test_a_good_key_may_trade_and_knows_its_fees(trader: Bench, subject: Subject) -> None:
    facts = trader.do(trader.venue.account.check())
    assert facts.can_trade and not facts.can_withdraw
    assert set(facts.fees) == set(subject.symbols)
    assert all(0 <= maker <= taker < 1 for maker, taker in facts.fees.values())


def test_a_key_that_may_withdraw_is_refused(trader: Bench, subject: Subject, sandbox: Stage) -> None:
    rights = {"venue": subject.site, "account": subject.account}
    sandbox.tell("/rights", rights | {"withdraw": True})
    try:
        error = refusal(trader)
    finally:
        sandbox.tell("/rights", rights | {"withdraw": False})
    assert isinstance(error, Refused) and "withdraw" in str(error).lower()


def test_clocks_that_disagree_are_named_or_allowed_for(trader: Bench, subject: Subject, sandbox: Stage) -> None:
    if subject.site == "coinbase":
        pytest.skip("a JWT carries no timestamp that is measured beforehand")
    sandbox.fault("A14", venue=subject.site, skew_ms=-30_000)
    made = subject.bench(sandbox, loads=False)
    try:
        made.do(made.venue.account.check())  # signing with the measured offset is as good as refusing
    except Refused as error:
        assert "clock" in str(error) and "timedatectl" in str(error)
    finally:
        sandbox.fault("A14", venue=subject.site, skew_ms=0)
        made.stop()


def test_a_wrong_secret_is_refused_and_never_shown(
    subject: Subject, sandbox: Stage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    if not subject.is_real:
        pytest.skip("a paper account has no key")
    line = sandbox.line["venues"][subject.site]
    wrong = line["accounts"][2]["secret"]
    caplog.set_level(logging.DEBUG)
    made = subject.bench(sandbox, loads=False, secret=wrong)
    try:
        error = refusal(made)
        assert isinstance(error, Refused) and "key" in str(error)
        shown = "".join(traceback.format_exception(error)) + repr(made.venue) + str(made.heard.notices)
        shown += repr(vars(made.venue.execution)) + repr(vars(made.venue.account)) + repr(made.venue.market)
    finally:
        made.stop()
    out, err = capfd.readouterr()
    body = [part for part in wrong.splitlines() if part and "-----" not in part]
    assert all(part not in shown + caplog.text + out + err for part in body)


def test_no_key_no_orders(subject: Subject, sandbox: Stage) -> None:
    if not subject.is_real or subject.name.startswith("binance"):
        pytest.skip("opened without a key in its own tests")
    made = subject.bench(sandbox, key="", secret="")
    try:
        assert isinstance(refusal(made), Refused)
        assert made.do(made.venue.market.history(0, made.instruments[0], 60, 3)).size
    finally:
        made.stop()


def test_a_question_nobody_answers_is_no_empty_answer(subject: Subject, sandbox: Stage) -> None:
    if not subject.is_real:
        pytest.skip("a paper account is always there")
    made = subject.bench(sandbox)
    sandbox.fault("A13", venue=subject.site, count=3)
    try:
        with pytest.raises(Retryable):
            made.do(made.venue.account.wallets())
    finally:
        sandbox.tell("/faults", {}, "DELETE")
        made.stop()
        sandbox.live.blocking.flushall()  # all were told to back off
