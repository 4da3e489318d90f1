"""Recorded traffic, message by message: against ccxt's own parse, and the books against the quotes."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from binance_rig import Rig, instrument, recorded

from engine.contracts.records import BUY
from engine.venues.ladder import LIVE, Diff, Ladder

HOUR = {
    "spot": ("hftbacktest_binance_spot_btcusdt_20240808.gz", instrument("BTC/USDT", "0.01", "0.00001")),
    "usdm": ("hftbacktest_binance_usdm_btcusdt_20240808.gz", instrument("BTC/USDT", "0.1", "0.001", "perp")),
}


@pytest.mark.parametrize("kind", sorted(HOUR))
def test_rebuilt_books_equal_the_last_quote_and_have_no_gaps(kind: str) -> None:
    """At every diff the rebuilt best prices and sizes are those of the best quote with the same update id or before."""
    name, one = HOUR[kind]
    rig, ladder = Rig([one]), Ladder(0)
    quotes: dict[int, tuple[int, ...]] = {}
    ids: list[int] = []
    compared = 0
    kept: list[tuple[int, tuple[int, ...]]] = []
    for line in recorded(name):
        stamp, _, message = line.partition(b" ")
        if message.startswith(b'{"lastUpdateId"'):
            assert ladder.snapshot(rig.codec.snapshot(message, "BTCUSDT"))
            continue
        count = rig.codec.decode(message, int(stamp), rig.out)
        if b"@bookTicker" in message[:40]:
            r = rig.out[0]
            assert count == 1
            quotes[r.update_id] = (r.bid_ticks, r.bid_lots, r.ask_ticks, r.ask_lots)
            ids.append(int(r.update_id))
        for aside in rig.codec.asides:
            assert isinstance(aside, Diff)
            if ladder.apply(aside):
                (bid,), (ask,) = ladder.top(1)
                kept.append((aside.last_id, (*bid, *ask)))
    assert (ladder.state, ladder.gaps) == (LIVE, 0)
    assert rig.codec.ignored == {}
    at = 0
    for last_id, best in kept:
        while at + 1 < len(ids) and ids[at + 1] <= last_id:
            at += 1
        if ids[at] <= last_id:
            compared += 1
            assert quotes[ids[at]] == best, f"after {last_id}"
    assert compared >= len(kept) - 2 > 3000


@pytest.mark.parametrize("kind", sorted(HOUR))
def test_trades_are_what_ccxt_makes_of_them(kind: str) -> None:
    """Price, amount, time, id and side, exactly, of a thousand recorded trades."""
    name, one = HOUR[kind]
    exchange, rig = ccxt.binance({"options": {"defaultType": "spot" if kind == "spot" else "swap"}}), Rig([one])
    market = {
        "id": "BTCUSDT",
        "symbol": "BTC/USDT",
        "spot": kind == "spot",
        "contract": kind != "spot",
        "option": False,
        "inverse": False,
    }
    seen = 0
    for line in recorded(name):
        message = line.partition(b" ")[2]
        if b"@trade" not in message[:40] or seen >= 1000:
            continue
        got = rig(message)
        data = json.loads(message)["data"]
        if not got:
            assert data["X"] != "MARKET"
            continue
        seen += 1
        theirs = exchange.parse_trade(data, market)
        assert one.price(int(got[0]["price_ticks"])) == Decimal(str(theirs["price"]))
        assert one.quantity(int(got[0]["qty_lots"])) == Decimal(str(theirs["amount"]))
        assert int(got[0]["venue_ts_ns"]) == theirs["timestamp"] * 1_000_000
        assert str(got[0]["trade_id"]) == theirs["id"]
        assert (got[0]["side"] == BUY) == (theirs["side"] == "buy")
    assert seen == 1000


def test_books_are_what_ccxt_makes_of_them() -> None:
    name, one = HOUR["usdm"]
    rig, exchange = Rig([one]), ccxt.binance()
    snapshot = next(line.partition(b" ")[2] for line in recorded(name) if b'{"lastUpdateId"' in line[:40])
    ours, theirs = rig.codec.snapshot(snapshot, "BTCUSDT"), exchange.parse_order_book(json.loads(snapshot), "BTC/USDT")
    for mine, other in ((ours.bids, theirs["bids"]), (ours.asks, theirs["asks"])):
        said = [(one.price(price), one.quantity(lots)) for price, lots in mine]
        assert said == [(Decimal(str(price)), Decimal(str(size))) for price, size, *_ in other]
    assert len(ours.bids) == 1000 == len(ours.asks)


@pytest.mark.parametrize(
    ("name", "instruments", "ignored"),
    [
        (
            "cryptofeed_BINANCE.ws.1.0.gz",
            [
                instrument("NKN/USDT", "0.0001", "1"), instrument("BLZ/ETH", "0.00000001", "1"),
                instrument("LRC/BTC", "0.00000001", "1"), instrument("RUNE/EUR", "0.001", "0.1"),
            ],
            {"kline"},
        ),
        (
            "cryptofeed_BINANCE_FUTURES.ws.1.0.gz",
            [
                instrument("SUSHI/USDT", "0.001", "1", "perp"), instrument("AKRO/USDT", "0.00001", "1", "perp"),
                instrument("KEEP/USDT", "0.0001", "1", "perp"), instrument("CTK/USDT", "0.00001", "1", "perp"),
            ],
            {"kline"},
        ),
        (
            "cryptofeed_BINANCE_US.ws.1.0.gz",
            [
                instrument("CRV/USDT", "0.0001", "0.1"), instrument("COMP/USDT", "0.01", "0.00001"),
                instrument("OMG/BUSD", "0.0001", "0.01"), instrument("ZRX/USDT", "0.0001", "0.01"),
            ],
            {"kline"},
        ),
    ],
)  # fmt: skip
def test_thirty_seconds_of_four_symbols_decode_without_an_error(
    name: str, instruments: list[Any], ignored: set[str]
) -> None:
    rig = Rig(instruments)
    became: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for line in recorded(name):
        if line.startswith(b"wss://"):
            continue
        message = line.partition(b": ")[2].strip()
        if not message or b'"result"' in message[:20]:
            continue
        sent[json.loads(message)["data"].get("e", "bookTicker")] += 1
        became.update(str(record["kind"]) for record in rig(message))
        became.update("diff" for aside in rig.asides if isinstance(aside, Diff))
    assert became["quote"] == sent["bookTicker"]
    assert became["diff"] == sent["depthUpdate"] > 0
    assert became["trade"] == sent["aggTrade"]
    assert set(rig.codec.ignored) == ignored
