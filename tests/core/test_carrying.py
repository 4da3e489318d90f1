"""A core's state put back, and carried over into a core of other instruments or of another build."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from probes import Desk
from streams import instrument, perp

from engine.contracts import reasons
from engine.contracts.errors import Fatal, Refused
from engine.contracts.records import NO_INSTRUMENT, OPERATOR
from engine.core import carrying, state
from engine.core.carrying import carry_over, parts_of, put_back
from engine.core.strategies.table import STRATEGIES

WIDE = {"max_data_age_s": 60, "order_notional_usd": 900, "instrument_exposure_usd": 900}
AAA, BBB, CCC = (instrument(name) for name in ("AAA", "BBB", "CCC"))


def desk(*instruments: Any, wallets: dict[str, float] | None = None) -> Desk:
    made = Desk(list(instruments), wallets=wallets, **WIDE)
    for i in range(len(instruments)):
        made.quote(i, 9_999, 10_000)
    return made


def fresh(*instruments: Any, wallets: dict[str, float] | None = None) -> Desk:
    return Desk(list(instruments), wallets=wallets, **WIDE)


def busy() -> Desk:
    """AAA and BBB; a position with its stop in BBB, cash spent, a word of a person."""
    made = desk(AAA, BBB)
    made.open(1, 50, 10_000, 9_900)
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_REDUCE)
    return made


# --- put back -------------------------------------------------------------------------------------------


def test_what_was_saved_comes_back_to_the_last_byte() -> None:
    made = busy()
    other = fresh(AAA, BBB)
    put_back(other.core, parts_of(made.core))
    assert state.digest(other.core) == state.digest(made.core)


def test_saved_parts_are_copies() -> None:
    made = busy()
    parts = parts_of(made.core)
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_HALT)
    assert parts["head"][0]["trading_state"] == 1


def older(array: np.ndarray, without: str) -> np.ndarray:
    """The array as a build made it that did not know the field `without`."""
    names = [name for name in array.dtype.names or () if name != without]
    made = np.zeros(array.shape, [(name, array.dtype[name]) for name in names])
    for name in names:
        made[name] = array[name]
    return made


def newer(array: np.ndarray, value: int) -> np.ndarray:
    """The array as a build makes it that knows one field more, `value` in it."""
    names = array.dtype.names or ()
    made = np.zeros(array.shape, [(name, array.dtype[name]) for name in names] + [("mood", "<i8")])
    for name in names:
        made[name] = array[name]
    made["mood"] = value
    return made


def test_a_field_that_this_build_added_begins_at_zero() -> None:
    made = busy()
    parts = parts_of(made.core)
    parts["positions"] = older(parts["positions"], "adopt_stop_ticks")
    parts.pop("momentum")  # a strategy it did not have
    other = fresh(AAA, BBB)
    put_back(other.core, parts)
    assert other.state.positions[1].qty_lots == 50 and other.state.positions[1].adopt_stop_ticks == 0
    assert np.array_equal(other.state.head.view(np.uint8), made.state.head.view(np.uint8))


def test_a_field_that_this_build_lost_is_left_out_only_where_it_says_nothing() -> None:
    made = busy()
    parts = parts_of(made.core)
    parts["head"] = newer(parts["head"], 0)
    put_back(fresh(AAA, BBB).core, parts)
    parts["head"] = newer(parts["head"], 3) if "mood" not in (parts["head"].dtype.names or ()) else parts["head"]
    parts["head"]["mood"] = 3
    with pytest.raises(
        Fatal, match=r"another build: head has the field 'mood', which this build does not know.*--fresh"
    ):
        put_back(fresh(AAA, BBB).core, parts)


@pytest.mark.parametrize("name", ["positions", "orders", "timers"])
def test_another_shape_is_refused_by_name(name: str) -> None:
    parts = parts_of(busy().core)
    parts[name] = parts[name][:-1]
    with pytest.raises(Fatal, match=f"{name} has shape"):
        put_back(fresh(AAA, BBB).core, parts)


# --- carried over ---------------------------------------------------------------------------------------


def same_account(old: Desk, new: Desk) -> None:
    for name in ("cash_e8", "day_start_e8", "day_limit_e8", "peak_e8", "trading_state", "next_trade_no", "now_ns"):
        assert new.head[name] == old.head[name], name


def test_instruments_in_another_order_and_new_ones() -> None:
    old = busy()
    old.state.positions[0].cooldown_ns = 77
    new = fresh(CCC, BBB, AAA)
    carry_over(old.core, new.core, old.now_ns)
    same_account(old, new)
    assert new.state.positions["qty_lots"].tolist() == [0, 50, 0] and new.state.positions[2].cooldown_ns == 77
    assert new.head.instruments == 3 and new.head.next_client_id == old.head.next_client_id
    stop = new.order(int(new.state.positions[1].stop_id))
    assert stop.instrument == 1 and stop.status == old.order(int(stop.client_id)).status
    held = dict(zip(new.core.assets, new.state.balances.tolist(), strict=True))
    had = dict(zip(old.core.assets, old.state.balances.tolist(), strict=True))
    assert held == had | {"CCC": 0}
    assert new.state.positions[0].look_ns > 2**61, "a new one is not due for anything"


def test_ids_go_on_and_the_next_order_is_another() -> None:
    old = busy()
    new = fresh(BBB, AAA)
    carry_over(old.core, new.core, old.now_ns)
    new.now_ns = old.now_ns
    new.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_RESUME)
    new.quote(1, 9_999, 10_000)
    assert new.enter(1, 50, 9_900) == old.head.next_client_id


def test_ids_that_may_be_used_up_are_left_out() -> None:
    old = busy()
    new = fresh(AAA, BBB)
    carry_over(old.core, new.core, old.now_ns, ended_in_order=False)
    assert new.head.next_client_id == old.head.next_client_id + carrying.LOST_IDS
    assert (new.head.lost_from_id, new.head.lost_to_id) == (old.head.next_client_id, new.head.next_client_id)


def test_who_dies_before_it_is_settled_leaves_out_more() -> None:
    old = busy()
    second, third = fresh(AAA, BBB), fresh(AAA, BBB)
    carry_over(old.core, second.core, old.now_ns, ended_in_order=False)
    carry_over(second.core, third.core, old.now_ns, ended_in_order=False)
    assert third.head.lost_from_id == old.head.next_client_id
    assert third.head.lost_to_id == third.head.next_client_id == old.head.next_client_id + 2 * carrying.LOST_IDS


def test_an_instrument_that_is_gone_must_be_idle() -> None:
    old = busy()
    new = fresh(BBB)
    carry_over(old.core, new.core, old.now_ns)
    same_account(old, new)
    assert new.state.positions["qty_lots"].tolist() == [50]
    with pytest.raises(Refused, match=r"in test BBBUSDT \(tick 0.01, lot 0.01\).*venues.test.symbols"):
        carry_over(old.core, fresh(AAA).core, old.now_ns)


def test_an_instrument_of_another_lot_is_another_instrument() -> None:
    from decimal import Decimal

    with pytest.raises(Refused, match="BBBUSDT"):
        carry_over(busy().core, fresh(AAA, instrument("BBB", lot_size=Decimal("0.1"))).core, 1)


def test_the_seconds_of_a_naked_position_begin_anew() -> None:
    old = busy()
    old.state.positions[1].naked_ns = 5
    new = fresh(AAA, BBB)
    carry_over(old.core, new.core, 1_000)
    assert new.state.positions["naked_ns"].tolist() == [0, 1_000]


def at(venue: str, name: str) -> Any:
    return instrument(name, venue=venue)


def test_money_stays_with_its_venue() -> None:
    old = desk(at("one", "AAA"), at("two", "BBB"), wallets={"one": 300.0, "two": 700.0})
    old.open(1, 50, 10_000, 9_900)
    new = fresh(at("two", "BBB"), at("one", "AAA"), wallets={"two": 400.0, "one": 600.0})
    carry_over(old.core, new.core, old.now_ns)
    assert new.state.wallets["cash_e8"].tolist() == old.state.wallets["cash_e8"].tolist()[::-1]
    assert int(new.state.wallets["cash_e8"].sum()) == int(new.head.cash_e8)


def test_a_venue_with_money_in_it_is_not_forgotten() -> None:
    old = desk(at("one", "AAA"), at("two", "BBB"), wallets={"one": 300.0, "two": 700.0})
    with pytest.raises(Refused, match=r"\$300.00 of this account lie at the venue 'one'.*\[venues.one\]"):
        carry_over(old.core, fresh(at("two", "BBB"), at("three", "CCC"), wallets={"two": 1.0, "three": 999.0}).core, 1)


def test_one_wallet_becomes_that_of_its_venue() -> None:
    old = desk(AAA)
    new = fresh(AAA, perp("PPP"))
    carry_over(old.core, new.core, old.now_ns)
    assert new.state.wallets["cash_e8"].tolist() == [1_000 * 10**8] == old.state.wallets["cash_e8"].tolist()


def test_parameters_this_build_added_stay_as_the_settings_have_them() -> None:
    made = busy()
    row = STRATEGIES[0]
    parts, first = parts_of(made.core), int(made.state.param_start[row.number])
    last = int(made.state.param_start[row.number + 1]) - 1
    parts["params"][first] = 99.0  # changed by a person while it ran
    parts["params"] = np.delete(parts["params"], last)
    parts["param_bounds"] = np.delete(parts["param_bounds"], last, 0)
    parts["param_start"][row.number + 1 :] -= 1
    parts["enabled"], parts["param_start"] = parts["enabled"][:-1], parts["param_start"][:-1]  # a strategy less, too
    parts["params"] = parts["params"][: int(parts["param_start"][-1])]
    other = fresh(AAA, BBB)
    put_back(other.core, parts)
    expected = made.state.params.copy()
    expected[first] = 99.0
    assert other.state.params.tolist() == expected.tolist()
    for name in ("param_bounds", "param_start", "enabled"):
        assert getattr(other.state, name).tolist() == getattr(made.state, name).tolist(), name
    assert other.state.positions[1].qty_lots == 50


def test_parameters_this_build_lost_are_refused() -> None:
    parts = parts_of(busy().core)
    parts["params"] = np.append(parts["params"], 1.0)
    parts["param_start"][-1] += 1
    with pytest.raises(Fatal, match="parameters of strategy .* that this build does not know"):
        put_back(fresh(AAA, BBB).core, parts)
