"""Triangular cycles as people see them: the live view, `status` and the report say what the journal says."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from probes import Desk
from rich.console import Console
from streams import instrument, play
from test_triangle_sessions import WORLD, market
from triangles_desk import BTC, CHEAP, CROSS, ETH, QUOTES, desk_of, end, fill, pairs, trading

from engine.cli.panel import panel
from engine.cli.watching import line_of
from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.ledger import Ledger
from engine.core.strategies.table import NAMES
from engine.journal import ledger as ledgers
from engine.research.breakdown import by_desk
from engine.research.report import sections
from engine.store import coreview
from engine.store.cycleview import CycleWatch, desks
from engine.store.viewrows import CycleRow, DeskRow, EngineRow, Picture, cell, cells, row_list, rows

VENUE = pairs()[0].venue
WAY = "USDT > BTC > ETH > USDT"


def heard(watch: CycleWatch, desk: Desk, said: Any) -> list[CycleRow]:
    """Let the watch hear the notes among what was said."""
    notes = [one for one in said if one["kind"] == r.CYCLE]
    return [row for note in notes if (row := watch.take(desk.core, note)) is not None]


def turn(desk: Desk, after_ns: int = 2_000_000_000) -> Any:
    """ETH/BTC becomes cheap again a while later; what that led to."""
    desk.quote(CROSS, *QUOTES[CROSS], after_ns=after_ns)
    for i in (BTC, ETH):
        desk.quote(i, *QUOTES[i])
    return desk.quote(CROSS, *CHEAP)


def shown(desk: Desk, watch: CycleWatch, ended: list[CycleRow]) -> Picture:
    engine = EngineRow(
        mode="paper", started_ns=desk.now_ns, strategies="arbitrage", events=1, events_per_s=1.0, queue=0, conflated=0,
        orders=0, tick_to_order_us_p50=None, tick_to_order_us_p99=None, journal_ok=True,
    )  # fmt: skip
    return Picture(
        run="r", mode="paper", pid=1, beat_ns=desk.now_ns, account=coreview.account(desk.core), engine=engine,
        positions={}, orders={}, feeds={}, decisions=[], refusals=[], fills=[], notices=[],
        desks=desks(desk.core, watch), cycles=ended,
    )  # fmt: skip


def printed(picture: Picture, height: int | None = None) -> str:
    console = Console(width=220, record=True, file=io.StringIO())
    console.print(panel(picture, picture.engine.started_ns, height))
    return console.export_text()


def test_a_cycle_is_told_when_it_begins_and_when_it_ends() -> None:
    desk, watch = desk_of(), CycleWatch()
    assert heard(watch, desk, turn(desk)) == []
    (before,) = desks(desk.core, watch).values()
    assert (before.state, before.begun, before.under_way, before.realised_bps) == ("trading", 1, True, None)
    said = [*fill(desk), *fill(desk), *fill(desk)]
    (ended,) = heard(watch, desk, said)
    (row,) = desks(desk.core, watch).values()
    (closed,) = [one for one in said if one["kind"] == r.CLOSED]
    net = (int(closed["gross_e8"]) - int(closed["fees_e8"])) / 1e8
    assert (ended.way, ended.outcome, ended.shadow, ended.venue) == (WAY, "went through", False, VENUE)
    assert ended.net_usd == pytest.approx(net, abs=1e-6) and 150 < ended.realised_bps < ended.quoted_bps < 250
    assert (row.begun, row.done, row.won, row.turned_back, row.missed, row.under_way) == (1, 1, 1, 0, 0, False)
    assert (
        row.net_usd == ended.net_usd
        and row.realised_bps == ended.realised_bps
        and row.why == ("without having been in shadow")
    )
    text = printed(picture := shown(desk, watch, [ended]))
    assert WAY in text and "went through" in text and f"{ended.realised_bps:+.1f} bps" in text
    assert "cycles 1 of 1 won" in line_of(picture)


def test_what_went_wrong_is_told_apart() -> None:
    desk, watch = desk_of(), CycleWatch()
    heard(watch, desk, turn(desk))
    (missed,) = heard(watch, desk, end(desk))
    heard(watch, desk, turn(desk))
    heard(watch, desk, [*fill(desk), *end(desk)])
    (back,) = heard(watch, desk, fill(desk))
    assert (missed.outcome, missed.net_usd) == ("nothing at the first leg", 0.0)
    assert back.outcome == "turned back" and back.net_usd < 0 and back.realised_bps < 0 < back.quoted_bps
    (row,) = desks(desk.core, watch).values()
    assert (row.begun, row.done, row.turned_back, row.missed, row.won) == (2, 0, 1, 1, 0)
    assert row.realised_bps == back.realised_bps, "one that got nothing says nothing of edges"


def test_shadow_says_how_far_it_is_and_why_it_came_back() -> None:
    desk, watch = desk_of(shadow_cycles=2, judged_cycles=1, leg_ms=10), CycleWatch()
    turn(desk)
    (one,) = heard(watch, desk, desk.wait(1))
    assert one.shadow and one.outcome == "went through" and one.realised_bps > 100
    (row,) = desks(desk.core, watch).values()
    assert (row.state, row.begun, row.rehearsed) == ("shadow", 0, 1)
    assert row.why == f"1 seen of 2 needed, {one.realised_bps:+.1f} bps in the mean"
    picture = shown(desk, watch, [one])
    assert "nothing was sent" in printed(picture) and "cycles 1 in shadow" in line_of(picture)
    turn(desk)
    heard(watch, desk, desk.wait(1))
    (row,) = desks(desk.core, watch).values()
    assert row.state == "trading" and row.why.startswith("out of shadow: there it gained +")
    for i in (BTC, ETH):
        desk.quote(i, *QUOTES[i], after_ns=1_000_000_000)
    heard(watch, desk, desk.quote(CROSS, *CHEAP))
    heard(watch, desk, [*fill(desk), *end(desk), *fill(desk)])
    (row,) = desks(desk.core, watch).values()
    assert (row.state, row.why) == ("shadow", "the last 1 sent gained nothing; 0 seen of 2 needed")


def test_off_says_why() -> None:
    assert desks(Desk(pairs()).core, CycleWatch()) == {}, "the strategy does not run"
    lonely = Desk([instrument("BTC"), instrument("ETH")], trading())
    (row,) = desks(lonely.core, CycleWatch()).values()
    assert (row.state, row.why) == ("off", "no three of its pairs form a triangle")
    desk = desk_of()
    desk.say(r.OPERATOR, 65535, reason=reasons.OPERATOR_PAUSE)
    (row,) = desks(desk.core, CycleWatch()).values()
    assert (row.state, row.why) == ("off", "no entries are allowed: REDUCING")
    desk = Desk(pairs(), trading() | {"momentum": {}}, max_data_age_s=60)
    desk.state.selector_params[0].enabled = 1.0
    desk.state.shares["share"][:] = 0.0
    (row,) = desks(desk.core, CycleWatch()).values()
    assert row.state == "off" and "no trades in this market yet" in row.why


def test_the_last_chance_left_alone_is_told_for_a_while() -> None:
    desk, watch = desk_of(max_age_ms=500), CycleWatch()
    desk.quote(CROSS, *CHEAP, after_ns=2_000_000_000)
    (row,) = desks(desk.core, watch).values()
    assert row.why.endswith("; just left alone: STALE_DATA")
    desk.quote(CROSS, *QUOTES[CROSS], after_ns=61_000_000_000)
    (row,) = desks(desk.core, watch).values()
    assert "left alone" not in row.why


@pytest.fixture(scope="module")
def session() -> tuple[Any, Ledger]:
    """Two minutes with cycles in shadow, then real ones."""
    played = play(market(4, 120), strategies=trading(shadow_cycles=5, leg_ms=100), **WORLD)
    return played, ledgers.fold([played.entries], played.session.core.instruments, NAMES)


def test_the_live_view_and_the_journal_tell_the_same(session: tuple[Any, Ledger]) -> None:
    played, book = session
    watch, core = CycleWatch(), played.session.core
    ended = [row for note in played.of(r.CYCLE) if (row := watch.take(core, note)) is not None]
    assert len(ended) == len(book.cycles) > 10 and {one.shadow for one in ended} == {True, False}
    for seen, told in zip(ended, book.cycles, strict=True):
        assert (seen.ts_ns, seen.venue, seen.way, seen.shadow) == (told.ts_ns, told.venue, told.way, told.shadow)
        assert (seen.quoted_bps, seen.realised_bps) == pytest.approx((told.quoted_bps, told.realised_bps))
        assert seen.net_usd == pytest.approx(float(told.net_usd))
    sent, rehearsed = by_desk(book.cycles)
    (row,) = desks(core, watch).values()
    assert (row.done, row.turned_back, row.missed, row.won) == (sent.done, sent.turned_back, sent.missed, sent.won)
    assert row.rehearsed == rehearsed.cycles and row.net_usd == pytest.approx(sent.net_usd)
    assert row.realised_bps == pytest.approx(sent.realised_bps)
    net = sum(float(one.net_usd) for one in book.trades if one.exit_reason.startswith("CYCLE"))
    assert sent.net_usd == pytest.approx(net, abs=1e-4), "what was sent is a closed trade too"
    (passed,) = book.desks
    mean = np.mean([one.realised_bps for one in book.cycles if one.shadow][:5])
    assert passed.trading and passed.mean_bps == pytest.approx(mean, abs=0.01)
    assert all(one.begun_ns < one.ts_ns for one in book.cycles if not one.shadow)


def test_rows_come_back_from_the_live_view_as_they_went(session: tuple[Any, Ledger]) -> None:
    played, _ = session
    watch, core = CycleWatch(), played.session.core
    ended = [row for note in played.of(r.CYCLE) if (row := watch.take(core, note)) is not None]
    found = desks(core, watch)
    assert rows(cells(found), DeskRow) == found
    assert row_list([cell(one) for one in ended], CycleRow) == ended
    tall, low = (printed(shown_of(core, found, ended), height) for height in (90, 24))
    assert tall.count(ended[-1].way.split(" > ")[1]) > low.count(ended[-1].way.split(" > ")[1]) > 0


def shown_of(core: Any, found: dict[str, DeskRow], ended: list[CycleRow]) -> Picture:
    desk = Desk(pairs(), trading())
    desk.core = core
    return Picture(**{name: getattr(shown(desk, CycleWatch(), ended), name) for name in Picture.__struct_fields__
                      if name != "desks"}, desks=found)  # fmt: skip


def test_the_report_lists_every_cycle_and_the_way_out_of_shadow(session: tuple[Any, Ledger]) -> None:
    _, book = session
    text = sections.cycle_slices(by_desk(book.cycles)) + sections.cycles(book) + sections.desks(book)
    assert text.count("&gt; USDT</td>") == len(book.cycles) and "in shadow, nothing was sent" in text
    assert "let out of shadow: cycles there gained in the mean" in text
