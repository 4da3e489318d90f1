"""Public market data, message by message: the exact records."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from binance_rig import NOW_NS, SPOT, USDM, Rig

from engine.contracts.errors import BadInput
from engine.contracts.records import LAST, RECORD
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.codec import Codec
from engine.venues.ladder import Diff
from engine.venues.undecodable import Undecodable

QUOTE = {"u": 400900217, "s": "BTCUSDT", "b": "61837.63000000", "B": "3.78826000", "a": "61837.64000000", "A": "1.5"}
QUOTED = {
    "kind": "quote", "ts_ns": NOW_NS, "instrument": 0, "venue_ts_ns": NOW_NS,
    "bid_ticks": 6183763, "bid_lots": 378826, "ask_ticks": 6183764, "ask_lots": 150000, "update_id": 400900217,
}  # fmt: skip


def in_stream(name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"stream": name, "data": data}


@pytest.mark.parametrize("message", [QUOTE, in_stream("btcusdt@bookTicker", QUOTE)])
def test_a_spot_quote_has_our_time_because_the_venue_gives_none(message: dict[str, Any]) -> None:
    assert Rig(SPOT)(message) == [QUOTED]


def test_a_usdm_quote_has_the_matching_time() -> None:
    quote = QUOTE | {"e": "bookTicker", "b": "61837.60", "B": "1.5", "a": "61837.70", "A": "2", "T": 1723161256313}
    got = Rig(USDM)(in_stream("btcusdt@bookTicker", quote))
    assert got[0]["venue_ts_ns"] == 1723161256313_000_000
    assert (got[0]["bid_ticks"], got[0]["ask_lots"]) == (618376, 2000)


def test_the_order_of_fields_does_not_matter() -> None:
    turned = dict(reversed(in_stream("btcusdt@bookTicker", dict(reversed(QUOTE.items()))).items()))
    assert Rig(SPOT)(json.dumps(turned, indent=2)) == [QUOTED]


@pytest.mark.parametrize(("maker", "side"), [(True, -1), (False, 1)])
def test_a_trade_takes_the_side_of_the_aggressor(maker: bool, side: int) -> None:
    trade = {
        "e": "trade",
        "E": 1,
        "s": "ETHUSDT",
        "t": 12345,
        "p": "2500.01",
        "q": "0.0500",
        "T": 1723161255342,
        "m": maker,
    }
    assert Rig(SPOT)(trade) == [
        {
            "kind": "trade", "ts_ns": NOW_NS, "instrument": 1, "venue_ts_ns": 1723161255342_000_000, "side": side,
            "price_ticks": 250001, "qty_lots": 500, "trade_id": 12345,
        }
    ]  # fmt: skip


def test_an_aggregate_trade_carries_the_aggregates_id_and_microseconds_are_understood() -> None:
    trade = {
        "e": "aggTrade",
        "s": "BTCUSDT",
        "a": 7,
        "p": "1.00",
        "q": "1",
        "f": 1,
        "l": 2,
        "T": 1723161255342123,
        "m": True,
    }
    got = Rig(SPOT)(in_stream("btcusdt@aggTrade", trade))[0]
    assert (got["trade_id"], got["venue_ts_ns"]) == (7, 1723161255342123_000)


def test_trades_that_did_not_happen_on_the_book_are_left_out() -> None:
    rig = Rig(USDM)
    trade = {"e": "trade", "s": "BTCUSDT", "t": 5, "p": "0", "q": "0", "T": 1, "m": False, "X": "NA"}
    assert rig(trade) == []
    assert rig.codec.ignored == {"trade NA": 1}


def test_a_diff_goes_to_the_ladder_and_not_to_the_core() -> None:
    rig = Rig(USDM)
    depth = {
        "e": "depthUpdate", "E": 1571889248277, "T": 1571889248276, "s": "BTCUSDT", "U": 157, "u": 160, "pu": 149,
        "b": [["7403.80", "0.000"], ["7403.90", "3.906"]], "a": [["7405.90", "3.340"]],
    }  # fmt: skip
    assert rig(in_stream("btcusdt@depth@100ms", depth)) == []
    diff = Diff(0, 1571889248276_000_000, 157, 160, 149, [(74038, 0), (74039, 3906)], [(74059, 3340)])
    assert rig.asides == [diff]
    assert rig(QUOTE | {"b": "1", "B": "1", "a": "2", "A": "1"}) and rig.asides == []


@pytest.mark.parametrize("is_perp", [False, True])
def test_a_partial_book_is_five_depth_records_the_last_marked(is_perp: bool) -> None:
    bids, asks = [["100.00", "1"], ["99.00", "2"]], [[f"{101 + k}.00", "3"] for k in range(10)]
    data: dict[str, Any] = {"lastUpdateId": 160, "bids": bids, "asks": asks}
    if is_perp:
        data = {"e": "depthUpdate", "E": 9, "T": 8, "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0, "b": bids, "a": asks}
    tick = 10 if is_perp else 100
    got = Rig(USDM if is_perp else SPOT)(in_stream("btcusdt@depth10@100ms", data))
    assert [(g["level"], g["bits"], g["bid_ticks"], g["ask_ticks"]) for g in got] == [
        (0, 0, 100 * tick, 101 * tick),
        (1, 0, 99 * tick, 102 * tick),
        (2, 0, 0, 103 * tick),
        (3, 0, 0, 104 * tick),
        (4, LAST, 0, 105 * tick),
    ]
    assert got[0]["venue_ts_ns"] == (8_000_000 if is_perp else NOW_NS)


def mark(at: int, due: int, rate: str) -> dict[str, Any]:
    return {"e": "markPriceUpdate", "E": at, "s": "BTCUSDT", "p": "11794.15000000", "r": rate, "T": due}


def test_the_mark_is_rounded_and_funding_comes_once_when_its_time_has_passed() -> None:
    rig = Rig(USDM)
    first = rig(mark(1000, 8000, "0.00038167"))
    assert [(g["kind"], g.get("price_ticks")) for g in first] == [("mark", 117942)]
    assert (first[0]["rate_e12"], first[0]["due_ns"]) == (381_670_000, 8000_000_000)
    assert len(rig(mark(4000, 8000, "-0.00010000"))) == 1
    due = rig(mark(8001, 16000, "0.00020000"))
    assert due[0] == {
        "kind": "funding", "ts_ns": NOW_NS, "instrument": 0, "venue_ts_ns": 8000_000_000, "rate_e12": -100_000_000,
        "price_ticks": 117942, "amount_e8": 0,
    }  # fmt: skip
    assert (due[1]["kind"], due[1]["rate_e12"], due[1]["due_ns"]) == ("mark", 200_000_000, 16000_000_000)
    assert len(rig(mark(9000, 16000, "0.00020000"))) == 1
    (unfunded,) = Rig(USDM)(mark(1000, 0, ""))
    assert unfunded["due_ns"] == unfunded["rate_e12"] == 0


def test_other_peoples_quantities_are_cut_to_whole_lots_but_never_to_nothing() -> None:
    got = Rig(SPOT)(QUOTE | {"B": "25.42618900", "A": "0.00000100"})[0]
    assert (got["bid_lots"], got["ask_lots"]) == (2542618, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"b": "61837.635"},
            r"BTCUSDT: price 61837.635 is not a whole number of ticks of 0.01.*reload the instruments",
        ),
        ({"b": "0.00000000"}, "BTCUSDT: price 0.00000000 is absurd"),
        ({"b": "-1.00"}, "not a plain decimal"),
        ({"b": "NaN"}, "not a plain decimal"),
        ({"b": "1e5"}, "not a plain decimal"),
        ({"b": "1_000"}, "not a plain decimal"),
        ({"b": "١٢"}, "not a plain decimal"),
        ({"b": " 1"}, "not a plain decimal"),
        ({"b": "1.2.3"}, "not a plain decimal"),
        ({"b": ""}, "not a plain decimal"),
        ({"b": "9" * 300}, "not a plain decimal"),
        ({"a": str(2**56)}, "absurd"),
        ({"a": 61837.64}, r"Expected `str`, got `float`"),
        ({"u": "1"}, r"Expected `int`, got `str`"),
        ({"u": 2**64}, "not a message"),
        ({"s": "XRPUSDT"}, "symbol 'XRPUSDT' is not one of the 2 instruments"),
        ({"T": -1}, "not a message"),
        ({"T": 10**16 * 11}, "not a message"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Undecodable, match=said):
        Rig(SPOT)(in_stream("btcusdt@bookTicker", QUOTE | change))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"e":1}', '{"stream":"a"}', '{"data":{}}', "\xff", '{"b":NaN}']
)
def test_what_is_no_message_says_so(text: str) -> None:
    with pytest.raises(Undecodable):
        Rig(SPOT)(text.encode("latin-1"))


def test_a_partial_book_without_a_stream_names_no_symbol() -> None:
    with pytest.raises(Undecodable, match="/stream"):
        Rig(SPOT)({"lastUpdateId": 160, "bids": [["1.00", "1"]], "asks": [["2.00", "1"]]})


def test_unknown_events_are_counted_by_name_and_the_names_are_bounded() -> None:
    rig = Rig(SPOT)
    for k in range(100):
        assert rig({"e": f"event{k}", "s": "BTCUSDT"}) == []
    assert rig(in_stream("btcusdt@kline_1m", {"e": "kline", "k": {}})) == []
    assert len(rig.codec.ignored) == 65
    assert sum(rig.codec.ignored.values()) == 101


def test_out_too_small_is_an_error_and_nothing_is_written_past_it() -> None:
    codec = Codec(SPOT, ClientIds("keel"))
    room = np.zeros(10, RECORD)
    book = {"lastUpdateId": 160, "bids": [["1.00", "1"]], "asks": [["2.00", "1"]]}
    with pytest.raises(Undecodable, match="3 records"):
        codec.decode(json.dumps(in_stream("btcusdt@depth5", book)).encode(), 1, room[:3])
    assert not room[3:].view(np.uint8).any()


def test_out_must_be_a_row_of_records() -> None:
    with pytest.raises(BadInput, match="RECORD"):
        Codec(SPOT, ClientIds("keel")).decode(b"{}", 1, np.zeros(8))
    with pytest.raises(BadInput, match="contiguous"):
        Codec(SPOT, ClientIds("keel")).decode(b"{}", 1, np.zeros(8, RECORD)[::2])


def test_one_codec_reads_one_venue_and_keeps_the_engines_numbers() -> None:
    both = SPOT + USDM
    with pytest.raises(BadInput, match="venue="):
        Codec(both, ClientIds("keel"))
    import msgspec

    renamed = SPOT + [msgspec.structs.replace(one, venue="binance_usdm") for one in USDM]
    codec, out = Codec(renamed, ClientIds("keel"), venue="binance_usdm"), np.zeros(8, RECORD)
    quote = {"e": "bookTicker", "u": 1, "s": "BTCUSDT", "b": "1.0", "B": "1", "a": "1.1", "A": "1", "T": 1, "E": 1}
    assert codec.decode(json.dumps(quote).encode(), 1, out) == 1
    assert out[0].instrument == 2
