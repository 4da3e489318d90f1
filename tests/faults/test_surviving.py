"""What limits losses survives the engine: halts, the day's loss and limit, peak, cool-downs, the order rate. Only a
person lifts a halt, and only a person begins afresh; both are audited."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine_rig import LIMITS, Floor, Trading, trading
from perp_rig import after
from venue_books import agree

sys.path.append(str(Path(__file__).parents[1] / "live"))
from test_engine_worlds import environment, write_home  # noqa: E402

from engine import bootstrap, settings  # noqa: E402
from engine.contracts import reasons  # noqa: E402
from engine.contracts import records as r  # noqa: E402
from engine.core import state  # noqa: E402
from engine.core.limits import BOUNDS  # noqa: E402
from engine.journal import manifest as manifests  # noqa: E402
from engine.journal import recovery  # noqa: E402
from engine.research.replay import replay  # noqa: E402
from engine.runtime.service import start  # noqa: E402
from engine.store.keys import KeyFile  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
E8 = 10**8
SURVIVES = (
    "trading_state", "flattening", "day_end_ns", "day_start_e8", "day_limit_e8", "day_gap_reason", "day_fees_e8",
    "day_funding_e8", "peak_e8", "minute", "minute_orders", "deposits_e8", "gross_e8", "fees_e8", "funding_e8",
    "cash_e8", "next_trade_no", "fallen",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), accounts=8)
    yield running
    running.stop()


@pytest.fixture
def floor(whole_floor: Floor) -> Iterator[Floor]:
    yield whole_floor
    whole_floor.calm()


def opening(life: Trading) -> state.Core:
    """What a life began with."""
    return recovery.opening_core(life.service.run_dir, life.service.manifest)


async def entries_are_refused(life: Trading) -> None:
    """A rising bar: the strategy wants to buy, and may not."""
    if life.core.state.crossover[life.number()].above:
        await life.move(0.998)
    await life.move(1.001)
    await life.until(lambda: _refusals(life, reasons.NOT_ACTIVE))
    assert life.position().qty_lots == 0 and not life.working()


def _refusals(life: Trading, reason: int) -> int:
    records = life.records()["record"]
    return int(((records["kind"] == r.REFUSED) & (records["reason"] == reason)).sum())


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize("is_crash", [False, True], ids=["ended", "killed"])
@pytest.mark.parametrize(
    ("word", "stands"), [(reasons.OPERATOR_HALT, "HALTED"), (reasons.OPERATOR_REDUCE, "REDUCING")],
    ids=["halted", "reducing"],
)  # fmt: skip
async def test_a_halt_and_the_days_loss_survive(
    floor: Floor, tmp_path: Path, word: int, stands: str, is_crash: bool
) -> None:
    account = (stands == "HALTED") * 2 + is_crash
    async with trading(floor, tmp_path, account) as first:
        await first.enter()
        await first.guarded()
        await first.leave()
        first.say(word)
        await first.until(lambda: first.trading_state == stands)
        head = first.core.state.head[0]
        lost_e8 = int(head.day_start_e8 - (head.deposits_e8 + head.gross_e8 - head.fees_e8))
        assert lost_e8 > 0 and head.minute_orders == 1
        if is_crash:
            await first.settle()
            first.die()
    async with trading(floor, tmp_path, account, plan=after(first)) as second:
        was, now = first.core.state.head[0], opening(second).state.head[0]
        assert [int(now[name]) for name in SURVIVES] == [int(was[name]) for name in SURVIVES]
        assert second.trading_state == stands
        await entries_are_refused(second)
        second.say(reasons.OPERATOR_RESUME)
        await second.enter()
        await second.guarded()
        await second.leave()
    async with trading(floor, tmp_path, account, plan=after(second)) as third:
        assert third.trading_state == "ACTIVE", "what a person lifted stays lifted"
        assert third.core.state.head[0].day_start_e8 == head.day_start_e8
    assert replay(second.service.run_dir).ok and replay(third.service.run_dir).ok


@pytest.mark.asyncio(loop_scope="function")
async def test_a_drawdown_survives_with_its_peak(floor: Floor, tmp_path: Path) -> None:
    """The price jumps over the stop, and the loss over the limit."""
    narrow = {"limits": msgspec.structs.replace(LIMITS, drawdown_pct=0.6)}
    async with trading(floor, tmp_path, 4, plan=narrow) as first:
        await first.enter()
        await first.guarded()
        await first.quote(round(first.mid * 0.92, 2))
        await first.until(lambda: first.trading_state == "REDUCING" and first.position().qty_lots == 0)
        peak_e8 = int(first.core.state.head[0].peak_e8)
    async with trading(floor, tmp_path, 4, plan=after(first) | narrow) as second:
        assert second.trading_state == "REDUCING" and second.core.state.head[0].peak_e8 == peak_e8
        second.say(reasons.OPERATOR_RESUME)
        assert second.trading_state == "ACTIVE" and second.core.state.head[0].peak_e8 < peak_e8
        await second.emergency()
        await second.until(lambda: not second.working())
    async with trading(floor, tmp_path, 4, plan=after(second) | narrow) as third:
        assert third.trading_state == "HALTED" and third.core.state.head[0].flattening == 1
        assert third.core.state.head[0].peak_e8 < peak_e8
    await agree(second, since=first)


@pytest.mark.asyncio(loop_scope="function")
async def test_limits_changed_between_two_lives_are_events(floor: Floor, tmp_path: Path) -> None:
    """Tightened ones hold at once, the day's too; loosened, the day's grows at midnight only."""
    tight = msgspec.structs.replace(LIMITS, day_loss_usd=7.5, max_positions=2.0)
    async with trading(floor, tmp_path, 5) as first:
        assert first.core.state.head[0].day_limit_e8 == 20 * E8
    async with trading(floor, tmp_path, 5, plan=after(first) | {"limits": tight}) as second:
        assert second.core.state.head[0].day_limit_e8 == 7.5 * E8
        changed = second.records()["record"]
        changed = changed[changed["kind"] == r.LIMIT]
        names = [list(BOUNDS)[int(k)] for k in changed["index"]]
        assert dict(zip(names, changed["amount_e8"].tolist(), strict=True)) == {
            "day_loss_usd": 7.5 * E8, "max_positions": 20_000,
        }  # fmt: skip
    async with trading(floor, tmp_path, 5, plan=after(second)) as third:
        assert third.core.state.limits[0].day_loss_e8 == 20 * E8, "in force"
        assert third.core.state.head[0].day_limit_e8 == 7.5 * E8, "and counted from midnight on"
    async with trading(floor, tmp_path, 5, plan=after(third)) as fourth:
        assert not (fourth.records()["record"]["kind"] == r.LIMIT).any(), "nothing changed: no event"
        assert fourth.core.state.head[0].day_limit_e8 == 7.5 * E8
    for life in (second, third, fourth):
        assert replay(life.service.run_dir).ok


async def paper(floor: Floor, in_force: settings.Settings, stack: AsyncExitStack) -> Trading:
    """A life on paper, as the settings say."""
    plan = await stack.enter_async_context(bootstrap.live_plan(in_force, floor.redis, _no_keys))
    service = await start(plan)
    running = Trading(floor, service, 7)
    stack.push_async_callback(running.stop)
    await stack.enter_async_context(running.busy())
    await running.until(lambda: running.core.state.books[0].updated_ns > 0)
    return running


def _no_keys() -> KeyFile:
    raise AssertionError("paper needs none")


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize("is_crash", [False, True], ids=["ended", "killed"])
async def test_a_paper_position_and_its_stop_go_on(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_crash: bool
) -> None:
    config = write_home(floor, tmp_path / "home", "paper", 7, {"max_data_age_s": 30.0})
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KEEL_CONFIG", str(config))
    in_force = settings.load()
    async with AsyncExitStack() as stack:
        first = await paper(floor, in_force, stack)
        await first.enter()
        await first.guarded()
        lots, stop = int(first.position().qty_lots), int(first.position().stop_id)
        if is_crash:
            first.die()
    async with AsyncExitStack() as stack:
        second = await paper(floor, in_force, stack)
        assert second.service.manifest.continues == first.service.manifest.run_id
        assert int(second.position().qty_lots) == lots and int(second.position().stop_id) == stop
        assert second.has_stop() and second.trading_state == "ACTIVE"
        await second.leave()
        await second.until(lambda: not second.working())
        wallets = {one.asset: one.free + one.locked for one in await second.service.plan.venues[0][0].account.wallets()}
        assert wallets["USDT"] * E8 == int(second.core.state.head[0].cash_e8)
    records = second.records()["record"]
    assert not (records["kind"] == r.VIOLATION).any() and (records["kind"] == r.CLOSED).sum() == 1
    assert replay(second.service.run_dir).ok


# --- from the command line ------------------------------------------------------------------------------


class Cli:
    """`trading-cli` in processes of their own, on one configuration."""

    def __init__(self, config: Path) -> None:
        self._config = config

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "engine.cli.main", *words], env=environment(self._config), cwd=ROOT, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=240,
        )  # fmt: skip

    def done(self, *words: str) -> dict[str, Any]:
        """What a command that must succeed prints as JSON."""
        found = self(*words, "--json")
        assert found.returncode == 0, found.stdout + found.stderr
        document: dict[str, Any] = json.loads(found.stdout)
        return document

    def up(self, *words: str) -> None:
        found = self("up", "--detach", *words)
        assert found.returncode == 0, found.stdout + found.stderr


def runs(home: Path) -> list[Any]:
    return [manifests.read(path) for path in sorted((home / "runs").iterdir())]


def test_a_paper_account_goes_on_and_only_a_person_lifts_and_forgets(floor: Floor, tmp_path: Path) -> None:
    home = tmp_path / "home"
    cli = Cli(write_home(floor, home, "paper", 6, {"max_data_age_s": 30.0}))
    try:
        cli.up()
        cli.done("pause", "--why", "going away")
        cli.done("down")
        cli.up()
        assert cli.done("status")["account"]["state"] == "REDUCING", "a restart lifts nothing"
        assert cli("resume", "--why", "looked at it").returncode == 3, "not confirmed"
        assert cli.done("status")["account"]["state"] == "REDUCING"
        cli.done("resume", "--why", "looked at it, all is well", "--yes")
        cli.done("down")
        first, second = runs(home)
        assert second.continues == first.run_id and second.order_prefix == first.order_prefix
        assert [path.name for path in (home / "accounts").iterdir()] == [first.order_prefix], "one account for both"

        assert cli("up", "--fresh").returncode == 2, "no reason"
        assert cli("up", "--fresh", "--why", "a new start").returncode == 3, "not confirmed"
        assert len(runs(home)) == 2
        cli.up("--fresh", "--yes", "--why", "a new start")
        cli.done("down")
        third = runs(home)[2]
        assert third.continues == "" and third.order_prefix != first.order_prefix
        rows = cli.done("audit", "show", "--last", "50")["rows"]
        whys = {row["what"]: row["why"] for row in rows}
        assert whys["operator.resume"] == "looked at it, all is well" and whys["run.afresh"] == "a new start"
        assert cli.done("audit", "verify")["ok"] is True
    finally:
        cli("down")
