"""Standard output and error without secrets: whatever is written there passes the redactor, whoever writes it.

Tracebacks, warnings, what asyncio and threads say of errors nobody caught, and what libraries log all end in
``sys.stderr``. Only faulthandler writes past it, and it knows names of files and functions, no values.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO, cast

from engine.contracts.redaction import clean


class CleanStream:
    """A text stream whose writes are cleaned; everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(clean(text))

    def writelines(self, lines: Iterable[str]) -> None:
        self.stream.writelines(clean(line) for line in lines)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def clean_streams() -> Iterator[None]:
    """Inside, nothing secret is written to stdout or stderr; an exception that ends the process is cleaned even after
    that."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, CleanStream(stream)) for stream in before)
    sys.excepthook = show_crash
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def stdout_as_it_is() -> Iterator[None]:
    """Inside, stdout shows everything: for the sandbox, whose first line hands its customers their keys."""
    before = sys.stdout
    if isinstance(before, CleanStream):
        sys.stdout = before.stream
    try:
        yield
    finally:
        sys.stdout = before


def show_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The interpreter's last word, without secrets."""
    sys.stderr.write(clean("".join(traceback.format_exception(kind, error, trace))))
