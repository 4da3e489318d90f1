"""``trading-cli config``: the settings in force and where each was set; ``config set`` changes one through the audit.

With an engine running the change goes to it (it journals and judges it) and holds until its end. With none, it goes
into keel.toml, the old file beside it, after the audit has it: a change that cannot be recorded is not made.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from engine.cli.terminal import JsonOption, print_json
from engine.contracts.errors import BadInput, Refused

if TYPE_CHECKING:
    from engine.settings import Settings

CHANGEABLE: Final = "limits.NAME or strategies.STRATEGY.PARAMETER"
HIDDEN: Final = "(hidden)"

app = typer.Typer(invoke_without_command=True)


@app.callback()
def config(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show every setting in force and where it was set; secrets stay hidden.

    Example: trading-cli config
    """
    if context.invoked_subcommand is not None:
        return
    from engine import settings

    in_force = settings.load()
    rows = flat(in_force)
    if as_json:
        print_json({"digest": in_force.digest(), "settings": rows})
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("setting", "value", "set"):
        table.add_column(column)
    for name, row in rows.items():
        style = "" if row["source"] == "default" else "bold"
        table.add_row(Text(name, style=style), Text(_text(row["value"]), style=style), Text(row["source"]))
    Console().print(table)
    print(f"digest {in_force.digest()}")


@app.command("set")
def change(
    key: Annotated[str, typer.Argument(metavar="KEY", help=f"{CHANGEABLE}, as `config` shows it.")],
    value: Annotated[float, typer.Argument(metavar="VALUE", help="The new value, in the unit of the setting.")],
    why: Annotated[str, typer.Option("--why", help="The reason, for the audit.")],
    wait: Annotated[float, typer.Option("--wait", min=0.1, max=600.0, help="Seconds to wait for the engine.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Change a limit or a strategy's parameter: in the running engine, else in keel.toml. Audited.

    Example: trading-cli config set limits.trade_loss_usd 5 --why "smaller while I learn"
    """
    from engine import settings
    from engine.store.running import read_running

    in_force = settings.load()
    *tables, name = _path_of(key)
    before = flat(in_force).get(key, {}).get("value")
    settings.load(_nested([*tables, name], value))  # refuses unknown names and values out of bounds, with the fix
    if not 1 <= len(why.strip()) <= 500:
        raise BadInput("--why must hold 1 to 500 characters: the reason, for the audit")
    if read_running(in_force.home) is not None:
        from engine.cli.control import send

        told = send(in_force, "set", why, wait, before, key=key, value=value)
        told["kept"] = f"until the engine ends; to keep it: [{'.'.join(tables)}] {name} = {value:g} in keel.toml"
    else:
        told = _write(in_force, ".".join(tables), name, value, before, why.strip())
    if as_json:
        print_json({"key": key, "before": before, "value": value, **told})
    else:
        print(f"{key}: {_text(before)} -> {value:g}; {told['kept']}")


def flat(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every setting in force by its dotted name: value and source. Secrets are hidden."""
    import msgspec

    tables: dict[str, Any] = {
        name: HIDDEN if name in ("database_url", "redis_url") and value is not None else value
        for name in type(settings).model_fields
        if not isinstance(value := getattr(settings, name), (dict, msgspec.Struct))
    }
    tables["account"] = settings.account.model_dump()
    for name in ("limits", "simulation", "feed", "runtime"):
        tables[name] = msgspec.to_builtins(getattr(settings, name))
    tables["strategies"] = {name: dict(values) for name, values in settings.strategies.items()}
    tables["venues"] = {name: msgspec.to_builtins(plan) | {"name": None} for name, plan in settings.venues.items()}
    return {name: {"value": value, "source": settings.sources.get(name, "default")} for name, value in _leaves(tables)}


def _leaves(table: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            found += _leaves(value, f"{above}{name}.")
        elif not (name == "name" and above.startswith("venues.")):
            found.append((f"{above}{name}", str(value) if isinstance(value, Path) else value))
    return found


def _path_of(key: str) -> list[str]:
    path = key.split(".")
    if path[0] == "limits" and len(path) == 2 or path[0] == "strategies" and len(path) == 3:
        return path
    raise BadInput(
        f"{key} cannot be changed by command: {CHANGEABLE} can; the rest is in keel.toml and read at the start"
    )


def _nested(path: list[str], value: float) -> dict[str, Any]:
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
    return {"kept": f"in {path}, from the next start on", "file": str(path)}


def _text(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, float):
        return f"{value:.10g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
