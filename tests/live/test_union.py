"""What the core believes against what a venue says: what was lost, what is foreign, what is missing, by the lot."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.instruments import E8, Instrument
from engine.core import life, state
from engine.core.limits import Limits
from engine.core.orders import POOL
from engine.runtime import union
from engine.venues.port import OpenOrder, Position, Wallet

LOTS = st.integers(-400, 400)


def spot(base: str = "AXO", quote: str = "USDT", venue: str = "coins") -> Instrument:
    return Instrument(
        symbol=f"{base}/{quote}", venue=venue, base=base, quote=quote, tick_size=Decimal("0.01"),
        lot_size=Decimal("0.01"), min_qty=Decimal("0.01"), max_qty=Decimal(1000),
    )  # fmt: skip


def perp(base: str = "BTC", venue: str = "futures") -> Instrument:
    return Instrument(
        symbol=f"{base}/USDT:USDT", venue=venue, base=base, quote="USDT", kind="perp", tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"), min_qty=Decimal("0.001"), max_qty=Decimal(1000),
    )  # fmt: skip


def core_of(*instruments: Instrument, wallets: dict[str, float] | None = None) -> state.Core:
    return state.new_core(list(instruments), Limits(), 1_000.0, {}, (1, 3, 9), wallets)


def there(instrument: int, lots: int) -> list[Position]:
    return [Position(instrument=instrument, qty_lots=lots, entry_price=Decimal(100))] if lots else []


def coins(**held: str) -> list[Wallet]:
    return [Wallet(asset=name, free=Decimal(amount), locked=Decimal(0)) for name, amount in held.items()]


# --- perpetuals -----------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(ours=LOTS, theirs=LOTS, known=LOTS)
def test_a_perpetual_is_ours_as_far_as_it_lies_there_and_the_rest_is_foreign(
    ours: int, theirs: int, known: int
) -> None:
    core = core_of(spot(), perp())
    p = core.state.positions[1]
    p["qty_lots"], p["foreign_lots"] = ours, known
    gaps = list(union.position_gaps(core, "futures", there(1, theirs)))
    kept = ours
    for gap in gaps:
        assert gap.instrument == 1 and 0 <= gap.lost_lots <= abs(ours)
        kept = ours - (gap.lost_lots if ours > 0 else -gap.lost_lots)
        assert kept + gap.foreign_lots == theirs, "ours and theirs together are what lies there"
        assert kept == 0 or kept * theirs > 0, "nothing of ours lies on the other side"
        assert gap.lost_lots or gap.foreign_lots != known
    if not gaps:
        assert theirs == ours + known and (ours == 0 or ours * theirs >= abs(ours) ** 2)
    p["qty_lots"], p["foreign_lots"] = kept, gaps[0].foreign_lots if gaps else known
    assert list(union.position_gaps(core, "futures", there(1, theirs))) == [], "once repaired, nothing is left"
    assert list(union.position_gaps(core, "coins", there(1, theirs))) == [], "another venue's"


# --- coins ------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    first=st.integers(0, 400), second=st.integers(0, 400), held=st.decimals(0, 9, places=4, allow_nan=False),
)  # fmt: skip
def test_of_coins_as_many_lots_are_lost_as_the_wallet_lacks(first: int, second: int, held: Decimal) -> None:
    """Two pairs share their base; what is more than ours is nobody's business."""
    core = core_of(spot(), spot(quote="USDC"))
    core.state.positions["qty_lots"] = (first, second)
    gaps = list(union.coin_gaps(core, "coins", coins(AXO=str(held))))
    lost = {gap.instrument: gap.lost_lots for gap in gaps}
    short = max(Decimal(first + second) / 100 - held, Decimal(0))
    assert sum(lost.values()) == min(math.ceil(short * 100), first + second)
    for i, lots in enumerate((first, second)):
        assert 0 <= lost.get(i, 0) <= lots
        core.state.positions[i]["qty_lots"] -= lost.get(i, 0)
    assert list(union.coin_gaps(core, "coins", coins(AXO=str(held)))) == []


def test_a_coin_that_the_wallet_does_not_name_is_all_lost_and_promised_ones_count() -> None:
    core = core_of(spot())
    core.state.positions["qty_lots"] = 30
    assert list(union.coin_gaps(core, "coins", coins(USDT="5"))) == [union.Gap(0, 30, 0)]
    promised = [Wallet(asset="AXO", free=Decimal("0.1"), locked=Decimal("0.2"))]
    assert list(union.coin_gaps(core, "coins", promised)) == []


