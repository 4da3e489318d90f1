"""Every fault of the acceptance list, A1 to A25, has a test that bears its number."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

FAULTS = Path(__file__).resolve().parents[1] / "faults"


def names() -> list[str]:
    """Names of all test functions of the fault tests."""
    found = []
    for path in sorted(FAULTS.glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        found += [node.name for node in tree.body if isinstance(node, kinds)]
    return found


@pytest.mark.parametrize("number", range(1, 26))
def test_every_fault_has_a_test_of_its_number(number: int) -> None:
    assert any(re.match(rf"test_a0*{number}_", name) for name in names())
