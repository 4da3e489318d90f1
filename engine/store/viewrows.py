"""What the live view holds: one struct for each kind of row, for who writes and who reads.

| table, stream | name of the row  | struct      | made by                                           |
|---------------|------------------|-------------|---------------------------------------------------|
| positions     | ``venue:SYMBOL`` | PositionRow | `coreview.positions`                              |
| orders        | client id        | OrderRow    | `coreview.orders`                                 |
| equity        | ``account``      | AccountRow  | `coreview.account`                                |
| equity        | ``engine``       | EngineRow   | the runtime, about itself                         |
| feeds         | ``venue:stream`` | FeedRow     | the runtime, from the venues' health              |
| in_force      | the dotted key   | SettingRow  | `coreview.in_force`                               |
| foreign       | what it is       | ForeignRow  | the runtime, from reconciliation                  |
| selection     | the strategy     | ShareRow    | `selectionview.selection`                         |
| market        | ``market``       | MarketRow   | `selectionview.market`                            |
| desks         | the venue        | DeskRow     | `cycleview.desks`                                 |
| decisions     |                  | DecisionRow | `coreview.decision` of PLACE, CANCEL              |
| refusals      |                  | RefusalRow  | `coreview.refusal` of REFUSED, ORDER_REJECT       |
| fills         |                  | FillRow     | `coreview.fill` of FILL                           |
| cycles        |                  | CycleRow    | `cycleview.CycleWatch` of CYCLE                   |
| notices       |                  | NoticeRow   | the runtime, from a venue's notice                |

The writer: ``view.put("positions", cells(positions(core)))``, ``view.add("fills", cell(fill(core, record)))``.
The reader: ``rows(view.positions, PositionRow)``. Money in USD and prices as floats (this is for eyes, the journal has
the integers), times wall ns UTC. Instruments are named ``venue:SYMBOL``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from engine.contracts.errors import BadData
from engine.store.liveview import Cell, LiveView

ACCOUNT: Final = "account"  # rows of the table `equity`
ENGINE: Final = "engine"
MARKET: Final = "market"  # the row of the table of that name


class ViewRow(msgspec.Struct, frozen=True, kw_only=True):
    """Flat: every field is a cell."""


R = TypeVar("R", bound=ViewRow)


class PositionRow(ViewRow, frozen=True, kw_only=True):
    """`stop` is where the protective stop should be, `stop_state` what the venue's order for it is (``none``: there
    is none). `at_stop_usd`: open result if the stop were hit now, slippage and fee included."""

    instrument: str
    strategy: str
    qty: float
    entry: float
    mark: float
    stop: float | None
    stop_state: str
    target: float | None
    unrealised_usd: float
    at_stop_usd: float
    notional_usd: float
    opened_ns: int
    blocked: bool


class OrderRow(ViewRow, frozen=True, kw_only=True):
    """A working order of ours. `price` is None for market orders, `trigger` for all but stops."""

    client_id: int
    instrument: str
    strategy: str
    role: str
    side: str
    order_type: str
    price: float | None
    trigger: float | None
    qty: float
    filled: float
    status: str
    reason: str
    placed_ns: int


class AccountRow(ViewRow, frozen=True, kw_only=True):
    """`day_pnl_usd` may fall to minus `day_limit_usd`; `open_risk_usd` is what is lost if every stop were hit now;
    `free_usd` is to stay above `reserve_usd`."""

    ts_ns: int
    state: str
    flattening: bool
    equity_usd: float
    day_pnl_usd: float
    day_limit_usd: float
    open_risk_usd: float
    cash_usd: float
    free_usd: float
    reserve_usd: float
    unrealised_usd: float
    fees_usd: float
    funding_usd: float
    exposure_usd: float
    exposure_limit_usd: float
    peak_usd: float
    drawdown_pct: float
    drawdown_limit_pct: float
    positions: int
    violations: int


class EngineRow(ViewRow, frozen=True, kw_only=True):
    """The engine about itself. Latencies are of the last orders, from the tick's arrival to the socket; None where
    there were none yet. `conflated`: market records overtaken by newer ones before they were taken."""

    mode: str
    started_ns: int
    strategies: str  # separated by commas
    events: int
    events_per_s: float
    queue: int
    conflated: int
    orders: int
    tick_to_order_us_p50: float | None
    tick_to_order_us_p99: float | None
    journal_ok: bool
    notes: str = ""
    reconciled_ns: int = 0  # wall time of the last look at everything the venues hold; 0: none yet


class FeedRow(ViewRow, frozen=True, kw_only=True):
    """One stream of a venue. `data_ns`: wall time of its last data, 0 before the first; pings do not count.
    `clock_offset_ms`: the venue's clock less ours, where it is measured."""

    venue: str
    stream: str
    connected: bool
    data_ns: int
    messages: int
    reconnects: int
    gaps: int
    undecodable: int
    clock_offset_ms: float | None = None


class SettingRow(ViewRow, frozen=True, kw_only=True):
    """A limit or a parameter of a running strategy, in the unit of its setting."""

    value: float


class ForeignRow(ViewRow, frozen=True, kw_only=True):
    """An order or a perpetual position at a venue that is not ours. `qty` is signed; `price`: limit, trigger or entry;
    `name`: the client id somebody gave the order."""

    what: str
    instrument: str
    qty: float
    price: float | None
    name: str


class ShareRow(ViewRow, frozen=True, kw_only=True):
    """Why a strategy is on: its share (0..1) of the risk budget, and what that was made from. `mean_r` and `radius_r`
    are its expectancy in the present regime, of `trades` (discounted); `why` says it in words. `held_back_until_ns`: 0
    where no limit was broken."""

    strategy: str
    share: float
    target: float
    regime: str
    mean_r: float
    radius_r: float
    trades: float
    reason: str
    since_ns: int
    held_back_until_ns: int
    why: str


