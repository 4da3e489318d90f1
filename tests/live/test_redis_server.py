"""The embedded Redis, with real servers and real processes: shared, survives kill -9, leaves with its last user."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from engine.contracts.errors import BadInput, Fatal, Retryable
from engine.store.redis_server import connect_redis, stop_redis

USER = """
import sys
from pathlib import Path
from engine.store.redis_server import connect_redis
with connect_redis(None, Path(sys.argv[1])) as live:
    live.blocking.incr("users")
    print(live.blocking.info("server")["process_id"], flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stop_redis(tmp_path)


def user(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def server_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=20)
    assert process.returncode == 0


def gone(home: Path) -> bool:
    return not (home / "redis" / "redis.sock").exists()


def test_processes_started_together_share_one_server_that_leaves_with_the_last(home: Path) -> None:
    people = [user(home) for _ in range(3)]
    assert len({server_of(one) for one in people}) == 1
    leave(people[0])
    with connect_redis(None, home) as live:
        assert live.blocking.get("users") == b"3"
        assert live.blocking.config_get("save")["save"] == "" and live.blocking.config_get("port")["port"] == "0"
        leave(people[1])
        leave(people[2])
        assert live.blocking.ping()
    assert gone(home)
    assert not stop_redis(home)


def test_kill_9_of_the_last_user_keeps_the_server_for_the_next(home: Path) -> None:
    first = user(home)
    server = server_of(first)
    first.kill()
    first.communicate()
    with connect_redis(None, home) as live:
        assert live.blocking.info("server")["process_id"] == server
        assert live.blocking.get("users") == b"1"
    assert gone(home)


def test_kill_9_of_the_server_leaves_a_stale_socket_and_the_next_user_starts_afresh(home: Path) -> None:
    with connect_redis(None, home) as live:
        killed = int(live.blocking.info("server")["process_id"])
        os.kill(killed, signal.SIGKILL)
        with pytest.raises(Retryable, match="not reachable"):
            while True:  # until the kernel has taken it down
                live.check()
        assert not gone(home)
        assert live.revive() and not live.revive()
        live.check()
        with connect_redis(None, home) as second:
            assert second.blocking.info("server")["process_id"] != killed


def test_the_server_is_known_to_live_by_its_lock(home: Path) -> None:
    with connect_redis(None, home) as live:
        lock = os.open(home / "redis" / "server.lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(int(live.blocking.info("server")["process_id"]), signal.SIGKILL)
        fcntl.flock(lock, fcntl.LOCK_EX)  # returns when it is gone
        os.close(lock)
        assert live.revive()


def test_a_stuck_server_is_named_and_gets_no_twin(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.redis_server._CONNECT_S", 0.05)
    with connect_redis(None, home) as live:
        server = int(live.blocking.info("server")["process_id"])
        os.kill(server, signal.SIGSTOP)
        try:
            with pytest.raises(Retryable, match=f"stuck: end process {server}"), connect_redis(None, home):
                pass
        finally:
            os.kill(server, signal.SIGCONT)
        live.check()


def test_stop_on_request_even_in_use(home: Path) -> None:
    with connect_redis(None, home) as live:
        assert stop_redis(home)
        with pytest.raises(Retryable, match="not reachable"):
            live.check()


def test_a_long_home_still_works(home: Path) -> None:
    deep = home / ("d" * 60) / ("e" * 60)
    with connect_redis(None, deep) as live:
        assert live.blocking.ping()


def test_a_home_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "redis").write_text("")
    with pytest.raises(Fatal, match="redis"), connect_redis(None, tmp_path):
        pass


def test_unreachable_url_is_retryable_and_shows_no_secret(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, never listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        url = f"redis://me:hunter2@127.0.0.1:{taken.getsockname()[1]}/0"
        with pytest.raises(Retryable) as caught, connect_redis(url, tmp_path):
            pass
    assert "REDIS_URL" in str(caught.value) and "127.0.0.1" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("login", ["", ":hunter2@", "me:hunter2@"])
def test_wrong_password_is_bad_input_and_shows_no_secret(home: Path, login: str) -> None:
    with connect_redis(None, home) as live, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        live.blocking.config_set("port", port)  # this test only: opens TCP with a password
        live.blocking.config_set("requirepass", "correct")
        with pytest.raises(BadInput) as caught, connect_redis(f"redis://{login}127.0.0.1:{port}/0", home):
            pass
        assert "password" in str(caught.value) and "hunter2" not in str(caught.value)
        with connect_redis(f"redis://:correct@127.0.0.1:{port}/0", home) as named:
            assert "correct" not in named.address
            named.blocking.config_set("requirepass", "")


@pytest.mark.parametrize("url", ["http://h:1", "redis://", "redis://h:port/0", "nonsense"])
def test_unusable_urls_are_named(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadInput, match="REDIS_URL"), connect_redis(url, tmp_path):
        pass


def test_asynchronous_clients_reach_the_same_server(home: Path) -> None:
    async def write(client: redis.asyncio.Redis) -> None:
        async with client:
            await client.set("seen", "1")

    with connect_redis(None, home) as live:
        asyncio.run(write(live.asynchronous()))
        assert live.blocking.get("seen") == b"1"
