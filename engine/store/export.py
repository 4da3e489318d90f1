"""Closed trades, fills and orders as a table for people and tax programs, read from PostgreSQL.

Rules
-----
* Amounts are exact decimals in the quote currency the venue settles in, never floats; times are UTC.
* Every row says REAL or SIMULATED (paper, shadow and backtests); SIMULATED rows are left out unless they are asked for.
* A trade belongs to the moment it was closed. `cost` is what was paid for what was bought, `proceeds` what was got for
  what was sold, for a short too; net = proceeds - cost - fees + funding.
* A real fill told in two runs (the second asked for it again after a restart) is one row.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import Column, Connection, Table, func, select

from engine.contracts.instruments import Instrument
from engine.store import schema

What = Literal["trades", "fills", "orders"]
Form = Literal["csv", "json"]
REAL: Final = "REAL"
SIMULATED: Final = "SIMULATED"
_CENT_E8: Final = Decimal("1e-8")
_EXACT: Final = Context(prec=60)


class Period(NamedTuple):
    """From `from_ns` to before `to_ns`, ns UTC; None is open."""

    from_ns: int | None = None
    to_ns: int | None = None


class Cell(NamedTuple):
    """A row of a table with what belongs to it: its run and its instrument."""

    row: Any
    world: str
    kind: str
    instrument: Instrument | None

    @property
    def currency(self) -> str:
        return self.instrument.quote if self.instrument else ""

    def value(self, price: Decimal) -> Decimal:
        """What the row's quantity is worth at `price`, to 1e-8."""
        size = self.instrument.contract_size if self.instrument else Decimal(1)
        with localcontext(_EXACT):
            worth: Decimal = price * self.row.qty * size
            return worth.quantize(_CENT_E8)


def _cost(cell: Cell) -> Decimal:
    return cell.value(cell.row.entry_price if cell.row.side == "long" else cell.row.exit_price)


def _proceeds(cell: Cell) -> Decimal:
    return cell.value(cell.row.exit_price if cell.row.side == "long" else cell.row.entry_price)


def _of(name: str) -> Callable[[Cell], Any]:
    return lambda cell: getattr(cell.row, name)


def _time(name: str) -> Callable[[Cell], str]:
    return lambda cell: moment(getattr(cell.row, name))


_PLACE: Final[dict[str, Callable[[Cell], Any]]] = {name: _of(name) for name in ("venue", "symbol", "side", "qty")}
_RUN: Final[dict[str, Callable[[Cell], Any]]] = {
    "currency": lambda cell: cell.currency,
    "kind": lambda cell: cell.kind,
    "world": lambda cell: cell.world,
}

COLUMNS: Final[Mapping[What, Mapping[str, Callable[[Cell], Any]]]] = {
    "trades": {
        "opened_utc": _time("opened_ns"), "closed_utc": _time("closed_ns"), **_PLACE,
        "entry_price": _of("entry_price"), "exit_price": _of("exit_price"), "cost": _cost, "proceeds": _proceeds,
        "gross": _of("gross_usd"), "fees": _of("fees_usd"), "funding": _of("funding_usd"), "net": _of("net_usd"),
        **_RUN, "strategy": _of("strategy"), "exit_reason": _of("exit_reason"), "run_id": _of("run_id"),
        "trade_no": _of("trade_no"),
    },
    "fills": {
        "time_utc": _time("ts_ns"), **_PLACE, "price": _of("price"), "value": lambda cell: cell.value(cell.row.price),
        "fee": _of("fee_usd"), **_RUN, "role": _of("role"), "maker": _of("maker"), "forced": _of("forced"),
        "run_id": _of("run_id"), "trade_id": _of("trade_id"), "client_id": _of("client_id"),
    },
    "orders": {
        "time_utc": _time("ts_ns"), "done_utc": _time("done_ts_ns"), **_PLACE, "order_type": _of("order_type"),
        "tif": _of("tif"), "price": _of("price"), "trigger": _of("trigger"), "filled_qty": _of("filled_qty"),
        "status": _of("status"), **_RUN, "role": _of("role"), "reduce_only": _of("reduce_only"),
        "post_only": _of("post_only"), "strategy": _of("strategy"), "reason": _of("reason"),
        "refusal": _of("refusal"), "run_id": _of("run_id"), "client_id": _of("client_id"),
    },
}  # fmt: skip
"""The columns of each table, in order, and where each comes from."""