class MarketRow(ViewRow, frozen=True, kw_only=True):
    """The market's regime and its features (`engine.core.regime.FEATURES`); `leader` is empty where there is none."""

    regime: str
    since_ns: int
    leader: str
    trend: float
    volatility: float
    breadth: float
    spread: float
    liquidity: float
    funding: float
    cycles: float


class DeskRow(ViewRow, frozen=True, kw_only=True):
    """Triangular cycles of a venue since the engine started. `state` is ``trading``, ``shadow`` (nothing is sent) or
    ``off``, and `why` says it in words. Of those `begun` (sent) `done` went through all three legs, `missed` got
    nothing at the first; `won` made money. Edges are means of those that filled anything, bps; `rehearsed`: in shadow.
    `decay_bps` is what the edge is expected to lose on its way."""

    venue: str
    state: str
    why: str
    begun: int
    done: int
    turned_back: int
    missed: int
    won: int
    rehearsed: int
    quoted_bps: float | None
    realised_bps: float | None
    net_usd: float
    decay_bps: float
    under_way: bool


class CycleRow(ViewRow, frozen=True, kw_only=True):
    """A triangular cycle that is over; edges in bps of `amount_usd`."""

    ts_ns: int
    venue: str
    way: str
    shadow: bool
    outcome: str
    quoted_bps: float
    realised_bps: float
    amount_usd: float
    net_usd: float


class DecisionRow(ViewRow, frozen=True, kw_only=True):
    """A command of the core: `action` is place or cancel."""

    ts_ns: int
    action: str
    client_id: int
    instrument: str
    strategy: str
    role: str
    side: str
    order_type: str
    qty: float | None
    price: float | None
    trigger: float | None
    reason: str


class RefusalRow(ViewRow, frozen=True, kw_only=True):
    """`source` is risk or venue; `measured_usd` broke `limit_usd` where both apply."""

    ts_ns: int
    instrument: str
    strategy: str
    side: str
    reason: str
    source: str
    measured_usd: float | None
    limit_usd: float | None


class FillRow(ViewRow, frozen=True, kw_only=True):
    """One execution; `forced` is a liquidation or a close by the venue."""

    ts_ns: int
    client_id: int
    instrument: str
    side: str
    price: float
    qty: float
    fee_usd: float
    maker: bool
    forced: bool


class NoticeRow(ViewRow, frozen=True, kw_only=True):
    """Something a person may want to know; `kind` as in the venue port."""

    ts_ns: int
    venue: str
    kind: str
    text: str
    instrument: str = ""


def cell(row: ViewRow) -> dict[str, Cell]:
    """A row as the live view writes it."""
    return msgspec.structs.asdict(row)


def cells(table: Mapping[str, ViewRow]) -> dict[str, dict[str, Cell]]:
    """A table as the live view writes it."""
    return {name: msgspec.structs.asdict(row) for name, row in table.items()}


def row(found: Mapping[str, Cell], kind: type[R]) -> R:
    """A row as it was written. Raises BadData where it is another: an engine of another version writes there."""
    try:
        return msgspec.convert(dict(found), kind)
    except msgspec.ValidationError as error:
        raise BadData(f"the live view holds a {kind.__name__} of another version ({error})") from None


def rows(table: Mapping[str, Mapping[str, Cell]], kind: type[R]) -> dict[str, R]:
    """A table as it was written, names in order."""
    return {name: row(table[name], kind) for name in sorted(table)}


def row_list(stream: Sequence[Mapping[str, Cell]], kind: type[R]) -> list[R]:
    """A stream as it was written, the oldest first."""
    return [row(one, kind) for one in stream]


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a running engine, typed. `beat_ns` is None when its view has not been written for 5 s: then nothing
    here is live. Streams: the oldest first."""

    run: str
    mode: str
    pid: int
    beat_ns: int | None
    account: AccountRow
    engine: EngineRow
    positions: dict[str, PositionRow]
    orders: dict[str, OrderRow]
    feeds: dict[str, FeedRow]
    decisions: list[DecisionRow]
    refusals: list[RefusalRow]
    fills: list[FillRow]
    notices: list[NoticeRow]
    selection: dict[str, ShareRow] = {}
    market: MarketRow | None = None
    desks: dict[str, DeskRow] = {}
    cycles: list[CycleRow] = []


def picture_of(view: LiveView, mode: str, pid: int) -> Picture:
    """The view's rows, typed. Raises BadData where they are of another version, or account and engine are missing."""
    if not {ACCOUNT, ENGINE} <= view.equity.keys():
        raise BadData(f"the live view of run {view.run} has no {ACCOUNT} or no {ENGINE}: an engine of another version?")
    return Picture(
        run=view.run, mode=mode, pid=pid, beat_ns=view.heartbeat.ts_ns if view.heartbeat else None,
        account=row(view.equity[ACCOUNT], AccountRow), engine=row(view.equity[ENGINE], EngineRow),
        positions=rows(view.positions, PositionRow), orders=rows(view.orders, OrderRow),
        feeds=rows(view.feeds, FeedRow), decisions=row_list(view.decisions, DecisionRow),
        refusals=row_list(view.refusals, RefusalRow), fills=row_list(view.fills, FillRow),
        notices=row_list(view.notices, NoticeRow), selection=rows(view.selection, ShareRow),
        market=row(view.market[MARKET], MarketRow) if MARKET in view.market else None,
        desks=rows(view.desks, DeskRow), cycles=row_list(view.cycles, CycleRow),
    )  # fmt: skip
