"""The pump-and-dump guard on the recorded window of 2021 and its 21 labelled pumps (hourly candles, quoted in BTC).

The recording has no dollars: X/BTC is traded as if a hundred-thousandth of a bitcoin were one, beside BTC/USDT as the
leader. Minutes cannot be seen on it: the base bar is an hour, and an entry comes with the close of the pump's candle.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pytest

from engine.contracts import reasons
from engine.contracts.instruments import Instrument
from engine.contracts.records import PLACE, REFUSED, ROLE_ENTRY, joined
from engine.core.bars import CLOSED_BAR, RING
from engine.core.compile import kernel
from engine.core.limits import Limits
from engine.core.pumps import looks_like_pump
from engine.core.state import new_core
from engine.markets.market import Market, open_market
from engine.research.session import Session
from engine.simulation.venue import SimulationModel

DATA: Final = Path(os.environ.get("KEEL_DATA_DIR", "../shared/data"))
CANDLES: Final = DATA / "candles/binance_spot_1h_267btcpairs_2021-01-24_02-13.parquet"
LABELS: Final = DATA / "raw/pump_PumpList.csv"
HOUR_NS: Final = 3_600_000_000_000

pytestmark = pytest.mark.skipif(not CANDLES.exists() or not LABELS.exists(), reason="recorded pumps absent")

RECKLESS: Final = {
    "universe": 500, "max_spread_bps": 200, "min_breadth": 0, "min_turnover_usd": 0, "fast": 3, "slow": 8, "agree": 1,
    "breakout_bars": 4, "surge": 1.5, "surge_span": 24, "max_stop_pct": 50, "cooldown_bars": 0, "min_place": 0,
    "min_btc_trend": -50, "max_btc_range_pct": 100, "max_correlated_risk": 10, "risk_share": 0.02,
}  # fmt: skip
"""Rules that buy any strong hour: with momentum's own, none of these thin pairs would be looked at."""
UNBOUND: Final = Limits(
    trade_loss_usd=1e4, trade_loss_pct=10, day_loss_usd=1e6, day_loss_pct=100, reserve_usd=0, reserve_pct=0,
    drawdown_pct=100, order_notional_usd=1e5, exposure_usd=1e7, instrument_exposure_usd=1e5, cluster_exposure_usd=1e6,
    max_positions=100, orders_per_minute=6000, max_spread_bps=2000, max_data_age_s=7200,
)  # fmt: skip


class Tried(NamedTuple):
    """(instrument, ns) of the entries, and of what the guard refused."""

    entries: list[tuple[int, int]]
    refused: list[tuple[int, int]]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    table = pd.read_parquet(CANDLES).astype({"symbol": str, "venue": str})
    pairs = table[table["symbol"].str.endswith("/BTC")].copy()
    pairs["symbol"] = pairs["symbol"].str.replace("/BTC", "/USDT")
    pairs[["open", "high", "low", "close"]] *= 1e5
    file = tmp_path_factory.mktemp("pumps") / "pumps.parquet"
    pd.concat([pairs, table[table["symbol"] == "BTC/USDT"]]).assign(venue="binance").to_parquet(file, index=False)
    return open_market([file])


def labels(market: Market) -> list[tuple[int, int]]:
    """(instrument, the hour's start in ns) of each labelled pump."""
    names = [one.symbol for one in market.instruments]
    rows = pd.read_csv(LABELS, header=None)
    return [(names.index(f"{one[0].removesuffix('BTC')}/USDT"), int(one[1]) * 1_000_000) for one in rows.to_numpy()]


