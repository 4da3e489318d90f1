"""What of a run belongs in the audit: its start and end, every trading state, parameter, limit and operator's word."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts import reasons, records
from engine.contracts.ledger import Ledger
from engine.contracts.runs import Manifest
from engine.core import selector
from engine.core.limits import BOUNDS
from engine.store.audit import Change, Json, canonical

_LIMITS: Final = tuple(BOUNDS)


def changes_of(
    manifest: Manifest, ledger: Ledger, told: Iterable[np.ndarray[Any, Any]], strategies: Mapping[int, str]
) -> list[Change]:
    """The audit entries of a run, each with a key drawn from its content: the same run gives the same keys.

    `told` holds blocks of PARAMETER, LIMIT and OPERATOR entries in stream order.
    """
    run_id = manifest.run_id
    changes = [*_started(manifest), *_states(ledger), *_told(told, strategies), *_ended(manifest)]
    return [_keyed(run_id, change) for change in changes]


def _keyed(run_id: str, change: Change) -> Change:
    content = canonical(msgspec.structs.asdict(change))
    key = f"{run_id}:{change.what}:{hashlib.sha256(content.encode()).hexdigest()[:32]}"
    return msgspec.structs.replace(change, who=f"run {run_id}", key=key)


def _change(what: str, why: str, before: Json, after: Json, evidence: Json) -> Change:
    return Change(who="", what=what, why=why, before=before, after=after, evidence=evidence)


def _started(manifest: Manifest) -> Iterator[Change]:
    after = {
        "world": manifest.world,
        "capital_usd": manifest.capital_usd,
        "strategies": manifest.strategies,
        "limits": manifest.limits,
        "symbols": manifest.symbols,
    }
    evidence = {"code": manifest.code, "created": manifest.created}
    yield _change("run.started", "a run was started", None, after, evidence)


def _ended(manifest: Manifest) -> Iterator[Change]:
    if manifest.digest:
        after = {"events": manifest.events, "digest": manifest.digest}
        yield _change("run.ended", "the run came to its end", None, after, {"code": manifest.code})


def _states(ledger: Ledger) -> Iterator[Change]:
    for place, row in enumerate(ledger.states):
        evidence = {"seq": row.seq, "ts_ns": row.ts_ns, "place": place}
        yield _change("state.changed", row.reason, row.before, row.after, evidence)


def _told(told: Iterable[np.ndarray[Any, Any]], strategies: Mapping[int, str]) -> Iterator[Change]:
    known: dict[tuple[str, str, int], Json] = {}
    place = 0
    for block in told:
        for entry in block:
            record = entry["record"]
            evidence = {"seq": int(entry["seq"]), "ts_ns": int(record["ts_ns"]), "place": place}
            place += 1
            kind, index = int(record["kind"]), int(record["index"])
            if kind == records.OPERATOR:
                yield _change("operator.told", reasons.name(int(record["reason"])), None, None, evidence)
                continue
            if kind == records.PARAMETER:
                number = int(record["reason"])
                name = selector.NAME if number == selector.NUMBER else strategies.get(number, f"STRATEGY_{number}")
                what, value = "parameter.changed", int(record["value_e9"]) / 1e9
            else:
                name = _LIMITS[index] if 0 <= index < len(_LIMITS) else f"LIMIT_{index}"
                what, value = "limit.changed", int(record["amount_e8"])
            of = {"of": name, "index": index}
            before = known.get((what, name, index))
            after = known[what, name, index] = of | {"value": value}
            yield _change(what, "told to the core as an event; one out of bounds is noted as a violation", before,
                          after, evidence)  # fmt: skip
