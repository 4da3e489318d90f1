"""``trading-cli compile``: part of the set-up, so that the first start is as quick as every other."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from engine.cli.terminal import say

SANDBOX_ENTRIES: Final = ("happen", "decimals_used", "judge_order")


def compile_all(
    backtests: Annotated[bool, typer.Option("--backtests", help="Also what backtests run, a minute more.")] = False,
) -> None:
    """Compile what the engine and the sandbox run, once per build; at once where that was done before.

    Example: trading-cli compile
    """
    from engine.core.compile import is_compiled_before, watch_compilation
    from engine.runtime.compiling import compile_engine

    compile_engine(_tell)
    if not all(is_compiled_before(entry) for entry in SANDBOX_ENTRIES):
        with watch_compilation(lambda count: _tell(f"compiling the sandbox, once per build: {count} functions")):
            _play_a_minute()
    if backtests and not is_compiled_before("advance"):
        with watch_compilation(lambda count: _tell(f"compiling backtests, once per build: {count} functions")):
            _begin_a_backtest()


def _begin_a_backtest() -> None:
    """Everything a backtest has compiled, used once."""
    from engine.core.limits import Limits
    from engine.markets.market import open_market
    from engine.markets.synthetic import synthesize
    from engine.research.session import Session
    from engine.simulation.venue import SimulationModel

    with tempfile.TemporaryDirectory() as folder:
        market = open_market([synthesize(Path(folder) / "candles.parquet", seed=1, days=1)])
        session = Session(
            market, strategies={}, capital_usd=1000.0, limits=Limits(), simulation=SimulationModel(),
            timeframes_s=(300, 900, 3600), sinks=[],
        )  # fmt: skip
        session.run(until_seq=0)


def _play_a_minute() -> None:
    """Everything the sandbox has compiled, used once."""
    from engine.sandbox.server import Sandbox, SandboxOptions

    Sandbox(SandboxOptions(symbols=("BTC/USDT",), minutes=1, history_s=60.0))


def _tell(text: str) -> None:
    """Say only every hundredth function."""
    if text.rpartition(": ")[2].split()[0].endswith("00"):
        say(text)
