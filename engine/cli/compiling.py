"""``trading-cli compile``: part of the set-up, so that the first start is as quick as every other."""

from __future__ import annotations

from engine.cli.terminal import say


def compile_all() -> None:
    """Compile what the engine and the sandbox run, once per build; at once where that was done before.

    Example: trading-cli compile
    """
    from engine.runtime.compiling import compile_engine

    compile_engine(tell)


def tell(text: str) -> None:
    """Say only every hundredth function of a first compile."""
    if text.rpartition(": ")[2].split()[0].endswith("00"):
        say(text)
