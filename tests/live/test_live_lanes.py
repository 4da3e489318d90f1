"""The queue between venues and core: what an overload may lose, and what it never does."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.records import (
    DEPTH,
    FEED_STATUS,
    FILL,
    FUNDING,
    LAST,
    MARK,
    ORDER_ACK,
    PATH,
    QUOTE,
    RECORD,
    TRADE,
)
from engine.runtime.lanes import CONFLATABLE, Lanes, survivors
from engine.venues.port import Notice

ROOM = 64
MARKET = (QUOTE, TRADE, MARK, FEED_STATUS, FUNDING, PATH)


def records(rows: list[tuple[int, int]]) -> np.ndarray[Any, Any]:
    """(kind, instrument) rows numbered by `update_id`; a DEPTH row becomes a whole batch of three levels."""
    out = []
    for number, (kind, instrument) in enumerate(rows):
        for level in range(3 if kind == DEPTH else 1):
            out.append((kind, instrument, number, LAST if kind == DEPTH and level == 2 else 0))
    made = np.zeros(len(out), RECORD)
    for k, (kind, instrument, number, bits) in enumerate(out):
        made["kind"][k], made["instrument"][k], made["update_id"][k], made["bits"][k] = kind, instrument, number, bits
    return made


rows = st.lists(st.tuples(st.sampled_from((*MARKET, DEPTH)), st.integers(0, 3)), max_size=200)


@given(rows=rows, room=st.integers(0, 50))
def test_an_overload_leaves_the_newest_of_each_and_everything_that_must_stay(
    rows: list[tuple[int, int]], room: int
) -> None:
    waiting = records(rows)
    kept = waiting[survivors(waiting, room)]
    assert (np.diff(kept["update_id"]) >= 0).all()
    for kind in (QUOTE, MARK, DEPTH):
        for instrument in range(4):
            mine = [n for n, row in enumerate(rows) if row == (kind, instrument)]
            found = kept["update_id"][(kept["kind"] == kind) & (kept["instrument"] == instrument)].tolist()
            assert found == [mine[-1]] * (3 if kind == DEPTH else 1) if mine else not found
    for kind in (FEED_STATUS, FUNDING, PATH):
        assert (kept["kind"] == kind).sum() == sum(row[0] == kind for row in rows)
    trades = [n for n, row in enumerate(rows) if row[0] == TRADE]
    left = kept["update_id"][kept["kind"] == TRADE].tolist()
    assert left == trades[len(trades) - len(left) :]
    others = len(kept) - len(left)
    assert len(left) == min(len(trades), max(room - others, 0))


def taken(lanes: Lanes) -> list[list[int]]:
    """Everything that waits, account first, as the core would take it."""
    both = []
    for lane in (lanes.account_lane, lanes.market_lane):
        first, end = lane.at.tolist()
        both.append(lane.records["update_id"][first:end].tolist())
        lane.at[0] = end
    lanes.taken()
    return both


bursts = st.lists(
    st.one_of(
        st.tuples(st.just("market"), st.lists(st.tuples(st.sampled_from(MARKET[:4]), st.integers(0, 3)), max_size=30)),
        st.tuples(st.just("account"), st.lists(st.tuples(st.sampled_from((FILL, ORDER_ACK)), st.just(0)), max_size=30)),
        st.tuples(st.just("take"), st.just([])),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(bursts=bursts)
def test_nothing_is_lost_uncounted_and_order_events_never(bursts: list[tuple[str, list[tuple[int, int]]]]) -> None:
    woken: list[int] = []
    lanes = Lanes(lambda: woken.append(1), lambda _notice: None, room=ROOM)
    sent: dict[str, list[int]] = {"market": [], "account": []}
    out: dict[str, list[int]] = {"market": [], "account": []}
    must_stay: set[int] = set()
    number = 0
    for what, rows in [*bursts, ("take", [])]:
        if what == "take":
            waits = lanes.waiting > 0
            assert not waits or woken, "something waits and nobody was woken"
            account, market = taken(lanes)
            out["account"] += account
            out["market"] += market
            woken.clear()
            continue
        made = records(rows)
        made["update_id"] += number
        number += len(rows)
        for k in range(len(made)):
            if made["kind"][k] not in CONFLATABLE:
                must_stay.add(int(made["update_id"][k]))
            getattr(lanes, what)(made[k : k + 1], 1)
        sent[what] += made["update_id"].tolist()
    assert out["account"] == sent["account"]
    assert set(out["market"]) <= set(sent["market"]) and out["market"] == sorted(out["market"])
    assert len(sent["market"]) - len(out["market"]) == sum(lanes.conflated.values())
    assert must_stay <= set(out["market"]) | set(out["account"])


def test_without_overload_nothing_is_conflated() -> None:
    lanes = Lanes(lambda: None, lambda _notice: None)
    quotes = records([(QUOTE, 0)] * 8)
    for _ in range(1_000):
        lanes.market(quotes, 8)
    assert lanes.waiting == 8_000 and not lanes.conflated


def test_notices_go_where_they_are_shown() -> None:
    told: list[Notice] = []
    lanes = Lanes(lambda: None, told.append)
    lanes.notice(Notice("binance", "gap", "BTC/USDT is read anew", 0))
    assert [notice.kind for notice in told] == ["gap"]
