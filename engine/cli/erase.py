"""``trading-cli erase``: remove what Keel keeps about a person, and say what others keep."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from engine.cli.terminal import JsonOption, print_json, say
from engine.contracts.errors import KeelError, Refused

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.store.erasure import Survey, Tables

ERASE_WORDS: Final = "erase everything"
KEEPS: Final = (
    "STAYS at every exchange: orders, fills, deposits, your address; nothing here can remove that. Look there: what "
    "earlier runs or others left open is not known here"
)


def erase(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for a typed confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove runs, journals, keys, databases and the audit of this home for good. Sends no order: what is open at an
    exchange stays open, and is named. Confirmed by typing; refused while an engine runs.

    Example: trading-cli erase
    """
    from engine import settings
    from engine.store import erasure

    in_force = settings.load()
    erasure.check_idle(in_force.home)
    found = erasure.survey(in_force.home)
    tables = _tables(in_force)
    stays = remains(in_force, found)
    for line in [*_goes(in_force, found, tables), *stays]:
        say(line)
    _confirm(yes)
    erasure.check_idle(in_force.home)
    done = _erase(in_force)
    if as_json:
        print_json({**done, "venues": found.venues, "notes": found.notes, "remains": stays})
    else:
        print(f"erased: {', '.join(done['home']) or 'nothing was'} in {in_force.home.absolute()}")
        if in_force.database_url:
            print(f"erased: {', '.join(done['tables']) or 'no table was there'} in the database")


def _confirm(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"not confirmed: run it in a terminal and type '{ERASE_WORDS}', or add --yes")
    if typer.prompt(f"type '{ERASE_WORDS}' to go on", default="", show_default=False, err=True) != ERASE_WORDS:
        raise Refused("not confirmed: nothing was erased")


def _tables(settings: Settings) -> Tables | None:
    """What the database named in the settings holds; None for the embedded one, which goes with its folder."""
    from engine import bootstrap
    from engine.store import erasure

    if settings.database_url is None:
        return None
    with bootstrap.open_store(settings) as store:
        return erasure.tables_of(store, settings.home)


def _erase(settings: Settings) -> dict[str, Any]:
    """What can be refused comes first, the home last: until then everything of it is still there."""
    from engine import bootstrap
    from engine.cli.servers import open_redis
    from engine.store import erasure

    erasure.stop_servers(settings.home)
    done: dict[str, Any] = {"tables": [], "redis_keys": 0}
    if settings.redis_url is not None:
        with open_redis(settings) as live:
            done["redis_keys"] = erasure.erase_redis(live.blocking, settings.home)
    if settings.database_url is not None:
        with bootstrap.open_store(settings) as store:
            done["tables"] = erasure.erase_database(store)
    return done | {"home": erasure.erase_home(settings.home)}


def _goes(settings: Settings, found: Survey, tables: Tables | None) -> list[str]:
    """What will be removed, in words."""
    entries = ", ".join(found.entries) or "nothing of Keel's"
    lines = [f"WILL BE ERASED in {settings.home.absolute()}: {entries} ({found.runs} runs)"]
    audited = "the append-only audit, whose trigger refuses to delete single rows, goes as a whole"
    if tables is None:
        lines.append(f"with the embedded database {audited}; trading-cli audit export keeps a copy")
        return lines
    others = f", {tables.other_runs} of them not of this home" if tables.other_runs else ""
    lines.append(f"WILL BE DROPPED in the database: every table of Keel's ({tables.runs} runs{others})")
    lines.append(
        f"with them {audited}: {tables.audit_rows:,} rows, head {tables.audit_head or '-'}; "
        "trading-cli audit export keeps a copy"
    )
    return lines


def remains(settings: Settings, found: Survey) -> list[str]:
    """What stays afterwards, here and at the exchanges."""
    from engine.settings import config_path

    lines = []
    for venue in found.venues:
        lines.append(f"STAYS at {venue.name}: what {venue.runs} runs did there ({', '.join(venue.symbols)})")
        if venue.positions:
            lines.append(
                f"OPEN at {venue.name} when the last run ended: {', '.join(venue.positions)}; nobody closes it"
            )
        if venue.orders:
            lines.append(f"WORKING at {venue.name} when the last run ended: {venue.orders} orders; nobody cancels them")
    lines += [f"REVOKE at {exchange}: the API key {name}" for name, exchange in _keys(settings).items()]
    if found.venues:
        lines.append(KEEPS)
    lines += found.notes
    named = (config_path(), settings.passphrase_file, settings.alerts.urls_file)
    here = [str(path) for path in named if path is not None]
    here += [str(settings.home / name) for name in found.strangers]
    here += ["backups and exports you made", "the passphrase in the system's keyring, where you put it there"]
    lines.append(f"STAYS on this machine: {'; '.join(here)}")
    return lines


def _keys(settings: Settings) -> dict[str, str]:
    """The API keys: of the key file where it opens without asking, else those that venues use. Name -> exchange."""
    from engine.store.keys import FILE, KeyFile
    from engine.store.passphrase import find_passphrase

    used = {plan.key: plan.exchange for plan in settings.venues.values() if plan.key}
    if not (settings.home / FILE).exists():
        return used
    try:
        passphrase = find_passphrase(settings.passphrase_file, settings.home)
        stored = KeyFile(settings.home, passphrase).read()
    except KeelError:
        return used | {"(others may be in the key file, which is locked)": "every exchange"}
    return used | {one.name: one.exchange for one in stored.values()}
