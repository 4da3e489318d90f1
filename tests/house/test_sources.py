"""The house rules about source files, held by the machine."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOPS = ("engine", "agents", "tasks", "flows")
MOST_LINES = 400
MOST_FUNCTION_LINES = 60
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}

PURE = ("engine/core", "engine/simulation", "engine/contracts")
IMPURE_IMPORTS = {
    "asyncio", "datetime", "logging", "multiprocessing", "os", "pathlib", "random", "requests", "secrets",
    "socket", "subprocess", "threading", "time", "urllib", "uuid",
}  # fmt: skip
# The compile cache lives on disk; it decides nothing.
EXEMPT = {"engine/core/compile.py"}

# Absolute folders of somebody's machine have no place in the repository.
MACHINE_PATHS = re.compile(r"(?<![\w.}$~-])/(?:work|home|root|Users|opt|tmp)/[\w.-]+")


def sources() -> list[Path]:
    return sorted(path for top in TOPS for path in (ROOT / top).rglob("*.py"))


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout: the list of tracked files is unknown")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_files_and_functions_stay_small() -> None:
    found = []
    for path in sources():
        text = path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > MOST_LINES:
            found.append(f"{name_of(path)}: {lines} lines; split it along a noun")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MOST_FUNCTION_LINES:
                    found.append(f"{name_of(path)}:{node.lineno} {node.name}: {length} lines")
    assert not found, "\n".join(found)


def test_no_file_is_named_after_nothing() -> None:
    assert [name_of(path) for path in tracked() if path.stem in FORBIDDEN_NAMES] == []


def test_the_pure_folders_know_no_clock_no_chance_and_no_outside() -> None:
    found = []
    for path in sources():
        if not name_of(path).startswith(PURE) or name_of(path) in EXEMPT:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            found += [f"{name_of(path)}:{node.lineno} imports {n}" for n in names if n.split(".")[0] in IMPURE_IMPORTS]
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("np.random"):
                found.append(f"{name_of(path)}:{node.lineno} uses np.random")
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("open", "print", "input"):
                found.append(f"{name_of(path)}:{node.lineno} calls {ast.unparse(node.func)}")
    assert not found, "\n".join(found)


def test_only_settings_reads_the_environment() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in sources()
        if name_of(path) != "engine/settings.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "os.environb")
    ]
    assert not found, "\n".join(found)


def test_broad_excepts_stand_only_at_the_process_boundary() -> None:
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            ):
                reraises = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
                if not reraises:
                    found.append(f"{name_of(path)}:{node.lineno}")
    # the process's outermost boundary, and the call of a user's class
    assert [place.split(":")[0] for place in found] == ["engine/cli/terminal.py", "engine/signals/foreign.py"]


def test_no_machine_paths_in_tracked_files() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if path == Path(__file__).resolve():
            continue
        lines = enumerate(text.splitlines(), 1)
        found += [f"{name_of(path)}:{n} {m.group()}" for n, line in lines if (m := MACHINE_PATHS.search(line))]
    assert not found, "\n".join(found)


def test_the_pins_are_exact_and_name_no_host() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)


def test_everything_the_extras_name_is_pinned() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {plain(re.split(r"[\[<>=]", one)[0]) for packages in extras.values() for one in packages}
    pinned = {plain(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert wanted <= pinned, wanted - pinned


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_ci_entry_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
