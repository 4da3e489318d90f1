"""Binance spot over the sandbox: rules, candles, streams, and a stream that is not what it should be."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from binance_venue_rig import Recorder, Stand, rigged

from engine.contracts.errors import BadInput, Refused, Retryable
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.endpoints import ENDPOINTS, Endpoints, given
from engine.venues.binance.venue import open_binance
from engine.venues.connection import Connection
from engine.venues.limiter import RateLimiter
from engine.venues.port import Venue
from engine.venues.signing import Secret
from engine.venues.undecodable import Undecodable

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    running = Stand(tmp_path_factory.mktemp("stand"), speed=0.0, symbols=("BTC/USDT", "ETH/USDT"), minutes=12)
    yield running
    running.stop()


@asynccontextmanager
async def opened(sandbox: Stand, endpoints: Endpoints, secret: str = "") -> AsyncIterator[Venue]:
    """A venue that does not run."""
    key, good = sandbox.key()
    client = sandbox.redis.asynchronous()
    limiter = RateLimiter(client, "test", "nobody")
    venue = open_binance("spot", endpoints, key, Secret(secret or good), limiter, ClientIds("keeltest"))
    try:
        yield venue
    finally:
        await venue.close()
        await client.aclose()


async def test_rules_are_the_venues_own(sandbox: Stand) -> None:
    async with opened(sandbox, given(sandbox.venue)) as venue:
        eth, btc = await venue.market.load(("ETH/USDT", "BTC/USDT"))
        said = sandbox.get("/api/v3/exchangeInfo", symbol="BTCUSDT")["symbols"][0]
        filters = {row["filterType"]: row for row in said["filters"]}
        assert (eth.symbol, btc.symbol, btc.venue, btc.kind) == ("ETH/USDT", "BTC/USDT", "binance_spot", "spot")
        assert btc.tick_size == Decimal(filters["PRICE_FILTER"]["tickSize"])
        assert btc.lot_size == Decimal(filters["LOT_SIZE"]["stepSize"])
        assert btc.min_notional == Decimal(filters["NOTIONAL"]["minNotional"])
        assert btc.max_qty == Decimal(filters["LOT_SIZE"]["maxQty"])
        with pytest.raises(BadInput, match="DOGE/USDT"):
            await venue.market.load(("BTC/USDT", "DOGE/USDT"))
        with pytest.raises(BadInput, match="BASE/QUOTE"):
            await venue.market.load(("BTCUSDT",))


async def test_quotes_and_trades_arrive_and_candles_are_paths(sandbox: Stand) -> None:
    async with rigged(sandbox, runs=("market",)) as rig:
        await rig.play_until(lambda: {"quote", "trade"} <= set(rig.inlet.kinds()))
        bid, ask = rig.touch()
        assert 0 < bid < ask
        path = await rig.venue.market.history(0, rig.instruments[0], 60, 5)
        assert len(path) == 20 and (path["venue_ts_ns"][1:] >= path["venue_ts_ns"][:-1]).all()
        rows = sandbox.get("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=6)[-6:-1]
        closes = [int(Decimal(row[4]) / rig.instruments[0].tick_size) for row in rows]
        assert path["price_ticks"][3::4].tolist() == closes


async def test_the_account_is_checked(sandbox: Stand) -> None:
    async with opened(sandbox, given(sandbox.venue)) as venue:
        await venue.market.load(("BTC/USDT",))
        facts = await venue.account.check()
        assert facts.can_trade and not facts.can_withdraw
        assert facts.fees["BTC/USDT"][1] > 0
        assert [wallet.asset for wallet in await venue.account.wallets()] == ["USDT"]
        assert await venue.account.positions() == []
    async with opened(sandbox, given(sandbox.venue), secret="x" * 64) as venue:
        with pytest.raises(Refused, match="check key, secret"):
            await venue.account.check()


async def test_a_key_that_may_withdraw_is_refused(sandbox: Stand) -> None:
    async def rights(request: web.Request) -> web.Response:
        return web.json_response({"ipRestrict": True, "enableWithdrawals": True, "enableSpotAndMarginTrading": True})

    app = web.Application()
    app.router.add_get("/sapi/v1/account/apiRestrictions", rights)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    wallet = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with opened(sandbox, given({**sandbox.venue, "wallet": wallet})) as venue:
            with pytest.raises(Refused, match="may withdraw"):
                await venue.account.check()
    finally:
        await runner.cleanup()


async def test_an_unreachable_venue_is_named(sandbox: Stand) -> None:
    nowhere = Endpoints("http://127.0.0.1:1", "ws://127.0.0.1:1", "ws://127.0.0.1:1/ws-api/v3")
    async with opened(sandbox, nowhere) as venue:
        with pytest.raises(Retryable, match="cannot be reached"):
            await venue.market.load(("BTC/USDT",))
        with pytest.raises(Retryable):
            await venue.account.fills_since(0)


async def test_production_is_a_setting() -> None:
    assert {network for _, network in ENDPOINTS} == {"production", "testnet"}
    assert all(e.ws.startswith("wss://") and e.rest.startswith("https://") for e in ENDPOINTS.values())
    with pytest.raises(BadInput, match="ws_api"):
        given({"rest": "http://a", "ws": "ws://a"})


class Ear:
    """Decodes JSON objects, counts everything."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.heard: list[Any] = []
        self.ups = self.downs = 0

    def up(self) -> None:
        self.ups += 1

    def down(self) -> None:
        self.downs += 1

    def hear(self, message: bytes, ts_ns: int) -> None:
        assert abs(time.time_ns() - ts_ns) < 10**9
        try:
            self.heard.append(json.loads(message))
        except ValueError:
            raise Undecodable("no JSON") from None
        finally:
            self.recorder._news.set()

    def say(self, kind: Any, text: str) -> None:
        self.recorder._news.set()
        self.recorder.notices.append((kind, text))  # type: ignore[arg-type]


