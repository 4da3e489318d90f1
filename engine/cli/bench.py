"""``trading-cli bench``: how fast the core is on this machine, and the whole engine over the wire."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from engine.cli.terminal import JsonOption, print_json, progress_bar, say

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.store.keys import KeyFile

app = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True, rich_markup_mode=None)


class Line(NamedTuple):
    """One row of the table: a figure of ours, what is aimed at, and the peer measured beside it."""

    figure: str
    what: str
    aim: str
    peer: str | None = None


LINES: Final = (
    Line("live_call_us_p50", "one live call, median (µs)", "≤ 2"),
    Line("live_call_us_p99", "one live call, 99th percentile (µs)", ""),
    Line("events_per_s_simple", "recorded quotes, one strategy, no orders (events/s)", "≥ hftbacktest",
         "hftbacktest_events_per_s"),
    Line("events_per_s_simple", "the same, against a Python strategy (events/s)", "≥ 50 × nautilus",
         "nautilus_quotes_per_s"),
    Line("events_per_s_full", "momentum, risk, orders and fills (events/s)", "≥ 5,000,000"),
    Line("events_per_s_all_three", "all three strategies at once, synthetic market (events/s)", "≥ 5,000,000"),
    Line("backtest_momentum_s", "4 months × 39 pairs of 5m candles, momentum (s)", "≤ 2"),
    Line("backtest_crossover_s", "the same, crossover 48/192 (s)", "≤ 0.8"),
)  # fmt: skip


WIRE_LINES: Final = (
    Line("tick_to_order_us_p50", "tick in, order on the socket: median (µs)", "≤ 150", "ccxt_tick_to_order_us_p50"),
    Line("tick_to_order_us_p99", "the same, 99th percentile (µs)", "≤ 1,000", "ccxt_tick_to_order_us_p99"),
    Line("wire_to_wire_us_p50", "quote leaves the sandbox, order is read there: median (µs)", "",
         "ccxt_wire_to_wire_us_p50"),
    Line("wire_to_wire_us_p99", "the same, 99th percentile (µs)", "", "ccxt_wire_to_wire_us_p99"),
    Line("sustained_quotes_per_s", "decoded, decided and journalled, nothing dropped (quotes/s)", "≥ 50,000"),
    Line("dropped", "dropped at that rate (quotes)", "0"),
    Line("rss_mib_before", "memory before a steady 5,000 events/s (MiB)", ""),
    Line("rss_mib_after", "memory after it (MiB)", "the same"),
)  # fmt: skip
RESTART_LINES: Final = (
    Line("events", "journalled events", ""),
    Line("reading_s", "all of the journal read and verified (s)", ""),
    Line("replaying_s", "read and replayed behind the newest snapshot (s)", ""),
    Line("replaying_without_snapshot_s", "all of it replayed, without a snapshot (s)", ""),
    Line("reconciling_s", "rules, account, sockets, orders, fills, positions: then it trades (s)", ""),
    Line("restart_s", "keys opened, recovered and reconciled, together (s)", "≤ 2"),
    Line("restart_cpu_s", "the same, processor time (s)", ""),
)  # fmt: skip
WIRE_SYMBOLS: Final = ("BTC/USDT", "ETH/USDT")
WIRE_START_S: Final = 60.0
WIRE_KEY: Final = "sandbox"
# Wide enough for orders all day long; means of one and two bars of a second cross nearly every bar.
WIRE_TABLES: Final[dict[str, dict[str, Any]]] = {
    "account": {"capital_usd": 50_000.0},
    "limits": {
        "trade_loss_usd": 1e6, "trade_loss_pct": 100, "day_loss_usd": 1e6, "day_loss_pct": 100, "drawdown_pct": 100,
        "reserve_usd": 0, "reserve_pct": 0, "order_notional_usd": 1e6, "exposure_usd": 1e6,
        "instrument_exposure_usd": 1e6, "cluster_exposure_usd": 1e6, "max_positions": 100, "orders_per_minute": 6000,
        "fat_finger_bps": 5000, "max_spread_bps": 2000,
    },
    "runtime": {"timeframes_s": (1, 2, 3), "strategies": ("crossover",), "warm_up": False},
    "strategies": {"crossover": {"fast": 1, "slow": 2, "notional_usd": 20}},
}  # fmt: skip


@app.callback()
def bench() -> None:
    """Measure speed on this machine."""


@app.command("core")
def core(
    write: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a live call and the backtest loop, beside the peers where `make peers` was run.

    Example: trading-cli bench core --json
    """
    from engine import settings
    from engine.research.bench import bench_core, machine

    in_force = settings.load()
    with progress_bar(quiet=as_json) as report:
        figures = bench_core(in_force.data_dir, in_force.limits, in_force.simulation, report)
    if write is not None:
        _write(write, figures | {"machine": machine()})
    if as_json:
        print_json(figures)
    else:
        show(figures)


