"""The arrows between folders, and the tables that must agree with each other."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from engine.contracts import reasons, records
from engine.core.strategies.table import NAMES, STRATEGIES

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("engine", "agents", "tasks", "flows")


@pytest.mark.parametrize("name", PACKAGES)
def test_our_folders_are_what_their_names_import(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == ROOT / name / "__init__.py"


def test_every_package_on_disk_is_listed_in_pyproject() -> None:
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in PACKAGES
        for path in (ROOT / top).rglob("__init__.py")
        if "__pycache__" not in path.parts
    ]
    assert sorted(listed) == sorted(found)


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed (make test installs it)")
    done = subprocess.run([linter, "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def module_names() -> list[str]:
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for top in PACKAGES
        for path in (ROOT / top).rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py", "env.py")  # env.py: alembic runs it, nobody imports it
    )


@pytest.mark.parametrize("name", module_names())
def test_every_module_imports(name: str) -> None:
    importlib.import_module(name)


def test_every_record_kind_has_one_constant_and_known_fields() -> None:
    constants = {
        name: value
        for name, value in vars(records).items()
        if name.isupper()
        and isinstance(value, int)
        and value in records.KINDS
        and records.KINDS[value].name == name.lower()
    }
    assert sorted(constants.values()) == sorted(records.KINDS)
    names = [kind.name for kind in records.KINDS.values()]
    assert len(set(names)) == len(names)
    assert records.RECORD.names is not None
    for kind in records.KINDS.values():
        assert set(kind.fields) <= set(records.RECORD.names), kind.name


def test_reason_codes_are_distinct_and_all_named() -> None:
    codes = {name: value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, int)}
    assert len(set(codes.values())) == len(codes)
    assert {value: name for name, value in codes.items()} == reasons.NAMES


def test_strategy_rows_are_distinct_and_their_defaults_lie_inside_their_bounds() -> None:
    assert len({row.number for row in STRATEGIES}) == len({row.name for row in STRATEGIES}) == len(STRATEGIES)
    assert {row.number: row.name for row in STRATEGIES} == NAMES
    for row in STRATEGIES:
        assert row.resolve({}) == {param.name: param.default for param in row.params}
        row.resolve({param.name: param.default for param in row.params})
        assert all(param.meaning for param in row.params), row.name
