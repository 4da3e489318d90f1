"""What an engine does not start on, and what it only tells: damaged or newer files of the last run, another run's
state, a wrong passphrase, a venue that cannot be reconciled, an instrument that is gone from the settings."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import text

sys.path.append(str(Path(__file__).parents[1] / "faults"))
import engine_rig  # noqa: E402
from engine_rig import Floor, spot, trading  # noqa: E402
from perp_rig import after  # noqa: E402
from test_engine_worlds import ROOT, SPOT, environment, write_home  # noqa: E402
from venue_wire import Wire  # noqa: E402

from engine import bootstrap, settings  # noqa: E402
from engine.cli import supervise  # noqa: E402
from engine.contracts.errors import Fatal, Refused, Retryable  # noqa: E402
from engine.journal import manifest as manifests  # noqa: E402
from engine.journal import recovery, segments, snapshots  # noqa: E402
from engine.journal.frames import HEADER_BYTES  # noqa: E402
from engine.runtime import reconcile  # noqa: E402
from engine.runtime.service import start  # noqa: E402
from engine.store.database import connect  # noqa: E402


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), (SPOT, "ETH/USDT"), accounts=8)
    yield running
    running.stop()


class Ended(NamedTuple):
    """An engine's process that was started and has ended. `run` is empty where it did not start."""

    code: int
    run: str
    said: str


def live(config: Path, **more: str) -> Ended:
    """`trading-cli engine` until it runs, and then its end in order."""
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.cli.main", "engine"], env=environment(config, **more), cwd=ROOT, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if line:
            process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return Ended(process.returncode, json.loads(line)["run"] if line else "", said)


