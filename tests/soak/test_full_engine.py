"""The whole engine on the sandbox for as long as asked, with faults on: `make soak SECONDS=900`, an hour unless given.

Its process is the one `trading-cli engine` runs, trading on Binance spot and USD-M at once: two accounts, five symbols,
live view in Redis, heartbeat, invariant monitor. Replies are lost, fills told twice and out of order, orders answered
503, stops cancelled by the venue, connections cut and slowed down, Redis stopped, the venue's clock moved, and the
process is killed. Every twenty seconds it is calm, and all positions must have their stops and all books agree.

Availability is the share of time (looked at four times a second) in which the engine lived, could journal, and had its
order connections up wherever the venue could be reached; after a cut, which is not counted, it has five seconds to come
back. Restarts count in full.

The report is `benchmarks/soak-<seconds>s.svg` and `.json`; a shorter soak than a minute leaves none.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture import Curve, Panel, draw

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests" / "faults"), str(ROOT / "tests" / "faults" / "kills")]
from grounds import symbols_of, wide_floor  # noqa: E402
from market import Walk  # noqa: E402
from storms import SAMPLE_S, TROUBLES, Sample, Storm  # noqa: E402
from zygotes import Zygote  # noqa: E402

from engine.research.bench import machine  # noqa: E402

SECONDS = float(os.environ.get("SECONDS_TO_SOAK", "3600"))
SEED = int(os.environ.get("SOAK_SEED", "2"))
SPELL_S = 20.0
EVERY_S = (2.0, 6.0)
KILL_EVERY_S = 1200.0
WARM_S = 60.0
RARE = ("kill", "restart", "disk full")
"""Not by chance here: `kill` by the clock; a full disk, which ends entries while it lasts, has tests of its own."""
MOST_GROWTH_KB_PER_HOUR = 20_000
LEAST_UP = 0.999


@pytest.mark.soak
def test_the_whole_engine_with_faults_on(tmp_path: Path) -> None:
    floor = wide_floor(tmp_path, 1, 1)
    zygote = Zygote(tmp_path)
    spots, perps = symbols_of(0)
    walk = Walk(floor, spots + perps, SEED, 0.25)
    storm = Storm(floor, zygote, walk, tmp_path, 0, spots, perps, SEED, notional_usd=12.0, step_s=0.5)
    kills: list[float] = []
    try:
        storm.begin()
        troubles = tuple(name for name in TROUBLES if name not in RARE)
        wanted = max(round(SECONDS / KILL_EVERY_S), 1)
        while (now := storm.elapsed_s) < SECONDS:
            if len(kills) < wanted and now > (len(kills) + 1) * SECONDS / (wanted + 1):
                kills.append(now)
                storm.kill()
            storm.spell(min(SPELL_S, SECONDS - now), troubles, EVERY_S)
            storm.check()
        totals = storm.end()
    finally:
        zygote.close()
        storm.close()
        floor.stop()
    report = summary(storm, kills, totals)
    print("\n" + json.dumps(report, indent=2))
    if SECONDS >= 60:
        write(report, storm, kills, ROOT / "benchmarks" / f"soak-{SECONDS:.0f}s")
    last = report["last_life"]
    assert report["availability"] >= LEAST_UP, report["why_not_up_s"]
    assert last["rss_kb_per_hour"] < MOST_GROWTH_KB_PER_HOUR or last["rss_kb"][1] - last["rss_kb"][0] < 4_000
    assert last["files"][1] - last["files"][0] <= 16 and last["tasks"][1] - last["tasks"][0] <= 24


def summary(storm: Storm, kills: list[float], totals: dict[str, int]) -> dict[str, Any]:
    """What the soak came to."""
    bad = [one for one in storm.seen if not one.up and not one.excused]
    elapsed_s = storm.seen[-1].at_s
    down_s = storm.down_s + len(bad) * SAMPLE_S
    last = [one for one in storm.seen if one.status and one.at_s > (kills[-1] if kills else 0.0)]
    warm = [one for one in last if one.at_s - last[0].at_s > min(WARM_S, (last[-1].at_s - last[0].at_s) / 3)]
    why: dict[str, float] = {}
    for one in bad:
        why[one.why] = why.get(one.why, 0.0) + SAMPLE_S
    return {
        "seconds": round(elapsed_s), "seed": SEED, "availability": round(1 - down_s / elapsed_s, 6),
        "down_s": round(down_s, 2), "restarts_s": storm.starts_s, "why_not_up_s": why,
        "seconds_cut_off_or_reconnecting": sum(one.excused for one in storm.seen) * SAMPLE_S,
        "faults": dict(storm.counts),
        "last_life": {
            "seconds": round(last[-1].at_s - last[0].at_s),
            "events": last[-1].status["events"] - last[0].status["events"],
            "rss_kb": [warm[0].status["rss_kb"], warm[-1].status["rss_kb"]],
            "rss_kb_per_hour": round(slope(warm, "rss_kb")), "tasks": span(warm, "tasks"), "files": span(warm, "files"),
            "threads": span(warm, "threads"), "latency_us_p50_p99": last[-1].status["latency_us"],
            "counts": last[-1].status["counts"],
        },
        "ledger": totals, "load_1m": round(os.getloadavg()[0], 2), "machine": machine(),
    }  # fmt: skip


def slope(samples: list[Sample], name: str) -> float:
    """Growth an hour."""
    at = np.array([one.at_s for one in samples])
    return float(np.polyfit(at, [one.status[name] for one in samples], 1)[0]) * 3600


def span(samples: list[Sample], name: str) -> list[int]:
    """Least and most, of the middle of each ten seconds: what a moment's reconnect opens is no leak."""
    values = [one.status[name] for one in samples]
    often = round(10 / SAMPLE_S)
    medians = [int(np.median(values[k : k + often])) for k in range(0, len(values), often)]
    return [min(medians), max(medians)]