@app.command("wire")
def wire(
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long orders are measured.")] = 60.0,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help='Also write the figures as "wire" into this JSON.')
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the whole engine over the wire against a sandbox in a process of its own, and ccxt.pro beside it.

    Two symbols whose bars of a second close together, a crossover that trades nearly every bar, limits far away. Orders
    keep within the venue's own rate, so that a minute gives about a hundred of them.

    Example: trading-cli bench wire --seconds 300 --json
    """
    import uvloop

    from engine import bootstrap
    from engine.cli import supervise
    from engine.research.bench import machine
    from engine.research.wire_ccxt import bench_ccxt
    from engine.research.wirebench import bench_engine
    from engine.runtime.compiling import compile_engine
    from engine.store.redis_server import connect_redis

    compile_engine(lambda _text: None)
    with tempfile.TemporaryDirectory() as folder, _wire_sandbox() as process, progress_bar(quiet=as_json) as report:
        line = supervise.first_line(process, "the sandbox", WIRE_START_S)
        venue, control = line["venues"]["binance_spot"], str(line["control"])
        in_force, keys = _wire_settings(Path(folder), venue)
        with connect_redis(None, in_force.home) as live_redis:

            async def engine() -> dict[str, Any]:
                async with bootstrap.live_plan(in_force, live_redis, lambda: keys) as plan:
                    return await bench_engine(plan, live_redis, control, seconds, report)

            figures = uvloop.run(engine())
        report(0.85, "ccxt.pro")
        figures |= uvloop.run(bench_ccxt(venue, control, WIRE_SYMBOLS, min(seconds, 40.0)))
    figures |= {"machine": machine()}
    if write is not None:
        _write(write, {"wire": figures})
    if as_json:
        print_json(figures)
    else:
        show(figures, WIRE_LINES)


@app.command("restart")
def restart(
    events: Annotated[int, typer.Option(min=1_000, help="How long the journal is.")] = 1_000_000,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help='Also write the figures as "restart" into this JSON.')
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a restart: an engine that trades against a sandbox is killed once its journal is long, and started again.

    Example: trading-cli bench restart --events 1000000 --json
    """
    from engine import bootstrap
    from engine.cli import supervise
    from engine.research.bench import machine
    from engine.research.restartbench import bench_restart
    from engine.runtime.compiling import compile_engine
    from engine.store.redis_server import connect_redis

    compile_engine(lambda _text: None)
    with tempfile.TemporaryDirectory() as folder, _wire_sandbox() as process:
        line = supervise.first_line(process, "the sandbox", WIRE_START_S)
        in_force, keys = _wire_settings(Path(folder), line["venues"]["binance_spot"])
        with connect_redis(None, in_force.home) as live_redis:
            figures = bench_restart(
                lambda: bootstrap.live_plan(in_force, live_redis, lambda: keys), live_redis, in_force.home,
                str(line["control"]), events, lambda share, what: say(f"{share:4.0%} {what}"),
            )  # fmt: skip
    figures |= {"machine": machine()}
    if write is not None:
        _write(write, {"restart": figures})
    if as_json:
        print_json(figures)
    else:
        show(figures, RESTART_LINES)


@contextmanager
def _wire_sandbox() -> Iterator[subprocess.Popen[str]]:
    """A sandbox that stands still but for the quotes it is asked for."""
    from engine.cli import supervise

    command = [
        sys.executable, "-m", "engine.cli.main", "sandbox", "--symbols", ",".join(WIRE_SYMBOLS), "--speed", "0",
        "--minutes", "20", "--accounts", "2", "--cash", "100000",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        supervise.end(process)
        assert process.stdout is not None
        process.stdout.close()


def _wire_settings(home: Path, venue: dict[str, Any]) -> tuple[Settings, KeyFile]:
    """mode = live against the sandbox with a key of its first account, and nothing a person has set."""
    from pydantic import SecretStr

    from engine import settings
    from engine.store.keys import KeyFile

    environment = settings.environment()
    kept = {name: value for name, value in environment.items() if not name.startswith(settings.PREFIX)}
    config = home / "keel.toml"
    config.write_text("", encoding="utf-8")
    settings.enter({**kept, settings.CONFIG_VARIABLE: str(config)} | dict.fromkeys(settings.PLAIN_VARIABLES, ""))
    urls = {name: venue[name] for name in ("rest", "ws", "ws_api")}
    plan = {"exchange": "binance", "symbols": WIRE_SYMBOLS, "key": WIRE_KEY, "urls": urls}
    in_force = settings.load({"mode": "live", "home": home, "venues": {"sandbox": plan}, **WIRE_TABLES})
    settings.enter(environment)
    keys = KeyFile(home, SecretStr(secrets.token_urlsafe()))
    account = venue["accounts"][0]
    keys.add(WIRE_KEY, "binance", SecretStr(account["key"]), SecretStr(account["secret"]), None)
    return in_force, keys


def _write(path: Path, figures: dict[str, Any]) -> None:
    """Put the figures beside what else the file holds."""
    import msgspec

    from engine.journal.atomic import replace_file

    held: dict[str, Any] = msgspec.json.decode(path.read_bytes()) if path.is_file() else {}
    replace_file(path, [msgspec.json.format(msgspec.json.encode(held | figures)), b"\n"])
    say(f"written: {path}")


def show(figures: dict[str, Any], lines: tuple[Line, ...] = LINES) -> None:
    """The figures as a table on stdout, each beside its aim and its peer."""
    from rich.console import Console
    from rich.table import Table

    table = Table("measured", "Keel", "aim", "peer", "ratio", box=None, header_style="bold")
    for line in lines:
        ours, theirs = figures[line.figure], figures.get(line.peer or "")
        ratio = f"{ours / theirs:.1f} ×" if isinstance(ours, int) and isinstance(theirs, int) else ""
        table.add_row(line.what, written(ours), line.aim, written(theirs), ratio)
    console = Console()
    console.print(table)
    if lines is RESTART_LINES:
        console.print(f"load {figures['load_1m']} on {figures['machine']['cores']} cores")
    elif lines is LINES:
        console.print(f"data: {figures['data']}; peers: {figures['peers']}")
    else:
        load, cores = figures["load_1m"], figures["machine"]["cores"]
        console.print(
            f"{figures['orders']} orders at {figures['quotes_per_s']:,} quotes/s; load {load} on {cores} cores"
        )
        console.print(f"peer: ccxt.pro {figures['ccxt_version']}, {figures['ccxt_orders']} orders")


def written(value: float | int | str | None) -> str:
    """A figure for the eye; empty where there is none."""
    return "" if value is None else f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"
