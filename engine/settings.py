"""Settings, and the only module that reads the environment.

Rules
-----
* Command line > environment > ``keel.toml`` > defaults; the file is ``keel.toml`` in the working directory or
  the one ``KEEL_CONFIG`` names. Tables merge key by key.
* ``KEEL_LIMITS__TRADE_LOSS_USD=5`` is ``[limits] trade_loss_usd = 5``; ``DATABASE_URL`` and ``REDIS_URL`` count too.
* An unknown key is refused with the nearest valid name, an absurd value with its bounds and where it came from.
* Nothing here changes after loading, and no secret is ever printed. API keys are no settings: `engine.store.keys`.
* `Settings.sources` says where each value that is no default was set; `missing_for_live` wants every limit there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from engine.contracts.errors import BadInput
from engine.core.limits import BOUNDS, Limits
from engine.markets.feedmodel import FeedModel
from engine.runtime import tables
from engine.runtime.doorplan import AlertsPlan, DoorsPlan
from engine.runtime.plan import RuntimePlan, runtime_plan
from engine.runtime.watchplan import WatchdogPlan
from engine.simulation.venue import SimulationModel
from engine.venues.plan import VenuePlan

PREFIX: Final = "KEEL_"
CONFIG_VARIABLE: Final = "KEEL_CONFIG"
CONFIG_FILE: Final = "keel.toml"
RECORDINGS: Final = Path("../shared/data")
Mode = Literal["paper", "shadow", "live"]
PLAIN_VARIABLES: Final = {"DATABASE_URL": "database_url", "REDIS_URL": "redis_url"}


class Account(BaseModel):
    """What the account holds before the first trade."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    capital_usd: float = Field(1000.0, ge=50.0, le=1_000_000.0, description="starting capital", examples=["USD"])


