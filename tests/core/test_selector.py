"""The selector: shares within their bounds, moved by evidence, slow to change, and quick to fall."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs
from probes import Desk
from streams import EAGER, HOUR_NS, Weather, instrument, perp, play, random_stream, word

from engine.contracts import reasons
from engine.contracts.errors import BadInput
from engine.contracts.records import (
    GAP,
    LIMIT,
    NO_INSTRUMENT,
    OUTCOME,
    PARAMETER,
    PLACE,
    REFUSED,
    REGIME,
    SELECTION,
    VIOLATION,
)
from engine.core import regime, selector, state
from engine.core.carrying import carry_over, parts_of, put_back
from engine.core.compile import kernel
from engine.core.entry import Terms, enter_lots
from engine.core.life import CANCELING
from engine.core.limits import Limits
from engine.core.outcomes import settle
from engine.core.output import drain
from engine.core.selector import demote, granted, on_clock
from engine.core.strategies.table import STRATEGIES

A, B = 1, 2  # momentum and crossover
NAMES = [param.name for param in selector.PARAMS]


@kernel(entry=True)
def closing(s: Any, out: Any, strategy: int, r: float) -> None:
    """A trade of a strategy closed with that R."""
    settle(s, out, 0, strategy, 1, 1, 0, int(r * 1e9), 1_000_000_000)


@kernel(entry=True)
def ticking(s: Any, out: Any, what: int) -> None:
    """A bar of the market's clock."""
    on_clock(s, out, what)


@kernel(entry=True)
def demoting(s: Any, out: Any, strategy: int, reason: int) -> None:
    """A limit was broken."""
    demote(s, out, strategy, reason)


@kernel(entry=True)
def share(s: Any, strategy: int) -> float:
    """What a strategy may enter with."""
    return granted(s, strategy)


@kernel(entry=True)
def asking(s: Any, out: Any, strategy: int, lots: int, stop: int, patience_s: float) -> int:
    """A strategy asks for a fixed size of the first instrument."""
    return enter_lots(s, out, 0, strategy, 1, lots, stop, Terms(10.0, patience_s, 0.0, 3.0), 1)


class Choosing(Desk):
    """A core with two strategies between which its selector chooses."""

    def __init__(self, strategies: Any = EAGER, **params: float) -> None:
        super().__init__([instrument("AAA")], strategies=strategies, max_data_age_s=60)
        self.core = state.new_core(
            [instrument("AAA")], Limits(max_data_age_s=60), 1000.0, strategies, (300, 900, 1800),
            selector_params={"enabled": 1} | params,
        )  # fmt: skip
        self.state = self.core.state
        self.quote(0, 9_999, 10_000)

    @property
    def shares(self) -> tuple[float, float]:
        return share(self.state, A), share(self.state, B)

    def trade(self, strategy: int, r: float, market: int | None = None) -> None:
        now = int(self.state.climate[0].regime)
        self.state.decisions[0].regime = now if market is None else market
        closing(self.state, self.out, strategy, r)
        drain(self.out)

    def bars(self, count: int = 1) -> Any:
        """So many bars of the clock; what was noted."""
        for _ in range(count):
            ticking(self.state, self.out, regime.BAR)
        return drain(self.out)["record"]

    def turn(self, market: int) -> Any:
        """The regime changes; what was noted."""
        self.state.climate[0].regime = market
        ticking(self.state, self.out, regime.CHANGED)
        return drain(self.out)["record"]

    def told(self, name: str, value: float) -> Any:
        """A person changes a parameter."""
        return self.feed(word(PARAMETER, reason=selector.NUMBER, index=NAMES.index(name), value_e9=round(value * 1e9)))


def learn(made: Choosing, rounds: int, r: dict[int, float]) -> None:
    for _ in range(rounds):
        for strategy, result in r.items():
            made.trade(strategy, result)
        made.bars()


# --- whatever happens, shares keep to their bounds -----------------------------------------------------

