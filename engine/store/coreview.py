"""The core's state and records as rows of the live view (`engine.store.viewrows`). Reads, never writes.

Some 20 us a position or order: made for a few times a second, not for every event.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts import reasons, records
from engine.core import life, selector
from engine.core.limits import BOUNDS, SCALE
from engine.core.orders import POOL, TRADING_STATES
from engine.core.state import Core
from engine.core.strategies.table import NAMES, STRATEGIES
from engine.store.viewrows import AccountRow, DecisionRow, FillRow, OrderRow, PositionRow, RefusalRow, SettingRow

USD: Final = 1e8
SIDES: Final = {1: "buy", -1: "sell", 0: ""}
STOPS: Final = (records.STOP_MARKET, records.STOP_LIMIT)
PRICED: Final = (records.LIMIT_ORDER, records.STOP_LIMIT)


def name_of(core: Core, instrument: int) -> str:
    """``venue:SYMBOL``; empty where a record concerns no instrument."""
    if not 0 <= instrument < len(core.instruments):
        return ""
    one = core.instruments[instrument]
    return f"{one.venue}:{one.symbol}"


def positions(core: Core) -> dict[str, PositionRow]:
    """Every open position."""
    every = core.state.positions
    return {name_of(core, int(i)): _position(core, int(i), every[i]) for i in np.flatnonzero(every["qty_lots"])}


def orders(core: Core) -> dict[str, OrderRow]:
    """Every order of ours that may still fill."""
    every = core.state.orders
    working = np.flatnonzero((every["status"] != life.FREE) & (every["status"] < life.FIRST_DONE))
    return {str(int(every[k]["client_id"])): _order(core, every[k]) for k in working}


def account(core: Core) -> AccountRow:
    """Where the account stands."""
    head, limits = core.state.head[0], core.state.limits[0]
    book = int(head.deposits_e8 + head.gross_e8 - head.fees_e8 + head.funding_e8)
    equity, day_start, peak = book + int(head.unrealised_e8), int(head.day_start_e8), int(head.peak_e8)
    reserve_share = day_start * int(limits.reserve_pct) // (100 * SCALE)
    return AccountRow(
        ts_ns=int(head.now_ns), state=TRADING_STATES[int(head.trading_state)], flattening=bool(head.flattening),
        equity_usd=equity / USD, day_pnl_usd=(equity - day_start) / USD, day_limit_usd=int(head.day_limit_e8) / USD,
        open_risk_usd=int(head.unrealised_e8 - head.at_stops_e8) / USD, cash_usd=int(head.cash_e8) / USD,
        free_usd=int(head.cash_e8 - head.reserved_e8 - head.margin_e8) / USD,
        reserve_usd=max(int(limits.reserve_e8), reserve_share) / USD, unrealised_usd=int(head.unrealised_e8) / USD,
        fees_usd=int(head.fees_e8) / USD, funding_usd=int(head.funding_e8) / USD,
        exposure_usd=int(head.exposure_e8) / USD, exposure_limit_usd=int(limits.exposure_e8) / USD,
        peak_usd=peak / USD, drawdown_pct=max(0.0, 100.0 * (peak - equity) / peak) if peak > 0 else 0.0,
        drawdown_limit_pct=int(limits.drawdown_pct) / SCALE, positions=int(head.open_positions),
        violations=int(head.violations),
    )  # fmt: skip


def in_force(core: Core) -> dict[str, SettingRow]:
    """Every limit, every parameter of the selector and of a running strategy, by its dotted key."""
    found = limits_of(core.state.limits)
    chosen_by = zip(selector.PARAMS, core.state.selector_words.tolist(), strict=True)
    found |= {f"{selector.NAME}.{param.name}": value for param, value in chosen_by}
    for row in STRATEGIES:
        if core.state.enabled[row.number]:
            first = int(core.state.param_start[row.number])
            values = core.state.params[first : first + len(row.params)].tolist()
            found |= {f"strategies.{row.name}.{p.name}": value for p, value in zip(row.params, values, strict=True)}
    return {key: SettingRow(value=value) for key, value in found.items()}


def limits_of(record: np.ndarray[Any, Any]) -> dict[str, float]:
    """The values in one `LIMITS` record, by dotted key."""
    words = record.view(np.dtype("<i8")).tolist()
    scales = [USD if name.endswith("_usd") else float(SCALE) for name in BOUNDS]
    return {f"limits.{name}": word / scale for name, word, scale in zip(BOUNDS, words, scales, strict=True)}


def decision(core: Core, command: Any) -> DecisionRow:
    """A PLACE or CANCEL as it was sent."""
    i, kind = int(command["instrument"]), int(command["order_type"])
    placed = int(command["kind"]) == records.PLACE
    return DecisionRow(
        ts_ns=int(command["ts_ns"]), action="place" if placed else "cancel", client_id=int(command["client_id"]),
        instrument=name_of(core, i), strategy=NAMES.get(int(command["strategy"]), ""),
        role=records.ROLES.get(int(command["role"]), ""), side=SIDES.get(int(command["side"]), ""),
        order_type=records.ORDER_TYPES.get(kind, "") if placed else "",
        qty=_quantity(core, i, command["qty_lots"]) if placed else None,
        price=_price(core, i, command["price_ticks"]) if placed and kind in PRICED else None,
        trigger=_price(core, i, command["trigger_ticks"]) if placed and kind in STOPS else None,
        reason=_reason(command["reason"]),
    )  # fmt: skip


def refusal(core: Core, record: Any) -> RefusalRow:
    """A REFUSED of our own limits, or an ORDER_REJECT of a venue."""
    by_risk = int(record["kind"]) == records.REFUSED
    strategy, side = int(record["strategy"]), int(record["side"])
    if not by_risk:  # what a venue says names only the order
        order = core.state.orders[int(record["client_id"]) % POOL]
        known = int(order["client_id"]) == int(record["client_id"])
        strategy, side = (int(order["strategy"]), int(order["side"])) if known else (0, side)
    return RefusalRow(
        ts_ns=int(record["ts_ns"]), instrument=name_of(core, int(record["instrument"])),
        strategy=NAMES.get(strategy, ""), side=SIDES.get(side, ""), reason=_reason(record["reason"]),
        source="risk" if by_risk else "venue", measured_usd=int(record["measured_e8"]) / USD if by_risk else None,
        limit_usd=int(record["limit_e8"]) / USD if by_risk else None,
    )  # fmt: skip


def fill(core: Core, record: Any) -> FillRow:
    """A FILL. A fee taken in the coin is valued at the fill's price, as in the ledger."""
    i, bits = int(record["instrument"]), int(record["bits"])
    price, fee = _price(core, i, record["price_ticks"]) or 0.0, int(record["fee_e8"]) / USD
    return FillRow(
        ts_ns=int(record["ts_ns"]), client_id=int(record["client_id"]), instrument=name_of(core, i),
        side=SIDES.get(int(record["side"]), ""), price=price, qty=_quantity(core, i, record["qty_lots"]) or 0.0,
        fee_usd=fee * price if bits & records.FEE_IN_BASE else fee, maker=bool(bits & records.MAKER),
        forced=bool(bits & records.FORCED),
    )  # fmt: skip


