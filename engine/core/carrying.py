"""A core's state as named arrays: saved, put back, and carried over into a core of other instruments or another build.

What a person would call the account is carried: money, positions, orders, limits and parameters in force, trading
state, day, peak, cool-downs, timers; what was learned of the strategies, and their shares where they are the same ones.
Bars and books are too; whoever goes on after a pause makes them stale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from engine.contracts.errors import Fatal, Refused
from engine.core import cycle_state, life, regime, state, timers
from engine.core.strategies.table import STRATEGIES

Array = np.ndarray[Any, Any]
LOST_IDS: Final = 1_024
_OF_STRATEGIES: Final = ("params", "param_bounds", "param_start", "enabled")
_BY_INSTRUMENT: Final = (
    "books", "bars", "ring", "positions", "told", "plans", "forecasts", "funding", "gauges", "decisions",
)  # fmt: skip


def parts_of(core: state.Core) -> dict[str, Array]:
    """A copy of everything the core knows, by name."""
    return {name: getattr(core.state, name).copy() for name in state.names()}


def put_back(core: state.Core, parts: Mapping[str, Any]) -> None:
    """Put a saved state into a core of the same instruments and settings, field by field: a field this build added
    begins at zero. Raises Fatal naming what does not fit."""
    _put_back_params(core, parts)
    for name in state.names():
        mine = getattr(core.state, name)
        saved = parts.get(name)
        if saved is None or name in _OF_STRATEGIES:
            continue  # a strategy this build added
        if not isinstance(saved, np.ndarray) or saved.shape != mine.shape:
            raise _other(name, f"shape {getattr(saved, 'shape', None)} instead of {mine.shape}")
        _copy(name, saved, mine)


def _put_back_params(core: state.Core, parts: Mapping[str, Any]) -> None:
    """Parameters and which strategies run, strategy by strategy. Strategies and parameters are only ever appended: what
    this build added stays as the settings have it. Bounds are this build's. Raises Fatal where it has fewer."""
    if "params" not in parts:
        return
    params, start, enabled = (np.asarray(parts[name]) for name in ("params", "param_start", "enabled"))
    mine = core.state
    for number in range(1, len(enabled)):
        first, end = int(start[number]), int(start[number + 1])
        if first == end:
            continue  # a number that nobody had
        here = int(mine.param_start[number]) if number < len(mine.enabled) else 0
        if number >= len(mine.enabled) or end - first > int(mine.param_start[number + 1]) - here:
            raise _other("params", f"parameters of strategy {number} that this build does not know")
        mine.params[here : here + end - first] = params[first:end]
        mine.enabled[number] = enabled[number]


def carry_over(old: state.Core, new: state.Core, now_ns: int, ended_in_order: bool = True) -> None:
    """Let `new` (fresh) go on where `old` stands, at `now_ns`. Where it did not end in order, its last entries may be
    lost (a full disk, no power): the next `LOST_IDS` client ids may be used up, and are left out.

    Raises Refused naming an instrument or venue that `new` lacks and in which something is open, owed or held.
    """
    rows = _rows(old, new)
    for name in ("head", "limits", "orders", "timers"):
        _copy(name, getattr(old.state, name), getattr(new.state, name))
    head = new.state.head[0]
    head["instruments"] = len(new.instruments)
    if not ended_in_order:
        if int(head["lost_to_id"]) == 0:  # else that range grows: who died before it reconciled settled nothing
            head["lost_from_id"] = int(head["next_client_id"])
        head["lost_to_id"] = head["next_client_id"] = int(head["next_client_id"]) + LOST_IDS
    for name in (*_BY_INSTRUMENT, *(row.name for row in STRATEGIES)):
        source, target = getattr(old.state, name), getattr(new.state, name)
        for k, i in enumerate(rows):
            if i >= 0:
                _copy(name, source[k : k + 1], target[i : i + 1])
    new.state.params[:] = old.state.params
    _carry_experience(old, new, rows)
    _carry_money(old, new)
    _carry_pots(old, new)
    _carry_cycle(old, new, rows, now_ns)
    orders = new.state.orders
    used = orders["client_id"] != 0
    orders["instrument"][used] = [max(rows[k], 0) for k in orders["instrument"][used]]
    naked = new.state.positions["naked_ns"] != 0
    new.state.positions["naked_ns"][naked] = now_ns  # its two seconds count from when somebody can act


def _carry_experience(old: state.Core, new: state.Core, rows: Sequence[int]) -> None:
    """The market's regime, expectancies, the selector's parameters and shares. Where other strategies run, old shares
    and new ones would not fit into one budget: they begin anew, and only what is held back stays held back."""
    for name in ("climate", "expectancy", "selector_words"):
        _copy(name, getattr(old.state, name), getattr(new.state, name))
    leader = int(old.state.climate[0]["leader"])
    new.state.climate[0]["leader"] = rows[leader] if leader != regime.NOBODY else regime.NOBODY
    if np.array_equal(old.state.enabled, new.state.enabled):
        _copy("shares", old.state.shares, new.state.shares)
    else:
        new.state.shares["demoted_until_ns"] = old.state.shares["demoted_until_ns"]


def _rows(old: state.Core, new: state.Core) -> list[int]:
    """Where each of the old instruments stands in the new core, -1 where it is gone."""
    places = {_key(one): i for i, one in enumerate(new.instruments)}
    rows = [places.get(_key(one), -1) for one in old.instruments]
    orders = old.state.orders
    working = (orders["status"] != life.FREE) & (orders["status"] < life.FIRST_DONE)
    for k, one in enumerate(old.instruments):
        position = old.state.positions[k]
        has_order = bool((working & (orders["instrument"] == k)).any())
        if rows[k] < 0 and (position["qty_lots"] != 0 or has_order):
            what = "an order is working" if has_order else "a position is open"
            raise Refused(
                f"{what} in {one.venue} {one.symbol} (tick {one.tick_size}, lot {one.lot_size}), which is not traded "
                f"any more: put it back into venues.{one.venue}.symbols until that is over, or begin afresh with "
                "trading-cli up --fresh (nothing is carried over then)"
            )
    return rows