@asynccontextmanager
async def served(talk: Callable[[web.WebSocketResponse, int], Any]) -> AsyncIterator[str]:
    """A websocket server that says what `talk` says to connection number 1, 2, ..."""
    count = 0

    async def handle(request: web.Request) -> web.WebSocketResponse:
        nonlocal count
        count += 1
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        await talk(socket, count)
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(url: str, ear: Ear, mute_s: float = 5.0, **options: Any) -> AsyncIterator[Connection]:
    async def where() -> str:
        return url

    connection = Connection("test", where, ear, mute_s, **options)
    task = asyncio.create_task(connection.run())
    try:
        yield connection
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_malformed_messages_are_counted_and_nothing_else_is_disturbed() -> None:
    async def talk(socket: web.WebSocketResponse, number: int) -> None:
        for text in ("{", '{"a":1', "[]", '{"good":1}', "\x00", '{"good":2}'):
            await socket.send_str(text)
        await socket.send_bytes(b"\xff\xfe")
        await socket.send_str('{"good":3}')
        await socket.receive()

    ear = Ear()
    async with served(talk) as url, connected(url, ear) as connection:
        await ear.recorder.until(lambda: {"good": 3} in ear.heard)
        health = connection.health
        assert (health.undecodable, health.messages, health.reconnects, health.connected) == (4, 8, 0, True)
        assert health.data_ns > 0


async def test_what_the_other_side_says_when_it_closes_is_shown_without_control_characters() -> None:
    async def talk(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str("{}")
        await socket.close(code=4000, message=b"go \x1b[2J away")

    ear = Ear()
    async with served(talk) as url, connected(url, ear):
        await ear.recorder.until(lambda: any(kind == "lost" for kind, *_ in ear.recorder.notices))
    lost = next(text for kind, text, *_ in ear.recorder.notices if kind == "lost")
    assert "closed it: 4000 go ?[2J away" in str(lost)


async def test_pings_are_not_life_and_a_heartbeat_is() -> None:
    async def talk(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str("{}")
        for _ in range(100):
            await socket.ping()
            try:
                message = await socket.receive(0.05)
            except TimeoutError:
                continue
            if message.type != WSMsgType.TEXT:
                return
            await socket.send_str('{"pulse":1}')

    ear = Ear()
    async with served(talk) as url, connected(url, ear, 0.3):
        await ear.recorder.until(lambda: ear.downs == 1 and ear.ups == 2)
    beating = Ear()
    async with served(talk) as url, connected(url, beating, 0.3, heartbeat=b'{"ping":1}'):
        await beating.recorder.until(lambda: beating.heard.count({"pulse": 1}) == 4)
        assert (beating.ups, beating.downs) == (1, 0)


async def test_a_connection_retires_before_the_venue_ends_it_but_not_while_busy() -> None:
    async def talk(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str("{}")
        await socket.receive()

    ear = Ear()
    busy = [True]

    def is_busy() -> bool:
        was, busy[0] = busy[0], False
        return was

    async with served(talk) as url, connected(url, ear, is_busy=is_busy, life_s=0.05) as connection:
        await ear.recorder.until(lambda: connection.health.reconnects == 1)
        assert any("planned" in text for _, text in ear.recorder.notices)
    assert ear.ups == ear.downs


async def test_a_broken_connection_is_opened_again() -> None:
    async def talk(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str(json.dumps({"number": number}))
        if number < 3:
            transport = socket._req.transport  # type: ignore[union-attr]
            await asyncio.sleep(0)
            assert transport is not None
            transport.abort()
        await socket.receive()

    ear = Ear()
    async with served(talk) as url, connected(url, ear) as connection:
        await ear.recorder.until(lambda: connection.health.reconnects == 2 and {"number": 3} in ear.heard)
    with pytest.raises(Retryable, match="not connected"):
        connection.send(b"{}")


@pytest.mark.parametrize("garbage", [b"\x8b\x7f\xff", b"\x81\x05abc", b"\x03\x00\xff\xff", b"\x81\xff" + b"\xff" * 8])
async def test_frames_that_are_none_cost_the_connection_and_nothing_else(garbage: bytes) -> None:
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        lead = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(lead + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        writer.write(b"\x81\x07" + b'{"n":%d}' % count)
        if count == 1:
            writer.write(garbage)
            writer.close()
            return
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ear = Ear()
    async with connected(f"ws://127.0.0.1:{port}/", ear) as connection:
        await ear.recorder.until(lambda: {"n": 2} in ear.heard)
        assert connection.health.reconnects == 1
    server.close()
    await server.wait_closed()