class Settings(BaseSettings):
    """Everything a person can set. Build it with `load`, which explains what is wrong."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True, hide_input_in_errors=True
    )

    mode: Mode = Field(
        "paper",
        description="where orders go: paper (simulated on live prices), shadow (nowhere), live (real money)",
    )
    data_dir: Path | None = Field(
        default_factory=lambda: RECORDINGS if RECORDINGS.is_dir() else None,
        description="folder of recorded markets; `../shared/data` where that exists",
        examples=["../shared/data"],
    )
    home: Path = Field(Path(".keel"), description="folder for runs, the embedded database and journals")
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL to write runs into; unset: an embedded one, started when needed",
        examples=["postgresql://user:password@127.0.0.1:5432/keel"],
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Redis for live view, commands and rate limits; unset: an embedded one, started when needed",
        examples=["redis://127.0.0.1:6379/0"],
    )
    passphrase_file: Path | None = Field(
        None,
        description="file with the passphrase of the stored API keys (chmod 600); unset: the keyring, or you are asked",
        examples=["secrets/passphrase"],
    )
    account: Account = Account()
    limits: Annotated[Limits, BeforeValidator(partial(tables.numbers, "limits", Limits))] = Limits()
    simulation: Annotated[SimulationModel, BeforeValidator(partial(tables.numbers, "simulation", SimulationModel))] = (
        SimulationModel()
    )
    feed: Annotated[FeedModel, BeforeValidator(partial(tables.numbers, "feed", FeedModel))] = FeedModel()
    strategies: Annotated[Any, BeforeValidator(tables.strategies)] = Field(default_factory=dict)
    selector: Annotated[Any, BeforeValidator(tables.selector)] = Field(default_factory=dict)
    runtime: Annotated[
        RuntimePlan, BeforeValidator(partial(tables.table, "runtime", RuntimePlan, made=runtime_plan))
    ] = RuntimePlan()
    alerts: Annotated[AlertsPlan, BeforeValidator(partial(tables.table, "alerts", AlertsPlan))] = AlertsPlan()
    doors: Annotated[DoorsPlan, BeforeValidator(partial(tables.table, "doors", DoorsPlan))] = DoorsPlan()
    watchdog: Annotated[WatchdogPlan, BeforeValidator(partial(tables.table, "watchdog", WatchdogPlan))] = WatchdogPlan()
    venues: Annotated[Any, BeforeValidator(tables.venues)] = Field(default_factory=dict)
    signals: Annotated[Any, BeforeValidator(tables.signals)] = Field(default_factory=dict)
    _sources: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @property
    def sources(self) -> Mapping[str, str]:
        """``limits.day_loss_usd`` -> where it was set; a key that stands at its default is not in it."""
        return self._sources

    @field_validator("data_dir")
    @classmethod
    def _exists(cls, folder: Path | None) -> Path | None:
        if folder is not None and not folder.is_dir():
            raise ValueError(f"data_dir = {folder} is not a folder; create it or name the folder of your recordings")
        return folder

    @field_validator("home")
    @classmethod
    def _is_folder(cls, home: Path) -> Path:
        if home.exists() and not home.is_dir():
            raise ValueError(f"home = {home} is a file; name a folder")
        return home

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.match(r"postgres(ql)?(\+\w+)?://", url.get_secret_value()):
            raise ValueError("database_url must start with postgresql:// (no other database is supported)")
        return url

    @field_validator("limits")
    @classmethod
    def _leaves_something(cls, limits: Limits, info: Any) -> Limits:
        account = info.data.get("account")
        if account is not None and limits.reserve_usd >= account.capital_usd:
            raise ValueError(
                f"limits.reserve_usd = {limits.reserve_usd:g} leaves nothing to trade with: "
                f"it must be below account.capital_usd = {account.capital_usd:g}"
            )
        return limits

    @field_validator("venues")
    @classmethod
    def _shares_fit(cls, venues: Mapping[str, VenuePlan], info: Any) -> Mapping[str, VenuePlan]:
        account = info.data.get("account")
        said = [plan.capital_usd for plan in venues.values() if plan.capital_usd is not None]
        rest = 0.0 if account is None else round(account.capital_usd - sum(said), 6)
        if rest < 0 or (rest > 0 and 0 < len(said) == len(venues)):
            raise ValueError(
                f"venues: the capital_usd of all of them is {sum(said):g}, {'more' if rest < 0 else 'less'} than "
                f"account.capital_usd = {account.capital_usd:g}"
            )
        return venues

    def digest(self) -> str:
        """Hex digest of what influences decisions: everything but places, keys, secrets and the mode."""
        deciding = {
            "account": self.account.model_dump(),
            "limits": msgspec.to_builtins(self.limits),
            "simulation": msgspec.to_builtins(self.simulation),
            "feed": msgspec.to_builtins(self.feed),
            "strategies": {name: dict(values) for name, values in self.strategies.items()},
            "selector": dict(self.selector),
            "runtime": msgspec.to_builtins(self.runtime),
            "venues": {name: [plan.exchange, plan.symbols, plan.capital_usd] for name, plan in self.venues.items()},
            "signals": {name: msgspec.to_builtins(plan) for name, plan in self.signals.items()},
        }
        return hashlib.blake2b(json.dumps(deciding, sort_keys=True).encode(), digest_size=16).hexdigest()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line, environment, file: the first that names a key wins, tables merge."""
        layers = (read_environment(), read_file())
        return (init_settings, *(InitSettingsSource(settings_cls, init_kwargs=layer) for layer in layers))


