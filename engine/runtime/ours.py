"""What of an account is a run's own, for whoever acts in its engine's place.

The run is read without changing it. Fills that happened after its last entry, or that it never heard of, are told by
the venues: `booked` says which of those it had counted already.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from engine.contracts.errors import Fatal
from engine.contracts.instruments import Instrument
from engine.core import life
from engine.core.limits import SCALE, Limits
from engine.journal import manifest as manifests
from engine.journal.recovery import Recovered, recover_run

UNHEARD_S: Final = 300
"""Fills are asked for from so long before the last entry on: what a venue tells late is older than what was heard."""


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """`lots` are signed, by number of the instrument, those that are 0 left out. `roles` are those of the orders the
    run remembers, by client id. `booked`: (instrument, trade id) of its newest fills. `cap_bps`: how far from the touch
    a limit order of an exit may lie. Times wall ns UTC."""

    run: str
    order_prefix: str
    instruments: tuple[Instrument, ...]
    lots: Mapping[int, int]
    roles: Mapping[int, int]
    booked: frozenset[tuple[int, int]]
    since_ns: int
    cap_bps: float

    def at(self, venue: str) -> list[int]:
        """Numbers of the instruments of a venue."""
        return [number for number, one in enumerate(self.instruments) if one.venue == venue]


def read_ours(run_dir: Path) -> Ours:
    """What is ours in a run that may still be written. Raises Fatal where it cannot be recovered, or names no prefix of
    its orders."""
    return ours_of(recover_run(run_dir))


def ours_at_least(run_dir: Path) -> Ours:
    """The same from a run's manifest alone: its instruments and its prefix, so that the fills the venues still list say
    what is ours. Raises Fatal where that cannot be read either."""
    manifest = manifests.read(run_dir)
    if not manifest.order_prefix:
        raise Fatal(f"{run_dir} names no prefix of its orders (an older version wrote it): look at the venue yourself")
    return Ours(
        run=manifest.run_id, order_prefix=manifest.order_prefix, instruments=tuple(manifest.instruments),
        lots=MappingProxyType({}), roles=MappingProxyType({}), booked=frozenset(),
        since_ns=0 if manifest.continues else manifest.from_ns, cap_bps=Limits(**manifest.limits).fat_finger_bps,
    )  # fmt: skip


def ours_of(run: Recovered) -> Ours:
    """What is ours in a recovered run. Raises Fatal where its manifest names no prefix of its orders."""
    core, manifest = run.core, run.manifest
    lots = {n: int(one["qty_lots"]) for n, one in enumerate(run.core.state.positions) if one["qty_lots"]}
    for n, pot in enumerate(core.state.pots):  # coins of conversions are sold like any others
        if in_pot := int(pot["qty_e8"]) // core.instruments[n].lot_base_e8:
            lots[n] = lots.get(n, 0) + in_pot
    if not manifest.order_prefix:
        raise Fatal(f"{run.run_dir} names no prefix of its orders (an older version wrote it): look at the venue")
    orders, told = core.state.orders, core.state.told
    return Ours(
        run=manifest.run_id,
        order_prefix=manifest.order_prefix,
        instruments=core.instruments,
        lots=MappingProxyType(lots),
        roles=MappingProxyType(
            {int(one["client_id"]): int(one["role"]) for one in orders if one["status"] != life.FREE}
        ),
        booked=frozenset((n, int(trade)) for n, one in enumerate(told) for trade in one["ids"] if trade),
        since_ns=max(int(core.state.head[0].now_ns), manifest.from_ns) - UNHEARD_S * 1_000_000_000,
        cap_bps=int(core.state.limits[0].fat_finger_bps) / SCALE,
    )  # fmt: skip