@pytest.fixture(scope="module")
def lived(floor: Floor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home on paper in which an engine lived once; its snapshot is gone, as after a crash in its first minute."""
    home = tmp_path_factory.mktemp("lived") / "home"
    ended = live(write_home(floor, home, "paper", 0))
    assert ended.code == 0 and ended.run, ended.said
    (run_dir,) = (home / "runs").iterdir()
    manifest = manifests.read(run_dir)
    core = recovery.recover_run(run_dir).core
    shutil.rmtree(run_dir / snapshots.FOLDER)
    assert manifest.order_prefix and core.state.head[0].seq > 20
    return home


@pytest.fixture
def home(lived: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    made = tmp_path / "home"
    shutil.copytree(lived, made, ignore=shutil.ignore_patterns("redis", "postgres"))
    config = made / "keel.toml"
    config.write_text(config.read_text().replace(str(lived), str(made)))
    return made


def run_dir_of(home: Path) -> Path:
    return min((home / "runs").iterdir())


def segment_of(home: Path) -> Path:
    (path,) = (run_dir_of(home) / segments.FOLDER).glob("*.keel")
    return path


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.write_bytes(bytes(content))


# --- the last run's files -------------------------------------------------------------------------------


def test_a_damaged_journal_names_segment_and_byte(home: Path) -> None:
    flip(segment_of(home), segment_of(home).stat().st_size // 2)
    ended = live(home / "keel.toml")
    assert ended.code == 1 and not ended.run
    assert str(segment_of(home)) in ended.said and re.search(r"byte \d+", ended.said), ended.said
    assert len(list((home / "runs").iterdir())) == 1


def test_a_torn_tail_is_told_and_the_rest_is_used(home: Path) -> None:
    with segment_of(home).open("r+b") as file:
        file.truncate(segment_of(home).stat().st_size - 5)
    ended = live(home / "keel.toml")
    assert ended.code == 0 and "hold no whole frame" in ended.said, ended.said
    assert manifests.read(home / "runs" / ended.run).continues == run_dir_of(home).name


def test_a_snapshot_of_another_run_is_refused_by_name(home: Path) -> None:
    parts = snapshots.save(run_dir_of(home), 5, {}, {"run": "20200101-000000-000000-paper", "segment": "0"})
    ended = live(home / "keel.toml")
    assert ended.code == 1 and not ended.run
    assert str(parts) in ended.said and "20200101-000000-000000-paper" in ended.said and "move it away" in ended.said


@pytest.mark.parametrize("harm", ["damaged", "newer"])
def test_a_snapshot_that_cannot_be_used_is_told_and_the_journal_is_enough(home: Path, harm: str) -> None:
    run_dir = run_dir_of(home)
    found = recovery.recover_run(run_dir)
    path = recovery.save(run_dir, dict(recovery.parts_of(found.core)), int(found.core.state.head[0].seq), 0)
    if harm == "damaged":
        flip(path, path.stat().st_size // 2)
    else:
        content = bytearray(path.read_bytes())
        content[len(snapshots.MAGIC)] = snapshots.VERSION + 1
        path.write_bytes(bytes(content))
    ended = live(home / "keel.toml")
    assert ended.code == 0 and ended.run, ended.said
    assert str(path) in ended.said and "whole journal is used instead" in ended.said
    assert {"damaged": "checksum", "newer": "newer than"}[harm] in ended.said


def _newer_manifest(home: Path) -> str:
    path = run_dir_of(home) / manifests.FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"arbitrage": True}))
    return f"{path} cannot be used: the manifest has the unknown field 'arbitrage' (a newer program wrote it?)"


def _newer_journal(home: Path) -> str:
    path = segment_of(home)
    content = bytearray(path.read_bytes())
    content[8] += 1
    content[HEADER_BYTES - 4 : HEADER_BYTES] = zlib.crc32(content[: HEADER_BYTES - 4]).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    return f"{path} has format version 2"


@pytest.mark.parametrize("change", [_newer_manifest, _newer_journal], ids=["manifest", "journal"])
def test_what_a_newer_version_wrote_is_refused(home: Path, change: Callable[[Path], str]) -> None:
    words = change(home)
    ended = live(home / "keel.toml")
    assert ended.code == 1 and not ended.run
    assert words.split(" ")[0] in ended.said and re.search("newer|version 2", ended.said), ended.said


def test_a_wrong_passphrase_is_refused(floor: Floor, tmp_path: Path) -> None:
    config = write_home(floor, tmp_path / "home", "shadow", 1, {"max_data_age_s": 30.0})
    (tmp_path / "home" / "passphrase").write_text("incorrect horse")
    ended = live(config)
    assert ended.code == 3 and not ended.run
    assert "passphrase" in ended.said and "incorrect horse" not in ended.said
    assert not (tmp_path / "home" / "runs").exists()


# --- the database ---------------------------------------------------------------------------------------


def test_a_newer_schema_is_refused_by_the_projector_and_trading_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with connect(None, home) as store, store.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(Fatal, match="has the schema 0999, made by a newer version of Keel; this one knows up to 0002"):
        connect(None, home).__enter__()
    for name, value in environment(home / "keel.toml").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(supervise, "PROJECT_S", 0.1)
    in_force = settings.load()
    ended = live(home / "keel.toml")
    assert ended.code == 0 and ended.run, "the engine itself needs no database"
    projector = supervise.Projector(in_force, home / "runs" / ended.run)
    projector.finish()
    assert "schema 0999" in projector.trouble and "schema 0999" in capfd.readouterr().err
    with pytest.raises(Fatal, match="start the newer version again"), bootstrap.open_store(in_force):
        pass


# --- venues and instruments -----------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="function")
async def test_an_open_position_whose_instrument_is_gone_is_refused(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 2, [SPOT]) as first:
        await first.enter()
        await first.guarded()
    with pytest.raises(Refused, match=r"in sandbox BTC/USDT .*put it back into venues.sandbox.symbols .*--fresh"):
        async with trading(floor, tmp_path, 2, ["ETH/USDT"], plan=after(first)):
            raise AssertionError("it started")
    assert len(list((tmp_path / "runs").iterdir())) == 1, "nothing was begun"
    async with trading(floor, tmp_path, 2, ["ETH/USDT", SPOT], plan=after(first)) as second:
        assert second.position(SPOT).qty_lots != 0 and second.has_stop(SPOT), "in another order it is found"
        assert second.position("ETH/USDT").qty_lots == 0
        await second.close()


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize("path", [b"/ws-api", b"/api"], ids=["its order socket", "its answers"])
async def test_a_venue_that_cannot_be_reconciled_is_not_traded_on(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    account = 3 + (path == b"/ws-api")
    async with trading(floor, tmp_path, account, [SPOT]) as first:
        await first.enter()
        await first.guarded()
    before = floor.call("GET", "/api/v3/allOrders", account=account, symbol="BTCUSDT")[1]
    monkeypatch.setattr(reconcile, "SETTLE_S", 1.0)
    wire = Wire(floor, floor.line["venues"]["binance_spot"]["rest"])

    def cut(text: str) -> None:
        if text.startswith("reconciling"):  # rules and account were told
            wire.cut(path)

    monkeypatch.setattr(engine_rig, "start", partial(start, progress=cut))
    venue = spot(floor, account, urls=wire.urls(floor.line["venues"]["binance_spot"]))
    with pytest.raises(Retryable, match="sandbox cannot be reconciled .*nothing is traded") as caught:
        async with trading(floor, tmp_path, account, venues=[(venue, [SPOT])], plan=after(first)):
            raise AssertionError("it started")
    assert caught.value.exit_code == 4
    assert floor.call("GET", "/api/v3/allOrders", account=account, symbol="BTCUSDT")[1] == before, "nothing was sent"
    wire.close()