EVENTS = hs.one_of(
    hs.tuples(hs.just("trade"), hs.sampled_from([A, B]), hs.floats(-12, 12)),
    hs.tuples(hs.just("bars"), hs.integers(1, 5), hs.none()),
    hs.tuples(hs.just("turn"), hs.integers(0, len(regime.REGIMES) - 1), hs.none()),
    hs.tuples(hs.just("demote"), hs.sampled_from([A, B]), hs.none()),
    hs.tuples(hs.just("wait"), hs.integers(1, 30), hs.none()),
)
PARAMS = hs.fixed_dictionaries(
    {},
    optional={p.name: hs.floats(p.low, p.high) for p in selector.PARAMS if not p.whole} | {
        "settle_bars": hs.integers(1, 6)
    },
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(params=PARAMS, happened=hs.lists(EVENTS, max_size=40), tiers=hs.tuples(hs.integers(1, 3), hs.integers(1, 3)))
def test_shares_keep_to_floor_cap_and_one(params: Any, happened: Iterable[Any], tiers: tuple[int, int]) -> None:
    made = Choosing(**params)
    values = dict(zip(NAMES, made.state.selector_words.tolist(), strict=True))
    made.state.shares["tier"][[A, B]] = tiers
    made.turn(1)
    for what, number, amount in happened:
        if what == "trade":
            made.trade(number, amount)
        elif what == "bars":
            made.bars(number)
        elif what == "turn":
            made.turn(number)
        elif what == "demote":
            demoting(made.state, made.out, number, reasons.SHARE_DEMOTED_GAP)
            if values["cool_down_h"] > 1e-9:
                assert share(made.state, number) <= values["demoted_share"], "at once"
        else:
            made.now_ns += number * HOUR_NS
            made.quote(0, 9_999, 10_000)
        assert sum(made.shares) <= 1.0 + 1e-9
        for k, one, tier in zip((A, B), made.shares, tiers, strict=True):
            assert 0.0 <= one <= values[f"tier{tier}_cap"]
            if made.state.shares[k].demoted_until_ns == 0:
                assert one >= values["floor"]
    made.out.count[0] = 0


# --- evidence ----------------------------------------------------------------------------------------------


def test_without_evidence_shares_are_equal_and_a_cap_holds() -> None:
    made = Choosing()
    assert made.shares == (0.5, 0.5) and len(made.bars(10)) == 0
    assert Choosing(tier2_cap=0.3).shares == (0.3, 0.3)


def test_the_budget_goes_where_a_strategy_pays_and_one_that_never_pays_keeps_its_floor() -> None:
    made = Choosing()
    for _ in range(40):  # A pays in calm markets only, B never does
        for market in (regime.CALM_UP, regime.WILD):
            made.turn(market)
            learn(made, 3, {A: 1.0 if market == regime.CALM_UP else -1.0, B: -0.3})
    made.turn(regime.CALM_UP)
    assert made.shares == (0.7, 0.05), "the most its tier may have, and the floor"
    made.turn(regime.WILD)
    assert made.shares == (0.05, 0.05)
    said = made.turn(regime.CALM_UP)
    assert said["reason"].tolist() == [reasons.SHARE_BY_REGIME] and said["strategy"].tolist() == [A]
    note = said[0]
    row = made.state.shares[A]
    assert (note.share_e9, note.before_e9) == (700_000_000, 50_000_000)
    assert note.mean_e9 == int(row.mean_r * 1e9) > 500_000_000 and note.regime == regime.CALM_UP
    assert note.trades_e9 == int(row.weight * 1e9) and note.radius_e9 == int(row.radius_r * 1e9) > 0


def test_what_paid_once_is_tried_again_when_it_pays_again() -> None:
    made = Choosing()
    learn(made, 60, {A: -0.5, B: 0.5})
    assert made.shares == (0.05, 0.7)
    learn(made, 120, {A: 1.0, B: -0.5})
    assert made.shares == (0.7, 0.05)


@pytest.mark.parametrize("seed", range(3))
def test_alternating_evidence_flips_nothing(seed: int) -> None:
    made = Choosing()
    rng = np.random.default_rng(seed)
    moved = 0
    for n in range(300):
        made.trade(A, 1.0 if n % 2 else -1.0)
        made.trade(B, -1.0 if n % 2 else 1.0)
        moved += len(made.bars(int(rng.integers(1, 4))))
    assert moved == 0 and made.shares == (0.5, 0.5)


def test_a_share_moves_only_after_so_many_bars_in_a_row() -> None:
    made = Choosing(settle_bars=4)
    for _ in range(10):
        made.trade(A, 2.0)
    assert len(made.bars(3)) == 0
    said = made.bars(1)
    assert set(said["reason"]) == {reasons.SHARE_BY_EVIDENCE} and made.shares[0] == 0.7


# --- limits -----------------------------------------------------------------------------------------------------


def test_a_limit_breach_demotes_at_once_and_a_cool_down_ends_it() -> None:
    made = Choosing(cool_down_h=2)
    learn(made, 30, {A: 1.0, B: 0.1})
    high = made.shares[0]
    demoting(made.state, made.out, A, reasons.SHARE_DEMOTED_DAY)
    (note,) = drain(made.out)["record"]
    assert (note.kind, note.share_e9, note.reason) == (SELECTION, 0, reasons.SHARE_DEMOTED_DAY)
    assert note.before_e9 == round(high * 1e9) and made.shares[0] == 0.0
    made.bars(20)
    assert made.shares[0] == 0.0, "no evidence lifts it before its time"
    made.quote(0, 9_999, 10_000)
    assert asking(made.state, made.out, A, 50, 9_900, 0.0) == 0 and made.refused() == reasons.NOT_SELECTED
    assert asking(made.state, made.out, B, 50, 9_900, 0.0) != 0
    said = made.quote(0, 9_999, 10_000, after_ns=2 * HOUR_NS)  # closes a bar, too
    told = said[said["kind"] == SELECTION]
    assert told["reason"].tolist() == [reasons.SHARE_COOLED_DOWN] and made.shares[0] == 0.05
    made.bars(5)
    assert made.shares[0] > 0.5


def test_a_loss_beyond_its_plan_demotes_its_strategy() -> None:
    made = Choosing()
    entry = asking(made.state, made.out, A, 600, 9_900, 0.0)
    made.fill(entry, 10_000, 300)
    stop = int(made.state.positions[0].stop_id)
    made.ack(stop)
    said = made.fill(stop, 7_000, 300)
    kinds = said["kind"].tolist()
    assert kinds.index(OUTCOME) < kinds.index(GAP) < kinds.index(SELECTION)
    assert said[said["kind"] == SELECTION]["strategy"].tolist() == [A] and made.shares[0] == 0.0


def test_a_demoted_strategys_resting_entry_is_withdrawn() -> None:
    made = Choosing()
    entry = asking(made.state, made.out, A, 100, 9_900, 60.0)
    made.ack(entry)
    demoting(made.state, made.out, A, reasons.SHARE_DEMOTED_GAP)
    said = made.say(LIMIT, NO_INSTRUMENT, index=0, amount_e8=10**9)  # whatever comes next
    assert made.order(entry).status == CANCELING and reasons.NOT_SELECTED in said["reason"]


# --- the gate ----------------------------------------------------------------------------------------------------


def lots_of(made: Choosing, strategy: int, lots: int) -> int:
    client_id = asking(made.state, made.out, strategy, lots, 9_900, 0.0)
    assert client_id, reasons.name(made.refused())
    return int(made.order(client_id).qty_lots)


def test_a_share_scales_what_is_asked_for_and_nobody_else_is_touched() -> None:
    assert lots_of(Choosing(), A, 200) == 100
    assert lots_of(Choosing(), 0, 200) == 200
    assert lots_of(Choosing(enabled=0), A, 200) == 200
    assert lots_of(Choosing({"momentum": EAGER["momentum"]}), A, 200) == 200


def test_an_entry_made_too_small_by_its_share_is_the_smallest_the_venue_takes() -> None:
    made = Choosing()
    made.state.instruments[0].min_notional_e8 = 1_500_000_000  # 15 USD: 0.15 units of 100 USD
    lots = lots_of(made, A, 20)
    assert 15 <= lots <= 17
    made = Choosing()
    made.state.instruments[0].min_notional_e8 = 1_500_000_000
    assert asking(made.state, made.out, A, 12, 9_900, 0.0) == 0, "but never more than the strategy asked for"
    assert made.refused() == reasons.NOTIONAL_BELOW_MINIMUM


# --- people, restarts ----------------------------------------------------------------------------------------


def test_a_person_changes_a_parameter_and_shares_follow_at_once() -> None:
    made = Choosing()
    said = made.told("tier2_cap", 0.4)
    assert set(said["reason"]) == {reasons.SHARE_BY_PARAMETER} and made.shares == (0.4, 0.4)
    said = made.told("enabled", 0)
    assert said["share_e9"].tolist() == [10**9, 10**9] and made.shares == (1.0, 1.0)
    assert made.told("enabled", 1)["share_e9"].tolist() == [400_000_000, 400_000_000]
    assert VIOLATION in made.told("floor", 0.9)["kind"], "out of bounds"


def test_absurd_parameters_are_refused() -> None:
    with pytest.raises(BadInput, match=r"selector\.floor = 0\.9 is outside 0\.\.0\.2"):
        Choosing(floor=0.9)
    with pytest.raises(BadInput, match="selector has no parameter 'flor'; did you mean 'floor'"):
        Choosing(flor=0.1)


def test_what_was_learned_goes_on_after_a_restart() -> None:
    made = Choosing()
    learn(made, 30, {A: 1.0, B: -1.0})
    demoting(made.state, made.out, B, reasons.SHARE_DEMOTED_GAP)
    again = Choosing()
    put_back(again.core, parts_of(made.core))
    assert state.digest(again.core) == state.digest(made.core)
    over = Choosing()
    carry_over(made.core, over.core, made.now_ns)
    assert over.shares == made.shares == (0.7, 0.0)
    assert over.state.expectancy.tobytes() == made.state.expectancy.tobytes()
    alone = Choosing({"crossover": EAGER["crossover"]})
    carry_over(made.core, alone.core, made.now_ns)
    assert alone.shares[1] == 1.0, "there is nothing to choose between"


# --- whole sessions -----------------------------------------------------------------------------------------------

INSTRUMENTS = [instrument("BTC"), perp("BBB"), instrument("CCC", fee_in_base=True)]
STREAM = random_stream(7, INSTRUMENTS, Weather(hours=30, step_s=75, volatility=0.003, funding=1e-3))


def test_a_whole_session_chooses_and_keeps_its_share_of_the_risk() -> None:
    played = play(STREAM, selector_params={"enabled": 1, "settle_bars": 1, "min_change": 0.02})
    free = play(STREAM)
    shares = played.of(SELECTION)
    assert len(shares) > 3 and set(shares["strategy"]) == {A, B} and len(played.of(REGIME)) > 0
    assert len(played.of(OUTCOME)) > 10 and not len(free.of(SELECTION))
    assert played.session.found == {} and free.session.found == {}, "audited after every event"
    risk = [float(np.median(one.of(PLACE)["qty_lots"][one.of(PLACE)["role"] == 1])) for one in (played, free)]
    assert risk[0] < risk[1], "it only tightens"
    again = play(STREAM, selector_params={"enabled": 1, "settle_bars": 1, "min_change": 0.02})
    assert again.entries.tobytes() == played.entries.tobytes()
    demoted = {reasons.SHARE_DEMOTED_GAP, reasons.SHARE_DEMOTED_DAY} & set(shares["reason"])
    assert demoted or reasons.NOT_SELECTED not in played.of(REFUSED)["reason"]
    assert set(shares["instrument"]) == {NO_INSTRUMENT}


def test_tiers_are_those_of_the_document() -> None:
    tiers = {"arbitrage": 1, "momentum": 2, "crossover": 2, "scalping": 3}
    assert {row.name: row.tier for row in STRATEGIES} == {row.name: tiers[row.name] for row in STRATEGIES}
