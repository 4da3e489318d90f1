"""The worlds `live` and `shadow`, put together from settings and stored keys: what is refused before anything is sent,
what shadow sends (nothing), and one live run with the real processes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from engine_rig import CASH, EAGER, LIMITS, TIMEFRAMES, Floor, Trading, trading, usdm  # noqa: E402

from engine import bootstrap, settings  # noqa: E402
from engine.contracts import records as r  # noqa: E402
from engine.contracts.errors import Refused  # noqa: E402
from engine.core.limits import BOUNDS  # noqa: E402
from engine.journal import segments  # noqa: E402
from engine.research.replay import replay  # noqa: E402
from engine.runtime.service import start  # noqa: E402
from engine.store.keys import KeyFile  # noqa: E402
from engine.store.redis_server import connect_redis, stop_redis  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = "correct horse battery staple"
FAST = 14  # the cheapest passphrase work the file format knows
SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), (SPOT, PERP), accounts=8)
    yield running
    running.stop()


def write_home(floor: Floor, home: Path, mode: str, number: int, limits: dict[str, float] | None = None) -> Path:
    """A home with a stored key, and its keel.toml; returns that."""
    own = floor.line["venues"]["binance_spot"]["accounts"][number]
    home.mkdir()
    passphrase = home / "passphrase"
    passphrase.write_text(PASSPHRASE)
    passphrase.chmod(0o600)
    keys = KeyFile(home, SecretStr(PASSPHRASE), FAST)
    keys.add("mine", "binance", SecretStr(own["key"]), SecretStr(own["secret"]), None)
    urls = floor.line["venues"]["binance_spot"]
    rows = [
        f'mode = "{mode}"', f'home = "{home}"', f'passphrase_file = "{passphrase}"',
        "[account]", f"capital_usd = {CASH}",
        "[limits]", *(f"{name} = {value}" for name, value in (limits or {}).items()),
        "[runtime]", f"timeframes_s = {list(TIMEFRAMES)}", 'strategies = ["crossover"]',
        "[strategies.crossover]", *(f"{name} = {value}" for name, value in EAGER["crossover"].items()),
        "[venues.sandbox]", 'exchange = "binance"', f'symbols = ["{SPOT}"]', 'key = "mine"',
        "[venues.sandbox.urls]", *(f'{name} = "{urls[name]}"' for name in ("rest", "ws", "ws_api")),
    ]  # fmt: skip
    path = home / "keel.toml"
    path.write_text("\n".join(rows) + "\n")
    return path


def environment(config: Path, **more: str) -> dict[str, str]:
    """Ours, without anybody's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KEEL_") and k not in ("DATABASE_URL", "REDIS_URL")}
    return kept | {"KEEL_CONFIG": str(config), "COLUMNS": "200"} | more


def all_limits() -> dict[str, float]:
    return {name: float(getattr(LIMITS, name)) for name in BOUNDS}


# --- shadow -------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_shadow_checks_the_account_and_sends_nothing(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_home(floor, tmp_path / "home", "shadow", 1, {"max_data_age_s": 30.0})
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KEEL_CONFIG", str(config))
    in_force = settings.load()
    keys = KeyFile(in_force.home, SecretStr(PASSPHRASE), FAST)
    async with bootstrap.live_plan(in_force, floor.redis, lambda: keys) as plan:
        service = await start(plan)
        running = Trading(floor, service, 1)
        try:
            assert any("bound to no address" in text for text in running.told("rules")), "the real account was checked"
            async with running.busy():
                await running.until(lambda: running.core.state.books[0].updated_ns > 0)
            await running.enter()
            await running.until(lambda: running.working(r.ROLE_STOP))
            await running.leave()
        finally:
            await service.stop()
    assert await running.ask("/api/v3/allOrders", symbol="BTCUSDT") == []
    records = running.records()["record"]
    assert (records["kind"] == r.PLACE).sum() == 3 and (records["kind"] == r.CLOSED).sum() == 1
    assert service.manifest.world == "shadow" and service.manifest.simulated
    assert replay(service.run_dir).ok


# --- refusals -------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_key_that_may_withdraw_is_refused(floor: Floor, tmp_path: Path) -> None:
    floor.tell("/rights", {"account": 2, "withdraw": True})
    with pytest.raises(Refused, match="may withdraw; switch off"):
        async with trading(floor, tmp_path, 2, [SPOT]):
            raise AssertionError("it started")
    assert not (tmp_path / "runs").exists()


@pytest.mark.asyncio
async def test_a_wallet_below_the_capital_is_refused(floor: Floor, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"sandbox holds 1,000\.00 in dollars and stablecoins, less than the 1,500\.00"):
        async with trading(floor, tmp_path, 3, [SPOT], plan={"must_hold_usd": {"sandbox": 1_500.0}}):
            raise AssertionError("it started")


