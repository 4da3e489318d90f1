"""The same events give the same bytes: compiled or not, in one go or cut and restored, live or replayed."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import EAGER, AuditedSession, Stream, Weather, instrument, perp, play, random_stream, word
from streams import settings as session_settings

from engine.contracts import reasons
from engine.contracts.errors import Fatal
from engine.contracts.records import FIRST_COMMAND, OPERATOR, RECORD, joined
from engine.core import replay, state
from engine.core.limits import Limits
from engine.core.output import drain, new_output
from engine.research.session import Session

STREAM = random_stream(
    11, [instrument("AAA"), perp("BBB", maker_fee=Decimal("0.0005")), instrument("CCC", fee_in_base=True)],
    Weather(funding=1e-3),
)  # fmt: skip
SHORT = Stream(STREAM.instruments, STREAM.events[:1200])
PATIENT: dict[str, Any] = {
    "strategies": {
        name: params | {"entry_patience_s": 40.0, "post_only": 1.0, "reprices": 2.0} for name, params in EAGER.items()
    },
    "limits": Limits(max_data_age_s=600),
}
"""Entries that rest."""

PROGRAM = """
import sys
sys.path.insert(0, "tests/core"); sys.path.insert(0, ".")
from test_sameness import SHORT, fingerprint
print(fingerprint(SHORT))
"""


def fingerprint(stream: Stream) -> str:
    """Digest of everything a session journals and of its final state."""
    import hashlib

    said = [(300, word(OPERATOR, reason=reasons.OPERATOR_PAUSE)), (400, word(OPERATOR, reason=reasons.OPERATOR_RESUME))]
    digest = hashlib.sha256()
    shorter = Stream(stream.instruments, stream.events[:700])
    for market, world in ((stream, {}), (shorter, PATIENT | {"doubts": 2})):
        played = play(market, said, **world)
        assert (played.entries["record"]["kind"] >= FIRST_COMMAND).sum() > 50
        digest.update(played.entries.tobytes() + state.digest(played.session.core).encode())
    return digest.hexdigest()


def test_compiled_and_uncompiled_give_the_same_bytes() -> None:
    root = Path(__file__).resolve().parents[2]
    slow = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert slow.stdout.strip() == fingerprint(SHORT)


def test_digests_do_not_depend_on_the_run() -> None:
    assert fingerprint(STREAM) == fingerprint(Stream(STREAM.instruments, STREAM.events.copy()))


def whole(**world: Any) -> tuple[Any, str]:
    played = play(STREAM, **world)
    return played.entries, state.digest(played.session.core)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, len(STREAM.events) + 500), min_size=1, max_size=3), patient=st.booleans())
def test_a_session_cut_saved_and_resumed_leaves_the_same_journal(cuts: list[int], patient: bool) -> None:
    kept: list[Any] = []
    world = PATIENT if patient else {}
    session: Session = AuditedSession(STREAM, kept.append, **session_settings(**world))
    for cut in sorted(cuts):
        if session.run(until_seq=cut):
            break
        parts = session.save()
        session = AuditedSession(STREAM, kept.append, **session_settings(**world))
        session.restore(parts)
    else:
        session.run()
    entries, digest = whole(**world)
    assert joined(kept).tobytes() == entries.tobytes()
    assert state.digest(session.core) == digest


def test_a_snapshot_of_another_layout_is_fatal() -> None:
    two = AuditedSession(Stream(STREAM.instruments[:2], STREAM.events[:0]), print, **session_settings())
    three = AuditedSession(SHORT, print, **session_settings())
    with pytest.raises(Fatal, match="another configuration or build"):
        state.restore(two.core, state.snapshot(three.core))


def replayed(entries: Any, market: Any, **world: Any) -> Any:
    fresh = AuditedSession(STREAM, print, **session_settings(**world))
    given = entries[entries["record"]["kind"] < FIRST_COMMAND]
    out, at, made = new_output(), np.zeros(2, np.int64), []
    outcome = replay.OUTPUT_FULL
    while outcome == replay.OUTPUT_FULL:
        outcome = replay.replay_block(fresh.core.state, market, given, at, out, True)
        made.append(drain(out))
    return joined(made), state.digest(fresh.core)


@pytest.mark.parametrize("patient", [False, True])
def test_replay_makes_the_journal_again(patient: bool) -> None:
    world = PATIENT if patient else {}
    entries, digest = whole(**world, doubts=2 if patient else 0)
    again, digest_again = replayed(entries, STREAM.events, **world)
    assert again.tobytes() == entries.tobytes() and digest_again == digest


@pytest.mark.parametrize("which", ["market", "journal"])
def test_replay_notices_a_changed_event(which: str) -> None:
    entries, digest = whole()
    market = STREAM.events.copy()
    changed = entries.copy()
    if which == "market":
        k = len(market) // 2
        assert market.dtype == RECORD
        market["price_ticks"][k] += 1
    else:
        fills = np.flatnonzero(changed["record"]["kind"] == 12)
        changed["record"]["price_ticks"][fills[len(fills) // 2]] += 1
    assert replayed(changed, market)[1] != digest
