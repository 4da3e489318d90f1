"""The engine's process at 5,000 events a second for as long as asked: memory, files and tasks stay what they were."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from engine.cli.supervise import end, first_line

SECONDS = float(os.environ.get("SECONDS_TO_SOAK", "600"))
WARM_S = 45.0
SAMPLE_S = 1.0
EVENTS_PER_S = 5_000
MOST_GROWTH_KB_PER_HOUR = 20_000


def command(*arguments: str, cwd: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "engine.cli.main", *arguments], cwd=cwd, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip


def resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.soak
def test_memory_is_flat_at_five_thousand_events_a_second(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    sandbox = command(
        "sandbox", "--speed", "0", "--history", "120", "--minutes", "10", cwd=tmp_path, environment=environment
    )
    engine = None
    try:
        line = first_line(sandbox, "the sandbox", 60.0)
        venue = line["venues"]["binance_spot"]
        symbols = json.dumps([f"{name.removesuffix('USDT')}/USDT" for name in venue["symbols"]])
        urls = "\n".join(f'{name} = "{venue[name]}"' for name in ("rest", "ws", "ws_api"))
        (tmp_path / "keel.toml").write_text(
            f'[runtime]\ntimeframes_s = [1, 3, 9]\n[venues.sandbox]\nexchange = "binance"\nsymbols = {symbols}\n'
            f"[venues.sandbox.urls]\n{urls}\n"
        )
        asked = json.dumps({"quotes_per_s": EVENTS_PER_S, "seconds": min(SECONDS + 120, 3600)}).encode()
        urllib.request.urlopen(urllib.request.Request(line["control"] + "/rate", asked, method="POST")).read()
        engine = command("engine", cwd=tmp_path, environment=environment)
        run = first_line(engine, "the engine", 120.0)
        watched = select.poll()
        handle = os.pidfd_open(engine.pid)
        watched.register(handle, select.POLLIN)
        started, memory, files = time.monotonic(), [], []
        while time.monotonic() - started < SECONDS:
            assert not watched.poll(SAMPLE_S * 1000), "the engine ended by itself"
            memory.append((time.monotonic() - started, resident_kb(engine.pid)))
            files.append(open_files(engine.pid))
        os.close(handle)
    finally:
        for process in (engine, sandbox):
            if process is not None:
                end(process)
    at, kb = np.array([point for point in memory if point[0] > min(WARM_S, SECONDS / 2)]).T
    slope = float(np.polyfit(at, kb, 1)[0]) * 3600
    events = json.loads((tmp_path / str(run["run_dir"]) / "manifest.json").read_text())["events"]
    print(
        f"\n{events:,} events in {SECONDS:.0f} s ({events / SECONDS:,.0f}/s); memory {kb[0]:,.0f} -> {kb[-1]:,.0f} kB, "
        f"{slope:+,.0f} kB an hour; open files {min(files)}..{max(files)}"
    )
    assert events > 0.9 * EVENTS_PER_S * SECONDS
    assert slope < MOST_GROWTH_KB_PER_HOUR or kb[-1] - kb[0] < 2_000
    assert max(files) - min(files) <= 8
