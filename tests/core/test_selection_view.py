"""Why a strategy is on, as people see it; and how they change the selector."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console
from streams import EAGER, HOUR_NS, START_NS, instrument

from engine.cli.panel import panel
from engine.contracts import reasons
from engine.contracts.errors import BadInput
from engine.contracts.records import PARAMETER
from engine.core import selector
from engine.core.limits import Limits
from engine.core.regime import CALM_UP
from engine.core.state import Core, new_core
from engine.runtime.going_on import going_on
from engine.runtime.people import event_of
from engine.runtime.service import LivePlan
from engine.store import coreview, selectionview
from engine.store.control import Set
from engine.store.viewrows import MARKET, EngineRow, MarketRow, Picture, ShareRow, cells, row, rows


def core(strategies: Any = EAGER, **params: float) -> Core:
    made = new_core(
        [instrument("BTC", symbol="BTC/USDT")], Limits(), 1000.0, strategies, (300, 900, 1800), None,
        {"enabled": 1} | params,
    )  # fmt: skip
    made.state.head[0].now_ns = START_NS
    return made


def test_each_reason_is_told_in_words_with_its_figures() -> None:
    made = core()
    rows_of = selectionview.selection(made)
    assert [(one.share, one.why) for one in rows_of.values()] == [
        (0.5, "an equal part, nothing has moved it yet; no trades in this market yet")
    ] * 2
    a, b = made.state.shares[1], made.state.shares[2]
    a.share, a.target, a.mean_r, a.radius_r, a.weight, a.reason = 0.7, 0.7, 0.31, 0.12, 23.4, reasons.SHARE_BY_EVIDENCE
    b.share, b.mean_r, b.radius_r, b.weight, b.reason = 0.05, -0.4, 0.2, 30.0, reasons.SHARE_BY_REGIME
    made.state.climate[0].regime = CALM_UP
    found = selectionview.selection(made)
    assert found["momentum"].why == "moved by its results here; +0.31 R a trade, give or take 0.12, over 23 trades"
    assert found["crossover"].why.endswith("-0.40 R a trade, give or take 0.20, over 30 trades, "
                                           "so it does not pay even at best")  # fmt: skip
    assert {one.regime for one in found.values()} == {"calm_up"}
    b.demoted_until_ns, b.reason = START_NS + 2 * HOUR_NS, reasons.SHARE_DEMOTED_GAP
    held = selectionview.selection(made)["crossover"]
    assert held.share == 0.0 and held.why == ("held back until 2025-01-01 02:00 UTC: a trade lost more than its plan")


def test_where_nothing_is_chosen_the_whole_budget_is_everybodys() -> None:
    assert {one.why for one in selectionview.selection(core(enabled=0)).values()} == {
        "the whole risk budget: the selector is off"
    }
    (alone,) = selectionview.selection(core({"momentum": {}})).values()
    assert (alone.share, alone.why) == (1.0, "the whole risk budget: it is the only strategy")


def test_the_rows_come_back_from_the_live_view_as_they_went() -> None:
    made = core()
    made.state.climate[0].leader = 0
    shares, market = selectionview.selection(made), selectionview.market(made)
    assert rows(cells(shares), ShareRow) == dict(sorted(shares.items()))
    assert row(cells({MARKET: market})[MARKET], MarketRow) == market and market.leader == "test:BTC/USDT"


def test_the_panel_shows_the_market_and_why_each_strategy_is_on() -> None:
    made = core()
    engine = EngineRow(
        mode="paper", started_ns=START_NS, strategies="momentum, crossover", events=1, events_per_s=1.0, queue=0,
        conflated=0, orders=0, tick_to_order_us_p50=None, tick_to_order_us_p99=None, journal_ok=True,
    )  # fmt: skip
    picture = Picture(
        run="r", mode="paper", pid=1, beat_ns=START_NS, account=coreview.account(made), engine=engine, positions={},
        orders={}, feeds={}, decisions=[], refusals=[], fills=[], notices=[],
        selection=selectionview.selection(made), market=selectionview.market(made),
    )  # fmt: skip
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(panel(picture, START_NS))
    text = console.export_text()
    assert "the market is unknown" in text and "crossover" in text and "no trades in this market yet" in text


def test_a_persons_word_about_the_selector_is_an_event() -> None:
    made = core()
    event = event_of(
        Set(id="1" * 32, ts_ns=1, key="selector.floor", value=0.1, who="me", why="because"), START_NS, made
    )[0]
    assert (event["kind"], event["reason"]) == (PARAMETER, selector.NUMBER)
    assert (event["index"], event["value_e9"]) == (1, 100_000_000)
    with pytest.raises(BadInput, match=r"selector\.floor = 0\.9 is outside"):
        event_of(Set(id="1" * 32, ts_ns=1, key="selector.floor", value=0.9, who="me", why="because"), START_NS, made)
    assert coreview.in_force(made)["selector.floor"].value == 0.05


def test_a_run_that_goes_on_takes_up_changed_settings_in_the_open() -> None:
    made = core()
    plan = LivePlan(
        world="paper", home=None, venues=[], strategies=EAGER, limits=Limits(), capital_usd=1000.0,
        selector={"cool_down_h": 3.0},
    )  # type: ignore[arg-type]  # fmt: skip
    told = [one for one in going_on(made, plan) if one["kind"] == PARAMETER and one["reason"] == selector.NUMBER]
    names = [param.name for param in selector.PARAMS]
    assert [(names[int(one["index"])], int(one["value_e9"])) for one in told] == [("cool_down_h", 3 * 10**9)]
