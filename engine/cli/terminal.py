"""What every command shares: where output goes, how errors end, how progress shows.

Results go to stdout (with ``--json`` exactly one JSON object), everything else to stderr. Exit codes: 0 done,
1 failed, 2 usage, 3 refused by a limit or gate, 4 not reachable, 5 timed out. Where nobody reads the output any more
(``trading-cli config | head``) a command ends without a word, with 1. No secret passes either stream.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
import typer.core

from engine.cli.clean_streams import clean_streams
from engine.contracts.errors import KeelError
from engine.contracts.redaction import clean

Progress = Callable[[float, str], None]

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]

TIMED_OUT = 5


class Commands(typer.core.TyperGroup):
    """The command group: the one place where an exception becomes a message and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta["keel.json"] = "--json" in args
        return list(super().parse_args(ctx, args))

    def invoke(self, ctx: Any) -> Any:
        with clean_streams():
            try:
                return self._explained(ctx)
            finally:
                sys.stdout.flush()  # here typer can still end it quietly where nobody reads; later nobody could

    def _explained(self, ctx: Any) -> Any:
        as_json = bool(ctx.meta.get("keel.json"))
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except KeelError as error:
            fail(str(error), error.exit_code, as_json)
        except TimeoutError as error:
            fail(f"timed out: {error}", TIMED_OUT, as_json)
        except typer.TyperException as error:  # usage: typer itself explains it, except to a program
            if as_json:
                fail(error.format_message(), error.exit_code, as_json)
            raise
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:  # noqa: BLE001  # the process's outermost boundary: a person needs a sentence
            if ctx.params.get("debug"):
                traceback.print_exc()
            fail(f"unexpected {type(error).__name__}: {error} (trading-cli --debug shows where)", 1, as_json)


def fail(message: str, code: int, as_json: bool) -> None:
    """Say what went wrong (one red line on stderr, or one JSON object on stdout) and leave with `code`."""
    message = clean(message)
    if as_json:
        print(json.dumps({"error": message, "code": code}))
    else:
        typer.secho(f"error: {message}", fg="red", err=True)
    raise typer.Exit(code)


def say(line: str) -> None:
    """One plain line on stderr: what is being done."""
    print(clean(line), file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """The one JSON object of a ``--json`` call, on stdout. Structs, paths and decimals become plain JSON."""
    import msgspec

    encoded = msgspec.json.encode(document, enc_hook=str)
    sys.stdout.write(clean(encoded.decode()) + "\n")


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Progress]:
    """Yields `report(share, text)`, a bar on stderr that disappears when done; `quiet` reports nothing."""
    if quiet or not sys.stderr.isatty():
        yield _plain() if not quiet else (lambda share, text: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    share = TextColumn("{task.percentage:3.0f} %")
    columns = (TextColumn("{task.description}"), BarColumn(), share, TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda share, text: bar.update(task, completed=share, description=text)


def _plain() -> Progress:
    """Without a terminal: one line per step, not per percent."""
    told: list[str] = []

    def report(_share: float, text: str) -> None:
        step = text.partition(":")[0]
        if step not in told:
            told.append(step)
            say(f"  {step} ...")

    return report
