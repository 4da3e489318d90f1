"""The audit in a file: one JSON object a line, the first says what it is, the others are the rows as they were hashed.

Whoever has the file can verify it without a database: every row's hash, the chain, and that no row is missing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select

from engine.contracts.errors import BadData
from engine.store import audit, schema
from engine.store.audit import Chain, Verification
from engine.store.database import Database
from engine.store.private_file import new_file

FORMAT: Final = 1
_MARK: Final = "keel_audit"
COLUMNS: Final = frozenset(column.name for column in schema.audit.c if column.name != "ts")


def write(database: Database, path: Path) -> Verification:
    """Export every row into a new file only its owner can read, verifying them on the way; a broken chain is exported
    all the same, and told. Raises Refused where the file exists, Fatal where it cannot be written."""
    lines: list[Verification] = []

    def tell(found: Verification) -> None:
        lines.append(found)

    with new_file(path) as file:
        file.writelines(export(database, tell))
    return lines[0]


def export(database: Database, tell: Callable[[Verification], None]) -> Iterator[bytes]:
    """The lines of the file; `tell` hears at the end what the chain is like."""
    chain = Chain()
    broken: Verification | None = None
    with database.begin() as connection:
        end = connection.execute(
            select(schema.audit.c.seq, schema.audit.c.hash).order_by(schema.audit.c.seq.desc()).limit(1)
        ).first()
        count = connection.scalar(select(func.count()).select_from(schema.audit))
        last = end.seq if end else 0
        head = {_MARK: FORMAT, "rows": count, "head": end.hash if end else audit.GENESIS, "exported_ns": time.time_ns()}
        yield _line(head)
        for row in audit.rows_of(connection):
            if row["seq"] > last:
                break  # appended since
            broken = broken or chain.take(row)
            yield _line(row)
    tell(broken or chain.told())


def verify(path: Path, wanted: str = "") -> Verification:
    """Verify an exported file; `wanted` is looked for among the hashes. Raises BadData for a file that is none."""
    chain = Chain({wanted})
    try:
        with open(path, encoding="utf-8") as file:
            head = _head(path, file.readline())
            for number, line in enumerate(file, 2):
                row = _row(path, number, line)
                if (broken := chain.take(row)) is not None:
                    return broken
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{path} cannot be read: {error}; name a file made by trading-cli audit export") from None
    if chain.rows != head["rows"]:
        return chain.told(chain.rows + 1, f"row {chain.rows + 1} is missing: the file was written with {head['rows']}")
    if chain.head != head["head"]:
        return chain.told(chain.rows, f"row {chain.rows} is not the end that the first line names")
    return chain.told()


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of an exported file, not verified."""
    with open(path, encoding="utf-8") as file:
        _head(path, file.readline())
        for number, line in enumerate(file, 2):
            yield _row(path, number, line)


def _line(document: dict[str, Any]) -> bytes:
    return audit.canonical(document).encode() + b"\n"


def _head(path: Path, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or _MARK not in found or not {"rows", "head"} <= found.keys():
        raise BadData(f"{path} is no exported audit: its first line does not say so; use trading-cli audit export")
    if found[_MARK] != FORMAT:
        raise BadData(f"{path} has format {found[_MARK]}, this program reads {FORMAT}; use the program that wrote it")
    return found


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise BadData(f"{path}, line {number} is no JSON ({error}): the file is damaged; export it again") from None
    if not isinstance(found, dict) or found.keys() != COLUMNS:
        raise BadData(f"{path}, line {number} is no row of an audit: the file is damaged; export it again")
    return found
