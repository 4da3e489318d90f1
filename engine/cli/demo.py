"""``trading-cli demo``: the whole engine trading paper money on a sandbox exchange, over real HTTP and websockets."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from engine.cli.terminal import JsonOption, print_json, say
from engine.contracts.errors import Fatal

if TYPE_CHECKING:
    from engine.cli.supervise import Child, Projector
    from engine.settings import Settings

SPEED: Final = 20
SEED: Final = 7
HISTORY_MIN: Final = 40  # what the strategy's means need
MINUTES: Final = 160  # six minutes of demo; making more of it delays the start
COINS: Final = ("BTC", "ETH", "AXO", "BREN", "CEDA", "DUNE", "EMBR", "FLUX")
SPOT: Final = (*(f"{coin}/USDT" for coin in COINS), "ETH/BTC", "USDC/USDT", "BTC/USDC", "ETH/USDC")
PERPETUALS: Final = ("BTC/USDT:USDT", "ETH/USDT:USDT")
DISLOCATIONS: Final = {"--dislocations": 1, "--dislocation-bps": 80, "--dislocation-ms": 20_000}
"""Of market time: every few seconds a pair leaves the others for a second. Chosen so that there is something to see."""
CAPITAL: Final = {"sandbox": 600.0, "futures": 400.0}
TIMEFRAMES_S: Final = (1, 2, 3)  # of market time: 20 s, 40 s, 1 min
# Quick enough that something happens while one watches; no claim about any market. Scalping keeps its thresholds, its
# weights and its cost guard; at this speed a queue is gone before an order arrives, so it is not watched.
STRATEGIES: Final[dict[str, dict[str, float]]] = {
    "arbitrage": {"shadow_cycles": 3, "leg_ms": 20, "max_age_ms": 2000},
    "momentum": {
        "fast": 4, "slow": 12, "breakout_bars": 6, "surge": 1.2, "min_turnover_usd": 0, "min_breadth": 0.25,
        "min_place": 0.6, "universe": 6, "min_btc_trend": -5.0, "max_btc_range_pct": 10.0, "first_exit_share": 0.4,
        "cooldown_bars": 6, "min_stop_pct": 0.3, "stop_atr": 2.0, "target_r": 2.0, "agree": 2, "max_hours": 0.1,
    },
    "scalping": {
        "horizon_s": 40, "volatility_s": 20, "warm_up_s": 10, "hold_s": 30, "queue_keep": 0,
    },
}  # fmt: skip
SELECTOR: Final[dict[str, float]] = {"settle_bars": 3}
CONFIG: Final = "keel.toml"
LOG: Final = "engine.log"
START_S: Final = 60.0
LOOK_S: Final = 0.5
CONTROL_S: Final = 10.0  # for the sandbox's word whether it plays on


def demo(
    seconds: Annotated[float, typer.Option(min=0, help="End by itself after so many seconds; 0: on Ctrl-C.")] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Watch the engine trade SIMULATED money on a SIMULATED exchange: a table of what it does, then a summary.

    Example: trading-cli demo --seconds 60
    """
    from engine import settings
    from engine.cli import supervise
    from engine.cli.compiling import compile_all
    from engine.cli.servers import hold_servers

    compile_all()
    started = time.monotonic()
    home = (settings.load().home / "demo").resolve()
    for number in (signal.SIGINT, signal.SIGTERM):  # shells start background jobs deaf to SIGINT
        signal.signal(number, signal.default_int_handler)
    with ExitStack() as stack:
        say("1/3 sandbox exchange (simulated), PostgreSQL and Redis")
        sandbox = stack.enter_context(sandbox_process())
        in_force = own_settings(home)
        hold_servers(in_force, stack)
        say("2/3 market")
        line = supervise.first_line(sandbox, "the sandbox", START_S)
        write_config(home, line["venues"])
        say("3/3 engine")
        child = stack.enter_context(supervise.engine_process(settings.environment(), log=home / LOG, fresh=True))
        projector = supervise.Projector(in_force, child.run_dir)
        stack.callback(projector.finish)
        say(f"trading after {time.monotonic() - started:.1f} s")
        try:
            say(f"ending: {watch(in_force, child, seconds, line['control'])}")
        except KeyboardInterrupt:
            say("ending: you asked for it")
        supervise.end(child.process)
    tell_end(child, projector, as_json)


