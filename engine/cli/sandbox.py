"""``trading-cli sandbox``: simulated exchanges on this machine that speak the exchanges' own protocols."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.clean_streams import stdout_as_it_is
from engine.cli.terminal import JsonOption, say


def sandbox(
    data: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="Market files; none: synthetic.")] = None,
    raw: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="Recorded Binance messages instead.")] = None,
    symbols: Annotated[str, typer.Option(help="Pairs, by commas; BTC/USDT:USDT is a perpetual. Empty: all.")] = "",
    speed: Annotated[float, typer.Option(min=0, help="Market seconds per second; 0: by hand through control.")] = 1.0,
    history: Annotated[
        float | None, typer.Option(min=0, help="Market seconds that are over when it starts (600; 0 with --raw).")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65500, help="First of several ports on 127.0.0.1; 0: free.")] = 0,
    accounts: Annotated[int, typer.Option(min=1, max=100, help="How many accounts.")] = 1,
    cash: Annotated[float, typer.Option(help="Quote asset each account starts with.")] = 10_000.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the synthetic market.")] = 1,
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="Length of the synthetic market.")] = 60,
    dislocations: Annotated[
        float, typer.Option(min=0, max=60, help="How often a minute a pair leaves the others; synthetic markets only.")
    ] = 0.0,
    dislocation_bps: Annotated[float, typer.Option(min=1, max=1000, help="How far: 0.5 to 1.5 times this.")] = 60.0,
    dislocation_ms: Annotated[int, typer.Option(min=50, max=60_000, help="How long, unless it is taken.")] = 2_000,
    dislocation_usd: Annotated[float, typer.Option(min=1, max=1e7, help="How deep, in dollars.")] = 1_000.0,
    as_json: JsonOption = False,
) -> None:
    """Run SIMULATED exchanges until Ctrl-C: Binance spot, Binance USD-M, Coinbase. The first line on stdout is JSON:
    URLs, keys and symbols of each, control.

    Example: trading-cli sandbox --accounts 2 --speed 10 --symbols BTC/USDT,BTC/USDT:USDT
    """
    import asyncio

    from engine.markets.dislocations import Dislocating
    from engine.sandbox.server import Sandbox, SandboxOptions, serve

    options = SandboxOptions(
        data=tuple(data or ()), raw=tuple(raw or ()),
        symbols=tuple(s.strip() for s in symbols.split(",") if s.strip()), speed=speed,
        history_s=history if history is not None else 0.0 if raw else 600.0, port=port,
        accounts=accounts, cash=cash, seed=seed, minutes=minutes,
        dislocations=Dislocating(dislocations, dislocation_bps, dislocation_ms, dislocation_usd),
    )  # fmt: skip
    if not (options.data or options.raw):
        say("no data given: a synthetic market that never existed is played")

    async def run() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await serve(Sandbox(options), stopped)

    with stdout_as_it_is():
        asyncio.run(run())
