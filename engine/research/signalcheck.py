"""Whether a user's signal source keeps to the rules, tried on recorded data (`trading-cli signals check`).

What is tried
-------------
* Every bar of the data is asked about once: what it answers, and how long it takes.
* Again by a fresh instance: the same answers, else it follows a clock, chance or something it reads.
* With everything behind some moments put into another order: the same answers before them, else it sees the future.
* Each of some bars alone, by a fresh instance that is shown the same history and was asked nothing before, with the
  data cut off behind the bar: the same answer, else it depends on what it was asked before: a restart changes it.
A file or an address that the class reads by itself cannot be seen from here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from engine.contracts.errors import BadInput
from engine.contracts.records import FUNDING, RECORD_BYTES
from engine.contracts.signals import Bar, Forecast, History
from engine.markets.market import open_market
from engine.signals.forecasting import Answered, Events, Voice
from engine.signals.loading import Loaded, load
from engine.signals.plan import SignalPlan

Array = np.ndarray[Any, Any]
ALONE: Final = 24
CUTS: Final = (0.35, 0.7)
_PAYLOAD: Final = 24  # where the payload of a record begins


class SignalCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `late`: forecasts that were over before they could be heard. Times in milliseconds a bar."""

    verdict: Literal["passed", "failed"]
    source: str
    instruments: int
    bars: int
    forecasts: int
    no_opinion: int
    late: int
    mean_ms: float
    slowest_ms: float
    findings: list[str]
    notes: list[str]


