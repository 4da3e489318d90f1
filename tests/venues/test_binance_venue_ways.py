"""Binance spot over the sandbox: what happens on the way when sockets, answers or rules are not there."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiohttp import WSMsgType, web
from binance_venue_rig import Stand, rigged

from engine.contracts import reasons
from engine.contracts.records import ROLE_EXIT, STOP_MARKET
from engine.venues.binance.endpoints import given
from engine.venues.binance.order_words import Text
from engine.venues.port import Venue

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    home = tmp_path_factory.mktemp("stand")
    running = Stand(home, speed=0.0, symbols=("BTC/USDT", "ETH/USDT"), minutes=12, accounts=8)
    yield running
    running.stop()


class Gate:
    """A WS API that passes the user stream on to the sandbox but never answers orders, or takes no connection."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.takes = True
        self.sockets: list[web.WebSocketResponse] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        app = web.Application()
        app.router.add_get("/", self._talk)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"ws://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        if not self.takes:
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                said: dict[str, Any] = msgspec.json.decode(message.data)
                if not said["method"].startswith("order."):
                    await socket.send_str(f'{{"id":"{said["id"]}","status":200,"result":{{}}}}')
        return socket


@pytest.mark.parametrize(("step", "count", "text"), [
    ("0.01", 6183763, "61837.63"), ("0.01", 5, "0.05"), ("1", 7, "7"), ("0.5", 3, "1.5"), ("10", 3, "30"),
    ("0.00000100", 12, "0.00001200"),
])  # fmt: skip
async def test_counts_become_exact_decimals(step: str, count: int, text: str) -> None:
    assert Text(Decimal(step))(count) == text


async def test_an_answer_that_does_not_come_is_unknown_and_so_is_all_in_flight_when_the_socket_breaks(
    sandbox: Stand,
) -> None:
    gate = Gate(sandbox.ws_api)
    where = given({**sandbox.venue, "ws_api": await gate.start()})
    async with rigged(sandbox, endpoints=where, runs=("execution",), answer_s=0.2) as rig:
        late = rig.limit(1, 1000, 100)
        await rig.events(late, "order_unknown")
        lost, cancelled = rig.limit(1, 1000, 100), late
        rig.cancel(cancelled)
        for socket in gate.sockets:
            await socket.close()
        await rig.events(lost, "order_unknown")
        await rig.events(late, "order_unknown", "order_unknown")
        assert not await rig.venue.execution.ask(0, lost)
    await gate.stop()


