"""The list of the longest test files names files that exist, and whole files are sorted by it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TESTS = Path(__file__).resolve().parents[1]


def order() -> Any:
    spec = importlib.util.spec_from_file_location("order_of_tests", TESTS / "conftest.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_longest_files_exist() -> None:
    assert [name for name in order().LONGEST if not (TESTS / name).is_file()] == []


def test_the_longest_come_first_and_files_stay_together() -> None:
    listed, others = order().LONGEST[:2], ["core/test_bars.py", "live/test_ready.py"]
    found = [SimpleNamespace(path=TESTS / name, number=k) for name in (*others, *reversed(listed)) for k in range(2)]
    order().pytest_collection_modifyitems(found)
    assert [(one.path, one.number) for one in found] == [
        (TESTS / name, k) for name in (*listed, *others) for k in range(2)
    ]
