"""A recording dated by the clock it was played by: order, dates, numbers, refusals, and the same trades."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contracts import records as r
from engine.contracts.errors import BadInput
from engine.core.limits import Limits
from engine.markets.market import Market, open_market
from engine.markets.retimed import Played, retime
from engine.markets.synthetic import synthesize_ticks
from engine.research.session import Session
from engine.simulation.venue import SimulationModel

DAY_NS = 86_400 * 10**9
EAGER = {"crossover": {"fast": 2, "slow": 3, "stop_pct": 0.5, "notional_usd": 60.0, "entry_cap_bps": 30}}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    folder = tmp_path_factory.mktemp("ticks")
    return open_market(synthesize_ticks(folder, seed=3, minutes=5, symbols=("BTC/USDT", "AXO/USDT")))


def whole(source: Any, size: int = 1_000) -> Any:
    return r.joined(list(source.blocks(size)), r.RECORD)


def test_the_same_events_at_their_time_on_the_wire(market: Market) -> None:
    plain = whole(market)
    start_ns = int(plain["venue_ts_ns"][500])
    heard = whole(retime(market, Played(start_ns, 10**18, 10.0), latency_ns=7))
    kept = plain[plain["venue_ts_ns"] >= start_ns]
    assert len(heard) == len(kept)
    assert heard["venue_ts_ns"][0] == 10**18
    off = heard["venue_ts_ns"] - 10**18 - (kept["venue_ts_ns"] - start_ns) // 10
    assert ((off == 0) | (off == 1)).all()
    assert (heard["ts_ns"] == heard["venue_ts_ns"] + 7).all()
    for name in ("kind", "instrument", "side", "client_id", "price_ticks", "qty_lots", "trigger_ticks", "ref_id"):
        assert (heard[name] == kept[name]).all()
    assert whole(retime(market, Played(start_ns, 10**18, 10.0), latency_ns=7), 77).tobytes() == heard.tobytes()


@given(speed=st.floats(0.01, 1e6), moments=st.lists(st.integers(0, 10**15), min_size=2))
def test_order_and_pace_are_kept(speed: float, moments: list[int]) -> None:
    market_ns = np.array(sorted(moments))
    wire_ns = Played(0, 5, speed).on_the_wire(market_ns)
    assert (np.diff(wire_ns) >= 0).all()
    assert np.abs((wire_ns - 5) * speed - market_ns).max() <= speed * 1.01 + 1e-12 * market_ns.max() * speed + 1


def test_a_shift_by_days_trades_the_same(market: Market) -> None:
    first_ns = int(next(market.blocks(1))["venue_ts_ns"][0])
    shifted = retime(market, Played(first_ns, first_ns + 300 * DAY_NS, 1.0), latency_ns=50_000_000)
    assert _trades(shifted) == [(ts_ns + 300 * DAY_NS, rest) for ts_ns, rest in _trades(market)] != []


def _trades(source: Any) -> list[tuple[int, Any]]:
    kept: list[Any] = []
    Session(
        source, strategies=EAGER, capital_usd=1_000.0, limits=Limits(), simulation=SimulationModel(),
        timeframes_s=(10, 30, 60), sinks=[kept.append],
    ).run()  # fmt: skip
    wanted = [one for one in r.joined(kept)["record"] if one["kind"] in (r.FILL, r.CLOSED, r.PLACE)]
    shown = [r.as_dict(one) for one in wanted]
    return [(int(row.pop("ts_ns")), {k: v for k, v in row.items() if k != "venue_ts_ns"}) for row in shown]


def test_instruments_of_the_wire_take_their_place(market: Market) -> None:
    other = [msgspec.structs.replace(one, venue="wire") for one in market.instruments[::-1]]
    start = Played(market.from_ns, market.from_ns, 1.0)
    heard, plain = whole(retime(market, start, instruments=other)), whole(market)
    assert (heard["instrument"] == 1 - plain["instrument"]).all()
    one = whole(retime(market, start, instruments=other[:1]))
    assert len(one) == (plain["instrument"] == 1).sum()
    assert (one["instrument"] == 0).all()


def test_what_cannot_be_mapped_is_refused(market: Market) -> None:
    start = Played(market.from_ns, 0, 1.0)
    coarse = msgspec.structs.replace(market.instruments[0], tick_size=Decimal(1))
    unknown = msgspec.structs.replace(market.instruments[0], symbol="NEW/USDT")
    for instruments, words in (
        ([coarse], "on the wire"),
        ([unknown], "NEW/USDT is not in the recording"),
        ([market.instruments[0]] * 2, "twice"),
    ):
        with pytest.raises(BadInput, match=words):
            retime(market, start, instruments=instruments)
    for speed in (0.0, -1.0, float("nan"), 1e7):
        with pytest.raises(BadInput, match="speed"):
            retime(market, Played(0, 0, speed))
