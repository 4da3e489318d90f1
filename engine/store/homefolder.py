"""What lies in a home folder, and which of it a backup takes along. Whatever is not in this table is not Keel's."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One name in a home. `saved`: a backup holds it; the others are made again, or mean nothing elsewhere."""

    meaning: str
    saved: bool


ACCOUNTS: Final = "accounts"
ENTRIES: Final[dict[str, Entry]] = {
    "runs": Entry("every run: manifest, journal, snapshots, reports", True),
    "keys": Entry("API keys, encrypted", True),
    "audit.head": Entry("where the audit ended when it was last seen", True),
    "emergency": Entry("an emergency was asked for and not lifted", True),
    "emergency.told": Entry("what became of it", True),
    ACCOUNTS: Entry("the simulated accounts of paper and shadow", True),
    "doors": Entry("the token of the emergency's doors: a secret, made anew where it is missing", False),
    "heartbeat": Entry("the engine lives", False),
    "engine.json": Entry("which engine runs", False),
    "engine.lock": Entry("one engine at a time", False),
    "engine.log": Entry("the words of a detached engine", False),
    "watchdog.heartbeat": Entry("the watchdog lives", False),
    "watchdog.json": Entry("which watchdog runs", False),
    "watchdog.log": Entry("the watchdog's words", False),
    "audit.head.lock": Entry("one writer of audit.head at a time", False),
    "postgres": Entry("the embedded PostgreSQL; its audit is saved, the rest is made again from journals", False),
    "redis": Entry("the embedded Redis", False),
    "demo": Entry("the demo's own home; all of it is simulated", False),
}
STAGING: Final = ".restore."
"""How the folder begins in which a backup is unpacked."""
_TEMPORARY: Final = re.compile(r"\.(.+)\.\d+\.tmp")


def is_ours(name: str) -> bool:
    """Keel made it, or a file that was to become it."""
    begun = _TEMPORARY.fullmatch(name)
    return name.startswith(STAGING) or (begun.group(1) if begun else name) in ENTRIES


def ours(home: Path) -> list[Path]:
    """Everything of Keel's in a home, by name."""
    return [path for path in _listed(home) if is_ours(path.name)]


def strangers(home: Path) -> list[Path]:
    """Everything else in it."""
    return [path for path in _listed(home) if not is_ours(path.name)]


def saved(home: Path) -> list[Path]:
    """What a backup takes along, by name."""
    return [path for path in _listed(home) if path.name in ENTRIES and ENTRIES[path.name].saved]


def plain_files(folder: Path) -> Iterator[Path]:
    """Every plain file below a folder, by name; no links, no sockets, nothing that is still being written."""
    for path in _listed(folder):
        if path.is_dir() and not path.is_symlink():
            yield from plain_files(path)
        elif is_plain(path):
            yield path


def is_plain(path: Path) -> bool:
    """A file that is written, and no link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode) and not _TEMPORARY.fullmatch(path.name)
    except FileNotFoundError:
        return False


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
