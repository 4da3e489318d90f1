"""What a seed stands for: when, or at which instruction, a life of the engine ends.

Rules
-----
* A seed gives the same fate every time; the machine's timing is its own.
* `startup` and `running` fates are drawn uniformly in time and killed from outside. The others end at an instruction
  (`amid`: at a moment after one): the process kills itself there with SIGKILL, which no instruction after it sees.
* A fate that does not come within `patience_s` of trading is a kill from outside at that moment.
"""

from __future__ import annotations

import random
from typing import Final

import msgspec

LIVES: Final = 20
"""Lives of one line: they share a home, an account at each venue, and positions."""
LEG_LIVES: Final = 8
"""The same where triangles are traded."""
RUN_S: Final = 0.7
PATIENCE_S: Final = 1.2
LEG_PATIENCE_S: Final = 4.0
AMID_S: Final = 0.04
"""About as long as three legs take."""

FROM_OUTSIDE: Final = ("startup", "running")
STARTUP: Final = (
    "recovered", "opening begun", "opening written", "opening renamed", "manifest written", "manifest renamed",
    "first segment", "started going on", "reconciliation step", "reconciliation told",
)  # fmt: skip
"""Instructions that every start passes."""
FILES: Final = (
    "rotation begun", "rotation written", "rotation renamed", "rotation done",
    "snapshot begun", "snapshot written", "snapshot renamed", "look at orders", "look at positions",
)  # fmt: skip
RUNNING: Final = (
    "entry decided", "entry journalled", "entry torn", "entry sent", "entry under way",
    "stop journalled", "stop torn", "stop sent", "stop under way",
    "exit journalled", "exit sent", "exit under way",
    "cancel journalled", "cancel sent",
    "answer heard", "fill heard", "fill journalled", *FILES,
)  # fmt: skip
"""Instructions that a trading engine passes."""
LEGS: Final = ("leg decided", "leg journalled", "leg torn", "leg sent", "leg under way")
TOLD: Final = ("answer heard", "fill heard", "fill journalled", "end journalled")
BACK: Final = ("way back decided", "way back journalled", "way back torn", "way back sent", "way back under way")
TROUBLES: Final = ("A1", "A2", "A7", "A26", "A26 part")
"""What the exchange may do to a leg; see `engine.sandbox.faults`."""


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """`hook`: an instruction, `startup`, `running` or `amid`; `count`: the how-manieth time it is passed, from when
    `armed_by` says (see `hooks.Trap`); `after_s`: seconds after birth (`startup`), after trading began (`running`), or
    after a leg was journalled (`amid`). `while_dead`: what the market does meanwhile. `trouble`: what the exchange does
    to one of the three legs, and to which (0 to 2); empty: nothing."""

    seed: int
    hook: str
    count: int
    after_s: float
    while_dead: str
    armed_by: str = "word"
    patience_s: float = PATIENCE_S
    trouble: str = ""
    leg: int = 0


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
    armed_by = "birth" if hook in STARTUP else "word"
    return Fate(seed=seed, hook=hook, count=count, after_s=after_s, while_dead=while_dead, armed_by=armed_by)


def leg_fate_of(seed: int) -> Fate:
    """The fate behind a seed where triangles are traded. Ways back are met by lives whose leg breaks, and from birth on
    by those that take a cycle over; what happens to files is met while a leg is late."""
    dice = random.Random(f"leg fate {seed}")
    kinds = {"startup": 8, "running": 6, "start hook": 14, "amid": 16, "leg": 24, "told": 10, "back": 14, "files": 8}
    kind = dice.choices(list(kinds), list(kinds.values()))[0]
    drawn = {
        "start hook": dice.choice(STARTUP), "leg": dice.choice(LEGS), "told": dice.choice(TOLD),
        "back": dice.choice(BACK), "files": dice.choice(FILES),
    }  # fmt: skip
    hook = drawn.get(kind, kind)
    most = {"amid": 3, "leg": 3, "told": 6, "back": 2, "start hook": 8 if hook == "reconciliation step" else 1}
    count, early = dice.randint(1, most.get(kind, 1)), dice.random() < 0.4
    is_early = kind == "start hook" or (early and kind in ("told", "back"))
    trouble = {"back": dice.choice(("A7", "A26")), "files": "A2"}.get(kind, "")
    if not trouble and dice.random() < 0.2:
        trouble = dice.choice(TROUBLES)
    return Fate(
        seed=seed, hook=hook, count=count,
        after_s=dice.uniform(0.0, {"startup": 0.35, "amid": AMID_S}.get(kind, RUN_S)),
        while_dead=dice.choices(("nothing", "it is over", "against us"), (40, 30, 30))[0],
        armed_by="birth" if is_early else "cycle" if kind == "files" else "word", patience_s=LEG_PATIENCE_S,
        trouble=trouble, leg=dice.randint(1, 2) if kind == "back" else dice.randint(0, 2),
    )  # fmt: skip
