"""Where settings become what the engine works with. Composition happens here; importing connects to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from engine.core.strategies import table
from engine.research.backtest import BacktestRequest, check_strategy
from engine.settings import Settings
from engine.store import database, projector


def backtest_request(
    settings: Settings,
    strategy: str,
    data: Sequence[Path],
    *,
    params: dict[str, float] | None = None,
    symbols: Sequence[str] | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    trials: int = 1,
) -> BacktestRequest:
    """A backtest under the settings in force; `params` overlay those of the settings. Times ns UTC, `to_ns` exclusive.

    Raises BadInput for an unknown strategy or a parameter out of its bounds.
    """
    values = dict(settings.strategies.get(strategy, {})) | (params or {})
    check_strategy(strategy, values)
    return BacktestRequest(
        strategy=strategy,
        data=[path.resolve() for path in data],  # the manifest must be readable from any folder
        home=settings.home,
        symbols=symbols,
        from_ns=from_ns,
        to_ns=to_ns,
        capital_usd=settings.account.capital_usd,
        params=values,
        limits=settings.limits,
        simulation=settings.simulation,
        feed=settings.feed,
        trials=trials,
    )


def open_store(settings: Settings) -> AbstractContextManager[database.Database]:
    """The PostgreSQL in force, migrated. Raises Retryable where it is not reachable, Fatal where it does not start."""
    secret = settings.database_url
    return database.connect(secret.get_secret_value() if secret else None, settings.home)


def project(settings: Settings, run_dir: Path) -> tuple[projector.Projection, str]:
    """Write a run's ledger into the store; returns what was written and the store's URL without its password."""
    with open_store(settings) as store:
        return projector.project(store, run_dir, table.NAMES), store.url