async def test_without_a_socket_exits_and_cancels_go_over_http_and_entries_are_refused(sandbox: Stand) -> None:
    async with rigged(sandbox) as real:
        buy = real.place(1, 3000)
        await real.has(buy, "fill")
        bid, _ = real.touch()
    gate = Gate(sandbox.ws_api)
    where = given({**sandbox.venue, "ws_api": await gate.start()})
    async with rigged(sandbox, endpoints=where, runs=("execution",)) as rig:
        gate.takes = False
        for socket in gate.sockets:
            await socket.close()
        await rig.inlet.until(lambda: len(rig.inlet.told("lost")) == 2)
        entry = rig.limit(1, 1000, bid * 95 // 100)
        await rig.events(entry, "order_reject")
        assert rig.inlet.orders[-1]["reason"] == reasons.MARKET_CLOSED
        stop = rig.place(-1, 1000, STOP_MARKET, trigger_ticks=bid * 90 // 100)
        await rig.events(stop, "order_ack", "order_unknown")  # nobody would tell its fills: they are asked for
        moved = rig.place(-1, 1000, STOP_MARKET, trigger_ticks=bid * 91 // 100, ref_id=stop)
        await rig.events(moved, "order_ack", "order_unknown")
        assert rig.inlet.of(stop) == ["order_ack", "order_unknown", "cancel_ack"]
        rig.cancel(moved)
        await rig.events(moved, "order_ack", "order_unknown", "cancel_ack")
        rig.cancel(moved)
        await rig.has(moved, "cancel_reject")
        small = rig.place(-1, 1, role=ROLE_EXIT)
        await rig.events(small, "order_reject")
        assert rig.inlet.orders[-1]["reason"] == reasons.MIN_NOTIONAL
        sandbox.fault("A7")
        doubt = rig.place(-1, 1000, role=ROLE_EXIT)
        await rig.events(doubt, "order_unknown")
        leave = rig.place(-1, 1000, role=ROLE_EXIT)
        await rig.has(leave, "order_ack")
        assert await rig.venue.execution.ask(0, leave)
        assert "fill" in rig.inlet.of(leave)
    await gate.stop()


async def test_fills_missed_while_the_user_stream_was_down_are_told_once_it_is_back(sandbox: Stand) -> None:
    async with rigged(sandbox, account=2) as rig:
        desk = rig.venue.execution._desk  # type: ignore[attr-defined]
        stream = desk._user
        buy = rig.place(1, 1000)
        stream.connection.renew("cut by the test")
        await rig.has(buy, "fill")
        await rig.inlet.until(lambda: rig.venue.execution.is_ready)
        trades = [e["trade_id"] for e in rig.inlet.orders if e["kind"] == "fill" and e["client_id"] == buy]
        assert len(trades) == len(set(trades))
        assert stream.connection.health.reconnects == 1


async def test_a_new_tick_freezes_the_instrument_and_says_so(sandbox: Stand) -> None:
    async with rigged(sandbox, account=3) as rig:
        link = rig.venue.market._link  # type: ignore[attr-defined]
        coarser = msgspec.structs.replace(rig.instruments[0], tick_size=rig.instruments[0].tick_size * 10)
        link.mine[0] = coarser  # the engine was started under another tick
        link.doubt_rules()
        await rig.inlet.until(lambda: any("restart the engine" in text for text in rig.inlet.told("rules")))
        assert any(e["kind"] == "feed_status" and e["instrument"] == 0 for e in rig.inlet.heard)
        entry = rig.place(1, 1000)
        await rig.events(entry, "order_reject")
        assert rig.inlet.orders[-1]["reason"] == reasons.PRICE_FILTER


async def test_while_nothing_runs_orders_are_refused_with_a_record(sandbox: Stand) -> None:
    async with rigged(sandbox, runs=("market",)) as rig:
        entry = rig.place(1, 1000)
        rig.cancel(entry)
        await rig.events(entry, "order_reject", "cancel_reject")
        assert not rig.venue.execution.is_ready


async def test_a_symbol_without_stop_market_orders_and_replacement_gets_stand_ins(sandbox: Stand) -> None:
    def poorer(venue: Venue) -> None:
        rules = venue.market._link.rules  # type: ignore[attr-defined]
        types = rules["BTC/USDT"].order_types - {"STOP_LOSS"}
        rules["BTC/USDT"] = rules["BTC/USDT"]._replace(order_types=types, replaces=False)

    async with rigged(sandbox, account=4, prepare=poorer) as rig:
        assert len(rig.inlet.told("emulated")) == 2
        buy = rig.place(1, 2000)
        await rig.has(buy, "fill")
        bid, _ = rig.touch()
        stop = rig.place(-1, 1000, STOP_MARKET, trigger_ticks=bid * 90 // 100)
        await rig.has(stop, "order_ack")
        (order,) = await rig.venue.account.open_orders()
        assert (order.order_type, order.trigger_ticks) == ("STOP_LOSS_LIMIT", bid * 90 // 100)
        assert order.price_ticks == bid * 90 // 100 * 95 // 100
        moved = rig.place(-1, 1000, STOP_MARKET, trigger_ticks=bid * 91 // 100, ref_id=stop)
        await rig.has(moved, "order_ack")
        kinds = [(e["kind"], e["client_id"]) for e in rig.inlet.orders]
        assert kinds.index(("cancel_ack", stop)) < kinds.index(("order_ack", moved))
        rig.cancel(moved)
        await rig.has(moved, "cancel_ack")
