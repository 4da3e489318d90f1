"""Write the order life-cycle table and diagram of docs/life-of-an-order.md from the code (`make docs`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.core import life

PAGE: Final = Path(__file__).resolve().parent / "life-of-an-order.md"
BEGIN, END = "<!-- life table -->", "<!-- end -->"


def table() -> str:
    """The literal table as Markdown: a row a state, a column a happening."""
    lines = ["| state | " + " | ".join(life.HAPPENINGS) + " |", "|---" * (len(life.HAPPENINGS) + 1) + "|"]
    for number, state in enumerate(life.STATES):
        if number == life.FREE:
            continue
        cells = [life.LIFE.get((number, what)) for what in range(len(life.HAPPENINGS))]
        lines.append(f"| **{state}** | " + " | ".join("" if c is None else life.STATES[c] for c in cells) + " |")
    return "\n".join(lines)


def diagram() -> str:
    """The same as a state diagram; rows that stay where they are are left out."""
    arrows: dict[tuple[int, int], list[str]] = {}
    for (before, what), after in life.LIFE.items():
        if before != after:
            arrows.setdefault((before, after), []).append(life.HAPPENINGS[what])
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {life.STATES[life.SUBMITTED]}"]
    lines += [f"    {life.STATES[a]} --> {life.STATES[b]}: {', '.join(why)}" for (a, b), why in arrows.items()]
    return "\n".join([*lines, "```"])


def page() -> str:
    """The whole page with table and diagram in place."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n\n{diagram()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name} written")
