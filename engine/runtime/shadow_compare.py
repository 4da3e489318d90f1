"""The monitor's books against the core's memory, number by number; exact, and nothing is put right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from engine.contracts import records as r
from engine.contracts.records import NO_INSTRUMENT
from engine.core.state import Core
from engine.runtime.shadow_books import Books

_COMPARED: Final = ("status", "qty_lots", "filled_lots", "reserve_e8", "risk_e8")


class Difference(NamedTuple):
    """A number of the core (`core`) that the records do not bear out (`books`)."""

    code: str
    instrument: int
    name: str
    core: int
    books: int


def differences(core: Core, books: Books, day: Mapping[str, int | None]) -> Iterator[Difference]:
    """Everything that differs; `day` has what the monitor knows of the day, by the head's names (None: not known)."""
    yield from _account(core, books, day)
    yield from _positions(core, books)
    yield from _orders(core, books)
    s = core.state
    for k, asset in enumerate(core.assets):
        yield from _differs("BALANCE", NO_INSTRUMENT, f"balance of {asset}", s.balances[k], books.balances[asset])
    for name, value in books.limits.items():
        yield from _differs("LIMIT", NO_INSTRUMENT, f"limit {name}", s.limits[0][name], value)
    for k, purse in enumerate(books.purses):
        for name in ("cash_e8", "margin_e8", "reserved_e8"):
            yield from _differs("WALLET", NO_INSTRUMENT, f"wallet {k} {name}", s.wallets[k][name], getattr(purse, name))


def _differs(code: str, i: int, name: str, core: Any, books: int) -> Iterator[Difference]:
    if int(core) != books:
        yield Difference(code, i, name, int(core), books)


def _account(core: Core, books: Books, day: Mapping[str, int | None]) -> Iterator[Difference]:
    head, none = core.state.head[0], NO_INSTRUMENT
    totals, entries = books.totals, [o for o in books.orders.values() if o.is_working and o.role == r.ROLE_ENTRY]
    for name in ("deposits_e8", "gross_e8", "fees_e8", "funding_e8"):
        yield from _differs("MONEY", none, name, head[name], getattr(totals, name))
    sums = {
        "cash_e8": sum(one.cash_e8 for one in books.purses),
        "margin_e8": sum(one.margin_e8 for one in books.purses),
        "reserved_e8": sum(one.reserved_e8 for one in books.purses),
        "exposure_e8": books.exposure_e8,
        "pending_risk_e8": books.pending_risk_e8,
    }
    for name, value in sums.items():
        yield from _differs("MONEY", none, name, head[name], value)
    counts = {
        "pending_entries": len(entries),
        "pending_margins": sum(books.terms[one.instrument].is_perp for one in entries),
        "open_positions": sum(one.lots != 0 for one in books.held),
        "next_client_id": books.next_client_id,
    }
    for name, value in counts.items():
        yield from _differs("COUNT", none, name, head[name], value)
    for name, known in day.items():
        if known is not None:
            yield from _differs("STATE" if name == "trading_state" else "DAY", none, name, head[name], known)
    if int(head["min_free_e8"]) > books.free_e8:
        yield Difference("MONEY", none, "min_free_e8", int(head["min_free_e8"]), books.free_e8)


def _positions(core: Core, books: Books) -> Iterator[Difference]:
    open_e8 = at_stops = 0
    slippage = books.limits["stop_slippage_bps"]
    for i, held in enumerate(books.held):
        p, terms = core.state.positions[i], books.terms[i]
        yield from _differs("POSITION", i, "qty_lots", p["qty_lots"], held.lots)
        yield from _differs("POSITION", i, "cost_e8", p["cost_e8"], held.cost_e8)
        yield from _differs("POSITION", i, "margin_e8", p["margin_e8"], held.margin_e8)
        yield from _differs("POSITION", i, "dust_e8", p["dust_e8"], held.dust_e8)
        result = terms.open_result(held.lots, held.cost_e8, int(p["mark_ticks"]))
        yield from _differs("OPEN_RESULT", i, "unrealised_e8", p["unrealised_e8"], result)
        open_e8 += result
        stop = int(p["stop_ticks"])
        if terms.changed_fee:  # reckoned anew with the next change of the position or its stop
            result = int(p["at_stop_e8"])
        else:
            result = terms.result_at_stop(held.lots, held.cost_e8, stop, slippage)
            yield from _differs("OPEN_RESULT", i, "at_stop_e8", p["at_stop_e8"], result)
        at_stops += result
        if held.lots != 0 and held.stop_ticks > 0 and (stop - held.stop_ticks) * held.lots < 0:
            yield Difference("STOP_LOOSENED", i, "stop_ticks", stop, held.stop_ticks)
    for i, pot in enumerate(books.pots.pots):
        mine = core.state.pots[i]
        yield from _differs("POT", i, "qty_e8", mine["qty_e8"], pot.qty_e8)
        yield from _differs("POT", i, "pot cost_e8", mine["cost_e8"], pot.cost_e8)
        result = books.pots.open_result(books, i, int(mine["mark_ticks"]))
        yield from _differs("OPEN_RESULT", i, "unrealised_e8 of a pot", mine["unrealised_e8"], result)
        open_e8 += result
    head = core.state.head[0]
    yield from _differs("OPEN_RESULT", NO_INSTRUMENT, "unrealised_e8", head["unrealised_e8"], open_e8)
    yield from _differs("OPEN_RESULT", NO_INSTRUMENT, "at_stops_e8", head["at_stops_e8"], at_stops)


def _orders(core: Core, books: Books) -> Iterator[Difference]:
    rows = core.state.orders
    columns = [rows[name].tolist() for name in ("client_id", "instrument", *_COMPARED)]  # by rows it takes milliseconds
    theirs = {one[0]: (one[1], one[2:]) for one in zip(*columns, strict=True) if one[0] != 0}
    for client_id, (instrument, values) in theirs.items():
        order = books.orders.get(client_id)
        if order is None:
            yield Difference("ORDER", instrument, f"order {client_id}", 1, 0)
            continue
        ours = (order.status, order.lots, order.filled_lots, order.reserve_e8, order.risk_e8)
        if values != ours:
            for name, value, own in zip(_COMPARED, values, ours, strict=True):
                yield from _differs("ORDER", order.instrument, f"order {client_id} {name}", value, own)
    for order in books.orders.values():
        if order.is_working and order.client_id not in theirs:
            yield Difference("ORDER", order.instrument, f"order {order.client_id}", 0, 1)
