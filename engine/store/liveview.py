"""What is going on now, in Redis, for whoever looks: the dashboard, `status`, the watchdog.

| key                                                    | kind      | written                                   |
|--------------------------------------------------------|-----------|-------------------------------------------|
| ``keel:live:{run}:positions`` orders equity feeds      | hash      | as a whole: name -> row (JSON object)     |
| ``keel:live:{run}:selection`` market desks             | hash      | as a whole                                |
| ``keel:live:{run}:in_force`` foreign                   | hash      | the same, when a value changed            |
| ``keel:live:{run}:decisions`` refusals fills notices   | stream    | the last 1,000 rows                       |
| ``keel:live:{run}:cycles``                             | stream    | the same                                  |
| ``keel:live:{run}:heartbeat``                          | string    | every second; gone 5 s after the last one |
| ``keel:live:runs``                                     | sorted set| run -> when it was last heard of (ms)     |

The writer never makes the engine wait: `put` and `add` only note what is to be written, in bounded memory; one task
writes everything in one transaction. The view can lose rows, the journal cannot: this is a view, made to be rebuilt.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, get_args

import msgspec
import redis
import redis.asyncio

from engine.contracts.errors import BadData, BadInput, Retryable

Cell = str | int | float | bool | None
Row = Mapping[str, Cell]
Table = Literal["positions", "orders", "equity", "feeds", "in_force", "foreign", "selection", "market", "desks"]
Stream = Literal["decisions", "refusals", "fills", "notices", "cycles"]
TABLES: Final[tuple[Table, ...]] = get_args(Table)
STREAMS: Final[tuple[Stream, ...]] = get_args(Stream)
RUNS: Final = "keel:live:runs"

_KEPT_ROWS: Final = 1_000  # a stream in Redis
_OUTBOX_ROWS: Final = 1_000  # a stream waiting to be written
_BEAT_S: Final = 1.0
_BEAT_TTL_S: Final = 5
_VIEW_TTL_S: Final = 7 * 24 * 3600  # a run that ended is forgotten after a week
_RENEW_NS: Final = 60 * 1_000_000_000  # how often that week begins anew
_ROWS_AT_ONCE: Final = 20  # a transaction; each costs the loop some 15 us, and orders go over the same loop
_SHORTEST_S: Final = 0.05  # between two writes: twenty a second, however busy the engine is
_LONGEST_BACK_OFF_S: Final = 5.0
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE_ROW: Final = msgspec.json.Decoder(dict[str, Cell]).decode


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The writer about itself. `dropped`: rows that nobody will see here; `conflated`: states of a table overtaken
    by a newer one before they were written; `failures`: writes that Redis did not confirm."""

    ts_ns: int  # wall clock
    pid: int
    written: int
    dropped: int
    conflated: int
    failures: int


