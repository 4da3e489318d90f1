"""The manifest: exact round trip, clear errors."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.contracts.errors import BadInput, Fatal
from engine.contracts.instruments import Instrument
from engine.contracts.runs import Manifest, Source
from engine.journal import manifest as manifests

BTC = Instrument(
    symbol="BTCUSDT", venue="binance", base="BTC", quote="USDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.00001"),
    min_qty=Decimal("0.00001"), max_qty=Decimal(9000),
)  # fmt: skip
EXAMPLE = Manifest(
    run_id="r1", created="2026-01-01T00:00:00Z", world="backtest", strategies={"momentum": {"x": 1.5}},
    instruments=[BTC], capital_usd=1000.0, limits={"day_loss_usd": 20.0}, simulation={"latency_ms": 50.0},
    timeframes_s=[300], sources=[Source(path="a.parquet", sha256="00", kind="candles", rows=3)], symbols=["BTCUSDT"],
    from_ns=0, to_ns=9, grade="candle-grade", simulated=True, synthetic=False, code="abc",
)  # fmt: skip


def test_round_trip_and_replacement(tmp_path: Path) -> None:
    manifests.write(tmp_path, EXAMPLE)
    assert manifests.read(tmp_path) == EXAMPLE
    finished = msgspec.structs.replace(EXAMPLE, events=5, digest="d", wall_s=0.25)
    manifests.write(tmp_path, finished)
    assert manifests.read(tmp_path) == finished
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_json_cannot_hold_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(BadInput, match="run r1 cannot be written"):
        manifests.write(tmp_path, msgspec.structs.replace(EXAMPLE, limits={"day_loss_usd": value}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("run_id"), "missing required field `run_id`"),
        (lambda d: d.update(colour=1), "unknown field 'colour'"),
        (lambda d: d["sources"][0].update(size=1), r"sources\[0\] has the unknown field 'size'"),
        (lambda d: d["instruments"][0].update(size=1), "unknown field `size`"),
        (lambda d: d["instruments"][0].update(lot_size="0"), "lot_size must be a positive number"),
        (lambda d: d.update(world="dream"), "Invalid enum value 'dream'"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_named(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    path = manifests.write(tmp_path, EXAMPLE)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(Fatal, match=f"manifest.json cannot be used: .*{message}"):
        manifests.read(tmp_path)


def test_missing_and_damaged(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"manifest\.json is missing"):
        manifests.read(tmp_path)
    for damage in (b"", b"{", b"\xff\xfe", b"[]", b'{"sources": 3}'):
        (tmp_path / "manifest.json").write_bytes(damage)
        with pytest.raises(Fatal, match="cannot be used"):
            manifests.read(tmp_path)
