"""Redis and PostgreSQL as the settings say: the servers named there, else embedded ones in the home folder."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

from engine.cli.terminal import say
from engine.contracts.errors import KeelError

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.store.redis_server import LiveRedis


def open_redis(settings: Settings) -> AbstractContextManager[LiveRedis]:
    """The Redis in force. Raises Retryable where it is not reachable, Fatal where it does not start."""
    from engine.store.redis_server import connect_redis

    secret = settings.redis_url
    return connect_redis(secret.get_secret_value() if secret else None, settings.home)


def hold_servers(settings: Settings, stack: ExitStack) -> None:
    """Keep both up while `stack` is open; either being away is told, not fatal, as is an audit that lost rows."""
    from engine import bootstrap
    from engine.store import audit_check

    try:
        stack.enter_context(open_redis(settings))
    except KeelError as error:
        say(f"Redis: {error}; trading goes on without live view and commands")
    try:
        store = stack.enter_context(bootstrap.open_store(settings))
        if words := audit_check.glance(store):
            say(f"PostgreSQL: {words}")
    except KeelError as error:
        say(f"PostgreSQL: {error}; the journal is complete, the database catches up later")
