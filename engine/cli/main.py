"""``trading-cli``: each command parses, calls one function and prints. See `engine.cli.terminal` for the rules."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli import (
    audit,
    backtest,
    backup,
    bench,
    compiling,
    config,
    control,
    data,
    demo,
    doctor,
    emergency,
    engine,
    erase,
    evidence,
    export,
    foreign,
    keys,
    optimize,
    pictures,
    runs,
    sandbox,
    signals,
    status,
    up,
    watchdog,
)
from engine.cli.terminal import Commands

app = typer.Typer(
    name="trading-cli",
    cls=Commands,
    help="Keel: a trading engine that cannot break its risk limits. Results are simulated; nothing here is advice.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of unexpected errors.")] = False,
) -> None:
    """Options before the command's name."""


app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("engine", hidden=True)(engine.engine)
app.command("watchdog")(watchdog.watchdog)
app.command("compile", hidden=True)(compiling.compile_all)
app.command("backtest")(backtest.backtest)
app.command("optimize")(optimize.optimize)
app.command("evidence")(evidence.evidence)
app.command("pictures")(pictures.pictures)
app.command("replay")(runs.replay)
app.command("report")(runs.report)
app.add_typer(data.app, name="data")
app.add_typer(signals.app, name="signals")
app.add_typer(bench.app, name="bench")
app.command("status")(status.status)
app.command("pause")(control.pause)
app.command("reduce")(control.reduce)
app.command("resume")(control.resume)
app.command("foreign")(foreign.foreign)
app.command("adopt")(foreign.adopt)
app.command("emergency")(emergency.emergency)
app.command("export")(export.export)
app.command("erase")(erase.erase)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("doctor")(doctor.doctor)
app.add_typer(keys.app, name="keys")
app.add_typer(config.app, name="config")
app.add_typer(audit.app, name="audit")
app.command("sandbox")(sandbox.sandbox)

if __name__ == "__main__":
    app()
