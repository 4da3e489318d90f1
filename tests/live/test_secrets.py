"""No secret is told: not by an engine that trades, is refused, is given another key and stops; not by a command that
fails; not by a venue that repeats what it was sent. Everything they leave behind is searched, byte by byte."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

sys.path += [str(Path(__file__).parents[1] / name) for name in ("faults", "store")]
from engine_rig import Floor  # noqa: E402
from secret_forms import found_in  # noqa: E402
from talkative import WAYS  # noqa: E402
from test_engine_worlds import (  # noqa: E402
    FAST,
    PASSPHRASE,
    ROOT,
    SPOT,
    Terminal,
    all_limits,
    bar,
    environment,
    up,
    write_home,
)

from engine.runtime.doors import TOKEN_FILE  # noqa: E402
from engine.store.keys import KeyFile  # noqa: E402
from engine.store.redis_server import LiveRedis, connect_redis, stop_redis  # noqa: E402
from engine.store.running import read_running  # noqa: E402

WRONG = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
PEM = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
).decode()  # fmt: skip
NAME = "organizations/3b910e93-0000-4000-8000-00000000beef/apiKeys/7f1e2d3c-0000-4000-8000-0000deadbeef"


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), (SPOT,), accounts=3)
    yield running
    running.stop()


def cli(config: Path, *args: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli.main", *args], env=environment(config, **more), cwd=ROOT, input=given,
        text=True, capture_output=True, timeout=120,
    )  # fmt: skip


def everything_in(folder: Path, *but: Path) -> bytes:
    """Every byte of every file, but for those that hold secrets by their nature."""
    return b"\n".join(
        path.read_bytes() for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and path not in but
    )  # fmt: skip


def everything_of(live: LiveRedis) -> bytes:
    """Every key and value of a Redis."""
    client, told = live.blocking, []
    for key in client.scan_iter():
        told.append(key)
        kind: Any = client.type(key)
        if kind == b"string":
            told.append(client.get(key) or b"")
        elif kind == b"hash":
            told += [part for pair in client.hgetall(key).items() for part in pair]  # type: ignore[union-attr]
        elif kind == b"stream":
            told += [b"%b%b" % pair for _, fields in client.xrange(key) for pair in fields.items()]  # type: ignore[union-attr]
        else:
            assert kind in (b"zset", b"list", b"set", b"none"), kind
    return b"\n".join(told)


def process_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()


def trades(floor: Floor, number: int) -> int:
    """How many fills the venue's books hold for an account: no key is needed to look."""
    orders = floor.sandbox.sites["binance_spot"].stage.accounts.numbered(number).orders
    return sum(len(order.fills) for order in list(orders.values()))


def trade(floor: Floor, number: int) -> None:
    """The market moves until the account traded once more."""
    before = trades(floor, number)
    for _ in range(20):
        bar(floor, 0.998)
        bar(floor, 1.002)
        if trades(floor, number) > before:
            return
    raise AssertionError("it did not trade")


def test_an_engine_that_trades_is_refused_rekeyed_and_ended_tells_no_secret(floor: Floor, tmp_path: Path) -> None:
    home = tmp_path / "home"
    config = write_home(floor, home, "live", 0, all_limits())
    own = floor.line["venues"]["binance_spot"]["accounts"]
    new, strange = own[0]["keys"][1], own[1]["keys"][0]
    secrets = {
        "old key": own[0]["key"], "old secret": own[0]["secret"], "new key": new["key"], "new secret": new["secret"],
        "strange key": strange["key"], "strange secret": strange["secret"], "wrong secret": WRONG,
        "passphrase": PASSPHRASE,
    }  # fmt: skip
    told = b""
    with connect_redis(None, home) as live:
        terminal = Terminal([sys.executable, "-m", "engine.cli.main", "up"], environment(config))
        try:
            terminal.until("type 'trade real money' to go on")
            terminal.type("trade real money")
            terminal.until(r"live: (\S+-live)", 150)
            running = read_running(home)
            assert running is not None
            told += process_of(running.pid) + process_of(terminal.process.pid)
            trade(floor, 0)
            for given, code, said in (
                ({"key": new["key"], "secret": WRONG}, 3, "the old one is in force"), (strange, 3, "another account"),
                (new, 0, "is in force at sandbox"),
            ):
                done = cli(config, "keys", "rotate", "mine", "--stdin", "--why", "a test", given=json.dumps(given))
                assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr
                told += (done.stdout + done.stderr).encode()
            floor.tell("/revoke", {"key": own[0]["key"]})
            told += cli(config, "status", "--json").stdout.encode()
            trade(floor, 0)
            floor.tell("/revoke", {"key": new["key"]})  # and now nothing is accepted any more
            bar(floor, 0.996)
            bar(floor, 1.004)
            terminal.until("the key is refused", 150)
            told += everything_of(live)
            assert terminal.end() == 0
        finally:
            if terminal.process.poll() is None:
                terminal.process.kill()
                terminal.process.wait()
    told += terminal.said.encode() + everything_in(
        home, home / "keys", home / "passphrase", home / TOKEN_FILE
    )
    secrets["token of the doors"] = (home / TOKEN_FILE).read_text().strip()
    assert found_in(told, secrets) == []
    keys = KeyFile(home, SecretStr(PASSPHRASE), FAST)
    assert keys.get("mine").key.get_secret_value() == new["key"] and keys.proposed("mine") is None
    assert b"keys.rotate" in told and b"the key is refused" in told, "what was searched is what they left"


