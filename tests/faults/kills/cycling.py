"""Lives that trade triangles, and what must be true of their cycles.

What a kill inside a cycle may cost has no bound: nobody sells while nobody lives, and prices move. What holds all the
same: the next life sells what is held at no less than cost less `unwind_bps`, and at the market only once its own
`max_seconds` are over. So a cycle may lose more than its bound only where a kill cut it *and* the market had it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from cross_rig import TRIANGLE, Cycle, told_cycles
from fates import Fate
from lines import Broken, Line
from market import Crosses

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.instruments import E8
from engine.core import cycle_state, state
from engine.journal import manifest as manifests
from engine.journal import snapshots
from engine.journal.recovery import opening_core, recover_run
from engine.research.replay import replay

SYMBOLS: Final = (*TRIANGLE, "USDC/USDT", "BTC/USDC")
"""Two triangles: of coins, and through a stablecoin."""


class Cycling(Line):
    """A line whose lives trade triangles."""

    _market: Crosses
    dust_usd = Decimal(7)
    """Coins are swept from six dollars on; parts of a lot (a dollar at most) cannot be sold."""

    def _trade(self, fate: Fate) -> bool:
        self._market.meet(fate)
        return super()._trade(fate)

    def _differences(self, said: dict[str, Any]) -> list[str]:
        wrong = super()._differences(said)
        wrong += [
            f"{coin}: {pot} lie in the pot, {said['balances'][coin]} in the balance"
            for coin, pot in said["pots"].items() if pot != said["balances"][coin] and coin not in state.CASH_ASSETS
        ]  # fmt: skip
        if said["cycle"] != "idle" or said["pending_risk_e8"]:
            wrong.append(f"a cycle is under way: {said['cycle']}, {said['pending_risk_e8']} at risk")
        return wrong

    def judge(self) -> dict[str, int]:
        counts = super().judge()
        return counts | self._replayed() | Cycles(self).judge()

    def _replayed(self) -> dict[str, int]:
        """Every journal gives, from its beginning, what its newest snapshot and the rest of it give; that of a run that
        ended in order what that run ended with."""
        runs = self.runs()
        for path in runs:
            with tempfile.TemporaryDirectory() as folder:
                bare = shutil.copytree(path, Path(folder) / path.name)
                shutil.rmtree(bare / snapshots.FOLDER, ignore_errors=True)  # who died young has none
                whole, found = recover_run(bare), recover_run(path)
            if state.digest(whole.core) != state.digest(found.core):
                raise Broken(f"{path}: the journal gives another state than snapshot {found.snapshot_seq} of it")
            if manifests.read(path).digest and not (told := replay(path)).ok:
                raise Broken(f"{path} does not replay: {told.first_difference}")
        return {"replayed": len(runs)}


class Taken(NamedTuple):
    """A run that took a cycle over half done: its first record, behind its last, and until when the cycle's remains
    may be sold at their price only."""

    first: int
    end: int
    deadline_ns: int


class Cycles:
    """All cycles of a line, as its journals tell them."""

    def __init__(self, line: Line) -> None:
        blocks, self._names = line.journals()
        self._line = line
        self.records = r.joined(blocks, r.RECORD)
        ends = np.cumsum([len(block) for block in blocks])
        self._firsts = (ends - [len(block) for block in blocks]).tolist()
        self._taken = []
        for path, first, end in zip(line.runs(), self._firsts, ends.tolist(), strict=True):
            cycle = opening_core(path, manifests.read(path)).state.cycle[0]
            if cycle["stage"] != cycle_state.IDLE:
                self._taken.append(Taken(first, end, int(cycle["deadline_ns"])))
        records = self.records
        back = (records["role"] == r.ROLE_LEG) & (records["reason"] == reasons.UNWIND_LEG)
        self._dumped = np.flatnonzero((records["kind"] == r.PLACE) & back & (records["order_type"] == r.MARKET))

    def judge(self) -> dict[str, int]:
        """Raises Broken; counts of what was looked at."""
        for one in self._taken:
            mine = self._dumped[(self._dumped >= one.first) & (self._dumped < one.end)]
            early = self.records["ts_ns"][mine] < one.deadline_ns
            if early.any():
                raise Broken(f"sold at the market before its time: {[r.as_dict(self.records[k]) for k in mine[early]]}")
        counts = Counter({"half done at a start": len(self._taken)})
        for cycle in told_cycles(self.records):
            if cycle.begun < 0:
                raise Broken(f"it bought something, and no journal says that it began: {cycle}")
            counts["cycles"] += 1
            counts["won"] += cycle.is_winner
            counts["cut"] += self._is_cut(cycle)
            self._look_for_remains(cycle)
            if cycle.is_within_bound:
                continue
            if not (self._is_cut(cycle) and self._is_dumped(cycle)):
                raise Broken(f"it lost more than its bound: {cycle}")
            counts["cut, and lost more than the bound"] += 1
        return dict(counts)

    def _is_cut(self, cycle: Cycle) -> bool:
        """A life ended while it was under way."""
        return any(cycle.begun < first <= cycle.ended for first in self._firsts)

    def _is_dumped(self, cycle: Cycle) -> bool:
        return bool(((self._dumped > cycle.begun) & (self._dumped < cycle.ended)).any())

    def _look_for_remains(self, cycle: Cycle) -> None:
        """Of anything but what it began with, and tether, a cycle leaves dust: its own fills say so."""
        records = self.records[cycle.begun : cycle.ended]
        fills = records[records["kind"] == r.FILL]
        net: Counter[str] = Counter()
        for fill in fills:
            rules = self._line.rules[self._names[int(fill["instrument"])].split(" ")[1]]
            side, is_base = int(fill["side"]), bool(fill["bits"] & r.FEE_IN_BASE)
            lots = rules.quantity(int(fill["qty_lots"]))
            net[rules.base] += side * lots
            net[rules.quote] -= side * lots * rules.price(int(fill["price_ticks"]))
            net[rules.base if is_base else rules.quote] -= Decimal(int(fill["fee_e8"])) / E8
        first = self._line.rules[self._names[int(fills[0]["instrument"])].split(" ")[1]]
        began_with = first.quote if int(fills[0]["side"]) > 0 else first.base
        for asset in net.keys() - {began_with, "USDT"}:
            if abs(net[asset]) * Decimal(self._line._market.price(f"{asset}/USDT")) > self._line.dust_usd:
                raise Broken(f"it left {net[asset]} {asset} behind: {cycle}")
