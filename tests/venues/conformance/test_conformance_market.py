"""What every venue says about its market: rules exactly, prices sanely, silence and gaps honestly."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from conformance_subjects import Stage, Subject
from venue_bench import Bench

from engine.contracts import records as r
from engine.contracts.errors import BadInput, Retryable
from engine.contracts.instruments import Instrument

EXACT = ("base", "quote", "kind", "tick_size", "lot_size", "min_qty", "contract_size")


def listed(sandbox: Stage, subject: Subject) -> list[Instrument]:
    """The instruments the sandbox itself trades, as it knows them."""
    every = {one.symbol: one for one in sandbox.sandbox._market.instruments}
    return [every[symbol] for symbol in subject.symbols]


def test_rules_are_read_exactly(bench: Bench, subject: Subject, sandbox: Stage) -> None:
    for mine, theirs in zip(bench.instruments, listed(sandbox, subject), strict=True):
        assert {name: getattr(mine, name) for name in EXACT} == {name: getattr(theirs, name) for name in EXACT}
        assert mine.venue == "tested" and mine.symbol == theirs.symbol
        assert mine.min_notional <= Decimal(10) and 0 <= mine.taker_fee < Decimal("0.02")
        assert all(isinstance(getattr(mine, name), Decimal) for name in ("tick_size", "maker_fee", "band_up"))


def test_a_symbol_nobody_trades_is_refused_by_name(bench: Bench) -> None:
    with pytest.raises(BadInput, match="NOPE/USDT"):
        bench.do(bench.venue.market.load(["NOPE/USDT"]))


def test_quotes_and_trades_arrive_and_are_sane(bench: Bench) -> None:
    bench.play_until_quoted()
    bench.heard.until(lambda: any(one["kind"] == r.TRADE for one in bench.heard.market_records) or bench.play(40))
    for quote in bench.quotes():
        assert 0 < quote["bid_ticks"] < quote["ask_ticks"] and quote["bid_lots"] > 0 and quote["ask_lots"] > 0
        assert quote["ts_ns"] > 10**18 and quote["venue_ts_ns"] > 10**18
    trades = [x for x in bench.heard.market_records if x["kind"] == r.TRADE and x["instrument"] == 0]
    assert all(abs(int(one["price_ticks"]) - bench.bid) < bench.bid // 10 and one["qty_lots"] > 0 for one in trades)
    assert {int(one["instrument"]) for one in bench.heard.market_records} <= set(range(len(bench.instruments)))


def test_candles_warm_up_what_decides(bench: Bench) -> None:
    one = bench.instruments[0]
    found = bench.do(bench.venue.market.history(0, one, 60, 5))
    assert 0 < len(found) <= 20 and set(found["kind"].tolist()) == {r.PATH}
    assert (found["venue_ts_ns"][1:] >= found["venue_ts_ns"][:-1]).all()
    assert all(abs(int(price) - bench.bid) < bench.bid // 5 for price in found["price_ticks"])


def test_health_counts_data(bench: Bench) -> None:
    rows = bench.venue.market.health()
    assert any(row.connected and row.messages > 0 and row.data_ns > 10**18 for row in rows)
    assert "keel7f" not in str(rows) and all("?" not in row.name for row in rows)


@pytest.fixture
def impatient(subject: Subject, sandbox: Stage) -> Iterator[Bench]:
    """A venue that takes a feed for dead after half a second."""
    if not subject.is_real:
        pytest.skip("its market data are another subject's")
    made = subject.bench(sandbox, mute_s=0.5)
    made.play = lambda events=20: sandbox.advance(events)
    made.start_market()
    yield made
    made.stop()


def test_a_feed_that_falls_silent_is_told_and_comes_back(impatient: Bench) -> None:
    impatient.play_until_quoted()
    told = impatient.heard.until(
        lambda: [one for one in impatient.heard.market_records if one["kind"] == r.FEED_STATUS]
    )
    assert int(told[0]["instrument"]) in range(len(impatient.instruments))
    impatient.wait_notice("lost")
    impatient.play_until_quoted()


def test_a_place_that_is_not_there_is_retryable(subject: Subject, sandbox: Stage) -> None:
    nowhere = {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9", "ws_api": "ws://127.0.0.1:9/ws-api/v3"}
    made = subject.bench(sandbox, loads=False, urls=nowhere)
    try:
        with pytest.raises(Retryable) as caught:
            made.do(made.venue.market.load(subject.symbols))
        assert "tested" in str(caught.value) or "127.0.0.1" in str(caught.value) or "binance" in str(caught.value)
    finally:
        made.stop()
