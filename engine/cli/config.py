"""``trading-cli config``: the settings in force and where each was set; ``config set`` changes one through the audit.

With an engine running the change goes to it (it journals and judges it) and holds until its end. With none, it goes
into keel.toml, the old file beside it, after the audit has it: a change that cannot be recorded is not made.
"""

from __future__ import annotations

import json
import shutil
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from engine.cli.terminal import JsonOption, print_json, say
from engine.contracts.errors import BadInput, Refused, Retryable

if TYPE_CHECKING:
    from engine.settings import Settings

CHANGEABLE: Final = "limits.NAME, selector.NAME or strategies.STRATEGY.PARAMETER"
HIDDEN: Final = "(hidden)"
SECRET: Final = {"database_url": "DATABASE_URL", "redis_url": "REDIS_URL"}  # setting -> its variable
IN_ENGINE: Final = "in the running engine, until it ends"
NARROWEST: Final = 24  # columns a value and its source need beside the longest name
WIDE: Final = 1_000  # columns where nobody looks: one line a setting

app = typer.Typer(invoke_without_command=True)


@app.callback()
def config(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show every setting in force and where it was set; secrets stay hidden. What was changed in a running engine is
    shown as it is there.

    Example: trading-cli config
    """
    if context.invoked_subcommand is not None:
        return
    from engine import settings

    in_force = settings.load()
    rows = flat(in_force)
    try:
        run, values = in_engine(in_force)
    except Retryable as error:
        run = None
        say(f"what follows is read at the start: {error}")
    else:
        rows |= _changed(in_force, rows, values)
    if as_json:
        print_json({"digest": in_force.digest(), "run": run, "settings": rows})
        return
    _show(rows)
    print(f"digest {in_force.digest()}")


def _show(rows: dict[str, dict[str, Any]]) -> None:
    """In a terminal folded to its width; elsewhere a line each, for grep."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else WIDE)
    longest = max(map(len, rows))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("setting", overflow="fold", width=longest if longest + NARROWEST <= console.width else None)
    for column in ("value", "set"):
        table.add_column(column, overflow="fold")
    for name, row in rows.items():
        style = "" if row["source"] == "default" else "bold"
        table.add_row(Text(name, style=style), Text(_text(row["value"]), style=style), Text(row["source"]))
    console.print(table)


@app.command("set")
def change(
    key: Annotated[str, typer.Argument(metavar="KEY", help=f"{CHANGEABLE}, as `config` shows it.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="The new value, in the unit of the setting.")],
    why: Annotated[str, typer.Option("--why", help="The reason, for the audit.")],
    wait: Annotated[float, typer.Option("--wait", min=0.1, max=600.0, help="Seconds to wait for the engine.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Change a limit or a strategy's parameter: in the running engine, else in keel.toml. Audited.

    Example: trading-cli config set limits.trade_loss_usd 5 --why "smaller while I learn"
    """
    from engine import settings
    from engine.cli.control import checked_why

    in_force = settings.load()
    rows = flat(in_force)
    *tables, name = _path_of(key, value, rows)
    number = _number(key, value)
    run, values = in_engine(in_force)
    _judge(key, number, values)
    checked_why(why)
    if run is not None:
        from engine.cli.control import send

        told = send(in_force, "set", why, wait, key=key, value=number)
        told["kept"] = f"until the engine ends; to keep it: [{'.'.join(tables)}] {name} = {number:.10g} in keel.toml"
    else:
        told = _write(in_force, ".".join(tables), name, number, rows[key]["value"], why.strip())
    if as_json:
        print_json({"key": key, "value": number, **told})
    else:
        print(f"{key}: {_text(told['before'])} -> {_text(told['after'])}; {told['kept']}")


def in_engine(settings: Settings) -> tuple[str | None, dict[str, float]]:
    """The run of this home's engine and the limits and parameters in force in it, by dotted key; None and nothing
    where no engine runs. Raises Retryable where one runs and cannot be asked."""
    from engine.cli.control import running_engine
    from engine.store.liveview import read_live
    from engine.store.running import read_running
    from engine.store.viewrows import SettingRow, rows

    if read_running(settings.home) is None:
        return None, {}
    with running_engine(settings) as (running, live):
        view = read_live(live.blocking, running.run, last=1)
    return running.run, {key: row.value for key, row in rows(view.in_force, SettingRow).items()}


def _changed(settings: Settings, rows: dict[str, dict[str, Any]], values: dict[str, float]) -> dict[str, Any]:
    """Rows of what is in force in the engine and not what would be read at a start, which is told in `at_start`."""
    from engine.store.coreview import limits_of

    at_start = {key: row["value"] for key, row in rows.items()}
    exact = at_start | limits_of(settings.limits.row())  # the engine's integers
    return {
        key: {"value": value, "source": f"{IN_ENGINE}; then {_text(at_start[key])}", "at_start": at_start[key]}
        for key, value in values.items()
        if key in exact and exact[key] != value
    }


def _judge(key: str, value: float, values: dict[str, float]) -> None:
    """Refuses, with the fix, what the settings would refuse beside the engine's other `values` of that strategy."""
    from engine import settings

    table, _, name = key.rpartition(".")
    others = {} if table == "limits" else values
    beside = {k.removeprefix(f"{table}."): v for k, v in others.items() if k.startswith(f"{table}.")}
    settings.load(_nested(table.split("."), beside | {name: value}))


def flat(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every setting in force by its dotted name: value and source. Secrets are hidden."""
    import msgspec

    tables: dict[str, Any] = {
        name: HIDDEN if name in SECRET and value is not None else value
        for name in type(settings).model_fields
        if not isinstance(value := getattr(settings, name), (dict, msgspec.Struct))
    }
    tables["account"] = settings.account.model_dump()
    for name in ("limits", "simulation", "feed", "runtime", "alerts", "doors", "watchdog"):
        tables[name] = msgspec.to_builtins(getattr(settings, name), enc_hook=str)
    tables["selector"] = dict(settings.selector)
    tables["strategies"] = {name: dict(values) for name, values in settings.strategies.items()}
    for named in ("venues", "signals"):
        plans = getattr(settings, named)
        tables[named] = {name: msgspec.to_builtins(plan) | {"name": None} for name, plan in plans.items()}
    return {name: {"value": value, "source": settings.sources.get(name, "default")} for name, value in _leaves(tables)}


def _leaves(table: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            found += _leaves(value, f"{above}{name}.")
        elif not (name == "name" and above.startswith(("venues.", "signals."))):
            found.append((f"{above}{name}", str(value) if isinstance(value, Path) else value))
    return found


def _path_of(key: str, value: str, rows: dict[str, dict[str, Any]]) -> list[str]:
    """The key's parts. Raises BadInput for one that no command changes, saying where it is set instead."""
    path = key.split(".")
    if path[0] in ("limits", "selector") and len(path) == 2 or path[0] == "strategies" and len(path) == 3:
        return path
    if key in SECRET:
        hint = f"set {SECRET[key]} in the environment, read at the start"
    elif key in rows:
        table = f"[{'.'.join(path[:-1])}] " if path[1:] else ""
        hint = f"put {table}{path[-1]} = {_literal(value)} into keel.toml, read at the start"
    elif any(name.startswith(f"{key}.") for name in rows):
        hint = "it is a table; trading-cli config shows what is in it"
    else:
        near = get_close_matches(key, rows, 1)
        hint = "there is no such setting" + (f"; did you mean {near[0]!r}?" if near else "")
    raise BadInput(f"{key} cannot be changed by command, only {CHANGEABLE}: {hint}")


def _literal(value: str) -> str:
    """The text as TOML: as it is where it is a number, a truth or a list, else quoted."""
    import tomllib

    try:
        tomllib.loads(f"x = {value}")
    except tomllib.TOMLDecodeError:
        return json.dumps(value)
    return value


def _number(key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise BadInput(f"{key} = {value} must be a number, in the unit of the setting") from None


def _nested(path: list[str], value: dict[str, float]) -> dict[str, Any]:
    return {path[0]: _nested(path[1:], value) if len(path) > 1 else value}


def _write(settings: Settings, table: str, name: str, value: float, before: Any, why: str) -> dict[str, Any]:
    """Audit, then keel.toml. Raises Refused where something stronger than the file sets the key."""
    from engine import bootstrap
    from engine.cli.control import who
    from engine.cli.toml_line import with_number
    from engine.journal.atomic import replace_file
    from engine.settings import CONFIG_FILE, config_path
    from engine.store import audit

    key, path = f"{table}.{name}", config_path() or Path(CONFIG_FILE)
    if "environment" in (source := settings.sources.get(key, "")):
        raise Refused(f"{key} is set {source}, which is stronger than {path}: change it there")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    changed = with_number(text, table, name, value)
    note = audit.Change(
        who=who(), what="setting.changed", why=why, before={"of": key, "value": before},
        after={"of": key, "value": value}, evidence={"file": str(path)},
    )  # fmt: skip
    with bootstrap.open_store(settings) as store:
        audit.append(store, [note])
    if path.exists():
        shutil.copy2(path, path.with_name(f"{path.name}.bak"))
    replace_file(path, [changed.encode()])
    return {"before": before, "after": value, "kept": f"in {path}, from the next start on", "file": str(path)}


def _text(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, float):
        return f"{value:.10g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