class LiveView(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a run. `heartbeat` is None when its engine has not been heard of for 5 s: nothing here is live."""

    run: str
    heartbeat: Heartbeat | None
    positions: dict[str, dict[str, Cell]]
    orders: dict[str, dict[str, Cell]]
    equity: dict[str, dict[str, Cell]]
    feeds: dict[str, dict[str, Cell]]
    in_force: dict[str, dict[str, Cell]]
    foreign: dict[str, dict[str, Cell]]
    selection: dict[str, dict[str, Cell]]
    market: dict[str, dict[str, Cell]]
    desks: dict[str, dict[str, Cell]]
    decisions: list[dict[str, Cell]]  # oldest first, as are the next four
    refusals: list[dict[str, Cell]]
    fills: list[dict[str, Cell]]
    notices: list[dict[str, Cell]]
    cycles: list[dict[str, Cell]]


class _Waiting(msgspec.Struct):
    """What one transaction writes."""

    tables: dict[Table, Mapping[str, Row]]
    rows: list[tuple[Stream, int, Row]]


class LiveWriter:
    """Use `put` and `add` from the engine's loop and run `write_on` as one task beside it."""

    def __init__(
        self, client: redis.asyncio.Redis, run: str, wall_ns: Callable[[], int] = time.time_ns, beat_s: float = _BEAT_S
    ) -> None:
        """`client` with a reply timeout; it stays the caller's."""
        self._client = client
        self._run = check_run(run)
        self._wall_ns = wall_ns
        self._beat_s = beat_s
        self._boot = wall_ns()
        self._number = 0
        self._renewed_ns = 0
        self._latest: dict[Table, Mapping[str, Row]] = {}
        self._dirty: set[Table] = set()
        self._rows: dict[Stream, deque[tuple[int, Row]]] = {stream: deque() for stream in STREAMS}
        self._due = asyncio.Event()
        self._written = self._dropped = self._conflated = self._failures = 0
        self._down = False

    @property
    def heartbeat(self) -> Heartbeat:
        return Heartbeat(
            ts_ns=self._wall_ns(), pid=os.getpid(), written=self._written, dropped=self._dropped,
            conflated=self._conflated, failures=self._failures,
        )  # fmt: skip

    @property
    def down(self) -> bool:
        """The last write failed; the next attempts come by themselves."""
        return self._down

    @property
    def waiting(self) -> int:
        """Rows not written yet."""
        return sum(map(len, self._rows.values()))

    def put(self, table: Table, rows: Mapping[str, Row]) -> None:
        """The whole of a table as it is now (symbol, client order id, account, feed or setting -> row). Hand over a
        mapping that is not changed afterwards."""
        self._conflated += table in self._dirty
        self._latest[table] = rows
        self._dirty.add(table)
        self._due.set()

    def add(self, stream: Stream, row: Row) -> None:
        """One more decision, refusal or fill. With a full outbox the oldest waiting row is dropped and counted."""
        waiting = self._rows[stream]
        if len(waiting) >= _OUTBOX_ROWS:
            waiting.popleft()
            self._dropped += 1
        self._number += 1
        waiting.append((self._number, row))
        self._due.set()

    async def write_on(self) -> None:
        """Write whatever is due, and a heartbeat, until cancelled; Redis being away only delays it."""
        back_off_s = _SHORTEST_S
        me = asyncio.current_task()
        while True:
            confirmed = await self.flush()
            if me is not None and me.cancelling():  # redis-py loses a cancellation that meets a reply
                raise asyncio.CancelledError
            if confirmed:
                back_off_s = _SHORTEST_S
                await asyncio.sleep(0 if self.waiting else _SHORTEST_S)
                await self._until_due()
            else:
                await asyncio.sleep(back_off_s * random.uniform(0.5, 1.0))
                back_off_s = min(2 * back_off_s, _LONGEST_BACK_OFF_S)

    async def flush(self) -> bool:
        """One transaction with the tables and the first rows that wait, and a heartbeat. False when Redis did not
        confirm it: rows wait again, and every table is written again when it is back (it may have lost everything).
        """
        waiting = self._take()
        pipe = self._client.pipeline(transaction=True)
        self._fill(pipe, waiting)
        try:
            await pipe.execute()
        except (redis.RedisError, OSError):
            self._put_back(waiting)
            return False
        self._down = False
        self._written += len(waiting.tables) + len(waiting.rows)
        return True

    async def _until_due(self) -> None:
        try:
            async with asyncio.timeout(self._beat_s):
                await self._due.wait()
        except TimeoutError:
            pass  # nothing new: time for a heartbeat

    def _take(self) -> _Waiting:
        self._due.clear()
        rows: list[tuple[Stream, int, Row]] = []
        for stream, queue in self._rows.items():
            while queue and len(rows) < _ROWS_AT_ONCE:
                rows.append((stream, *queue.popleft()))
        tables = {table: self._latest[table] for table in self._dirty}
        self._dirty.clear()
        if self.waiting:
            self._due.set()
        return _Waiting(tables, rows)

    def _put_back(self, waiting: _Waiting) -> None:
        self._failures += 1
        self._down = True
        self._conflated += len(self._dirty & waiting.tables.keys())
        self._dirty = set(self._latest)
        for stream, number, row in reversed(waiting.rows):
            if len(self._rows[stream]) < _OUTBOX_ROWS:
                self._rows[stream].appendleft((number, row))
            else:
                self._dropped += 1

    def _fill(self, pipe: redis.asyncio.client.Pipeline, waiting: _Waiting) -> None:
        for table, rows in waiting.tables.items():
            key = _key(self._run, table)
            pipe.delete(key)
            if rows:
                pipe.hset(key, mapping={name: _ENCODE(row) for name, row in rows.items()})
        for stream, number, row in waiting.rows:  # the number lets readers skip what an unconfirmed write did write
            fields: dict[Any, Any] = {"n": f"{self._boot}-{number}", "row": _ENCODE(row)}
            pipe.xadd(_key(self._run, stream), fields, maxlen=_KEPT_ROWS, approximate=True)
        beat = self.heartbeat
        pipe.set(_key(self._run, "heartbeat"), _ENCODE(beat), ex=_BEAT_TTL_S)
        pipe.zadd(RUNS, {self._run: beat.ts_ns // 1_000_000})
        if beat.ts_ns < self._renewed_ns + _RENEW_NS and not self._down:
            return
        self._renewed_ns = beat.ts_ns
        for name in (*TABLES, *STREAMS):
            pipe.expire(_key(self._run, name), _VIEW_TTL_S)


def read_live(client: redis.Redis, run: str, last: int = 100) -> LiveView:
    """The tables of `run` and the `last` rows of every stream; empty for a run never heard of.

    Raises Retryable when Redis is not reachable, BadData when something else wrote there.
    """
    pipe = client.pipeline(transaction=True)
    for table in TABLES:
        pipe.hgetall(_key(run, table))
    for stream in STREAMS:
        pipe.xrevrange(_key(run, stream), count=last)
    pipe.get(_key(run, "heartbeat"))
    try:
        found = pipe.execute()
    except redis.ResponseError as error:
        raise BadData(f"{_key(run, '*')} holds something Keel did not write ({error}); delete these keys") from None
    except (redis.RedisError, OSError) as error:
        raise Retryable(f"the live view is not reachable ({type(error).__name__}); is Redis running?") from None
    tables, streams, beat = found[: len(TABLES)], found[len(TABLES) : -1], found[-1]
    try:
        seen: dict[str, object] = {t: _table(rows) for t, rows in zip(TABLES, tables, strict=True)}
        seen |= {s: _rows_once(entries) for s, entries in zip(STREAMS, streams, strict=True)}
        heartbeat = msgspec.json.decode(beat, type=Heartbeat) if beat else None
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError) as error:
        raise BadData(f"{_key(run, '*')} holds something Keel did not write ({error}); delete these keys") from None
    return msgspec.convert({"run": run, "heartbeat": heartbeat, **seen}, LiveView)


def live_runs(client: redis.Redis) -> list[str]:
    """Runs heard of in the last week, the latest first. Raises Retryable when Redis is not reachable."""
    try:
        now_ms = client.time()[0] * 1000
        client.zremrangebyscore(RUNS, 0, now_ms - _VIEW_TTL_S * 1000)
        found: Any = client.zrevrange(RUNS, 0, -1)
        return [run.decode() for run in found]
    except (redis.RedisError, OSError) as error:
        raise Retryable(f"the live view is not reachable ({type(error).__name__}); is Redis running?") from None


def _table(rows: dict[bytes, bytes]) -> dict[str, dict[str, Cell]]:
    return {name.decode(): _DECODE_ROW(row) for name, row in sorted(rows.items())}


def _rows_once(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> list[dict[str, Cell]]:
    once = {fields[b"n"]: fields[b"row"] for _, fields in reversed(entries)}
    return [_DECODE_ROW(row) for row in once.values()]


def _key(run: str, name: str) -> str:
    return f"keel:live:{run}:{name}"


def check_run(run: str) -> str:
    """A run id as part of a key. Raises BadInput."""
    if not run or len(run) > 100 or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in run):
        raise BadInput(f"run id {run[:40]!r} must be 1 to 100 letters, digits, dashes, dots or underscores")
    return run