class _Timed(Voice):
    """Takes the time of each question."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.seconds: list[float] = []

    def ask(self, bar: Bar, history: History) -> Forecast | None:
        began = time.perf_counter()
        try:
            return super().ask(bar, history)
        finally:
            self.seconds.append(time.perf_counter() - began)


class _Alone(Voice):
    """Is asked about one bar only, and about everything from it on not at all."""

    def __init__(self, wanted: Answered, *given: Any) -> None:
        super().__init__(*given)
        self._wanted = wanted.bar

    def ask(self, bar: Bar, history: History) -> Forecast | None:
        is_wanted = (bar.venue, bar.symbol, bar.start_ns) == (
            self._wanted.venue, self._wanted.symbol, self._wanted.start_ns
        )  # fmt: skip
        return super().ask(bar, history) if is_wanted else None


class _Trial(NamedTuple):
    loaded: Loaded
    market: Events
    speaks_for: list[int]

    def given(self) -> tuple[Any, ...]:
        return self.loaded, 0, self.speaks_for, self.market.instruments


def check(
    plan: SignalPlan,
    data: Sequence[Path],
    *,
    symbols: Sequence[str] | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> SignalCheck:
    """Try a source on recorded data. Raises BadInput for data that cannot be used, a class that cannot be made, or one
    that speaks for nothing in the data."""
    market = open_market(data, symbols=symbols, from_ns=from_ns, to_ns=to_ns)
    return judge(plan, market, progress)


def judge(
    plan: SignalPlan, market: Events, progress: Callable[[float, str], None] = lambda _share, _text: None
) -> SignalCheck:
    """The same on a market that is open."""
    trial = _Trial(load(plan), market, plan.speaks_for(market.instruments))
    if not trial.speaks_for:
        raise BadInput(f"signals.{plan.name}.symbols: none of {', '.join(plan.symbols)} is in the data")
    progress(0.0, "asking about every bar")
    timed = _Timed(*trial.given())
    findings: list[str] = []
    answers: list[Answered] = []
    try:
        for block in market.blocks():
            answers += timed.answers(block)
    except BadInput as error:
        findings.append(str(error))
    else:
        findings += _tried(trial, answers, progress)
    slowest = max(timed.seconds, default=0.0)
    if slowest > plan.timeout_s:
        findings.append(f"a bar took {slowest:.1f} s; the engine ends it after signals.{plan.name}.timeout_s")
    return _told(trial, answers, timed.seconds, findings)


def _tried(trial: _Trial, answers: list[Answered], progress: Callable[[float, str], None]) -> Iterator[str]:
    """What is wrong, in words."""
    try:
        progress(0.3, "asking again")
        again = _answers(Voice(*trial.given()), trial.market.blocks())
        if (found := _difference(answers, again)) is not None:
            yield f"{_named(found)}: another answer when asked again; it follows a clock, chance or the count of calls"
            return
        progress(0.5, "another future")
        for share in CUTS:
            if (found := _other_future(trial, answers, share)) is not None:
                yield f"{_named(found)}: another answer where only what came later was changed; it sees the future"
                return
        progress(0.7, "each bar alone")
        for wanted in _spread(answers):
            if (alone := _asked_alone(trial, wanted)) != wanted.forecast:
                yield (
                    f"{_named(wanted)}: {_shown(wanted.forecast)}, asked alone with the same history {_shown(alone)}; "
                    "it depends on what it was asked before"
                )
                return
    except BadInput as error:
        yield f"it failed where it had answered before: {error}"


def _answers(voice: Voice, blocks: Iterator[Array]) -> list[Answered]:
    return [one for block in blocks for one in voice.answers(block)]


def _difference(one: list[Answered], other: list[Answered]) -> Answered | None:
    """The first answer of `one` that `other` does not have, as far as both go."""
    return next((a for a, b in zip(one, other, strict=False) if a != b), None)


def _spread(answers: list[Answered]) -> list[Answered]:
    """Some answers over the whole length, those with an opinion first."""
    given = [one for one in answers if one.forecast is not None] or answers
    step = max(len(given) // ALONE, 1)
    return given[step - 1 :: step][:ALONE]


def _asked_alone(trial: _Trial, wanted: Answered) -> Forecast | None:
    """What a fresh instance says to that bar, with the data cut off behind the price that closed it."""
    voice = _Alone(wanted, *trial.given())
    for block in trial.market.blocks():
        past = int(np.searchsorted(block["ts_ns"], wanted.ts_ns, side="right"))
        for one in voice.answers(block[:past]):
            if one.bar == wanted.bar:
                return one.forecast
    return None


def _other_future(trial: _Trial, answers: list[Answered], share: float) -> Answered | None:
    """An answer about what lay before a moment that changes where only what comes after is changed."""
    if len(answers) < 3:
        return None
    cut_ns = answers[int(len(answers) * share)].ts_ns
    before = [one for one in answers if one.ts_ns <= cut_ns]
    voice = Voice(*trial.given())
    changed = (one for block in _shuffled(trial.market, cut_ns) for one in voice.answers(block))
    return _difference(before, list(islice(changed, len(before))))


def _shuffled(market: Events, cut_ns: int) -> Iterator[Array]:
    """The market with what its events behind `cut_ns` say put into another order."""
    for number, block in enumerate(market.blocks()):
        rows = block.view(np.uint8).reshape(-1, RECORD_BYTES)
        for kind in range(1, FUNDING):
            chosen = np.flatnonzero((block["ts_ns"] > cut_ns) & (block["kind"] == kind))
            order = np.random.default_rng(number).permutation(chosen)
            rows[chosen, _PAYLOAD:] = rows[order, _PAYLOAD:]
        yield block


def _named(one: Answered) -> str:
    return f"{one.bar.symbol}, bar that ended {np.datetime64(one.bar.end_ns, 'ns').astype('datetime64[s]')}"


def _shown(forecast: Forecast | None) -> str:
    return "no opinion" if forecast is None else f"{forecast.value:+.6f} with confidence {forecast.confidence:g}"


def _told(trial: _Trial, answers: list[Answered], seconds: list[float], findings: list[str]) -> SignalCheck:
    plan = trial.loaded.plan
    given = [one for one in answers if one.forecast is not None]
    late = sum(
        one.bar.end_ns + one.forecast.valid_s * 1e9 <= one.ts_ns + plan.delay_ms * 1e6 for one in given if one.forecast
    )
    notes = []
    if not answers:
        notes.append("no bar closed in the data: nothing was tried")
    elif not given:
        notes.append("it never had an opinion")
    if late:
        notes.append("forecasts that are late are heard by nobody: raise valid_s, or look at bars that close sooner")
    return SignalCheck(
        verdict="failed" if findings or not answers else "passed",
        source=trial.loaded.text,
        instruments=len(trial.speaks_for),
        bars=len(answers),
        forecasts=len(given),
        no_opinion=len(answers) - len(given),
        late=int(late),
        mean_ms=round(1e3 * sum(seconds) / max(len(seconds), 1), 3),
        slowest_ms=round(1e3 * max(seconds, default=0.0), 3),
        findings=findings,
        notes=notes,
    )
