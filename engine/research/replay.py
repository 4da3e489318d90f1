"""Replay a run from its journal and compare: same events, same build, same commands and state, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.contracts.records import FIRST_COMMAND, RECORD, as_dict, joined
from engine.contracts.runs import Manifest
from engine.core import replay as kernels
from engine.core import state
from engine.core.compile import source_digest
from engine.core.output import drain, new_output
from engine.journal import manifest as manifests
from engine.journal import segments
from engine.journal.recovery import opening_core
from engine.research.archive import JOURNALLED, finished, same_market

Entries = np.ndarray[Any, Any]


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """`ok`: every journalled entry and the final state came out the same. `torn_bytes` were cut off the
    journal's tail; what they held was made again and counted in `remade`. `first_difference` shows the first
    entry that differs, journalled against recomputed. `same_build`: the code is what the run was made with."""

    ok: bool
    entries: int
    events: int
    digest: str
    expected: str
    same_build: bool
    torn_bytes: int
    remade: int
    first_difference: dict[str, Any] | None


def replay(run_dir: Path, progress: Callable[[float, str], None] | None = None) -> ReplayResult:
    """Recompute a run's commands, notes and final state from its journalled events and its market data.

    A torn tail is cut and reported. Raises Fatal for a damaged journal, a run that never finished, or market
    data that is not the same as then.
    """
    manifest = finished(run_dir)
    recovery = segments.recover(run_dir)
    entries = _load(run_dir)
    core = opening_core(run_dir, manifest)
    remade = _Comparison(entries)
    blocks = iter(()) if manifest.world in JOURNALLED else same_market(manifest).blocks()
    digest = manifests.run_digest(_recompute(core, entries, blocks, manifest, remade, progress), core)
    return ReplayResult(
        ok=digest == manifest.digest and remade.difference is None,
        entries=remade.count,
        events=int(core.state.head[0].seq),
        digest=digest,
        expected=manifest.digest,
        same_build=manifest.code == source_digest(),
        torn_bytes=recovery.torn_bytes,
        remade=max(remade.count - len(entries), 0),
        first_difference=remade.difference,
    )


def _load(run_dir: Path) -> Entries:
    return joined(list(segments.read(run_dir)))


class _Comparison:
    """Holds recomputed entries against the journalled ones as they come."""

    def __init__(self, journalled: Entries) -> None:
        self._journalled = journalled
        self.count = 0
        self.difference: dict[str, Any] | None = None

    def take(self, made: Entries) -> None:
        """Compare the next stretch; remembers only the first difference."""
        then = self._journalled[self.count : self.count + len(made)]
        same = np.array_equal(made[: len(then)].view(np.uint8), then.view(np.uint8))
        if not same and self.difference is None:
            width = made.dtype.itemsize
            a = made[: len(then)].view(np.uint8).reshape(-1, width)
            b = then.view(np.uint8).reshape(-1, width)
            k = int((a != b).any(axis=1).argmax())
            self.difference = {"entry": self.count + k, "journalled": _show(then[k]), "recomputed": _show(made[k])}
        self.count += len(made)


def _show(entry: Any) -> dict[str, Any]:
    return {"seq": int(entry["seq"])} | as_dict(entry["record"])


def _recompute(
    core: state.Core,
    entries: Entries,
    blocks: Iterator[np.ndarray[Any, Any]],
    manifest: Manifest,
    compare: _Comparison,
    progress: Callable[[float, str], None] | None,
) -> str:
    """Run the merged stream; returns the digest of the recomputed journal."""
    events = entries[entries["record"]["kind"] < FIRST_COMMAND]
    out = new_output()
    at = np.zeros(2, np.int64)
    digest = hashlib.blake2b(digest_size=32)
    block, ended = np.zeros(0, RECORD), False
    while True:
        outcome = kernels.replay_block(core.state, block, events, at, out, ended)
        made = drain(out)
        compare.take(made)
        digest.update(made.view(np.uint8).data)
        if outcome == kernels.FINISHED:
            return digest.hexdigest()
        if outcome == kernels.MORE_MARKET:
            following = next(blocks, None)
            ended = following is None
            block = np.zeros(0, RECORD) if following is None else following
            at[0] = 0
            if progress is not None:
                progress(min(core.state.head[0].seq / max(manifest.events, 1), 1.0), "replaying")
