"""Files that are wrong as a whole: a named error with the file, the column and the fix."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from candle_tables import candles

from engine.contracts.errors import BadData, BadInput
from engine.markets.check import check
from engine.markets.importing import import_csv
from engine.markets.market import open_market
from engine.markets.synthetic import synthesize

Write = Callable[..., Path]


def refused(path: Path) -> str:
    with pytest.raises(BadData) as fault:
        open_market([path])
    report = check(path)
    assert report.verdict == "refused" and report.fault == str(fault.value) and path.name in report.fault
    return report.fault


def test_whole_file_faults_are_named(write: Write, tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.parquet")
    (tmp_path / "text.csv").write_text("date,open\n1,2\n")
    assert "data import" in refused(tmp_path / "text.csv")
    (tmp_path / "empty.parquet").write_bytes(b"")
    assert "not a readable Parquet" in refused(tmp_path / "empty.parquet")
    missing = candles(5)
    del missing["volume"], missing["open"]
    assert "column(s) open, volume" in refused(write(missing, name="missing.parquet"))
    closes = {k: v for k, v in candles(5).items() if k in ("venue", "symbol", "ts", "close")}
    assert "open, high, low, volume" in refused(write(closes, name="closes.parquet"))
    wrong = candles(5) | {"close": ["a"] * 5}
    assert "column close is string, needs a number" in refused(write(wrong, name="wrong.parquet"))
    assert "no known kind" in refused(write({"a": [1], "b": [2]}, name="strange.parquet"))
    averaged = {**{k: candles(2)[k] for k in ("venue", "symbol", "ts")}, "mid_close": [1.0, 2.0]}
    assert "averaged quotes" in refused(write(averaged, name="mid.parquet"))
    nothing = candles(5) | {"close": np.full(5, np.nan)}
    assert "not one of 5 rows" in refused(write(nothing, name="nothing.parquet"))
    seconds = candles(5) | {"ts": np.arange(1, 6)}
    assert "column ts" in refused(write(seconds, name="seconds.parquet"))
    table = pq.read_table(write(candles(5)))
    pq.write_table(table.slice(0, 0), tmp_path / "rowless.parquet")
    assert "no rows" in refused(tmp_path / "rowless.parquet")


def test_a_folder_is_called_a_folder(write: Write, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty is a folder: name a Parquet file in it; this one holds none" in refused(tmp_path / "empty")
    write(candles(), name="m.parquet")
    assert f"{tmp_path} is a folder: name a Parquet file in it, for example {tmp_path}/m.parquet" in refused(tmp_path)


def test_a_damaged_parquet_never_crashes(write: Write, tmp_path: Path) -> None:
    whole = write(candles(500)).read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 3):
        (tmp_path / "cut.parquet").write_bytes(whole[:cut])
        assert "not a readable Parquet" in refused(tmp_path / "cut.parquet")
    scrambled = bytearray(whole)
    scrambled[4 : len(whole) // 2] = bytes(len(whole) // 2 - 4)
    (tmp_path / "zeros.parquet").write_bytes(scrambled)
    refused(tmp_path / "zeros.parquet")


def test_nothing_and_only_funding_are_refused(write: Write) -> None:
    with pytest.raises(BadInput, match="at least one Parquet"):
        open_market([])
    rates = {"venue": ["v"], "symbol": ["BTC/USDT"], "ts": np.array([1_700_000_000_000]), "funding_rate": [0.0001]}
    with pytest.raises(BadInput, match="only funding"):
        open_market([write(rates)])


def test_text_numbers_and_times_of_many_types_are_read(write: Write, tmp_path: Path) -> None:
    table = pq.read_table(write(candles(8)))
    expected = b"".join(b.tobytes() for b in open_market([write(candles(8))]).blocks())
    for unit in ("s", "us", "ns"):
        other = table.set_column(2, "ts", table["ts"].cast(pa.timestamp(unit, "UTC")))
        other = other.set_column(1, "symbol", other["symbol"].dictionary_encode())
        pq.write_table(other, tmp_path / "other.parquet")
        assert b"".join(b.tobytes() for b in open_market([tmp_path / "other.parquet"]).blocks()) == expected


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A file-size limit makes the kernel refuse the write, as a full disk does."""
    out = synthesize(tmp_path / "m.parquet", seed=1, days=1, symbols=["BTC/USDT"])
    before = out.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(BadData, match="free disk space"):
            synthesize(out, seed=2, days=5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert out.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["m.parquet"]


KLINES = "1735689600000,10.0,10.5,9.9,10.2,100.5,1735689899999,1000,5,50,500,0\n"


def test_binance_klines_with_and_without_header_and_in_microseconds(tmp_path: Path) -> None:
    header = "open_time,open,high,low,close,volume,close_time,a,b,c,d,ignore\n"
    texts = [KLINES, header + KLINES, KLINES.replace("1735689600000", "1735689600000000")]
    for text in texts:
        (tmp_path / "k.csv").write_text(text)
        report = import_csv(tmp_path / "k.csv", tmp_path / "k.parquet", kind="candles", venue="v", symbol="AXOUSDT")
        assert (report.rows, report.from_ns, report.verdict) == (1, 1_735_689_600_000_000_000, "good")
    market = open_market([tmp_path / "k.parquet"])
    assert next(market.blocks())["price_ticks"].tolist()[0] == 100 and market.instruments[0].symbol == "AXO/USDT"


def test_freqtrade_dates_and_aggregate_trades(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("date,open,high,low,close,volume\n2025-01-01 00:00:00+00:00,1,2,1,2,5\n")
    report = import_csv(tmp_path / "f.csv", tmp_path / "f.parquet", kind="candles", venue="v", symbol="AXO/USDT")
    assert report.from_ns == 1_735_689_600_000_000_000
    (tmp_path / "t.csv").write_text("7,10.1,2.5,1,2,1735689600123,true,true\n8,10.2,1,3,3,1735689600124,false,true\n")
    report = import_csv(tmp_path / "t.csv", tmp_path / "t.parquet", kind="trades", venue="v", symbol="AXO/USDT")
    events = next(open_market([tmp_path / "t.parquet"]).blocks())
    assert events["side"].tolist() == [-1, 1] and events["trade_id"].tolist() == [7, 8]
    assert events["venue_ts_ns"].tolist() == [1_735_689_600_123_000_000, 1_735_689_600_124_000_000]


def test_a_bad_csv_is_named_and_leaves_no_file(tmp_path: Path) -> None:
    source, out = tmp_path / "bad.csv", tmp_path / "bad.parquet"
    cases = {
        "date,open,high,low,volume\n1735689600000,1,1,1,1\n": "no column for close",
        "date,open,high,low,close,volume\n1735689600000,x,1,1,1,1\n": "column open",
        "date,open,high,low,close,volume\nyesterday,1,1,1,1,1\n": "column date",
        "date,open,high,low,close,volume\n1735689600000,-1,1,1,1,1\n": "not one of 1 rows",
        "date,open,high,low,close,volume\n": "no rows",
        "1,2\n": "no header",
        "": "no header",
    }
    for text, message in cases.items():
        source.write_text(text)
        with pytest.raises(BadData, match=message):
            import_csv(source, out, kind="candles", venue="v", symbol="AXO/USDT")
        assert [p.name for p in tmp_path.iterdir()] == ["bad.csv"]
    with pytest.raises(BadInput, match="symbol"):
        import_csv(source, out, kind="candles", venue="v", symbol="??")
    with pytest.raises(BadInput, match="kind"):
        import_csv(source, out, kind="books", venue="v", symbol="AXO/USDT")  # type: ignore[arg-type]