@contextmanager
def sandbox_process() -> Iterator[subprocess.Popen[str]]:
    """The sandbox as a process of its own, on free ports; its first line says where, once its market is made."""
    from engine.cli import supervise

    command = [
        sys.executable, "-m", "engine.cli.main", "sandbox", "--symbols", ",".join(SPOT + PERPETUALS),
        "--seed", str(SEED), "--speed", str(SPEED), "--minutes", str(MINUTES), "--history", str(HISTORY_MIN * 60),
        "--cash", "1000", *(str(part) for option in DISLOCATIONS.items() for part in option),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        supervise.end(process)
        assert process.stdout is not None
        process.stdout.close()


def own_settings(home: Path) -> Settings:
    """Settings of the demo's own, in this process and its children: nobody's real venues, limits or mode count here."""
    from engine import settings

    write_config(home, {})
    kept = {name: value for name, value in settings.environment().items() if not name.startswith(settings.PREFIX)}
    settings.enter(kept | {"KEEL_CONFIG": str(home / CONFIG), "KEEL_HOME": str(home)})
    return settings.load()


def write_config(home: Path, venues: dict[str, Any]) -> None:
    """The demo's keel.toml; `venues` are the sandbox's, empty before it is there."""
    rows = [
        'mode = "paper"',
        "[account]",
        "capital_usd = 1000.0",
        "[runtime]",
        f"timeframes_s = {list(TIMEFRAMES_S)}",
        f"strategies = {json.dumps(list(STRATEGIES))}",
    ]
    tables = {"selector": SELECTOR} | {f"strategies.{name}": values for name, values in STRATEGIES.items()}
    for name, values in tables.items():
        rows += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
    if venues:
        rows += _venue("sandbox", "binance", SPOT, venues["binance_spot"])
        rows += _venue("futures", "binanceusdm", PERPETUALS, venues["binance_usdm"])
    home.mkdir(parents=True, exist_ok=True)
    (home / CONFIG).write_text("\n".join(rows) + "\n", encoding="utf-8")


def _venue(name: str, exchange: str, symbols: tuple[str, ...], urls: dict[str, Any]) -> list[str]:
    return [
        f"[venues.{name}]",
        f'exchange = "{exchange}"',
        f"symbols = {json.dumps(symbols)}",
        f"capital_usd = {CAPITAL[name]}",
        f"[venues.{name}.urls]",
        *(f'{key} = "{urls[key]}"' for key in ("rest", "ws", "ws_api")),
    ]


def watch(settings: Settings, child: Child, seconds: float, control: str) -> str:
    """Show the live view (a table in a terminal, else a line now and then) until the time or the market is over;
    returns which. Raises Fatal when the engine ends by itself."""
    from engine.cli.servers import open_redis
    from engine.cli.watching import Screen

    ends = time.monotonic() + seconds if seconds else float("inf")
    with (
        open_redis(settings) as live,
        Screen(live.blocking, child.run, settings.mode, child.process.pid, sys.stderr) as screen,
    ):
        while (left := ends - time.monotonic()) > 0:
            screen.look()
            if market_is_over(control):
                return "the sandbox's market is over"
            try:
                child.process.wait(min(LOOK_S, left))
            except subprocess.TimeoutExpired:
                continue
            raise Fatal("the engine ended by itself; its last words are in demo/engine.log under the home folder")
    return "the time is over"


def market_is_over(control: str) -> bool:
    """Whether the sandbox has played all it has. Raises Fatal where it does not answer any more."""
    asked = http.client.HTTPConnection(control.removeprefix("http://"), timeout=CONTROL_S)
    try:
        asked.request("GET", "/")
        return bool(json.loads(asked.getresponse().read())["is_over"])
    except OSError as error:
        raise Fatal(f"the sandbox ended by itself, or hangs: its control endpoint said {error}") from None
    finally:
        asked.close()


def tell_end(child: Child, projector: Projector, as_json: bool) -> None:
    """What the run came to, from its journal."""
    from engine.research.livesummary import summarise

    summary = summarise(child.run_dir)
    if as_json:
        print_json(summary)
        return
    print()
    for row in summary.lines():
        print(row)
    print(f"run       {child.run_dir} (journal: trading-cli replay {child.run_dir})")
    print(f"SQL       {projector.written or 'not stored: ' + projector.trouble}")
