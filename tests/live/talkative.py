"""A command that fails in the most talkative ways: ``talkative.py [--debug] fail HOME WAY``. It reads the keys of HOME,
as the engine does, and has them in its local variables when it fails."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.clean_streams import clean_streams
from engine.cli.terminal import Commands, say
from engine.cli.words import Words
from engine.contracts.errors import Refused
from engine.store.keys import KeyFile
from engine.store.passphrase import find_passphrase

app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug")] = False) -> None:
    """As trading-cli has it."""


def words_of(home: Path) -> str:
    """Everything secret in one text."""
    passphrase = find_passphrase(home / "passphrase", home)
    keys = KeyFile(home, passphrase).read().values()
    texts = [passphrase, *(part for one in keys for part in (one.key, one.secret))]
    return " | ".join(text.get_secret_value() for text in texts)


def _loop_error(told: str) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(_raise, RuntimeError(told))
        task = asyncio.create_task(asyncio.sleep(0))
        await task
        lost = asyncio.create_task(_fail(told))
        await asyncio.wait((lost,))
        del lost  # an exception nobody retrieved

    asyncio.run(main())


async def _fail(told: str) -> None:
    raise RuntimeError(told)


def _raise(error: BaseException) -> None:
    raise error


def _thread(told: str) -> None:
    one = threading.Thread(target=_raise, args=(RuntimeError(told),))
    one.start()
    one.join()


def _chain(told: str) -> None:
    try:
        raise ValueError(told)
    except ValueError as error:
        raise RuntimeError(f"while handling {told!r}") from error


def _words(told: str) -> None:
    with Words() as words:
        words.say(told)


def _signed(told: str) -> None:
    import ccxt  # only here: every way is a process of its own

    raise ccxt.ExchangeError(f"binance GET https://x/api/v3/account?key={told}&signature={'ab12' * 16} 400 {told}")


def _local(told: str) -> None:
    in_a_list = [told]
    raise LookupError(len(in_a_list))


def _unraisable(told: str) -> None:
    class Last:
        def __del__(self) -> None:
            raise RuntimeError(told)

    Last()


WAYS: dict[str, Callable[[str], Any]] = {
    "loop": _loop_error, "thread": _thread, "chain": _chain, "words": _words, "ccxt": _signed, "local": _local,
    "unraisable": _unraisable, "refused": lambda told: _raise(Refused(told)), "say": say,
    "log": lambda told: logging.getLogger("some.library").error("sent %s", told),
    "warning": lambda told: warnings.warn(told, stacklevel=1),
    "print": print, "error": lambda told: _raise(RuntimeError(told)),
}  # fmt: skip


@app.command("fail")
def fail(home: Path, way: str) -> None:
    """Fail. Example: fail HOME chain"""
    print(f"it fails now: {way}", file=sys.stderr)
    WAYS[way](words_of(home))


if __name__ == "__main__":
    if sys.argv[-1] == "crash":  # outside of every command
        with clean_streams():
            told = words_of(Path(sys.argv[-2]))
        print("it fails now: crash", file=sys.stderr)
        raise RuntimeError(told)
    app()