# --- commands that fail -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key file with a key of each kind."""
    folder = tmp_path_factory.mktemp("talkative")
    (folder / "passphrase").write_text(PASSPHRASE)
    (folder / "passphrase").chmod(0o600)
    keys = KeyFile(folder, SecretStr(PASSPHRASE), FAST)
    keys.add("plain", "binance", SecretStr("9" + WRONG[1:]), SecretStr(WRONG), None)
    keys.add("pem", "coinbase", SecretStr(NAME), SecretStr(PEM), None)
    return folder


SECRETS = {"passphrase": PASSPHRASE, "key": "9" + WRONG[1:], "secret": WRONG, "name": NAME, "PEM": PEM}


@pytest.mark.parametrize("debug", [(), ("--debug",)], ids=["plain", "debug"])
@pytest.mark.parametrize("way", [*WAYS, "crash"])
def test_a_failure_however_talkative_shows_no_secret(home: Path, way: str, debug: tuple[str, ...]) -> None:
    script = ROOT / "tests" / "live" / "talkative.py"
    done = subprocess.run(
        [sys.executable, str(script), *debug, "fail", str(home), way], capture_output=True, timeout=60,
        env=environment(home / "none", PYTHONPATH=str(ROOT)),
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert f"it fails now: {way}".encode() in told
    assert found_in(told, SECRETS) == []
    assert way == "local" or b"[hidden]" in told, told


# --- a venue that repeats what it was sent ----------------------------------------------------------------


class Echo(BaseHTTPRequestHandler):
    """Refuses everything, with the whole request in its words: `first` of it first."""

    first = "url"

    def _refuse(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        signed = [self.headers[name] for name in ("X-MBX-APIKEY", "Authorization") if self.headers[name]]
        parts = {"url": self.path, "headers": " ".join(signed), "body": self.rfile.read(size).decode()}
        words = " ".join(parts[one] for one in sorted(parts, key=lambda one: one != self.first))
        body = json.dumps({"code": -1102, "msg": words, "error": words, "message": words}).encode()
        self.server.heard.append(words)  # type: ignore[attr-defined]
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _refuse

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test looks at what ours say."""


@pytest.fixture
def echo() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.heard = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("first", ["url", "headers"])
@pytest.mark.parametrize(("exchange", "adapter", "key"), [
    ("binance", "binance", "plain"), ("binance", "ccxt", "plain"), ("binanceusdm", "binance", "plain"),
    ("coinbase", "ccxt", "pem"),
])  # fmt: skip
def test_a_venue_that_repeats_the_request_makes_us_tell_no_secret(
    home: Path, tmp_path: Path, echo: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, exchange: str,
    adapter: str, key: str, first: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(Echo, "first", first)
    at = f"http://127.0.0.1:{echo.server_address[1]}"
    symbol = {"binanceusdm": "BTC/USDT:USDT", "coinbase": "BTC/USD"}.get(exchange, "BTC/USDT")
    config = tmp_path / "keel.toml"
    config.write_text(
        f'home = "{home}"\npassphrase_file = "{home / "passphrase"}"\n[venues.echo]\nexchange = "{exchange}"\n'
        f'adapter = "{adapter}"\nsymbols = ["{symbol}"]\nkey = "{key}"\n'
        f'urls = {{ rest = "{at}", ws = "ws{at[4:]}", ws_api = "ws{at[4:]}/ws-api" }}\n'
    )
    done = cli(config, "--debug", "keys", "test", key)
    told = (done.stdout + done.stderr).encode()
    assert done.returncode == 1 and b"echo" in told
    assert echo.heard, "nothing was asked"  # type: ignore[attr-defined]
    assert found_in(told, SECRETS) == []
    assert b"signature=" not in told.replace(b"signature=[hidden]", b"")


# --- addresses with passwords, wrong passphrases ------------------------------------------------------------


def test_passwords_in_addresses_are_not_shown(tmp_path: Path) -> None:
    config = tmp_path / "keel.toml"
    config.write_text(f'home = "{tmp_path / "home"}"\n')
    redis, postgres = "rd9!xK2p%40long-one", "pg7x_Q4w-another-one"
    more = {
        "REDIS_URL": f"redis://keel:{redis}@127.0.0.1:1/0",
        "DATABASE_URL": f"postgresql://keel:{postgres}@127.0.0.1:1/keel",
    }
    for args in (("--debug", "doctor"), ("--debug", "doctor", "--json"), ("config",), ("status",), ("audit", "verify")):
        done = cli(config, *args, **more)
        told = (done.stdout + done.stderr).encode()
        assert told and found_in(told, {"Redis": redis, "unquoted": "rd9!xK2p@long-one", "PostgreSQL": postgres}) == []


def test_a_wrong_passphrase_ends_the_start_with_the_reason_and_the_fix(floor: Floor, tmp_path: Path) -> None:
    config = write_home(floor, tmp_path / "home", "shadow", 2)
    (tmp_path / "home" / "passphrase").write_text("correct horse battery stable")
    done = up(config, DATABASE_URL="postgresql://u:p@127.0.0.1:1/d")
    assert done.returncode == 3, done.stderr
    assert "the passphrase is wrong, or the file was changed. Try the passphrase again" in done.stderr
    assert read_running(tmp_path / "home") is None and not (tmp_path / "home" / "runs").exists()
    stop_redis(tmp_path / "home")


def test_a_key_file_of_a_newer_format_ends_the_start_by_name(floor: Floor, tmp_path: Path) -> None:
    config = write_home(floor, tmp_path / "home", "shadow", 2)
    file = tmp_path / "home" / "keys"
    file.write_bytes(file.read_bytes().replace(b"KEELKEY1", b"KEELKEY2"))
    done = up(config, DATABASE_URL="postgresql://u:p@127.0.0.1:1/d")
    assert done.returncode == 1 and "has the key file format 2, which this version of Keel does not know" in done.stderr
    stop_redis(tmp_path / "home")
