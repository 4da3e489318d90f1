"""Tables of Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; every column but the first to the right where it holds figures."""
    head = "| " + " | ".join(heads) + " |\n|" + "|".join([" --- "] + [" ---: "] * (len(heads) - 1)) + "|\n"
    return head + "".join("| " + " | ".join(str(cell) for cell in row) + " |\n" for row in rows)
