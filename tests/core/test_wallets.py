"""Cash by venue: wallets add up to the account, each pays for its own venue alone, and none is overdrawn."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import Desk, refusal, sized
from streams import E8, START_NS, Array, Played, Stream, Weather, instrument, perp, play, random_stream, taken, word
from test_must_holds import check_books, patient_parameters, some_instruments, some_limits

from engine.contracts import reasons
from engine.contracts.errors import BadInput
from engine.contracts.records import (
    BALANCE,
    CANCEL,
    CLOSED,
    FILL,
    FUNDING,
    NO_INSTRUMENT,
    PLACE,
    RECORD,
    REFUSED,
    ROLE_ENTRY,
)
from engine.core import state
from engine.core.compile import kernel
from engine.core.entry import Terms, enter
from engine.core.limits import Limits
from engine.core.timers import NEVER
from engine.simulation.exchange import on_command, on_market
from engine.simulation.venue import SimulationModel, copy_record, new_venue, send


@kernel(entry=True)
def asking(s: Any, out: Any, i: int, stop: int) -> int:
    """Ask for a sized entry, as strategies do."""
    return enter(s, out, i, 1, 1, stop, 1.0, Terms(10.0, 0.0, 0.0, 0.0), 1)


@kernel(entry=True)
def trade_alone(v: Any, market: Any, commands: Any, told: Any) -> int:
    """What a venue answers to a market and to commands sent when they were; how many answers."""
    at = sent = count = 0
    while at < market.shape[0] or sent < commands.shape[0]:
        due = commands[sent].ts_ns + v.head[0].order_latency_ns if sent < commands.shape[0] else NEVER
        if at < market.shape[0] and market[at].venue_ts_ns <= due:
            on_market(v, market[at])
            at += 1
        else:
            send(v, commands[sent])
            on_command(v, v.sends[v.head[0].sends_first])
            v.head[0].sends_first = (v.head[0].sends_first + 1) % v.sends.shape[0]
            v.head[0].sends_count -= 1
            sent += 1
        while v.head[0].replies_count > 0:
            copy_record(told[count], v.replies[v.head[0].replies_first])
            v.head[0].replies_first = (v.head[0].replies_first + 1) % v.replies.shape[0]
            v.head[0].replies_count -= 1
            count += 1
    return count


VENUES = ("one", "two", "three")
ONE, TWO = instrument("AAA", venue="one"), instrument("BBB", venue="two")
WIDE: dict[str, float] = {"max_data_age_s": 600, "order_notional_usd": 900, "instrument_exposure_usd": 900}


class Session(NamedTuple):
    """A session over several venues, and what it was made of."""

    played: Played
    wallets: dict[str, float]
    market: Stream
    model: SimulationModel


def shares(rng: np.random.Generator, venues: list[str]) -> dict[str, float]:
    """1,000 USD in uneven parts; some wallets are nearly empty."""
    parts = rng.dirichlet([0.7] * len(venues))
    cents = [int(part * 100_000) for part in parts]
    cents[-1] = 100_000 - sum(cents[:-1])
    return {name: count / 100 for name, count in zip(venues, cents, strict=True)}


def several(seed: int, patient: bool, split: bool = True) -> Session:
    """A stormy session of instruments spread over two or three venues; not `split`: from one purse."""
    rng = np.random.default_rng([seed, 7])
    count = int(rng.integers(2, 4))
    made = [*some_instruments(rng, patient), instrument("GGG"), perp("HHH"), perp("III")]
    made = [  # makers pay no more than takers, whose fee is what the core reserves
        msgspec.structs.replace(one, venue=VENUES[k % count], maker_fee=min(one.maker_fee, one.taker_fee))
        for k, one in enumerate(made)
    ]
    wallets = shares(rng, list(dict.fromkeys(one.venue for one in made)))
    weather = Weather(
        hours=float(rng.choice([10, 30])), ticks=bool(rng.random() < 0.3), volatility=float(rng.choice([0.001, 0.003])),
        jump_chance=float(rng.choice([0, 0.01])), jump_size=float(rng.choice([0.02, 0.1])),
        funding=float(rng.choice([0, 1e-3, 3e-2])), start_ns=START_NS + int(rng.integers(0, 86_400)) * 10**9,
    )  # fmt: skip
    model = SimulationModel(order_latency_ms=float(rng.choice([1, 100, 3000])), reply_latency_ms=50.0)
    limits = msgspec.structs.replace(some_limits(rng, [0.0, 15.0, 100.0]), reserve_usd=0.0, reserve_pct=0.0)
    strategies = patient_parameters(rng, seed, patient)
    market = random_stream(seed, made, weather)
    played = play(
        market, limits=limits, simulation=model, strategies=strategies, wallets_usd=wallets if split else None,
        doubts=int(rng.choice([0, 5])),
    )  # fmt: skip
    return Session(played, wallets, market, model)


def answers_alone(session: Session, venue: str) -> Array:
    """What that venue alone, with nothing but its wallet, answers to what was sent there."""
    played, wallets, market, model = session
    core = played.session.core
    mine = [i for i, one in enumerate(core.instruments) if one.venue == venue]
    flat = new_venue(core, model)
    flat.head[0].cash_e8 = round(wallets[venue] * 100) * 10**6
    records = played.entries["record"]
    wanted = np.isin(records["kind"], (PLACE, CANCEL)) & np.isin(records["instrument"], mine)
    told = np.zeros(100_000, RECORD)
    seen = taken(market.events, np.flatnonzero(np.isin(market.events["instrument"], mine)))
    return told[: trade_alone(flat, seen, taken(records, np.flatnonzero(wanted)), told)]


def cash_by_notes(played: Played, wallets: dict[str, float]) -> dict[str, int]:
    """Each venue's cash from its share, the notes of closed trades and what is open: no wallet is looked at."""
    core = played.session.core
    cash = {name: round(usd * 100) * 10**6 for name, usd in wallets.items()}
    for note in played.of(CLOSED):
        venue = core.instruments[int(note["instrument"])].venue
        cash[venue] += int(note["gross_e8"] - note["fees_e8"] + note["funding_e8"])
    for i, one in enumerate(core.instruments):
        p = core.state.positions[i]
        if p.qty_lots:
            cash[one.venue] += int(p.gross_e8 - p.fees_e8 + p.funding_e8) - (
                0 if one.kind == "perp" else int(p.cost_e8)
            )
    return cash


