"""What the documents say must be there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from engine.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def writer(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("file", "content"), [("docs/configuration.md", "configuration"), ("keel.example.toml", "example")]
)
def test_the_documented_settings_are_current(file: str, content: str) -> None:
    written = getattr(writer("write_configuration"), content)()
    assert (ROOT / file).read_text(encoding="utf-8") == written, "run make docs"


def test_the_documented_order_life_is_current() -> None:
    drawn = writer("write_order_life")
    assert drawn.PAGE.read_text(encoding="utf-8") == drawn.page(), "run make docs"


def commands() -> set[str]:
    group = typer.main.get_command(app)
    names = set()
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if command.hidden:
            continue
        below = getattr(command, "commands", {})
        names |= {f"{name} {one}" for one in below}
        if not below or command.invoke_without_command:
            names.add(name)
    return names


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents_name_real_commands_and_targets(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`|^ {4}.*$", text, re.S | re.M))
    known = commands()
    for said in re.findall(r"trading-cli ([a-z]+(?: [a-z]+)?)", code):
        assert said in known or said.split()[0] in known, f"{path.name}: trading-cli {said}"
    for target in re.findall(r"\bmake ([a-z]+)", code):
        assert target in targets(), f"{path.name}: make {target}"


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [name for name in sorted(commands()) if f"`trading-cli {name}`" not in text] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_the_readme_discloses_the_risk_on_its_first_screen() -> None:
    first = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:35])
    for said in (
        "make demo",
        "make test",
        "Risk disclosure",
        "financial advice",
        "lose",
        "Trading decisions are yours",
    ):
        assert said in first