@pytest.mark.asyncio
async def test_hedge_mode_is_refused(floor: Floor, tmp_path: Path) -> None:
    trader = floor.sandbox.sites["binance_usdm"].stage.accounts.numbered(4)
    trader.is_hedged = True
    with pytest.raises(Refused, match="one-way"):
        async with trading(floor, tmp_path, venues=[(usdm(floor, 4), [PERP])]):
            raise AssertionError("it started")


@pytest.mark.asyncio
async def test_a_wrong_key_is_refused(floor: Floor, tmp_path: Path) -> None:
    floor.fault("A23", account=5)
    with pytest.raises(Refused, match="check key, secret, permissions"):
        async with trading(floor, tmp_path, 5, [SPOT]):
            raise AssertionError("it started")


def up(config: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """`trading-cli up` where nobody types."""
    command = [sys.executable, "-m", "engine.cli.main", "up"]
    return subprocess.run(
        command, env=environment(config, **more), cwd=ROOT, stdin=subprocess.DEVNULL, text=True, capture_output=True,
        timeout=60,
    )  # fmt: skip


def test_live_wants_every_limit_written_down(floor: Floor, tmp_path: Path) -> None:
    done = up(write_home(floor, tmp_path / "home", "live", 6, {"day_loss_usd": 20.0}))
    assert done.returncode == 3
    assert "needs every limit written down by you" in done.stderr and "limits.trade_loss_usd" in done.stderr
    assert "limits.day_loss_usd" not in done.stderr


def test_live_wants_a_healthy_machine(floor: Floor, tmp_path: Path) -> None:
    config = write_home(floor, tmp_path / "home", "live", 6, all_limits())
    done = up(config, DATABASE_URL="postgresql://u:p@127.0.0.1:1/d")
    assert done.returncode == 3
    assert "doctor found what must be put right" in done.stderr and "postgresql" in done.stderr
    stop_redis(tmp_path / "home")


# --- the real processes ---------------------------------------------------------------------------------


class Terminal:
    """A process on a terminal of its own, and what it said."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command, env=env, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.said = ""

    def until(self, pattern: str, wait_s: float = 60.0) -> re.Match[str]:
        """Wait until it said something."""
        ends = time.monotonic() + wait_s
        while (found := re.search(pattern, self.said)) is None:
            ready, _, _ = select.select([self._master], [], [], max(ends - time.monotonic(), 0))
            assert ready, f"it did not say {pattern!r}: {self.said}"
            try:
                self.said += os.read(self._master, 65_536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"it ended without saying {pattern!r}: {self.said}") from None
        return found

    def type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.until("ended:")
        code = self.process.wait(30)
        os.close(self._master)
        return code


def venue_trades(floor: Floor, number: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = floor.call("GET", "/api/v3/myTrades", account=number, symbol="BTCUSDT")[1]
    return found


def bar(floor: Floor, share: float) -> None:
    """The price goes to `share` of what it was, and a bar ends on it."""
    mid = round(floor.mid[SPOT] * share, 2)
    floor.quote(SPOT, mid)
    time.sleep(1.003 - time.time() % 1.0)
    floor.quote(SPOT, mid)


def test_live_from_the_command_line_to_the_venues_books_and_back(floor: Floor, tmp_path: Path) -> None:
    home = tmp_path / "home"
    config = write_home(floor, home, "live", 7, all_limits())
    with connect_redis(None, home):
        unheard = up(config)
        assert unheard.returncode == 3 and "not confirmed" in unheard.stderr
        terminal = Terminal([sys.executable, "-m", "engine.cli.main", "up"], environment(config))
        try:
            terminal.until("type 'trade real money' to go on")
            terminal.type("trade real money")
            run = terminal.until(r"live: (\S+-live)")[1].rstrip(";")
            for _ in range(6):
                bar(floor, 0.999)
                bar(floor, 1.002)
                if venue_trades(floor, 7):
                    break
            is_long = venue_trades(floor, 7)[-1]["isBuyer"]
            assert terminal.end() == 0
            left = floor.call("GET", "/api/v3/openOrders", account=7, symbol="BTCUSDT")[1]
            assert [order["type"] for order in left] == ["STOP_LOSS"] * is_long, "stops stay where they protect"
        finally:
            if terminal.process.poll() is None:
                terminal.process.kill()
                terminal.process.wait()
    assert PASSPHRASE not in terminal.said
    run_dir = home / "runs" / run
    fills = [one for block in segments.read(run_dir) for one in block["record"] if one["kind"] == r.FILL]
    assert [int(one["trade_id"]) for one in fills] == [trade["id"] for trade in venue_trades(floor, 7)]
    assert replay(run_dir).ok and json.loads((run_dir / "manifest.json").read_text())["simulated"] is False