def tried(market: Market, **params: float) -> Tried:
    kept: list[Any] = []
    session = Session(
        market, strategies={"momentum": RECKLESS | params}, capital_usd=1e6, limits=UNBOUND,
        simulation=SimulationModel(), timeframes_s=(3600, 10_800, 43_200), sinks=[kept.append],
    )  # fmt: skip
    session.run()
    records = joined(kept)["record"]
    entries = records[(records["kind"] == PLACE) & (records["role"] == ROLE_ENTRY)]
    refused = records[(records["kind"] == REFUSED) & (records["reason"] == reasons.PUMP)]
    return Tried(
        *(
            [(int(i), int(t)) for i, t in zip(one["instrument"], one["ts_ns"], strict=True)]
            for one in (entries, refused)
        )
    )


def within(rows: list[tuple[int, int]], pumps: list[tuple[int, int]], hours: int) -> int:
    """In how many pumps something happened while their candle was made or in the hours after."""
    late = hours * HOUR_NS
    return sum(any(i == j and start < ns <= start + HOUR_NS + late for j, ns in rows) for i, start in pumps)


def test_labelled_pumps_that_would_have_been_bought_are_refused(market: Market) -> None:
    pumps = labels(market)
    assert len(pumps) == 21
    without, guarded = tried(market, pump_volume=0), tried(market)
    assert within(without.entries, pumps, 1) == 5 and not without.refused
    assert within(guarded.entries, pumps, 1) == 0
    assert within(guarded.refused, pumps, 1) == 5
    assert len(guarded.entries) > 0.8 * len(without.entries), "other breakouts are still bought"


@kernel(entry=True)
def is_pump(s: Any) -> bool:
    """The guard with its defaults: pair 0 against the leader, pair 1."""
    return looks_like_pump(s, 0, 1, s.momentum_params[0])


def bars_of(rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Candles as closed bars."""
    made = np.zeros(len(rows), CLOSED_BAR)
    made["start_ns"] = rows["ts"].astype("int64") * 1_000_000
    for name in ("high", "low", "close"):
        made[f"{name}_ticks"] = (rows[name] * 1e8).round()
    made["turnover"] = rows["volume"] * rows["close"]
    return made


def lay(core: Any, i: int, bars: np.ndarray[Any, Any], end: int) -> None:
    """The last of the bars before `end` become the pair's closed base bars."""
    kept = bars[max(end - RING, 0) : end]
    core.state.bars[i, 0]["closed"] = len(kept)
    core.state.ring[i, 0, : len(kept)] = kept


def test_the_labelled_candles_look_like_pumps_and_few_others_do() -> None:
    """The guard itself at the close of an hour, whatever the other rules say: each label, and every fortieth hour."""
    table = pd.read_parquet(CANDLES).astype({"symbol": str})
    leader = bars_of(table[table["symbol"] == "BTC/USDT"])
    starts = pd.read_csv(LABELS, header=None).groupby(0)[1].apply(set).to_dict()
    pair = Instrument(
        symbol="X", venue="v", base="X", quote="USDT", tick_size=Decimal("1e-8"), lot_size=Decimal(1),
        min_qty=Decimal(1), max_qty=Decimal(10**9),
    )  # fmt: skip
    core = new_core([pair, pair], Limits(), 1000.0, {"momentum": {}}, (3600, 10_800, 43_200))
    seen: dict[bool, list[bool]] = {True: [], False: []}
    for symbol, rows in table[table["symbol"].str.endswith("/BTC")].groupby("symbol"):
        bars = bars_of(rows)
        labelled = np.isin(bars["start_ns"] // 1_000_000, list(starts.get(symbol.replace("/", ""), ())))
        for k in np.flatnonzero(labelled | (np.arange(len(bars)) % 40 == 20)):
            lay(core, 0, bars, k + 1)
            lay(core, 1, leader, int(np.searchsorted(leader["start_ns"], bars["start_ns"][k], "right")))
            seen[bool(labelled[k])].append(bool(is_pump(core.state)))
    assert len(seen[True]) == 21 and sum(seen[True]) == 21, sum(seen[True])
    assert len(seen[False]) > 2_000 and sum(seen[False]) < 0.015 * len(seen[False]), sum(seen[False])
