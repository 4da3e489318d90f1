"""A line whose exchange, network, Redis and disk go wrong while it trades, by seed, and that is killed now and then.

Each trouble is a row of `TROUBLES`: what happens, and what ends it. Troubles come at seeded moments; after each spell
of them everything is calm, and then all must be true that must be true after a recovery (`lines.py`). A venue that bars
everybody for a minute (A13) is left out: it has its own test.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from databases import Shelf
from fates import Fate
from lines import START_S, STEP_S, Broken, Line, crossover
from market import Walk
from zygotes import Zygote

sys.path.append(str(Path(__file__).resolve().parents[2] / "live"))
from venue_wire import Wire  # noqa: E402

from engine.contracts import records as r  # noqa: E402
from engine.core.carrying import LOST_IDS  # noqa: E402
from engine.journal import manifest as manifests  # noqa: E402
from engine.journal import segments  # noqa: E402
from engine.journal.recovery import opening_core  # noqa: E402
from engine.store.redis_server import stop_redis  # noqa: E402

VENUES: Final = {"coins": "binance_spot", "futures": "binance_usdm"}
SAMPLE_S: Final = 0.25
SLOW_S: Final = 0.12
RECONNECT_S: Final = 5.0
"""Pauses between attempts grow while a venue is away: so long after its return nobody need have noticed it."""
NO_FATE: Final = Fate(seed=0, hook="running", count=1, after_s=0.0, while_dead="nothing")


class SlowWire(Wire):
    """A wire on which everything can take longer."""

    delay_s = 0.0

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # cut
        finally:
            writer.close()


class Sample(NamedTuple):
    """`SAMPLE_S` of it. `up`: it answered, could journal, and had its order connections wherever the venue could be
    reached; `excused`: some venue could not be reached by anybody, or was out of reach until `RECONNECT_S` ago."""

    at_s: float
    up: bool
    excused: bool
    why: str
    status: dict[str, Any]


class Storm(Line):
    """See above. `seen` is every `SAMPLE_S` of it, `counts` what went wrong how often, `starts_s` how long each restart
    took, from the death until the next life is reconciled and trades, and `down_s` all of them together."""

    def __init__(
        self, floor: Any, zygote: Zygote, walk: Walk, folder: Path, number: int, spots: Sequence[str],
        perps: Sequence[str], seed: int, notional_usd: float = 40.0, step_s: float = STEP_S,
    ) -> None:  # fmt: skip
        """`step_s`: how long a second of the market takes; in between it only murmurs."""
        super().__init__(floor, zygote, walk, folder, number, spots, perps, crossover(seed % 2 == 1, notional_usd))
        self._step_s, self._stepped = step_s, 0.0
        self._dice = random.Random(f"storm {seed}")
        self._redis_home = folder / "floor"
        lines = floor.line["venues"]
        self.wires = {name: SlowWire(floor, lines[of]["rest"]) for name, of in VENUES.items()}
        venues = [
            (name, market, keyed | self.wires[name].urls({k: keyed[k] for k in ("rest", "ws", "ws_api")}), symbols)
            for name, market, keyed, symbols in self._order["venues"]
        ]
        self._order = self._order | {"venues": venues, "is_whole": True}
        self._away: dict[str, float] = dict.fromkeys(self.wires, 0.0)  # until when it counts as out of reach
        self.counts: Counter[str] = Counter()
        self.seen: list[Sample] = []
        self.starts_s: list[float] = []
        self.down_s = self._ready_s = 0.0
        self._full: set[Path] = set()  # runs whose disk was full
        self._begun = time.monotonic()
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._waiting = 0
        self._deck: list[str] = []
        self.shelf = Shelf(self.home)

    # --- the life ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A life is born, and started."""
        self._bear(NO_FATE)
        self._waiting = 0
        until = time.monotonic() + START_S
        while (found := self._zygote.next(STEP_S)) is None:
            self._undo(time.monotonic())
            if time.monotonic() > until:
                raise Broken(f"it does not start within {START_S:g} s: {self.words(NO_FATE)}")
        if found["at"] != "ready":
            self._must_be_killed(NO_FATE, found)
            raise Broken("it was killed by nobody")
        self._ready_s = time.monotonic()
        self.shelf.follow(self.runs()[-1])

    def kill(self) -> None:
        """`kill -9`, and the next life at once."""
        self._count("kill -9")
        self._dead(lambda: self._zygote.kill(), 9)

    def _dead(self, end: Callable[[], None], wanted: int) -> None:
        begun = time.monotonic()
        self._due = [item for item in self._due if item[1] != self._make_room]  # the next life has room
        end()
        while (found := self._zygote.next(STEP_S)) is None or found["at"] != "dead":
            self._undo(time.monotonic())
            if time.monotonic() > begun + START_S:
                raise Broken(f"it does not end: {self.words(NO_FATE)}")
        if found["signal"] != wanted or found["code"] not in (0, -9):
            raise Broken(f"it ended otherwise: {found}: {self.words(NO_FATE)}")
        self.begin()
        self.down_s += self._ready_s - begun
        self.starts_s.append(round(self._ready_s - begun, 3))

    def check(self) -> None:
        """What must be true in the calm."""
        self._drained()
        self._check(NO_FATE)

    def _drained(self) -> None:
        """No answer to a question of before is under way."""
        while self._waiting:
            self._hear(self._zygote.next(START_S))

    # --- the weather ----------------------------------------------------------------------------------

    def spell(self, seconds: float, troubles: Sequence[str], every_s: tuple[float, float]) -> None:
        """The market moves for `seconds`; something of `troubles` happens every so often. Calm at the end."""
        until = time.monotonic() + seconds
        strike = time.monotonic() + self._dice.uniform(*every_s) / 2
        sample = time.monotonic() + SAMPLE_S
        while (now := time.monotonic()) < until:
            if troubles and now >= strike:
                strike = now + self._dice.uniform(*every_s)
                self._strike(troubles)
            self._undo(now)
            if now >= sample:
                sample += SAMPLE_S
                self._sample()
            if now - self._stepped >= self._step_s:
                self._stepped = now
                self._market.step()
            else:
                self._market.murmur()
            found = self._zygote.next(STEP_S)
            if found is not None:
                self._hear(found)
        self.calm()

    def _undo(self, now: float) -> None:
        """Troubles whose time is over end."""
        while (item := next((item for item in self._due if item[0] <= now), None)) is not None:
            self._due.remove(item)
            item[1]()

    def calm(self) -> None:
        """Everything that is wrong ends."""
        self._undo(float("inf"))
        for name in self.wires:
            self._mend(name)
        self.floor.redis.revive()
        self.shelf.start()
        self.floor.tell("/faults", {}, "DELETE")
        for venue in VENUES.values():
            self._tell_fault(venue, "A14", skew_ms=0)

    def _strike(self, troubles: Sequence[str]) -> None:
        """The next trouble: all of them come once before one comes again."""
        if not self._deck:
            self._deck = self._dice.sample(list(troubles), len(troubles))
        TROUBLES[self._deck.pop()](self)

    def _count(self, what: str) -> None:
        self.counts[what] += 1

    def _later(self, after_s: float, what: Callable[[], None]) -> None:
        self._due.append((time.monotonic() + after_s, what))

    def fault(self, number: str, what: str, **fields: Any) -> None:
        """Arm one at one of the venues, or at the other where that one does not know it."""
        venues = list(VENUES.values())
        self._dice.shuffle(venues)
        for venue in venues:
            if self._tell_fault(venue, number, **fields):
                self._count(f"{number} {what}")
                return

    def _tell_fault(self, venue: str, number: str, **fields: Any) -> bool:
        try:
            self.floor.fault(number, venue=venue, **fields)
        except urllib.error.HTTPError:
            return False  # not every venue knows every fault
        return True

    def cancelled_by_venue(self) -> None:
        self.fault("A8", "the venue cancels", account=self.number)

    def clock(self) -> None:
        skew_ms = self._dice.choice((-2500, -700, 700, 2500))
        self.fault("A14", "clock jump", skew_ms=skew_ms)

    def cut(self) -> None:
        """A venue cannot be reached for a moment."""
        name = self._dice.choice(list(self.wires))
        self._count("disconnected for a while")
        self._away[name] = float("inf")
        self.wires[name].cut()
        self._later(self._dice.uniform(0.2, 1.5), lambda: self._mend(name))

    def _mend(self, name: str) -> None:
        self.wires[name].mend()
        self.wires[name].delay_s = 0.0
        if self._away[name] == float("inf"):
            self._away[name] = time.monotonic() + RECONNECT_S

    def drop(self) -> None:
        """Every connection to a venue breaks; new ones work."""
        name = self._dice.choice(list(self.wires))
        self._count("connections dropped")
        self.wires[name].drop(b"")

    def slow(self) -> None:
        name = self._dice.choice(list(self.wires))
        self._count("slow wire")
        self.wires[name].delay_s = SLOW_S
        self._later(1.0, lambda: setattr(self.wires[name], "delay_s", 0.0))

    def mute(self) -> None:
        """Market streams stay open and say nothing."""
        self.fault("A15", "mute socket", count=-1)
        self._later(1.0, lambda: self.floor.tell("/faults", {}, "DELETE"))

    def redis(self) -> None:
        """Redis is gone for a while."""
        self._count("Redis stopped")
        stop_redis(self._redis_home)
        self._later(1.0, lambda: self.floor.redis.revive() and None)

    def database(self) -> None:
        """PostgreSQL is gone for a while."""
        self._count("PostgreSQL killed")
        self.shelf.start()
        self.shelf.kill()
        self._later(1.0, self.shelf.start)

    def fill_disk(self) -> None:
        """No room for the journal for a while: entries stop, exits go on; then all of it is written."""
        self._count("disk full")
        self._full.add(self.runs()[-1])
        self._zygote.tell("disk full")
        self._later(1.0, self._make_room)

    def _make_room(self) -> None:
        self._zygote.tell("disk has room")

    def unjournalled(self) -> set[int]:
        """Exits and stops of lives that were killed while the disk was full: the next life leaves their ids out."""
        found: set[int] = set()
        for path in self._full:
            ids = r.joined(list(segments.read(path)))["record"]
            last = max(ids["client_id"][ids["kind"] == r.PLACE].tolist(), default=0) or self._opening_id(path) - 1
            found |= set(range(last + 1, last + 1 + LOST_IDS))
        return found

    def _opening_id(self, path: Path) -> int:
        return int(opening_core(path, manifests.read(path)).state.head[0].next_client_id)

    def restart(self) -> None:
        """Ended in order, and begun again; what a disk without room kept waiting is written before."""
        self._count("restart")
        self._due = [item for item in self._due if item[1] != self._make_room]
        self._make_room()
        self._dead(lambda: self._zygote.tell("stop"), 0)

    @property
    def elapsed_s(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._begun

    # --- looking ---------------------------------------------------------------------------------------

    def _sample(self) -> None:
        """Ask how it is; a question without an answer since the last one is time it was not up."""
        if self._waiting:
            self._note(time.monotonic(), False, "no answer", {})
            return
        self._zygote.tell("status")
        self._waiting += 1

    def _hear(self, found: dict[str, Any] | None) -> None:
        if found is None:
            raise Broken("no answer")
        if found["at"] == "dead":
            self._must_be_killed(NO_FATE, found | {"signal": 0})
        if found["at"] != "status":
            return
        self._waiting -= 1
        said = found["status"]
        now = time.monotonic()
        deaf = [name for name, is_ready in said["ready"].items() if not is_ready and now > self._away[name]]
        why = said["fault"] or (f"not ready at {', '.join(deaf)}" if deaf else "")
        self._note(time.monotonic(), not why, why, said)

    def _note(self, now: float, up: bool, why: str, status: dict[str, Any]) -> None:
        excused = any(now < until for until in self._away.values())
        self.seen.append(Sample(round(now - self._begun, 2), up, excused, why, status))

    def end(self) -> dict[str, int]:
        """The last life ends in order; all journals against all books."""
        self._drained()
        self._dead_in_order()
        for wire in self.wires.values():
            wire.close()
        return self.judge() | {"projected": self.shelf.check(self.runs())}

    def close(self) -> None:
        """Let go of the database."""
        self.shelf.close()

    def _dead_in_order(self) -> None:
        self._zygote.tell("stop")
        found = self._zygote.next(START_S)
        if found is None or found["at"] != "dead" or found["code"] != 0:
            raise Broken(f"it does not end in order: {found}")


TROUBLES: Final[dict[str, Callable[[Storm], None]]] = {
    "reply lost": lambda storm: storm.fault("A1", "reply lost"),
    "accepted late": lambda storm: storm.fault("A2", "accepted after the timeout", delay_ms=300),
    "fill twice": lambda storm: storm.fault("A3", "fill told twice", count=2),
    "fill first": lambda storm: storm.fault("A4", "fill before ack"),
    "fills reversed": lambda storm: storm.fault("A5", "fills out of order"),
    "race": lambda storm: storm.fault("A6", "cancel and fill race"),
    "503": lambda storm: storm.fault("A7", "order answered 503"),
    "venue cancels": Storm.cancelled_by_venue,
    "clock": Storm.clock,
    "mute": Storm.mute,
    "cut": Storm.cut,
    "drop": Storm.drop,
    "slow": Storm.slow,
    "redis": Storm.redis,
    "database": Storm.database,
    "disk full": Storm.fill_disk,
    "restart": Storm.restart,
    "kill": Storm.kill,
}
