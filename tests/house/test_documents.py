"""What the documents say must be there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from engine.cli.main import app
from engine.sandbox.faults import FAULTS
from engine.venues.plan import MEANINGS

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


def headings(path: Path) -> set[str]:
    """The anchors of a document's headings, as they are made from their words."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for link, _, place in re.findall(r"\]\((?!https?:)([^)#]+)(#([^)]+))?", path.read_text(encoding="utf-8")):
        target = path.parent / link
        assert target.exists(), f"{path.name}: {link}"
        assert not place or place in headings(target), f"{path.name}: {link}#{place}"


def test_every_fault_is_documented() -> None:
    text = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
    missing = [row for n, kind in FAULTS.items() if (row := f"| `{n}` {kind.name} | {kind.meaning} |") not in text]
    assert missing == []


def test_every_setting_of_a_venue_named_in_the_documents_exists() -> None:
    known = {*MEANINGS, "rest", "ws", "ws_api"}
    for path in DOCUMENTS:
        for table in re.findall(r"\[venues\.[a-z]+\]\n((?: *[a-z_]+ = .*\n)+)", path.read_text(encoding="utf-8")):
            assert set(re.findall(r"^ *([a-z_]+) = ", table, re.M)) <= known, f"{path.name}: {table}"


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