def load(overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings in force; `overrides` are nested tables from the command line.

    Raises BadInput naming each bad key, where it was set and what would be accepted.
    """
    try:
        made = Settings(**(overrides or {}))
        made._sources = _sources(overrides or {})
        return made
    except ValidationError as error:
        raise BadInput("; ".join(_explain(dict(one), overrides or {}) for one in error.errors())) from None


def missing_for_live(settings: Settings) -> list[str]:
    """What a person has to write down before real money may be traded: every limit, and the capital they hold for."""
    wanted = ("account.capital_usd", *(f"limits.{name}" for name in BOUNDS))
    return [key for key in wanted if key not in settings.sources]


def _layers(overrides: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Callable[[list[str]], str]]]:
    """Where values are set, the weakest first, each with its name as the origin of a key."""
    return [
        (read_file(), lambda _path: f"in {config_path()}"),
        (read_environment(), lambda path: f"by the environment: {', '.join(_variables(path))}"),
        (overrides, lambda _path: "on the command line"),
    ]


def _sources(overrides: Mapping[str, Any]) -> Mapping[str, str]:
    """Dotted key -> where it was set; what wins is told."""
    found: dict[str, str] = {}
    for layer, origin in _layers(overrides):
        for path in _leaves(layer):
            found[".".join(path)] = origin(path)
    return MappingProxyType(found)


def _leaves(table: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from ([name, *below] for below in _leaves(value))
        else:
            yield [name]


def _variables(path: list[str]) -> list[str]:
    """The variables of the environment that set `path`, or something in that table."""
    names = [*(v for v, key in PLAIN_VARIABLES.items() if key == path[0]), PREFIX + "__".join(path).upper()]
    return sorted(v for v in os.environ if v.startswith(tuple(names)))


def config_path() -> Path | None:
    """The settings file in force, None where there is none. Raises BadInput where ``KEEL_CONFIG`` names no file."""
    named = os.environ.get(CONFIG_VARIABLE)
    if not named:
        return Path(CONFIG_FILE) if Path(CONFIG_FILE).is_file() else None
    if not Path(named).is_file():
        raise BadInput(f"{CONFIG_VARIABLE} = {named} is not a file; unset it or name your keel.toml")
    return Path(named)


def read_file() -> dict[str, Any]:
    """The settings file as nested tables, empty where there is none. Raises BadInput where it is not TOML."""
    path = config_path()
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid TOML: {error}; compare keel.example.toml") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}; fix its permissions") from None


def home_at_least() -> Path:
    """The home folder even where another setting cannot be used: an emergency does not wait for a corrected file."""
    for read in (read_environment, read_file):
        try:
            if home := read().get("home"):
                return Path(str(home))
        except BadInput:
            continue
    return Path(str(Settings.model_fields["home"].default))


def read_environment() -> dict[str, Any]:
    """``KEEL_*`` (two underscores go one table deeper), ``DATABASE_URL`` and ``REDIS_URL`` as nested tables."""
    found: dict[str, Any] = {}
    for variable, value in os.environ.items():
        if not value or variable == CONFIG_VARIABLE:
            continue
        if variable in PLAIN_VARIABLES:
            found.setdefault(PLAIN_VARIABLES[variable], value)
        elif variable.startswith(PREFIX):
            *tables, key = variable.removeprefix(PREFIX).lower().split("__")
            table = found
            for name in tables:
                table = table.setdefault(name, {})
                if not isinstance(table, dict):
                    raise BadInput(f"environment variable {variable}: {name} is also set as a plain value; unset one")
            table[key] = value
    return found


def environment() -> dict[str, str]:
    """A copy of this process's environment, to start another process with."""
    return dict(os.environ)


def enter(variables: Mapping[str, str]) -> None:
    """From now on this process has this environment and no other."""
    os.environ.clear()
    os.environ.update(variables)


def _explain(error: Mapping[str, Any], overrides: Mapping[str, Any]) -> str:
    """One validation error as a sentence: key, fault, fix, and where the value was set."""
    path = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        section = path.rpartition(".")[0]
        known = Account.model_fields if section == "account" else Settings.model_fields
        message = f"{path} is not a setting; {tables.nearest(path.rpartition('.')[2], known)}"
    elif error["type"] != "value_error":
        value = f" = {error['input']}" if path.startswith("account.") else ""  # anything else may be a secret
        message = f"{path}{value}: {message[:1].lower()}{message[1:]}"
    named = re.match(r"[a-z_.]+", message)
    return f"{message} ({_origin((named.group() if named else path).rstrip('.').split('.'), overrides)})"


def _origin(path: list[str], overrides: Mapping[str, Any]) -> str:
    """Where the value at `path` was set, or the table it is a default of."""
    wanted = (path, path[:2]) if path[0] in ("venues", "signals") else (path,)
    for place in wanted:
        for layer, origin in reversed(_layers(overrides)):
            if _holds(layer, place):
                return f"set {origin(place)}"
    return "the default"


def _holds(layer: Any, path: list[str]) -> bool:
    for name in path:
        if not isinstance(layer, Mapping) or name not in layer:
            return False
        layer = layer[name]
    return True
