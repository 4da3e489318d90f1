"""``trading-cli doctor``: is this machine ready, and what to do where it is not."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Final, NamedTuple

import typer

from engine.cli.terminal import JsonOption, print_json
from engine.contracts.errors import KeelError

if TYPE_CHECKING:
    from engine.settings import Settings

FREE_GB: Final = 1.0
SHOWN_VERSIONS: Final = ("keel", "numpy", "numba", "pandas", "pyarrow", "msgspec", "SQLAlchemy", "psycopg")


class Check(NamedTuple):
    """One finding. `fix` says what to do where `ok` is false (or would be better)."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def doctor(as_json: JsonOption = False) -> None:
    """Check Python, disk, folders, recordings, the database and the compile cache. Exit code 1 where one fails.

    Example: trading-cli doctor
    """
    from engine import settings

    try:
        in_force = settings.load()
    except KeelError as error:
        checks = [python(), Check("settings", False, str(error), "correct the setting named, then run doctor again")]
    else:
        where = str(settings.config_path() or "defaults and environment")
        checks = [python(), Check("settings", True, f"{where}, digest {in_force.digest()}")]
        checks += [examine(in_force) for examine in CHECKS]
    checks.append(versions())
    healthy = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": healthy, "checks": {check.name: check._asdict() for check in checks}})
    else:
        for check in checks:
            typer.secho(f"{'ok  ' if check.ok else 'FAIL'}", fg="green" if check.ok else "red", nl=False)
            print(f"  {check.name:<14} {check.found}")
            if check.fix:
                print(f"{'':<20} -> {check.fix}")
    raise typer.Exit(0 if healthy else 1)


def python() -> Check:
    """The interpreter is new enough."""
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    return Check("python", ok, f"{version} ({sys.executable})", "" if ok else "install Python >= 3.11, run make setup")


def disk(settings: Settings) -> Check:
    """There is room for journals and the database."""
    place = next(folder for folder in (settings.home.absolute(), *settings.home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free / 1e9
    fix = "" if free >= FREE_GB else f"free {FREE_GB:g} GB, or set KEEL_HOME to a folder on another disk"
    return Check("disk", free >= FREE_GB, f"{free:.1f} GB free at {place}", fix)


def home(settings: Settings) -> Check:
    """The home folder can be written."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        fix = "correct its permissions, or set KEEL_HOME to a folder you may write"
        return Check("home", False, f"{settings.home} cannot be written: {error.strerror}", fix)
    runs = settings.home / "runs"
    count = sum(1 for _ in runs.iterdir()) if runs.is_dir() else 0
    return Check("home", True, f"{settings.home.absolute()}, {count} runs")


def recordings(settings: Settings) -> Check:
    """Recorded markets; without them the demo makes a synthetic one."""
    if settings.data_dir is None:
        hint = "the demo will use a synthetic market; set KEEL_DATA_DIR to a folder of Parquet recordings"
        return Check("data", True, "no recorded markets", hint)
    files = sorted(settings.data_dir.rglob("*.parquet"))
    size = sum(path.stat().st_size for path in files) / 1e6
    return Check("data", True, f"{settings.data_dir}: {len(files)} Parquet files, {size:.0f} MB")


def database(settings: Settings) -> Check:
    """PostgreSQL really answers (the embedded one is started for it)."""
    from engine import bootstrap

    kind = "embedded" if settings.database_url is None else "DATABASE_URL"
    try:
        with bootstrap.open_store(settings) as store, store.begin() as connection:
            server = connection.exec_driver_sql("SHOW server_version").scalar_one()
    except KeelError as error:
        return Check("postgresql", False, f"{kind}: {error}", "see the message; the engine runs on without the store")
    return Check("postgresql", True, f"{kind}: version {server} at {store.url}")


def compiled(_settings: Settings) -> Check:
    """Whether the core's machine code is on disk already."""
    from engine.core import compile

    if not compile.CACHING:
        fix = "every start compiles again; make the home directory's .cache writable"
        return Check("compiled core", True, "cannot be kept on disk", fix)
    state = "ready" if compile.is_compiled_before("advance") else "not built yet: the first run compiles it"
    return Check("compiled core", True, f"{state} ({compile.cache_folder()})")


def versions() -> Check:
    """What is installed."""
    found = {name: _version(name) for name in SHOWN_VERSIONS}
    missing = [name for name, version in found.items() if not version]
    fix = f"{', '.join(missing)} not installed: run make setup" if missing else ""
    return Check("versions", not missing, ", ".join(f"{k} {v or 'missing'}" for k, v in found.items()), fix)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


CHECKS: Final[tuple[Callable[[Settings], Check], ...]] = (disk, home, recordings, database, compiled)