def _key(one: Any) -> tuple[Any, ...]:
    return one.venue, one.symbol, one.tick_size, one.lot_size, one.contract_size


def _carry_money(old: state.Core, new: state.Core) -> None:
    """Balances by asset, wallets by venue."""
    for k, asset in enumerate(old.assets):
        amount = int(old.state.balances[k])
        if asset in new.assets:
            new.state.balances[new.assets.index(asset)] = amount
    for asset in new.assets:
        if asset not in old.assets:
            new.state.balances[new.assets.index(asset)] = 0
    before, after = _wallet_names(old), _wallet_names(new)
    new.state.wallets[:] = np.zeros(1, new.state.wallets.dtype)
    for k, venue in enumerate(before):
        wallet = old.state.wallets[k]
        if venue in after:
            place = after.index(venue)
            _copy("wallets", old.state.wallets[k : k + 1], new.state.wallets[place : place + 1])
        elif any(int(wallet[name]) for name in wallet.dtype.names):
            raise Refused(
                f"${int(wallet['cash_e8']) / 1e8:,.2f} of this account lie at the venue {venue!r}, which is not traded "
                f"at any more: put [venues.{venue}] back, or begin afresh with trading-cli up --fresh"
            )


def _carry_pots(old: state.Core, new: state.Core) -> None:
    """Coins of conversions lie in the row of their home, whichever that is now. Dust without one is written off."""
    head = new.state.head[0]
    head["unrealised_e8"] -= int(old.state.pots["unrealised_e8"].sum())
    homes = {
        (one.venue, one.base): int(row["base_home"])
        for one, row in zip(new.instruments, new.state.instruments, strict=True)
        if int(row["base_home"]) >= 0
    }
    for k, one in enumerate(old.instruments):
        qty, cost = (int(old.state.pots[k][name]) for name in ("qty_e8", "cost_e8"))
        home = homes.get((one.venue, one.base))
        if home is not None:
            new.state.pots["qty_e8"][home] += qty
            new.state.pots["cost_e8"][home] += cost
        elif cost < int(old.state.instruments[k]["min_notional_e8"]):
            head["fees_e8"] += cost
            head["exposure_e8"] -= cost
        else:
            raise Refused(
                f"coins of {one.base} bought in conversions lie at {one.venue}, where no pair sells them any more: put "
                f"{one.symbol} back into venues.{one.venue}.symbols until they are sold"
            )


def _carry_cycle(old: state.Core, new: state.Core, rows: Sequence[int], now_ns: int) -> None:
    """A cycle under way goes no further: once the venue has said what the leg at work got, all it holds is sold. One in
    shadow is forgotten."""
    _copy("cycle", old.state.cycle, new.state.cycle)
    cycle = new.state.cycle[0]
    if cycle["stage"] not in (cycle_state.LEG, cycle_state.UNWIND):
        cycle["stage"] = cycle_state.IDLE
        return
    known = [rows[i] for i in cycle["legs"].tolist()]
    if min(known) < 0:
        cycle["stray_e8"], cycle["stage"] = 0, cycle_state.UNWIND  # stablecoins stay what they are
    cycle["goes_back"] = 1
    cycle["legs"] = [max(i, 0) for i in known]
    cycle["desk"] = max(rows[int(cycle["desk"])], 0)
    cycle["deadline_ns"] = now_ns + int(new.state.arbitrage_params[0]["max_seconds"] * 1e9)
    head = new.state.head[0]
    new.state.timers[timers.CYCLE] = now_ns
    if now_ns < int(head["next_timer_ns"]):
        head["next_timer_ns"], head["next_timer_id"] = now_ns, timers.CYCLE


def _wallet_names(core: state.Core) -> list[str]:
    """Venues in the order of their wallets; one nameless wallet where the cash is not kept by venue."""
    venues = list(dict.fromkeys(one.venue for one in core.instruments))
    return venues if len(core.state.wallets) == len(venues) > 1 else venues[:1] if len(venues) == 1 else [""]


def _copy(name: str, source: Array, target: Array) -> None:
    """Field by field. Raises Fatal for a field that has no place any more."""
    if source.dtype == target.dtype:
        if source.shape != target.shape:
            raise _other(name, f"shape {source.shape} instead of {target.shape}")
        target[...] = source
        return
    fields: Sequence[str] = source.dtype.names or ()
    if not fields or target.dtype.names is None:
        raise _other(name, f"type {source.dtype} instead of {target.dtype}")
    for field in fields:
        if field not in target.dtype.names:
            if source[field].any():
                raise _other(name, f"the field {field!r}, which this build does not know")
            continue
        _copy_field(name, field, source[field], target[field])


def _copy_field(name: str, field: str, source: Array, target: Array) -> None:
    """A list that this build keeps longer begins with what was kept; one that it keeps shorter does not fit."""
    if source.shape[:-1] != target.shape[:-1] or source.shape[-1] > target.shape[-1]:
        raise _other(name, f"{field} of shape {source.shape} instead of {target.shape}")
    target[..., : source.shape[-1]] = source


def _other(name: str, what: str) -> Fatal:
    return Fatal(
        f"the saved state is of another build: {name} has {what}; start it with the version of Keel that wrote it, or "
        "begin afresh with trading-cli up --fresh (nothing is carried over then)"
    )
