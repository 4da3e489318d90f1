"""The pictures of the strategies: from any recording, the same bytes again, saying what the core did, and no price."""

from __future__ import annotations

import re
import xml.etree.ElementTree as Tree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.contracts.errors import BadInput
from engine.markets.crosses import synthesize_crosses
from engine.markets.synthetic import synthesize
from engine.research.pictures import arbitrage, gallery, momentum, scalping, selector
from engine.research.quoted import PAIRS, quotes_of_trades
from engine.research.report.panels import WIDTH, Blocks, Dots, Line, Panel, Words, draw
from engine.research.studies import FIVE_MINUTES
from engine.research.triangles import played

PERPETUAL = "BTC/USDT:USDT"
TICK_PAIRS = ("BTC/USDT", "ETH/USDT", "ETH/BTC", PERPETUAL)
COINS = [f"{name}/USDT" for name in "BTC ETH AXO BREN CIRO DUVA ELTO FENN".split()]


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("candles") / "candles.parquet", seed=11, days=12, symbols=COINS)


@pytest.fixture(scope="module")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return synthesize_crosses(tmp_path_factory.mktemp("ticks"), seed=4, minutes=6, symbols=TICK_PAIRS)


@pytest.fixture(scope="module")
def triangle(ticks: tuple[Path, Path]) -> Path:
    """Trades of three pairs of which one stands five basis points away from the others every other half-minute."""
    table = pq.read_table(ticks[1])
    away = (table["ts_exch_ms"].to_numpy() // 30_000 % 2 == 0) & (np.array(table["symbol"].to_pylist()) == "ETH/BTC")
    prices = np.round(table["price"].to_numpy() * np.where(away, 1.0005, 1.0), 6)
    place = table.schema.get_field_index("price")
    pq.write_table(table.set_column(place, "price", pa.array(prices)), ticks[1].with_name("triangle.parquet"))
    return ticks[1].with_name("triangle.parquet")


def words_of(picture: str) -> str:
    texts = (text for text in Tree.fromstring(picture).itertext() if "{" not in text)
    return " ".join(" ".join(texts).split())


def check(make: Callable[[], str]) -> str:
    """Draw twice; returns what is written in the picture."""
    first = make()
    assert make() == first
    assert len(first) < 60_000 and "nan" not in first and "prefers-color-scheme:dark" in first
    assert "Prices" in words_of(first) and "left out on purpose" in words_of(first)
    assert all(0 <= float(x) <= WIDTH for x in re.findall(r' x="([^"]+)"', first)), "words outside of the picture"
    drawn = re.sub(r"<style>.*?</style>", "", first)
    numbers = [float(one) for one in re.findall(r"-?\d+\.?\d*", drawn.replace("http://www.w3.org/2000/svg", ""))]
    assert max(numbers) < 2_100, "a year, a pixel or a share; Bitcoin stands at 90,000 here"
    return words_of(first)


def test_arbitrage_says_what_the_engine_made_of_the_triangle(triangle: Path) -> None:
    said = check(lambda: arbitrage.picture(triangle))
    market = quotes_of_trades(triangle, PAIRS)
    (slow,), (quick,) = played(market, (0.0,), arbitrage.SLOW_MS), played(market, (0.0,), arbitrage.QUICK_MS)
    assert slow.begun > 5
    assert f"{slow.begun} begun: {slow.done} went through, {slow.unwound} were turned back" in said
    assert f"${quick.net_usd:.2f} with orders 5 ms on their way" in said
    assert "0 of 6 at 10 bps" in said


def test_scalping_says_what_it_needs_and_what_it_was_promised(ticks: tuple[Path, Path]) -> None:
    said = check(lambda: scalping.picture(ticks, PERPETUAL))
    most, needed = map(float, re.findall(r"most it promised was ([\d.]+) of the ([\d.]+) needed", said)[0])
    assert 0 < most < needed and 10.5 <= needed < 11, "one and a half times 0.02 %, 0.05 % and half a spread"
    with pytest.raises(BadInput):
        scalping.picture(ticks, "DOGE/USDT:USDT")


def test_momentum_draws_one_day_of_a_longer_run(candles: Path) -> None:
    days = [check(lambda day=day: momentum.picture([candles], f"2025-01-{day:02}")) for day in (7, 8, 9)]
    entered = [int(re.findall(r"(\d+) were entered", said)[0]) for said in days]
    refused = [int(re.findall(r"(\d+) refused", said)[0]) for said in days]
    assert sum(entered) > 0 and sum(refused) > 0
    for said, count in zip(days, entered, strict=True):
        assert len(re.findall(r"[+-]\d\.\d R: ", said)) == count, "every entry has its result"


def test_the_selector_shows_regimes_results_and_shares(candles: Path) -> None:
    said = check(lambda: selector.picture([candles], "2025-01-01", "2025-01-12"))
    assert int(re.findall(r"(\d+) changes\. Evidence", said)[0]) > 0
    assert int(re.findall(r"crossover (\d+) with", said)[0]) > 0
    assert re.search(r"\d+ since the market changed", said)


def test_the_gallery_draws_what_is_recorded_and_names_the_rest(
    candles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = ("2025-01-01", "2025-01-05")
    drawn = gallery.Drawn("selector", (FIVE_MINUTES,), lambda paths: selector.picture(paths, *days))
    monkeypatch.setattr(gallery, "PICTURES", (gallery.PICTURES[0], drawn))
    (tmp_path / FIVE_MINUTES).parent.mkdir()
    (tmp_path / FIVE_MINUTES).symlink_to(candles)
    made = gallery.make(tmp_path, tmp_path / "out")
    assert [path.name for path in made.written] == ["selector.svg"]
    assert made.written[0].read_text() == selector.picture([candles], *days)
    assert len(made.left_out) == 1 and made.left_out[0].startswith("arbitrage: ")
    with pytest.raises(BadInput, match="KEEL_DATA_DIR"):
        gallery.make(tmp_path / "out", tmp_path / "out")
    with pytest.raises(BadInput, match="pictures are arbitrage, selector"):
        gallery.make(tmp_path, tmp_path / "out", ["astrology"])


def test_every_mark_stays_within_its_panel() -> None:
    ts = np.arange(0, 10**15, 10**13)
    wave = np.where(ts == 5 * 10**13, np.nan, np.sin(ts / 1e14))
    marks = [
        Line("a <line>", ts, wave, "blue", stepped=True), Dots("moments", ts[::9], wave[::9] * 3, "red", "cross"),
        Blocks("stretch", ts[:1] - 10**14, ts[-1:], np.array([-9.0]), np.array([9.0]), "pale"),
        Words(ts[50:51], wave[50:51], ["here & there"]),
    ]  # fmt: skip
    picture = draw("Up & down", "words " * 60, [Panel("One", "", marks, low=-1.0, high=1.0)], 0, int(ts[-1]))
    assert "Up &amp; down" in picture and "a &lt;line&gt;" in picture and "nan" not in picture
    height = float(re.findall(rf'viewBox="0 0 {WIDTH} (\d+)"', picture)[0])
    for x, y in re.findall(r"[ML](\d+\.?\d*) (\d+\.?\d*)", picture):
        assert 0 <= float(x) <= WIDTH and 0 <= float(y) <= height
