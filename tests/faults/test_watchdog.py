"""The watchdog over the sandbox: an engine that dies, hangs, is half heard, comes back, or does not answer."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from engine_rig import Floor, Trading, trading
from stand_in_rig import held, open_there, stand_in_venue, trades
from test_stand_in import left_alone, rest_entry

from engine.runtime.alerts import Alert, Alerts
from engine.runtime.beating import beat_on
from engine.runtime.ours import Ours
from engine.runtime.stand_in import end
from engine.runtime.watchdog import Watchdog
from engine.runtime.watchplan import Policy, WatchdogPlan
from engine.store import emergency_file
from engine.store.emergency_file import FLAT, Progress
from engine.store.heartbeat import WATCHDOG, read_beat
from engine.store.liveview import LiveWriter
from engine.store.running import clear_running, write_running
from engine.venues.port import Venue

pytestmark = pytest.mark.asyncio(loop_scope="function")
CANCEL_S, FLATTEN_S = 3.0, 5.0
WAIT_S = 30.0


@pytest.fixture(scope="module")
def whole_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"))
    yield running
    running.stop()


@pytest.fixture
def floor(whole_floor: Floor) -> Iterator[Floor]:
    yield whole_floor
    whole_floor.calm()


class Heard(Alerts):
    """What people would be told."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.began_s = time.monotonic()

    def put(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def titles(self) -> list[str]:
        return [alert.title for alert in self.alerts]


class Kennel:
    """A watchdog at the home of an engine on the floor, and the engine's signs of life."""

    def __init__(self, floor: Floor, running: Trading, home: Path, policy: Policy, world: str = "live") -> None:
        self.floor, self.running, self.home = floor, running, home
        self.alerts, self.said = Heard(), list[str]()
        self.opened = 0
        self.run = running.service.manifest.run_id
        plan = WatchdogPlan(policy=policy, silence_cancel_s=CANCEL_S, silence_flatten_s=FLATTEN_S)
        self.client = floor.redis.asynchronous(0.25)
        self.dog = Watchdog(home, world, plan, self.client, self._open, self.alerts, self.said.append)
        self._beating: list[asyncio.Task[None]] = []
        write_running(home, self.run, world, ["sandbox"])

    async def _open(self, ours: Ours) -> list[Venue]:
        self.opened += 1
        assert ours.run == self.run
        return [stand_in_venue(self.floor, self.running.account)]

    def beat(self, file: bool = True, redis: bool = True) -> None:
        """The engine shows signs of life from now on."""
        if file:
            self._beating.append(asyncio.create_task(beat_on(self.home, self.run, lambda: "ACTIVE")))
        if redis:
            view = LiveWriter(self.floor.redis.asynchronous(), self.run)
            self._beating.append(asyncio.create_task(view.write_on()))

    async def hush(self) -> None:
        for task in self._beating:
            await end(task)
        self._beating.clear()

    async def until(self, done: Callable[[], object]) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while not done():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            told = [f"{alert.level} {alert.title}: {alert.text}" for alert in self.alerts.alerts]
            raise AssertionError("\n".join([self.dog.state, *told, *self.said])) from None

    def told(self, words: str) -> bool:
        return any(words in alert.text for alert in self.alerts.alerts)


@asynccontextmanager
async def kennel(
    floor: Floor, running: Trading, home: Path, policy: Policy, world: str = "live"
) -> AsyncIterator[Kennel]:
    made = Kennel(floor, running, home, policy, world)
    stopped = asyncio.Event()
    task = asyncio.create_task(made.dog.run(stopped))
    try:
        yield made
    finally:
        stopped.set()
        await task
        await made.hush()
        await made.client.aclose()
        clear_running(home)


async def test_a_dead_engines_entries_go_then_what_has_no_stop_and_nothing_after_it_is_back(
    floor: Floor, tmp_path: Path
) -> None:
    async with trading(floor, tmp_path, 0) as running:
        coins = await left_alone(running)
        await rest_entry(running, "t0-900", "0.5")
        async with kennel(floor, running, tmp_path, "keep_protected") as made:
            await made.until(lambda: made.told("its entry orders are being cancelled"))
            await made.until(lambda: made.told("cancel_only is done"))
            assert list((await open_there(running)).values()) == ["STOP_LOSS"] and await held(running) == coins
            await made.until(lambda: made.told("keep_protected is done"))
            assert list((await open_there(running)).values()) == ["STOP_LOSS"] and await held(running) == coins
            floor.fault("A8", account=0)  # the venue takes the stop away: what it protected is closed
            for _ in range(300):
                if not await open_there(running) and await held(running) < coins / 100:
                    break
                await asyncio.sleep(0.1)
            assert await held(running) < coins / 100
            made.beat()
            await made.until(lambda: "handed back to the engine" in made.alerts.titles())
            assert made.dog.state == f"watching {made.run}" and made.opened == 1
            sold = await trades(running)
            await rest_entry(running, "t0-901", "0.5")
            await asyncio.sleep(2 * CANCEL_S)
            assert list(await open_there(running)) == ["t0-901"] and await trades(running) == sold
            beat = read_beat(tmp_path, WATCHDOG)
            assert beat is not None and beat.state == made.dog.state


async def test_everything_is_closed_where_the_policy_says_so(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 1) as running:
        coins = await left_alone(running)
        async with kennel(floor, running, tmp_path, "flatten_all") as made:
            made.beat()
            await asyncio.sleep(CANCEL_S + 1.0)
            assert made.opened == 0 and made.alerts.alerts == [], "a living engine is left alone"
            await made.hush()
            await made.until(lambda: made.told("flatten_all is done"))
            assert await open_there(running) == {} and await held(running) < coins / 100
            levels = [alert.level for alert in made.alerts.alerts if alert.key == "watchdog"]
            assert levels[0] == "CRITICAL"


async def test_cancel_only_leaves_positions(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 2) as running:
        coins = await left_alone(running)
        floor.fault("A8", account=2)
        await rest_entry(running, "t2-900", "0.5")
        async with kennel(floor, running, tmp_path, "cancel_only") as made:
            await made.until(lambda: made.told("cancel_only is done"))
            await asyncio.sleep(FLATTEN_S)
            assert await open_there(running) == {} and await held(running) == coins


@pytest.mark.parametrize(("file", "redis"), [(True, False), (False, True)])
async def test_half_a_heartbeat_is_told_and_not_acted_on(
    floor: Floor, tmp_path: Path, file: bool, redis: bool
) -> None:
    number = 3 + redis
    async with trading(floor, tmp_path, number) as running:
        coins = await left_alone(running)
        await rest_entry(running, f"t{number}-900", "0.5")
        async with kennel(floor, running, tmp_path, "flatten_all") as made:
            made.beat(file, redis)
            await made.until(lambda: "half of the heartbeat is missing" in made.alerts.titles())
            await asyncio.sleep(FLATTEN_S)
            assert made.opened == 0 and f"t{number}-900" in await open_there(running) and await held(running) == coins
            assert made.told("is Redis gone?") == file and made.told("is the disk full?") == redis


async def test_an_engine_that_ended_in_order_is_not_silent(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 5) as running:
        await left_alone(running)
        async with kennel(floor, running, tmp_path, "flatten_all") as made:
            made.beat()
            await asyncio.sleep(1.0)
            clear_running(tmp_path)
            await made.hush()
            await asyncio.sleep(FLATTEN_S + 1.0)
            assert made.alerts.alerts == [] and made.opened == 0 and made.dog.state == "no engine runs"


async def test_on_paper_a_person_is_told_and_that_is_all(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 6) as running:
        await left_alone(running)
        async with kennel(floor, running, tmp_path, "flatten_all", "paper") as made:
            await made.until(lambda: made.told("Its account is simulated"))
            await asyncio.sleep(FLATTEN_S)
            assert made.opened == 0 and len(made.alerts.alerts) == 1
            request = emergency_file.request(tmp_path, "test", "why")
            await made.until(lambda: (told := emergency_file.progress(tmp_path)) and told.answers(request))
            assert made.opened == 0


async def test_an_emergency_that_nobody_answers_is_carried_out(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 7) as running:
        coins = await left_alone(running)
        async with kennel(floor, running, tmp_path, "cancel_only") as made:
            made.beat()
            request = emergency_file.request(tmp_path, "test", "the engine hangs")
            await made.until(lambda: (told := emergency_file.progress(tmp_path)) and told.flat)
            told = emergency_file.progress(tmp_path)
            assert told is not None and told.answers(request) and told.by == "watchdog" and told.phase == FLAT
            assert await open_there(running) == {} and await held(running) < coins / 100
            await made.until(lambda: made.dog.state == f"watching {made.run}")
            await asyncio.sleep(1.0)
            assert made.opened == 1, "once proved it is not done again"


async def test_an_emergency_that_the_engine_answers_is_left_to_it(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 8) as running:
        coins = await left_alone(running)
        async with kennel(floor, running, tmp_path, "cancel_only") as made:
            made.beat()
            request = emergency_file.request(tmp_path, "test", "why")
            for _ in range(10):
                said = Progress(
                    request=request.id, phase="NOT FLAT", flat=False, by="engine", seconds=0.0, ts_ns=time.time_ns()
                )  # fmt: skip
                emergency_file.report(tmp_path, said)
                await asyncio.sleep(0.5)
            assert made.opened == 0 and await held(running) == coins
            await made.until(lambda: (told := emergency_file.progress(tmp_path)) and told.by == "watchdog")
            await made.until(lambda: (told := emergency_file.progress(tmp_path)) and told.flat)
            assert await held(running) < coins / 100, "the engine fell silent in the midst of it"


async def test_a_home_that_is_gone_needs_no_watchdog(tmp_path: Path) -> None:
    home, said = tmp_path / "home", list[str]()
    home.mkdir()
    dog = Watchdog(home, "live", WatchdogPlan(), None, lambda _ours: _nobody(), Heard(), said.append)
    task = asyncio.create_task(dog.run(asyncio.Event()))
    while read_beat(home, WATCHDOG) is None:
        await asyncio.sleep(0.02)
    shutil.rmtree(home)
    await asyncio.wait_for(task, WAIT_S)
    assert said[-1].endswith("is gone: there is nothing to watch")


async def _nobody() -> list[Venue]:
    return []


async def test_a_run_that_cannot_be_recovered_is_known_by_its_fills(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 9) as running:
        coins = await left_alone(running)
        journal = sorted((running.service.run_dir / "journal").glob("*.keel"))[0]
        damaged = bytearray(journal.read_bytes())
        damaged[len(damaged) // 2] ^= 0xFF
        journal.write_bytes(damaged)
        async with kennel(floor, running, tmp_path, "flatten_all") as made:
            await made.until(lambda: made.told("flatten_all is done"))
            assert "the run cannot be recovered" in made.alerts.titles()
            assert await open_there(running) == {} and await held(running) < coins / 100
