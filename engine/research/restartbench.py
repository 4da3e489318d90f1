"""How long a restart takes with a long journal behind it: an engine that trades is killed, and started again.

The engine that is killed is a fork of this process and runs what `trading-cli engine` runs: signed orders, the venue's
answers, every event journalled, snapshots at their usual pace. A sandbox in another process quotes until the journal is
as long as asked. Then `kill -9`, and three things are timed in this process:

* **reading**: every entry of the journal decoded and its checksums and chain verified;
* **replaying**: `recover_run`, which reads and steps through what lies behind the newest snapshot, commands compared
  with what was journalled; and once more without any snapshot;
* **reconciling**: from there until the engine trades: rules and account loaded, sockets open, orders, fills, positions
  and wallets compared with the venue's.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import uvloop

from engine.contracts.errors import Fatal
from engine.contracts.records import ENTRY, FIRST_COMMAND
from engine.journal import segments, snapshots
from engine.journal.recovery import last_run, recover_run
from engine.research.wirebench import SETTLE_S, Sandbox
from engine.runtime.process import serve
from engine.runtime.service import LivePlan, start
from engine.store.redis_server import LiveRedis

OpenPlan = Callable[[], AbstractAsyncContextManager[LivePlan]]
Progress = Callable[[float, str], None]
Figures = dict[str, Any]

QUOTES_PER_S: Final = 40_000
STEP_S: Final = 5.0
START_S: Final = 120.0
PATIENCE_S: Final = 600.0


def bench_restart(
    open_plan: OpenPlan, live_redis: LiveRedis, home: Path, control: str, events: int, progress: Progress
) -> Figures:
    """Figures of a restart behind at least `events` journalled events. Raises Fatal where the engine does not run."""
    sandbox = Sandbox(control)
    pid = _forked(open_plan, live_redis)
    try:
        run_dir = _run_of(home, pid)
        begun = time.monotonic()
        while (written := _entries(run_dir)) < events:
            if time.monotonic() - begun > PATIENCE_S:
                raise Fatal(f"only {written:,} events were journalled in {PATIENCE_S:g} s; ask for fewer")
            progress(0.7 * written / events, "journalling")
            asyncio.run(sandbox.play(QUOTES_PER_S, STEP_S, even=False))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    progress(0.7, "reading")
    figures = _read(run_dir)
    progress(0.8, "restarting")
    figures |= _recover(run_dir, "") | uvloop.run(_restarted(open_plan))
    progress(0.9, "replaying without a snapshot")
    shutil.rmtree(run_dir / snapshots.FOLDER, ignore_errors=True)
    return figures | _recover(run_dir, "_without_snapshot") | {"load_1m": round(os.getloadavg()[0], 2)}


def _forked(open_plan: OpenPlan, live_redis: LiveRedis) -> int:
    """An engine in a process of its own; its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        uvloop.run(_serve(open_plan, live_redis))
        code = 0
    finally:
        os._exit(code)


async def _serve(open_plan: OpenPlan, live_redis: LiveRedis) -> None:
    async with open_plan() as plan:
        await serve(plan, live_redis, asyncio.Event())


def _run_of(home: Path, pid: int) -> Path:
    """The run folder of the engine, once it is there."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        found = last_run(home, "live")
        if found is not None and _entries(found):
            time.sleep(SETTLE_S)
            return found
        if os.waitpid(pid, os.WNOHANG)[0]:
            raise Fatal("the engine ended before it ran")
        time.sleep(0.1)
    raise Fatal(f"the engine did not run within {START_S:g} s")


def _entries(run_dir: Path) -> int:
    """About how many entries a journal holds."""
    return sum(path.stat().st_size for path in (run_dir / segments.FOLDER).glob("*.keel")) // ENTRY.itemsize


def _read(run_dir: Path) -> Figures:
    clock, entries, events = _Clock(), 0, 0
    for block in segments.read(run_dir):
        entries += len(block)
        events += int((block["record"]["kind"] < FIRST_COMMAND).sum())
    size = sum(path.stat().st_size for path in (run_dir / segments.FOLDER).glob("*.keel"))
    return {"events": events, "entries": entries, "journal_mib": round(size / 2**20, 1)} | clock.read("reading")


def _recover(run_dir: Path, suffix: str) -> Figures:
    clock = _Clock()
    found = recover_run(run_dir)
    return clock.read(f"replaying{suffix}") | {f"replayed_events{suffix}": found.events}


async def _restarted(open_plan: OpenPlan) -> Figures:
    """The whole of it, as `up` does it: keys opened, recovered, reconciled, trading."""
    whole = _Clock()
    async with open_plan() as plan:
        reconciling = _Clock()
        service = await start(plan)
        figures = reconciling.read("reconciling") | whole.read("restart")
        positions = int((service.core.state.positions["qty_lots"] != 0).sum())
        await service.stop()
        for venue, _ in plan.venues:
            await venue.close()
    return figures | {"continues": bool(plan.continues), "open_positions": positions}


class _Clock:
    """Wall seconds, and those this process was on a processor for: on a busy machine the second says more."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self, name: str) -> Figures:
        """`name`_s and `name`_cpu_s since it was made."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {f"{name}_s": round(wall, 3), f"{name}_cpu_s": round(cpu, 3)}