def in_wallets(core: state.Core) -> dict[str, int]:
    return {
        one.venue: int(core.state.wallets[row.wallet].cash_e8)
        for one, row in zip(core.instruments, core.state.instruments, strict=True)
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_over_several_venues_wallets_add_up_and_are_never_overdrawn(seed: int, patient: bool) -> None:
    session = several(seed, patient)
    check_books(session.played)  # `audit_wallets` after every event
    assert in_wallets(session.played.session.core) == cash_by_notes(session.played, session.wallets)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_no_venue_that_holds_its_wallet_alone_refuses_for_want_of_money(seed: int, patient: bool) -> None:
    session = several(seed, patient)
    last_ns = int(session.market.events["venue_ts_ns"][-1])
    for venue in session.wallets:
        told = answers_alone(session, venue)
        told = taken(told, np.flatnonzero(told["venue_ts_ns"] < last_ns))  # nothing is sent once the market has ended
        assert unpaid(session, told) == []
        i = [k for k, one in enumerate(session.market.instruments) if one.venue == venue]
        fills = session.played.of(FILL)
        mine = fills[np.isin(fills["instrument"], i) & (fills["venue_ts_ns"] < last_ns)]
        assert executions(told[told["kind"] == FILL]) == executions(mine), "with a wallet of its own it fills the same"


def unpaid(session: Session, told: Array) -> list[int]:
    """Entries a venue refused for want of money, by client id."""
    short = np.isin(told["reason"], (reasons.INSUFFICIENT_BALANCE, reasons.INSUFFICIENT_MARGIN))
    entries = {int(one["client_id"]) for one in session.played.of(PLACE) if one["role"] == ROLE_ENTRY}
    return [int(one["client_id"]) for one in told[short] if int(one["client_id"]) in entries]


def test_from_one_purse_the_same_venues_refuse() -> None:
    """Regression: free cash was one number, and a venue with $58 left was sent what the others could have paid."""
    seen = [several(seed, patient=False, split=False) for seed in range(12)]
    assert sum(len(unpaid(one, answers_alone(one, venue))) for one in seen for venue in one.wallets) > 10


def executions(fills: Array) -> list[tuple[int, ...]]:
    """Fills without the numbers a venue gives them."""
    names = ("venue_ts_ns", "instrument", "client_id", "side", "price_ticks", "qty_lots", "fee_e8")
    return [tuple(int(one[name]) for name in names) for one in fills]


def test_these_sessions_trade_everywhere_and_run_into_their_wallets() -> None:
    seen = [several(seed, bool(seed % 2)).played for seed in range(12)]
    assert sum(int((one.of(REFUSED)["reason"] == reasons.VENUE_CASH).sum()) for one in seen) > 50
    assert sum(int((one.of(FUNDING)["amount_e8"] != 0).sum()) for one in seen) > 0
    entries = {
        one.session.core.instruments[int(order["instrument"])].venue
        for one in seen
        for order in one.of(PLACE)
        if order["role"] == ROLE_ENTRY
    }
    assert entries == set(VENUES)


def desk(first_usd: float, *instruments: Any, **limits: float) -> Desk:
    """Two venues, the first with so much of the 1,000 USD; every book stands at 100 USD, a lot is 1 USD."""
    made = Desk(
        list(instruments) or [ONE, TWO], wallets={"one": first_usd, "two": 1000.0 - first_usd}, **(WIDE | limits)
    )
    for i in range(len(made.core.instruments)):
        made.quote(i, 9_999, 10_000)
    return made


def test_an_entry_is_paid_by_its_own_venue() -> None:
    made = desk(150.0)
    assert made.enter(0, 100, 9_900) and made.state.wallets[0].reserved_e8 == made.head.reserved_e8 > 100 * E8
    assert made.state.wallets[1].reserved_e8 == 0
    assert made.enter(1, 400, 9_900), "what is reserved at one venue is no matter of the other"
    made.fill(1, 10_000, 100, fee_e8=10**7)
    assert (made.state.wallets["cash_e8"] == [150 * E8 - 100 * E8 - 10**7, 850 * E8]).all()
    assert (made.state.wallets["reserved_e8"] == [0, made.head.reserved_e8]).all()


def test_the_gate_says_what_the_wallet_can_still_pay() -> None:
    made = desk(45.0)
    note = made.feed()
    assert made.enter(0, 50, 9_900) == 0
    note = made.feed()[-1]
    assert (note.kind, note.reason, note.limit_e8) == (REFUSED, reasons.VENUE_CASH, 45 * E8)
    assert note.measured_e8 > 50 * E8


def test_sizing_takes_what_the_wallet_holds_and_names_it_where_that_is_too_little() -> None:
    made = desk(58.0)
    client_id = asking(made.state, made.out, 0, 9_990)
    assert client_id and 55 < made.order(client_id).qty_lots < 58
    poor = desk(4.0)
    assert asking(poor.state, poor.out, 0, 9_990) == 0 and poor.refused() == reasons.VENUE_CASH


@settings(max_examples=150, deadline=None)
@given(
    first=st.floats(0.0, 1000.0), ticks=st.integers(100, 50_000), distance=st.integers(1, 5_000),
    is_perp=st.booleans(), leverage=st.integers(1, 3),
)  # fmt: skip
def test_what_is_sized_for_a_wallet_passes_the_gate(
    first: float, ticks: int, distance: int, is_perp: bool, leverage: int
) -> None:
    made = desk(round(first, 2), perp("PPP", venue="one") if is_perp else ONE, TWO, reserve_usd=0, reserve_pct=0)
    made.quote(0, ticks - 1, ticks)
    stop = max(ticks - distance, 1)
    lots = sized(made.state, 0, 1, ticks, stop, leverage, 1.0)
    if lots:
        assert refusal(made.state, 0, 1, ticks, lots, stop, leverage) != reasons.VENUE_CASH
        assert refusal(made.state, 0, 1, ticks, lots, stop, leverage) != reasons.RESERVE


def test_a_wallet_keeps_room_for_the_costs_of_its_perpetuals() -> None:
    made = desk(300.0, perp("PPP", venue="one"), instrument("CCC", venue="one"), TWO)
    # kept: 20 of the day's limit and 12 % of the 800 that may be open
    assert made.enter(0, 184, 9_900) == 0 and made.refused() == reasons.VENUE_CASH
    assert made.enter(1, 250, 9_900), "no margin is in use there yet"
    made = desk(300.0, perp("PPP", venue="one"), instrument("CCC", venue="one"), TWO)
    assert made.enter(0, 100, 9_900)
    assert made.enter(1, 90, 9_900) == 0 and made.refused() == reasons.VENUE_CASH, "now it is"
    assert made.enter(2, 90, 9_900)


def test_funding_that_could_empty_its_wallet_makes_a_perpetual_leave() -> None:
    rich, poor = desk(900.0, perp("PPP", venue="one"), TWO), desk(240.0, perp("PPP", venue="one"), TWO)
    for made in (rich, poor):
        made.open(0, 130, 10_000, 9_900)
        made.say(FUNDING, 0, amount_e8=-E8)
        assert made.state.positions[0].exit_reason == 0
        made.say(FUNDING, 0, amount_e8=-38 * E8)
    assert rich.state.positions[0].exit_reason != reasons.RESERVE_EXIT
    assert poor.state.positions[0].exit_reason == reasons.RESERVE_EXIT


def test_a_balance_belongs_to_the_venue_of_the_instrument_it_names() -> None:
    made = desk(400.0)
    usdt = made.core.assets.index("USDT")
    made.say(BALANCE, 1, index=usdt, amount_e8=50 * E8)
    assert (made.state.wallets["cash_e8"] == [400 * E8, 650 * E8]).all() and made.head.cash_e8 == 1050 * E8
    for bad in (NO_INSTRUMENT, 2):
        made.say(BALANCE, bad, index=usdt, amount_e8=50 * E8)
    assert made.head.quarantined == 2 and made.head.cash_e8 == made.head.deposits_e8 == 1050 * E8
    assert made.state.balances[usdt] == 1050 * E8


def core_of(wallets: Any, capital: float = 1000.0) -> state.Core:
    return state.new_core([ONE, TWO, ONE], Limits(), capital, {}, (60, 180, 720), wallets)


@pytest.mark.parametrize(
    ("wallets", "told"),
    [
        ({"one": 1000.0}, "the venues traded at are"),
        ({"one": 500.0, "two": 300.0, "six": 200.0}, "six"),
        ({"one": 500.0, "two": 499.99}, "add up to 999.99 USD, capital_usd is 1,000.00"),
        ({"one": 1001.0, "two": -1.0}, "wallets_usd.two = -1.0 is outside"),
        ({"one": 1000.0, "two": float("nan")}, "wallets_usd.two = nan is outside"),
    ],
)
def test_wallets_that_are_not_the_venues_or_do_not_add_up_are_refused(wallets: dict[str, float], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        core_of(wallets)


def test_wallets_lie_in_the_order_of_the_instruments_and_miss_not_a_cent() -> None:
    made = core_of({"two": 100.01 * 2 / 3, "one": 100.01 / 3}, 100.01).state
    assert made.instruments["wallet"].tolist() == [0, 1, 0]
    assert made.wallets["cash_e8"].sum() == made.head[0].cash_e8 == round(Decimal("100.01") * E8)
    assert made.wallets[0].cash_e8 < made.wallets[1].cash_e8


def test_where_nobody_says_how_cash_lies_one_wallet_pays_for_all() -> None:
    for nothing in (None, {}):
        made = core_of(nothing).state
        assert made.wallets["cash_e8"].tolist() == [1000 * E8] and not made.instruments["wallet"].any()


def test_a_deposit_told_without_an_instrument_reaches_the_only_wallet() -> None:
    made = Desk([ONE, TWO])
    made.feed(word(BALANCE, index=made.core.assets.index("USDT"), amount_e8=50 * E8))
    assert made.state.wallets[0].cash_e8 == made.head.cash_e8 == 1050 * E8