def write(report: dict[str, Any], storm: Storm, kills: list[float], path: Path) -> None:
    """The picture and its figures."""
    seen = [one for one in storm.seen if one.status]

    def curve(title: str, name: str, per: float = 1.0) -> Curve:
        return Curve(title, [(one.at_s, one.status[name] / per) for one in seen])

    def latency(title: str, k: int) -> Curve:
        return Curve(title, [(one.at_s, one.status["latency_us"][k]) for one in seen if one.status["latency_us"]])

    def count(name: str) -> Curve:
        return Curve(name, [(one.at_s, one.status["counts"][name]) for one in seen])

    panels = [
        Panel("can decide and send (1), a venue is cut off (0.5), cannot (0)", "", [
            Curve("", [(one.at_s, 0.5 if one.excused else float(one.up)) for one in storm.seen])]),
        Panel("resident memory", "MiB", [curve("", "rss_kb", 1024.0)]),
        Panel("open files and asyncio tasks", "", [curve("files", "files"), curve("tasks", "tasks")]),
        Panel("orders and fills of each life", "", [count("orders"), count("fills")]),
        Panel("tick to order, inside", "µs", [latency("median", 0), latency("99 %", 1)]),
    ]  # fmt: skip
    last = report["last_life"]
    words = [
        f"availability {report['availability']:.3%} ({report['down_s']:g} s down, {len(kills)} kill -9); "
        f"memory {last['rss_kb_per_hour'] / 1024:+.1f} MiB an hour; files {last['files']}, tasks {last['tasks']}",
        f"{report['ledger']['placed']} orders, {report['ledger']['fills']} fills, each once in the journals and at the "
        "venues; " + ", ".join(f"{name} {number}" for name, number in list(report["faults"].items())[:6]),
        ", ".join(f"{name} {number}" for name, number in list(report["faults"].items())[6:]),
        f"load {report['load_1m']} on {report['machine']['cores']} cores; red: kill -9",
    ]
    title = f"Keel: {report['seconds']} s of the whole engine on the sandbox, faults on"
    path.with_suffix(".svg").write_text(draw(title, words, panels, [(at, "#c00") for at in kills]), encoding="utf-8")
    path.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