def _position(core: Core, i: int, p: Any) -> PositionRow:
    one, lots, cost_usd = core.instruments[i], int(p["qty_lots"]), int(p["cost_e8"]) / USD
    qty = float(one.quantity(lots))
    return PositionRow(
        instrument=name_of(core, i), strategy=NAMES.get(int(p["strategy"]), ""), qty=qty,
        entry=cost_usd / abs(qty * float(one.contract_size)), mark=float(one.price(int(p["mark_ticks"]))),
        stop=_price(core, i, p["stop_ticks"]), stop_state=_stop_state(core, int(p["stop_id"])),
        target=_price(core, i, p["target_ticks"]), unrealised_usd=int(p["unrealised_e8"]) / USD,
        at_stop_usd=int(p["at_stop_e8"]) / USD, notional_usd=cost_usd, opened_ns=int(p["opened_ns"]),
        blocked=bool(p["foreign_lots"]),
    )  # fmt: skip


def _order(core: Core, o: Any) -> OrderRow:
    i, kind = int(o["instrument"]), int(o["order_type"])
    return OrderRow(
        client_id=int(o["client_id"]), instrument=name_of(core, i), strategy=NAMES.get(int(o["strategy"]), ""),
        role=records.ROLES.get(int(o["role"]), ""), side=SIDES.get(int(o["side"]), ""),
        order_type=records.ORDER_TYPES.get(kind, ""),
        price=_price(core, i, o["price_ticks"]) if kind in PRICED else None,
        trigger=_price(core, i, o["trigger_ticks"]) if kind in STOPS else None,
        qty=_quantity(core, i, o["qty_lots"]) or 0.0, filled=_quantity(core, i, o["filled_lots"]) or 0.0,
        status=life.STATES[int(o["status"])], reason=_reason(o["reason"]), placed_ns=int(o["placed_ns"]),
    )  # fmt: skip


def _stop_state(core: Core, stop_id: int) -> str:
    """What became of a position's stop order; ``none`` where there is none at the venue."""
    order = core.state.orders[stop_id % POOL]
    return life.STATES[int(order["status"])] if stop_id and int(order["client_id"]) == stop_id else "none"


def _price(core: Core, instrument: int, ticks: Any) -> float | None:
    known = int(ticks) > 0 and instrument < len(core.instruments)
    return float(core.instruments[instrument].price(int(ticks))) if known else None


def _quantity(core: Core, instrument: int, lots: Any) -> float | None:
    known = instrument < len(core.instruments)
    return float(core.instruments[instrument].quantity(int(lots))) if known else None


def _reason(code: Any) -> str:
    return reasons.name(int(code)) if int(code) else ""
