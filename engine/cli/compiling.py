"""``trading-cli compile``: part of the set-up, so that the first start is as quick as every other."""

from __future__ import annotations

from typing import Final

from engine.cli.terminal import say

SANDBOX_ENTRIES: Final = ("happen", "decimals_used", "judge_order")


def compile_all() -> None:
    """Compile what the engine and the sandbox run, once per build; at once where that was done before.

    Example: trading-cli compile
    """
    from engine.core.compile import is_compiled_before, watch_compilation
    from engine.runtime.compiling import compile_engine

    compile_engine(_tell)
    if not all(is_compiled_before(entry) for entry in SANDBOX_ENTRIES):
        with watch_compilation(lambda count: _tell(f"compiling the sandbox, once per build: {count} functions")):
            _play_a_minute()


def _play_a_minute() -> None:
    """Everything the sandbox has compiled, used once."""
    from engine.sandbox.server import Sandbox, SandboxOptions

    Sandbox(SandboxOptions(symbols=("BTC/USDT",), minutes=1, history_s=60.0))


def _tell(text: str) -> None:
    """Say only every hundredth function."""
    if text.rpartition(": ")[2].split()[0].endswith("00"):
        say(text)
