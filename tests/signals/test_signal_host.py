"""A signal source beside a running engine: forecasts as in a backtest, and nothing it does harms the engine."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "core"))
from live_rig import DELAY_NS, ended, rig, said, turns
from streams import SECOND_NS, Weather, instrument, perp, random_stream

from engine.contracts.errors import BadInput, Retryable
from engine.contracts.records import FORECAST, RECORD, joined
from engine.core import state
from engine.core.limits import Limits
from engine.core.output import drain, new_output
from engine.core.replay import inject
from engine.journal import segments
from engine.runtime import signal_host
from engine.runtime.signal_host import open_hosts
from engine.runtime.signal_process import SignalProcess
from engine.signals.plan import SignalPlan

pytestmark = pytest.mark.asyncio
INSTRUMENTS = [instrument("AAA"), perp("BBB"), instrument("CCC")]
STREAM = random_stream(9, INSTRUMENTS, Weather(hours=3, step_s=75, volatility=0.003, hole_chance=0.2))


def plan(kind: str = "Drift", **changes: Any) -> SignalPlan:
    return SignalPlan(name="mine", class_path=kind if ":" in kind else f"spoken:{kind}", **changes)


@pytest.mark.parametrize("kind", ["Drift", "Leader", "engine.signals.reversion:Reversion"])
async def test_live_forecasts_are_those_of_a_backtest(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = plan(kind, parameters={"span": 8, "enter_z": 0.5} if ":" in kind else {}, delay_ms=DELAY_NS / 1e6)
    async with rig(tmp_path, of, INSTRUMENTS, monkeypatch) as made:
        running = made.run()
        for events in turns(STREAM.events, 3, 300):
            await made.feed(events)
            await made.answered(running)
        assert not running.done() and not made.told
        await ended(running)
        found = made.forecasts()
        digest = state.digest(made.core)
    expected = said(STREAM, of)
    expected = expected[expected["ts_ns"] <= STREAM.events["ts_ns"][-1]]
    assert found[: len(expected)].tobytes() == expected.tobytes() and len(expected) > 50
    assert len(found) <= len(expected) + 3, "those that a backtest's market ends before"
    await replayed(tmp_path, digest)


async def replayed(folder: Path, digest: str) -> None:
    """The journal alone gives the same core: no class is asked."""
    entries = joined(list(segments.read(folder)))
    core, out = state.new_core(INSTRUMENTS, Limits(), 1_000.0, {}, (300, 900, 1800)), new_output()
    records = entries["record"]
    events = np.ascontiguousarray(entries.view(np.uint8).reshape(-1, 72)[records["kind"] < 100][:, 8:])
    upto = [k for k, one in enumerate(records[records["kind"] < 100]) if one["kind"] == FORECAST][-1]
    for event in events.reshape(-1).view(RECORD)[: upto + 1].reshape(-1, 1):
        inject(core.state, event, out)
        drain(out)
    assert state.digest(core) == digest


@pytest.mark.parametrize("how", ["raise", "nan", "huge", "number"])
async def test_a_fault_is_told_once_and_the_source_goes_on(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"raise": "ZeroDivisionError", "nan": "nan", "huge": "25.0 is outside", "number": "returned float"}
    async with rig(tmp_path, plan("Bad", parameters={"how": how}), INSTRUMENTS, monkeypatch) as made:
        running = made.run()
        for events in turns(STREAM.events, 3, 300)[:6]:
            await made.feed(events)
            await made.answered(running)
        assert not running.done() and len(made.forecasts()) == 0
        await ended(running)
        told = [one.text for one in made.told]
    assert 1 <= len(told) <= 3 and all(wrong[how] in one for one in told)
    assert "signal source mine: no forecast" in told[0]


async def test_a_class_that_hangs_is_ended_and_goes_on_with_the_same_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hang"
    of = plan("HangOnce", parameters={"file": str(file)}, timeout_s=0.3)
    steps = turns(STREAM.events, 3, 300)
    async with rig(tmp_path / "run", of, INSTRUMENTS, monkeypatch) as made:
        running = made.run()
        for events in steps[:30]:
            await made.feed(events)
            await made.answered(running)
        before = len(made.forecasts())
        file.touch()
        await made.feed(steps[30])
        seq = int(made.core.state.head[0].seq)
        while file.exists():
            await asyncio.sleep(0.001)
        await made.feed(steps[31])  # while the class hangs, the engine takes events
        assert not running.done() and int(made.core.state.head[0].seq) > seq
        with pytest.raises(Retryable, match="no answer within 0.3 s"):
            await running
        running = made.run()
        await made.answered(running)
        for events in steps[32:45]:
            await made.feed(events)
            await made.answered(running)
        await ended(running)
        found = made.forecasts()
    assert len(found) > before + 3
    expected = {key(one): values(one) for one in said(STREAM, plan())}
    given = [one for one in found[before:] if one["confidence_e9"] > 0]
    assert given and all(expected[key(one)] == values(one) for one in given), "as if nothing had happened"


def key(one: Any) -> tuple[int, int]:
    return int(one["instrument"]), int(one["venue_ts_ns"])


def values(one: Any) -> tuple[int, int, int]:
    return int(one["value_e9"]), int(one["confidence_e9"]), int(one["expires_ns"])


async def test_a_class_that_dies_is_told_by_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig(tmp_path, plan("Bad", parameters={"how": "exit"}), INSTRUMENTS, monkeypatch) as made:
        running = made.run()
        await made.feed(turns(STREAM.events, 3, 300)[0])
        with pytest.raises(Retryable, match="its process ended with 3"):
            await asyncio.wait_for(running, 20)


async def test_what_comes_too_late_or_from_a_warm_up_is_not_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = STREAM.events.copy()
    history["ts_ns"] = 0
    async with rig(tmp_path, plan(timeout_s=5.0), INSTRUMENTS, monkeypatch) as made:
        running = made.run()
        made.engine.inject(history)
        await made.answered(running)
        assert len(made.forecasts()) == 0
        later = STREAM.events[-60:].copy()
        for name in ("ts_ns", "venue_ts_ns"):
            later[name] += 3 * 3_600 * SECOND_NS
        made.now = int(later["ts_ns"][-1]) + 86_400 * SECOND_NS  # the machine slept
        made.engine.inject(later)
        await made.answered(running)
        assert len(made.forecasts()) == 0 and not running.done()
        await ended(running)


async def test_bars_that_pile_up_are_asked_about_once_an_instrument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    whole: Callable[..., Any] = SignalProcess.ask

    async def counted(process: SignalProcess, rows: bytes, about: int) -> Any:
        asked.append(about)
        return await whole(process, rows, about)

    monkeypatch.setattr(SignalProcess, "ask", counted)
    async with rig(tmp_path, plan(), INSTRUMENTS, monkeypatch) as made:
        running = made.run()
        await made.feed(STREAM.events)
        await made.answered(running)
        await ended(running)
        found = made.forecasts()
    assert sorted(asked) == [0, 1, 2]
    expected = {key(one): values(one) for one in said(STREAM, plan())}
    assert all(expected[key(one)] == values(one) for one in found if one["confidence_e9"])


async def test_a_class_that_cannot_be_used_refuses_the_start() -> None:
    for kind, wrong in (("nowhere:Thing", "there is no module nowhere"), ("NoMethod", "has no method on_bar")):
        with pytest.raises(BadInput, match=f"signals.mine.*{wrong}"):
            await open_hosts({"mine": plan(kind)}, INSTRUMENTS)
    with pytest.raises(BadInput, match="both speak for AAAUSDT"):
        await open_hosts({"mine": plan(), "other": SignalPlan(name="other", class_path="spoken:Drift")}, INSTRUMENTS)


async def test_a_class_that_was_changed_meanwhile_is_not_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = Path(__file__).with_name("spoken.py").read_text()
    Path("changing.py").write_text(text)
    async with rig(tmp_path / "run", plan("changing:Drift"), INSTRUMENTS, monkeypatch) as made:
        running = made.run()
        await asyncio.sleep(0)
        await ended(running)
        Path("changing.py").write_text(text + "\n# other\n")
        with pytest.raises(BadInput, match="changing:Drift was changed since the engine started"):
            await asyncio.wait_for(made.run(), 20)


async def test_the_process_ends_with_the_engine_even_while_the_class_hangs() -> None:
    process = await SignalProcess.start(
        plan("Bad", parameters={"how": "hang"}), [(one.venue, one.symbol) for one in INSTRUMENTS]
    )
    pid = process._process.pid
    asking = asyncio.create_task(process.ask(closed_rows(), 0))
    await asyncio.sleep(0)
    assert process._process.stdin is not None
    process._process.stdin.close()  # what the system does for an engine that was killed
    with pytest.raises(Retryable, match="its process ended with 0"):
        await asyncio.wait_for(asking, 20)
    await process.end()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def closed_rows() -> bytes:
    row = np.zeros(1, signal_host.CLOSED)
    row["bar"]["close"] = 1.0
    return row.tobytes()
