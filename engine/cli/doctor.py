"""``trading-cli doctor``: is this machine ready, and what to do where it is not."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Final

import typer

from engine.cli.findings import Check, show
from engine.cli.terminal import JsonOption
from engine.contracts.errors import KeelError

if TYPE_CHECKING:
    from engine.settings import Settings

FREE_GB: Final = 1.0
SHOWN_VERSIONS: Final = ("keel", "numpy", "numba", "pandas", "pyarrow", "msgspec", "SQLAlchemy", "psycopg")


def doctor(as_json: JsonOption = False) -> None:
    """Check Python, disk, folders, recordings, PostgreSQL, Redis, the compile cache, every venue and its key.

    Exit code 1 where one fails.

    Example: trading-cli doctor
    """
    from engine import settings

    try:
        in_force = settings.load()
    except KeelError as error:
        bad = Check("settings", False, str(error), "correct the setting named, then run doctor again")
        checks = [python(), bad, versions()]
    else:
        checks = examine(in_force)
    raise typer.Exit(0 if show(checks, as_json) else 1)


def examine(settings: Settings) -> list[Check]:
    """Everything about these settings on this machine."""
    from engine.settings import config_path

    where = str(config_path() or "defaults and environment")
    checks = [python(), Check("settings", True, f"{where}, mode {settings.mode}, digest {settings.digest()}")]
    checks += [one(settings) for one in CHECKS]
    return [*checks, *venues(settings), versions()]


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
    """Recorded markets; the live engine needs none."""
    if settings.data_dir is None:
        hint = "backtests need some: name files with --data (data synth makes synthetic ones), or set KEEL_DATA_DIR"
        return Check("data", True, "no recorded markets", hint)
    files = sorted(settings.data_dir.rglob("*.parquet"))
    size = sum(path.stat().st_size for path in files) / 1e6
    return Check("data", True, f"{settings.data_dir}: {len(files)} Parquet files, {size:.0f} MB")


def database(settings: Settings) -> Check:
    """PostgreSQL really answers (the embedded one is started for it)."""
    from engine import bootstrap
    from engine.store import audit_check

    kind = "embedded" if settings.database_url is None else "DATABASE_URL"
    try:
        with bootstrap.open_store(settings) as store, store.begin() as connection:
            server = connection.exec_driver_sql("SHOW server_version").scalar_one()
            if words := audit_check.glance(store):
                return Check("postgresql", False, words, "where it is right as it is: trading-cli audit accept")
    except KeelError as error:
        return Check("postgresql", False, f"{kind}: {error}", "see the message; the engine runs on without the store")
    return Check("postgresql", True, f"{kind}: version {server} at {store.url}")


def redis(settings: Settings) -> Check:
    """Redis really answers (the embedded one is started for it)."""
    from engine.cli.servers import open_redis

    kind = "embedded" if settings.redis_url is None else "REDIS_URL"
    try:
        with open_redis(settings) as live:
            version = live.blocking.info("server")["redis_version"]
            address = live.address
    except KeelError as error:
        return Check("redis", False, f"{kind}: {error}", "see the message; without Redis the engine trades on, unseen")
    return Check("redis", True, f"{kind}: version {version} at {address}")


def venues(settings: Settings) -> list[Check]:
    """Every configured venue and its key."""
    import asyncio

    from engine.cli.keys import open_keys
    from engine.cli.venue_check import examine_all

    if not settings.venues:
        hint = "the engine needs at least one: [venues.NAME] in keel.toml (see keel.example.toml)"
        return [Check("venues", settings.mode == "paper", "none configured", hint)]
    try:
        keys = open_keys(settings).read() if any(plan.key for plan in settings.venues.values()) else {}
    except KeelError as error:
        return [Check("keys", False, str(error), "without its keys no venue's account can be checked")]
    try:
        return asyncio.run(examine_all(settings, keys))
    except KeelError as error:
        return [Check("venues", False, str(error), "see the message, then run doctor again")]


def compiled(_settings: Settings) -> Check:
    """Whether the machine code of engine and backtests is on disk already."""
    from engine.core import compile
    from engine.runtime.compiling import is_compiled

    if not compile.CACHING:
        fix = "every start compiles again; make the home directory's .cache writable"
        return Check("compiled core", True, "cannot be kept on disk", fix)
    state = {True: "ready", False: "not built yet, the first start does it"}
    found = f"engine {state[is_compiled()]}; backtests {state[compile.is_compiled_before('advance')]}"
    return Check("compiled core", True, f"{found} ({compile.cache_folder()})")


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


def watchdog(settings: Settings) -> Check:
    """Where an engine runs, a watchdog lives beside it."""
    from engine.store.heartbeat import watchdog_state
    from engine.store.running import read_running

    lives, words, _ = watchdog_state(settings.home)
    if not settings.watchdog.enabled:
        return Check("watchdog", True, "switched off in [watchdog]: nobody acts while the engine is silent")
    if read_running(settings.home) is None or lives:
        return Check("watchdog", True, words if lives else "no engine runs; up starts both")
    return Check("watchdog", False, "an engine runs without one", "trading-cli watchdog, or restart the engine with up")


CHECKS: Final[tuple[Callable[[Settings], Check], ...]] = (
    disk, home, recordings, database, redis, watchdog, compiled,
)  # fmt: skip
