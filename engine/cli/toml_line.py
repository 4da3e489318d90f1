"""Changing one number in a TOML file that a person wrote: their comments, order and spelling stay."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from engine.contracts.errors import BadInput


def with_number(text: str, table: str, key: str, value: float) -> str:
    """`text` with ``key = value`` in ``[table]``, replaced where it stands, else added. Proves by parsing both that
    nothing else changed. Raises BadInput where the file is written in a way this cannot change."""
    line = f"{key} = {_number(value)}"
    lines = text.splitlines()
    header = next((k for k, found in enumerate(lines) if re.match(rf"\s*\[\s*{re.escape(table)}\s*\]", found)), None)
    if header is None:
        lines += ["", f"[{table}]", line] if lines else [f"[{table}]", line]
    else:
        end = next((k for k in range(header + 1, len(lines)) if re.match(r"\s*\[", lines[k])), len(lines))
        place = next((k for k in range(header + 1, end) if re.match(rf"\s*{re.escape(key)}\s*=", lines[k])), None)
        if place is None:
            lines.insert(header + 1, line)
        else:
            comment = re.search(r"\s+#.*$", lines[place])
            lines[place] = line + (comment.group() if comment else "")
    changed = "\n".join(lines) + "\n"
    wanted = _parsed(text)
    below: Any = wanted
    for name in table.split("."):
        below = below.setdefault(name, {}) if isinstance(below, dict) else None
    if isinstance(below, dict):
        below[key] = value
    if _parsed(changed) != wanted:
        raise BadInput(
            f"cannot change {table}.{key} in this file without touching more; write [{table}] {line} yourself"
        )
    return changed


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
