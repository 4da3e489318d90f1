"""The watchdog as `up` starts it: the engine's process is stopped, or killed; the sandbox's books tell the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from test_engine_worlds import FAST, PASSPHRASE, ROOT, SPOT, Terminal, all_limits, bar, environment, write_home

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from engine_rig import Floor  # noqa: E402

from engine.contracts import records as r  # noqa: E402
from engine.journal import segments  # noqa: E402
from engine.store.keys import KeyFile  # noqa: E402
from engine.store.redis_server import connect_redis  # noqa: E402
from engine.store.running import WATCHDOG, read_running  # noqa: E402

QUICK = {
    "KEEL_WATCHDOG__SILENCE_CANCEL_S": "3", "KEEL_WATCHDOG__SILENCE_FLATTEN_S": "5", "KEEL_DOORS__PORT": "0",
}  # fmt: skip
WAIT_S = 60.0
START_S = 150.0  # a core that was never compiled here is compiled first


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), (SPOT,), accounts=4)
    yield running
    running.stop()


def until(done: Callable[[], Any], what: str) -> None:
    ends = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < ends, f"it did not happen: {what}"
        time.sleep(0.1)


class Books:
    """The venue's own, of an account."""

    def __init__(self, floor: Floor, number: int) -> None:
        self._floor, self._number = floor, number

    def coins(self) -> Decimal:
        rows = self._floor.call("GET", "/api/v3/account", account=self._number)[1]["balances"]
        found = [row for row in rows if row["asset"] == "BTC"]
        return Decimal(found[0]["free"]) + Decimal(found[0]["locked"]) if found else Decimal(0)

    def orders(self) -> list[str]:
        rows = self._floor.call("GET", "/api/v3/openOrders", account=self._number, symbol="BTCUSDT")[1]
        return [row["clientOrderId"] for row in rows]

    def sold(self) -> Decimal:
        rows = self._floor.call("GET", "/api/v3/myTrades", account=self._number, symbol="BTCUSDT")[1]
        return sum((Decimal(row["qty"]) for row in rows if not row["isBuyer"]), Decimal(0))


def begin(terminal: Terminal, floor: Floor, books: Books) -> str:
    """A confirmed live engine that holds coins behind a stop; its run."""
    terminal.until("type 'trade real money' to go on")
    terminal.type("trade real money")
    run = terminal.until(r"live: (\S+-live)", START_S)[1].rstrip(";")
    for _ in range(8):
        bar(floor, 0.999)
        bar(floor, 1.002)
        if books.coins() and books.orders():
            return run
    raise AssertionError(f"it did not buy: {terminal.said}")


def command(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli.main", *words], env=environment(config, **QUICK), cwd=ROOT, text=True,
        capture_output=True, timeout=60,
    )  # fmt: skip


def put_down(terminal: Terminal, home: Path) -> None:
    """Whatever a failed test left."""
    if terminal.process.poll() is None:
        terminal.process.kill()
        terminal.process.wait()
    for file in ("engine.json", WATCHDOG):
        running = read_running(home, file)
        if running is not None:
            os.kill(running.pid, signal.SIGKILL)


def test_a_hung_engine_is_closed_for_and_learns_of_it_when_it_wakes_up(floor: Floor, tmp_path: Path) -> None:
    home, books = tmp_path / "home", Books(floor, 1)
    config = write_home(floor, home, "live", 1, all_limits())
    env = environment(config, **QUICK, KEEL_WATCHDOG__POLICY="flatten_all")
    with connect_redis(None, home):
        terminal = Terminal([sys.executable, "-m", "engine.cli.main", "up"], env)
        try:
            run = begin(terminal, floor, books)
            terminal.until("watchdog: acts at sandbox with the venue's key, mine")
            until(lambda: command(config, "watchdog", "--check").returncode == 0, "the watchdog is healthy")
            bought = books.coins()
            assert "half of the heartbeat" not in terminal.said
            engine = read_running(home)
            assert engine is not None
            os.kill(engine.pid, signal.SIGSTOP)
            terminal.until("its entry orders are being cancelled")
            terminal.until("flatten_all is done")
            assert books.orders() == [] and books.coins() < bought / 100
            sold = books.sold()
            os.kill(engine.pid, signal.SIGCONT)
            terminal.until("handed back to the engine")

            def adopted() -> bool:
                records = r.joined(list(segments.read(home / "runs" / run)))["record"]
                fills = records[(records["kind"] == r.FILL) & (records["bits"] & r.ADOPTED != 0)]
                return len(fills) > 0 and Decimal(int(fills["qty_lots"].sum())) > 0

            until(adopted, "the engine books the watchdog's fills")
            time.sleep(2.0)
            assert books.sold() == sold, "nothing is sold twice"
            assert terminal.end() == 0
            assert command(config, "watchdog", "--check").returncode == 1, "it ends with the engine it was started with"
        finally:
            put_down(terminal, home)
    assert PASSPHRASE not in terminal.said


def test_a_killed_engines_position_is_closed_with_a_key_of_its_own_and_down_ends_the_watchdog(
    floor: Floor, tmp_path: Path
) -> None:
    home, books = tmp_path / "home", Books(floor, 2)
    config = write_home(floor, home, "live", 2, all_limits())
    own = floor.line["venues"]["binance_spot"]["accounts"][2]["keys"][1]
    keys = KeyFile(home, SecretStr(PASSPHRASE), FAST)
    keys.add("own", "binance", SecretStr(own["key"]), SecretStr(own["secret"]), None)
    env = environment(config, **QUICK, KEEL_WATCHDOG__POLICY="flatten_all", KEEL_WATCHDOG__KEY="own")
    with connect_redis(None, home):
        terminal = Terminal([sys.executable, "-m", "engine.cli.main", "up"], env)
        try:
            begin(terminal, floor, books)
            terminal.until("watchdog: acts at sandbox with a key of its own, own")
            bought = books.coins()
            engine, dog = read_running(home), read_running(home, WATCHDOG)
            assert engine is not None and dog is not None
            os.kill(engine.pid, signal.SIGKILL)
            terminal.until(f"THE ENGINE DIED .*process {dog.pid}")
            until(lambda: books.orders() == [] and books.coins() < bought / 100, "everything is closed")
            assert dog.is_alive
            said = json.loads(command(config, "watchdog", "--check", "--json").stdout)
            assert said["alive"] and said["pid"] == dog.pid and "flatten_all" in said["state"]
            done = command(config, "down")
            assert done.returncode == 0 and "ended: watchdog" in done.stdout and not dog.is_alive
        finally:
            put_down(terminal, home)
