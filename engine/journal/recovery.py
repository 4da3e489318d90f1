"""What an engine knew when it ended, however it ended: newest snapshot, and the journal behind it replayed.

Rules
-----
* Everything recomputed is held against what was journalled: another build that decides otherwise is refused.
* A damaged snapshot is left out and told; the journal alone is enough. A torn tail of the journal is left out and told;
  any other damage raises DamagedJournal naming segment and byte.
* Reading changes nothing: a watchdog may look at a run that is still written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts.errors import Fatal
from engine.contracts.records import ENTRY, FIRST_COMMAND, RECORD, as_dict
from engine.contracts.runs import Manifest
from engine.core import replay as kernels
from engine.core import state
from engine.core.carrying import parts_of, put_back
from engine.core.compile import source_digest
from engine.core.limits import Limits
from engine.core.output import drain, new_output
from engine.journal import manifest as manifests
from engine.journal import segments, snapshots

OPENING: Final = "opening"
"""Folder in a run that continues another: the state it began with."""
KEPT: Final = 2
"""Snapshots of a run that are kept besides the opening one."""
CHECKED_BYTES: Final = 256 << 20
"""Up to so much journal is checked from its beginning; of a longer one, from the newest snapshot on."""

Entries = np.ndarray[Any, Any]


class Recovered(NamedTuple):
    """`core` is as it was behind the last journalled entry. `events` were replayed behind the snapshot of event
    `snapshot_seq` (-1: there was none). `notes`: what a person should know, in words."""

    core: state.Core
    manifest: Manifest
    run_dir: Path
    events: int
    snapshot_seq: int
    notes: tuple[str, ...]


def save(run_dir: Path, parts: dict[str, Any], seq: int, segment: int) -> Path:
    """Save the state behind event `seq`, written while the journal was in `segment`; older ones beyond `KEPT` go."""
    made = snapshots.save(run_dir, seq, parts, _meta(run_dir.name, segment))
    for path in sorted((run_dir / snapshots.FOLDER).glob("*.snap"))[:-KEPT]:
        path.unlink(missing_ok=True)
    return made


def save_opening(run_dir: Path, core: state.Core) -> Path:
    """Save what a run that continues another begins with."""
    return snapshots.save(run_dir / OPENING, int(core.state.head[0].seq), dict(parts_of(core)), _meta(run_dir.name, 0))


def _meta(run: str, segment: int) -> dict[str, str]:
    return {"run": run, "segment": str(segment), "code": source_digest()}


def opening_core(run_dir: Path, manifest: Manifest) -> state.Core:
    """The core as the run began. Raises Fatal where a run that continues another has lost its opening snapshot."""
    core = state.new_core(
        manifest.instruments, Limits(**manifest.limits), manifest.capital_usd, manifest.strategies,
        manifest.timeframes_s, manifest.wallets_usd, manifest.selector,
    )  # fmt: skip
    if manifest.continues:
        path = snapshots.latest(run_dir / OPENING)
        if path is None:
            raise Fatal(
                f"{run_dir} continues run {manifest.continues} but its opening snapshot is missing; restore the run "
                "folder from a copy, or begin afresh with trading-cli up --fresh"
            )
        put_back(core, snapshots.load(path, {"run": manifest.run_id}).parts)
    return core


def last_run(home: Path, world: str) -> Path | None:
    """The newest run of a world in a home that got as far as a journal; None where there is none."""
    for path in sorted((home / "runs").glob(f"*-{world}"), reverse=True):
        if (path / manifests.FILE).exists() and any((path / segments.FOLDER).glob("*.keel")):
            return path
    return None


def recover_run(run_dir: Path) -> Recovered:
    """The state of the run in `run_dir`. Raises Fatal (DamagedJournal) naming what cannot be used, and the fix."""
    manifest = manifests.read(run_dir)
    notes: list[str] = []
    core = opening_core(run_dir, manifest)
    seq, first = _newest(run_dir, manifest, core, notes)
    size = sum(path.stat().st_size for path in (run_dir / segments.FOLDER).glob("*.keel"))
    reading = segments.read(run_dir, first if size > CHECKED_BYTES else 0)
    before = int(core.state.head[0].seq)
    for block in reading:
        _replay(core, block[block["seq"] > before] if int(block["seq"][0]) <= before else block, run_dir, manifest)
    found = reading.recovery
    if found is not None and found.torn_bytes:
        notes.append(f"the last {found.torn_bytes} bytes of {found.segment} hold no whole frame ({found.torn_reason})")
    return Recovered(core, manifest, run_dir, int(core.state.head[0].seq) - before, seq, tuple(notes))


def _newest(run_dir: Path, manifest: Manifest, core: state.Core, notes: list[str]) -> tuple[int, int]:
    """Put the newest good snapshot into `core`; its event, and the segment of the journal it lies in. (-1, 0): none."""
    for path in sorted((run_dir / snapshots.FOLDER).glob("*.snap"), reverse=True):
        try:
            found = snapshots.load(path)
        except Fatal as error:
            notes.append(f"{error}; an older one or the whole journal is used instead")
            continue
        if found.meta.get("run") != manifest.run_id:
            raise Fatal(
                f"snapshot {path} belongs to run {found.meta.get('run')!r}, not to this one; move it away: the journal "
                "alone is enough"
            )
        put_back(core, found.parts)
        return found.seq, int(found.meta["segment"])
    return -1, 0


def _replay(core: state.Core, entries: Entries, run_dir: Path, manifest: Manifest) -> None:
    """Step through whole turns of the journal and compare what comes out."""
    events = entries[entries["record"]["kind"] < FIRST_COMMAND]
    out, at, none = new_output(), np.zeros(2, np.int64), np.zeros(0, RECORD)
    compared, outcome = 0, kernels.OUTPUT_FULL
    while outcome == kernels.OUTPUT_FULL:
        outcome = kernels.replay_block(core.state, none, events, at, out, True)
        made = drain(out)
        then = entries[compared : compared + len(made)]
        if len(then) != len(made) or not np.array_equal(_bytes(made), _bytes(then)):
            raise _differs(made, then, run_dir, manifest)
        compared += len(made)
    if at[1] < len(events):
        raise Fatal(f"{run_dir}: the journal has no event {int(core.state.head[0].seq) + 1}; restore it from a copy")


def compile_recovery(core: state.Core) -> None:
    """Compile what `recover_run` runs, before somebody waits for it; changes nothing in `core`."""
    nothing, at = np.zeros(0, RECORD), np.zeros(2, np.int64)
    kernels.replay_block(core.state, nothing, np.zeros(0, ENTRY), at, new_output(), True)


def _bytes(entries: Entries) -> Entries:
    return np.ascontiguousarray(entries).view(np.uint8).reshape(len(entries), ENTRY.itemsize)


def _differs(made: Entries, then: Entries, run_dir: Path, manifest: Manifest) -> Fatal:
    count = min(len(made), len(then))
    unlike = (_bytes(made[:count]) != _bytes(then[:count])).any(axis=1)
    k = int(unlike.argmax()) if unlike.any() else count
    one = made[k] if k < len(made) else then[k]
    same = "this build" if manifest.code == source_digest() else "another build of Keel"
    return Fatal(
        f"{run_dir}: event {int(one['seq'])}, recomputed, gives something else than the journal says "
        f"({as_dict(one['record'])['kind']}); it was written by {same}. Start it with the version that wrote it "
        "and end it in order (trading-cli down), or begin afresh: trading-cli up --fresh carries nothing over"
    )