_TABLES: Final[Mapping[What, tuple[Table, Column[Any], tuple[str, ...]]]] = {
    "trades": (schema.trades, schema.trades.c.closed_ns, ("closed_ns", "run_id", "trade_no")),
    "fills": (schema.fills, schema.fills.c.ts_ns, ("ts_ns", "run_id", "seq", "trade_id")),
    "orders": (schema.orders, schema.orders.c.ts_ns, ("ts_ns", "run_id", "seq", "client_id")),
}


def rows(connection: Connection, what: What, period: Period, simulated: bool) -> Iterator[dict[str, str]]:
    """The rows of a table as text, by time."""
    runs = _runs(connection)
    table, _, order = _TABLES[what]
    query = _within(select(table), what, period).order_by(*(table.c[name] for name in order))
    seen: set[tuple[Any, ...]] = set()
    for row in connection.execute(query.execution_options(yield_per=1_000)):
        run = runs[row.run_id]
        if run.kind == SIMULATED and not simulated:
            continue
        if what == "fills" and run.kind == REAL:
            key = (row.venue, row.symbol, row.trade_id, row.side, row.price, row.qty)
            if key in seen:
                continue
            seen.add(key)
        cell = Cell(row, run.world, run.kind, run.instruments.get((row.venue, row.symbol)))
        yield {name: _text(take(cell)) for name, take in COLUMNS[what].items()}


def count_simulated(connection: Connection, what: What, period: Period) -> int:
    """How many SIMULATED rows there are."""
    table = _TABLES[what][0]
    query = select(func.count()).select_from(table.join(schema.runs)).where(schema.runs.c.simulated)
    return int(connection.scalar(_within(query, what, period)) or 0)


def encode(found: Iterator[dict[str, str]], what: What, form: Form) -> Iterator[str]:
    """The rows as CSV with a header, or as one JSON array; amounts are text in both."""
    if form == "csv":
        yield from _csv(found, list(COLUMNS[what]))
        return
    yield "["
    for place, row in enumerate(found):
        yield ("," if place else "") + "\n" + json.dumps(row)
    yield "\n]\n"


def moment(ts_ns: int) -> str:
    """ISO 8601 UTC, exact to the nanosecond; empty for 0."""
    if not ts_ns:
        return ""
    seconds, below = divmod(ts_ns, 1_000_000_000)
    fraction = f".{below:09d}".rstrip("0") if below else ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


class _Run(NamedTuple):
    world: str
    kind: str
    instruments: dict[tuple[str, str], Instrument]


def _runs(connection: Connection) -> dict[str, _Run]:
    table = schema.runs
    found = connection.execute(select(table.c.run_id, table.c.world, table.c.simulated, table.c.manifest))
    return {
        run_id: _Run(world, SIMULATED if simulated else REAL, _instruments(manifest))
        for run_id, world, simulated, manifest in found
    }


def _instruments(manifest: Mapping[str, Any]) -> dict[tuple[str, str], Instrument]:
    traded = msgspec.convert(manifest["instruments"], list[Instrument])
    return {(one.venue, one.symbol): one for one in traded}


def _within(query: Any, what: What, period: Period) -> Any:
    time = _TABLES[what][1]
    if period.from_ns is not None:
        query = query.where(time >= period.from_ns)
    if period.to_ns is not None:
        query = query.where(time < period.to_ns)
    return query


def _csv(found: Iterator[dict[str, str]], columns: list[str]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for row in found:
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        plain = format(value, "f") if value else "0"
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return str(value)
