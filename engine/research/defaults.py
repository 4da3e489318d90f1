"""What strategies ship with, beside what the search chose: the rule, and what it would change.

The rule: of all combinations of a study's grid, the one whose rank by the study's score is best in the mean over the
training stretches of all folds. What ships stays where it is among equals; a search that tells nothing apart thus
changes nothing. Nothing of it is chosen by hand, and the same command finds the same again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.core.strategies import table
from engine.research.search import Values
from engine.research.studies import Study
from engine.research.walkforward import Walk

NAME: Final = "defaults.json"
RULE: Final = (
    "The combination of the grid whose rank is best in the mean over the training stretches of all folds; what ships "
    "stays where it is among equals."
)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What a search chose for the parameters of its grid, and what ships. `told_apart` is false where every combination
    came to the same. `folds`: how many folds chose the same."""

    strategy: str
    study: str
    chosen: Values
    shipped: Values
    told_apart: bool
    folds: int
    of_folds: int

    @property
    def changes(self) -> list[str]:
        """What would have to change, a line each."""
        place = f"engine/core/strategies/{self.strategy}.py"
        return [
            f"{place}: {name} {self.shipped[name]:g} -> {value:g}"
            for name, value in self.chosen.items()
            if value != self.shipped[name]
        ]


def shipped(strategy: str) -> Values:
    """The defaults of a strategy."""
    row = next(row for row in table.STRATEGIES if row.name == strategy)
    return row.resolve({})


def choice(study: Study, walk: Walk) -> Choice:
    """What the walk of a study chose."""
    ships = shipped(study.strategy)
    chosen = {name: walk.recommended[name] for name in study.grid}
    return Choice(
        strategy=study.strategy,
        study=study.name,
        chosen=chosen,
        shipped={name: ships[name] for name in study.grid},
        told_apart=walk.told_apart,
        folds=sum(all(one.params[name] == value for name, value in chosen.items()) for one in walk.folds),
        of_folds=len(walk.folds),
    )


def write(folder: Path, choices: Sequence[Choice], code: str) -> None:
    """All choices as one file beside the pages."""
    document: dict[str, Any] = {"rule": RULE, "code": code, "choices": msgspec.to_builtins(choices)}
    (folder / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def read(folder: Path) -> list[Choice]:
    """The choices that lie in a folder of pages."""
    document = json.loads((folder / NAME).read_text(encoding="utf-8"))
    return msgspec.convert(document["choices"], list[Choice])
