"""A process that shows itself and listens as an engine does: running file, live view, control channel; it trades not.

``python shown_engine.py HOME [mute|hidden]``: says "ready" on stdout and goes on until stdin closes. ``mute`` hears
nobody, ``hidden`` writes no live view.
"""

from __future__ import annotations

import asyncio
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from engine.contracts import reasons
from engine.contracts.instruments import Instrument
from engine.contracts.records import LIMIT, OPERATOR, PARAMETER
from engine.core.limits import Limits
from engine.core.orders import TRADING_STATES
from engine.core.state import Core, new_core
from engine.runtime.people import People
from engine.store import coreview
from engine.store.liveview import LiveWriter
from engine.store.redis_server import LiveRedis, connect_redis
from engine.store.running import clear_running, write_running
from engine.store.viewrows import (
    ACCOUNT,
    ENGINE,
    AccountRow,
    DecisionRow,
    EngineRow,
    FeedRow,
    FillRow,
    NoticeRow,
    OrderRow,
    PositionRow,
    RefusalRow,
    cell,
    cells,
)

TRADED: Final = Instrument(
    symbol="BTC/USDT", venue="sandbox", base="BTC", quote="USDT", tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"), min_qty=Decimal("0.00001"), max_qty=Decimal(9000),
)  # fmt: skip
RUN: Final = "20250101-000000-paper"
NOW_NS: Final = time.time_ns()
STATES: Final = {
    reasons.OPERATOR_PAUSE: "REDUCING", reasons.OPERATOR_REDUCE: "REDUCING", reasons.OPERATOR_RESUME: "ACTIVE",
    reasons.OPERATOR_EMERGENCY: "HALTED",
}  # fmt: skip


def account(state: str) -> AccountRow:
    return AccountRow(
        ts_ns=NOW_NS, state=state, flattening=False, equity_usd=995.5, day_pnl_usd=-4.5, day_limit_usd=20.0,
        open_risk_usd=7.25, cash_usd=800.0, free_usd=790.0, reserve_usd=200.0, unrealised_usd=1.5, fees_usd=0.4,
        funding_usd=0.0, exposure_usd=200.0, exposure_limit_usd=800.0, peak_usd=1000.0, drawdown_pct=0.45,
        drawdown_limit_pct=5.0, positions=1, violations=0,
    )  # fmt: skip


def take(core: Core, event: Any) -> None:
    """What the compiled core does with a word, as far as people see it."""
    if event["kind"] == OPERATOR:
        core.state.head[0].trading_state = TRADING_STATES.index(STATES[int(event["reason"])])
        if event["reason"] == reasons.OPERATOR_RESUME:
            core.state.head[0].peak_e8 = 99_550_000_000
    elif event["kind"] == LIMIT:
        core.state.limit_words[event["index"]] = event["amount_e8"]
    elif event["kind"] == PARAMETER:
        core.state.params[core.state.param_start[event["reason"]] + event["index"]] = event["value_e9"] / 1e9


def fill_view(view: LiveWriter, core: Core) -> None:
    engine = EngineRow(
        mode="paper", started_ns=NOW_NS, strategies="momentum", events=12_345, events_per_s=250.0, queue=3, conflated=2,
        orders=4, tick_to_order_us_p50=88.0, tick_to_order_us_p99=410.0,
        journal_ok=True,
    )  # fmt: skip
    position = PositionRow(
        instrument="sandbox:BTC/USDT", strategy="momentum", qty=0.00312, entry=64_012.34, mark=64_100.01, stop=63_000.5,
        stop_state="accepted", target=None, unrealised_usd=1.5, at_stop_usd=-7.25, notional_usd=200.0, opened_ns=NOW_NS,
        blocked=False,
    )  # fmt: skip
    order = OrderRow(
        client_id=7, instrument="sandbox:BTC/USDT", strategy="momentum", role="stop", side="sell",
        order_type="stop_market", price=None, trigger=63_000.5, qty=0.00312, filled=0.0, status="accepted",
        reason="", placed_ns=NOW_NS,
    )  # fmt: skip
    feed = FeedRow(
        venue="sandbox", stream="quotes", connected=True, data_ns=NOW_NS, messages=999, reconnects=1, gaps=0,
        undecodable=0, clock_offset_ms=5_012.0,
    )  # fmt: skip
    state = TRADING_STATES[int(core.state.head[0].trading_state)]
    view.put("in_force", cells(coreview.in_force(core)))
    view.put("equity", cells({ACCOUNT: account(state), ENGINE: engine}))
    view.put("positions", cells({position.instrument: position}))
    view.put("orders", cells({"7": order}))
    view.put("feeds", cells({"sandbox:quotes": feed}))


def fill_streams(view: LiveWriter) -> None:
    decision = DecisionRow(
        ts_ns=NOW_NS, action="place", client_id=7, instrument="sandbox:BTC/USDT", strategy="momentum", role="stop",
        side="sell", order_type="stop_market", qty=0.00312, price=None, trigger=63_000.5, reason="ENTRY_SIGNAL",
    )  # fmt: skip
    refusal = RefusalRow(
        ts_ns=NOW_NS, instrument="sandbox:ETH/USDT", strategy="momentum", side="buy", reason="DAY_LOSS", source="risk",
        measured_usd=21.5, limit_usd=20.0,
    )  # fmt: skip
    fill = FillRow(
        ts_ns=NOW_NS, client_id=6, instrument="sandbox:BTC/USDT", side="buy", price=64_012.34, qty=0.00312,
        fee_usd=0.1997, maker=False, forced=False,
    )  # fmt: skip
    view.add("decisions", cell(decision))
    view.add("refusals", cell(refusal))
    view.add("fills", cell(fill))
    view.add("notices", cell(NoticeRow(ts_ns=NOW_NS, venue="sandbox", kind="gap", text="book [ETH/USDT] read anew")))


async def run(live: LiveRedis, manner: str) -> None:
    client, ears = live.asynchronous(), live.asynchronous()
    view = LiveWriter(client, RUN)

    core = new_core([TRADED], Limits(), 1000.0, {"momentum": {}}, (60, 180, 720))

    def carry_out(event: Any) -> None:
        take(core, event[0])
        if manner != "hidden":
            fill_view(view, core)

    tasks = []
    if manner != "hidden":
        fill_view(view, core)
        fill_streams(view)
        await view.flush()
        tasks.append(asyncio.create_task(view.write_on()))
    if manner != "mute":
        tasks.append(asyncio.create_task(People(ears, RUN, core, carry_out, time.time_ns).listen()))
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.aclose()
    await ears.aclose()


def main() -> None:
    home, manner = Path(sys.argv[1]), (sys.argv[2:] or [""])[0]
    write_running(home, RUN, "paper", ["sandbox"])
    with connect_redis(None, home) as live:
        asyncio.run(run(live, manner))
    clear_running(home)


if __name__ == "__main__":
    main()
