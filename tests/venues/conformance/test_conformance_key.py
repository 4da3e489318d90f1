"""A key that is revoked while the venue runs, and restored: entries wait for it, nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conformance_subjects import SUBJECTS, Stage, Subject
from venue_bench import Bench

from engine.contracts import reasons
from engine.contracts import records as r

COUNTED = tuple(one for one in SUBJECTS if one.is_real and one.site != "coinbase")
"""Venues whose sandbox looks every request's key up in one place."""
AGAIN_S = 1.0
MANY = 5


@pytest.fixture(scope="module", params=COUNTED, ids=lambda one: one.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.param
    return found


@pytest.fixture(scope="module")
def bench(subject: Subject, sandbox: Stage) -> Iterator[Bench]:
    made = subject.bench(sandbox, key_again_s=AGAIN_S)
    made.start()
    made.play = lambda events=20: sandbox.advance(events)
    made.play_until_quoted()
    yield made
    made.stop()


def refused(bench: Bench, **fields: Any) -> int:
    """Send an order and wait until it is refused for the key; returns its id."""
    order = bench.place(r.BUY, bench.lots(200), r.LIMIT_ORDER, int(bench.bid * 0.9), **fields)
    assert int(bench.wait(order, r.ORDER_REJECT)["reason"]) == reasons.KEY_REFUSED
    return order


def test_after_a_refused_key_no_entry_leaves_until_it_is_accepted_again(
    bench: Bench, subject: Subject, sandbox: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = sandbox.sandbox.sites[subject.site].stage.accounts
    look_up, asked = accounts.by_key, []

    def counted(api_key: str) -> Any:
        asked.append(api_key)
        return look_up(api_key)

    monkeypatch.setattr(accounts, "by_key", counted)
    sandbox.fault("A23", venue=subject.site, account=subject.account)
    refused(bench)
    heard = len(asked)
    for _ in range(MANY):
        refused(bench)
    assert len(asked) - heard <= 1, "at most the question whether the key is accepted again"
    heard = len(asked)
    for _ in range(MANY):
        refused(bench, role=r.ROLE_EXIT)
    assert len(asked) - heard >= MANY, "exits are tried"
    accounts.numbered(subject.account).is_revoked = False
    bench.wait_notice("connected", "accepted again")
    bench.until_ready()
    bench.wait(bench.place(r.BUY, bench.lots(200), r.LIMIT_ORDER, int(bench.bid * 0.9)), r.ORDER_ACK)
    told = [notice.text for notice in bench.heard.notices if notice.kind == "refused"]
    assert len(told) == 1 and "check key, secret, permissions" in told[0]
