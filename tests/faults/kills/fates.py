"""What a seed stands for: when, or at which instruction, a life of the engine ends.

Rules
-----
* A seed gives the same fate every time; the machine's timing is its own.
* `startup` and `running` fates are drawn uniformly in time and killed from outside. The others end at an instruction:
  the process kills itself there with SIGKILL, which no instruction after it sees.
* A fate that does not come within `PATIENCE_S` of trading is a kill from outside at that moment.
"""

from __future__ import annotations

import random
from typing import Final

import msgspec

LIVES: Final = 20
"""Lives of one line: they share a home, an account at each venue, and positions."""
RUN_S: Final = 0.7
PATIENCE_S: Final = 1.2

STARTUP: Final = (
    "recovered", "opening begun", "opening written", "opening renamed", "manifest written", "manifest renamed",
    "first segment", "started going on", "reconciliation step", "reconciliation told",
)  # fmt: skip
"""Instructions that every start passes."""
RUNNING: Final = (
    "entry decided", "entry journalled", "entry torn", "entry sent", "entry under way",
    "stop journalled", "stop torn", "stop sent", "stop under way",
    "exit journalled", "exit sent", "exit under way",
    "cancel journalled", "cancel sent",
    "answer heard", "fill heard", "fill journalled",
    "rotation begun", "rotation written", "rotation renamed", "rotation done",
    "snapshot begun", "snapshot written", "snapshot renamed", "look at orders", "look at positions",
)  # fmt: skip
"""Instructions that a trading engine passes."""


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """`hook`: an instruction, `startup` or `running`; `count`: the how-manieth time it is passed; `after_s`: seconds
    after birth (`startup`) or after trading began (`running`). `while_dead`: what the market does meanwhile."""

    seed: int
    hook: str
    count: int
    after_s: float
    while_dead: str

    @property
    def line(self) -> int:
        """Which line of lives it belongs to."""
        return self.seed // LIVES

    @property
    def is_first(self) -> bool:
        """The first life of its line: it continues nothing."""
        return self.seed % LIVES == 0


def fate_of(seed: int) -> Fate:
    """The fate behind a seed."""
    dice = random.Random(f"fate {seed}")
    kind = dice.choices(("startup", "running", "start hook", "run hook"), (12, 18, 15, 55))[0]
    hook = {"start hook": dice.choice(STARTUP), "run hook": dice.choice(RUNNING)}.get(kind, kind)
    count = dice.randint(1, 8) if hook == "reconciliation step" else dice.choice((1, 1, 1, 2, 3))
    if hook in STARTUP and hook != "reconciliation step":
        count = 1
    after_s = dice.uniform(0.0, 0.35) if kind == "startup" else dice.uniform(0.0, RUN_S)
    while_dead = dice.choices(("nothing", "a move", "stops hit"), (60, 25, 15))[0]
    return Fate(seed=seed, hook=hook, count=count, after_s=after_s, while_dead=while_dead)
