"""The face of the report: written beside a run, or printed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.contracts.errors import Fatal
from engine.contracts.ledger import Ledger
from engine.contracts.runs import Manifest
from engine.research.equity import Closes
from engine.research.metrics import Metrics, measure
from engine.research.report.page import page
from engine.research.report.terminal import print_report

__all__ = ["ReportPaths", "as_json", "print_report", "write_report"]

HTML_NAME: Final = "report.html"
JSON_NAME: Final = "report.json"


class ReportPaths(NamedTuple):
    """Where the two files lie."""

    html: Path
    json: Path


def as_json(metrics: Metrics) -> bytes:
    """One JSON object, indented; money as numbers, times ISO 8601 UTC, null for what does not exist."""
    return msgspec.json.format(msgspec.json.encode(metrics), indent=2) + b"\n"


def write_report(run_dir: Path, ledger: Ledger, manifest: Manifest, closes: Closes, trials: int = 1) -> ReportPaths:
    """Measure the run and write `report.html` and `report.json` into `run_dir`.

    A file appears whole or not at all. Raises Fatal naming the file where it cannot be written.
    """
    metrics = measure(ledger, manifest, closes, trials)
    paths = ReportPaths(run_dir / HTML_NAME, run_dir / JSON_NAME)
    _write(paths.json, as_json(metrics))
    _write(paths.html, page(metrics, ledger, manifest, closes).encode())
    return paths


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as failure:
        _forget(unfinished)
        fault = f"{path}: the report cannot be written ({failure.strerror}); free space or choose another folder"
        raise Fatal(fault) from failure


def _forget(unfinished: Path) -> None:
    """Remove a half-written file; where even that fails, the error about to be raised says enough."""
    try:
        unfinished.unlink(missing_ok=True)
    except OSError:
        return
