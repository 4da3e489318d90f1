"""``trading-cli foreign`` and ``adopt``: what lies at the venues and is not ours, and taking a position over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from engine.cli.control import WaitOption, WhyOption, send
from engine.cli.terminal import JsonOption, print_json

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.store.viewrows import ForeignRow

NOTHING: Final = "nothing foreign: every order and every perpetual position at the venues is ours"


def foreign(as_json: JsonOption = False) -> None:
    """Orders and perpetual positions at the venues that are not ours: shown, never touched.

    Example: trading-cli foreign
    """
    from engine import settings

    found = _rows(settings.load())
    if as_json:
        import msgspec

        print_json({"foreign": [msgspec.to_builtins(one) for one in found.values()]})
        return
    if not found:
        print(NOTHING)
    for one in found.values():
        price = "" if one.price is None else f" at {one.price:.10g}"
        print(f"{one.what:<9} {one.instrument:<28} {one.qty:+.10g}{price}  {one.name}")


def adopt(
    instrument: Annotated[str, typer.Argument(metavar="VENUE:SYMBOL", help="As trading-cli foreign names it.")],
    why: WhyOption,
    stop: Annotated[float, typer.Option("--stop", help="Price of its protective stop.")],
    wait: WaitOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Take a foreign perpetual position over: it counts against the limits, gets its stop, and is managed from then on.

    Example: trading-cli adopt futures:BTC/USDT:USDT --stop 59000 --why "opened on my phone"
    """
    from engine import settings

    told = send(settings.load(), "adopt", why, wait, instrument=instrument, stop=stop)
    if as_json:
        print_json(told)
    else:
        print(told["message"])


def _rows(settings: Settings) -> dict[str, ForeignRow]:
    from engine.cli.control import running_engine
    from engine.store.liveview import read_live
    from engine.store.viewrows import ForeignRow, rows

    with running_engine(settings) as (running, live):
        view = read_live(live.blocking, running.run, last=1)
    return rows(view.foreign, ForeignRow)