# --- money ------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    ours=st.integers(-(10**10), 10**12), dollars=st.decimals(0, 9000, places=8, allow_nan=False),
    stable=st.decimals(0, 9000, places=8, allow_nan=False),
)  # fmt: skip
def test_cash_is_short_by_what_dollars_and_stablecoins_lack(ours: int, dollars: Decimal, stable: Decimal) -> None:
    core = core_of(spot(), perp(), wallets={"coins": 600.0, "futures": 400.0})
    core.state.wallets[0]["cash_e8"] = ours
    held = coins(USDT=str(dollars), USDC=str(stable), AXO="700")
    short = union.cash_short_e8(core, "coins", held)
    assert short == max(ours - int((dollars + stable) * E8), 0)
    assert union.cash_short_e8(core, "elsewhere", []) == 0


# --- orders -----------------------------------------------------------------------------------------------


def order(core: state.Core, client_id: int, status: int, instrument: int = 0, placed_ns: int = 0) -> None:
    one = core.state.orders[client_id % POOL]
    one["client_id"], one["status"], one["instrument"], one["placed_ns"] = client_id, status, instrument, placed_ns


def shown(client_id: int | None, text: str = "") -> OpenOrder:
    return OpenOrder(
        instrument=0, client_id=client_id, client_text=text, venue_order_id="1", book="orders", side=1,
        order_type="LIMIT", qty_lots=1, filled_lots=0, price_ticks=1, trigger_ticks=0,
    )  # fmt: skip


WORKING = [s for s in range(life.FIRST_DONE) if s != life.FREE]


@settings(max_examples=200, deadline=None)
@given(
    ours=st.dictionaries(st.integers(1, POOL - 1), st.integers(0, len(life.STATES) - 1), max_size=20),
    open_there=st.sets(st.integers(1, POOL - 1), max_size=20),
    strangers=st.integers(0, 3),
)
def test_the_union_of_orders_is_compared(ours: dict[int, int], open_there: set[int], strangers: int) -> None:
    core = core_of(spot(), perp())
    for client_id, status in ours.items():
        order(core, client_id, status, placed_ns=1)
    found = [*(shown(one) for one in open_there), *(shown(None, f"web{k}") for k in range(strangers))]
    works = {one for one, status in ours.items() if status in WORKING}
    sure = {one for one in works if ours[one] not in union.DOUBTFUL}
    assert {one.client_id for one in union.working(core, "coins")} == works
    assert {one.client_id for one in union.missing(core, "coins", found, 2)} == sure - open_there
    assert union.missing(core, "coins", found, 1) == [], "lists lag: what is young is not missed"
    assert {one.client_id for one in union.orphans(core, found)} == open_there - works
    assert len(union.foreign(found)) == strangers
    assert union.working(core, "futures") == []


def test_an_id_that_shares_the_slot_of_another_is_not_that_other() -> None:
    core = core_of(spot())
    order(core, 5 + POOL, life.ACCEPTED)
    assert union.is_working(core, 5 + POOL) and not union.is_working(core, 5)
    assert [one.client_id for one in union.orphans(core, [shown(5), shown(5 + POOL)])] == [5]


def test_what_waits_for_the_venues_word_is_not_settled() -> None:
    core = core_of(spot(), perp())
    order(core, 1, life.ACCEPTED)
    order(core, 2, life.UNKNOWN, instrument=1)
    assert union.is_settled(core, 0) and not union.is_settled(core, 1)


def test_moving_changes_with_positions_and_orders_and_with_nothing_else() -> None:
    core = core_of(spot())
    before: Any = union.moving(core)
    core.state.books["bid_ticks"] = 5
    core.state.positions["mark_ticks"] = 7
    assert union.moving(core) == before
    order(core, 1, life.ACCEPTED)
    changed = union.moving(core)
    core.state.positions["qty_lots"] = 1
    assert len({before, changed, union.moving(core)}) == 3
    assert np.array_equal(core.state.positions["qty_lots"], [1])


def test_an_order_whose_cancel_was_lost_is_stuck() -> None:
    core = core_of(spot())
    order(core, 1, life.CANCELING)
    order(core, 2, life.CANCELING)
    order(core, 3, life.ACCEPTED)
    core.state.orders["cancel_ns"][1], core.state.orders["cancel_ns"][2] = 10, 100
    found = [shown(1), shown(2), shown(3)]
    assert [one.client_id for one in union.stuck(core, "coins", found, 50)] == [1], "the other's may be under way"
    assert union.stuck(core, "coins", [shown(3)], 50) == [], "gone at the venue: its answer comes"
