"""Whatever arrives: records, or Undecodable; never another error, never a byte past `out`."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
from binance_rig import USDM, Rig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contracts.records import KINDS, RECORD
from engine.venues.undecodable import Undecodable

ROOM = 6
VALID: list[dict[str, Any]] = [
    {
        "stream": "btcusdt@bookTicker",
        "data": {"u": 4, "s": "BTCUSDT", "b": "25.3", "B": "31.2", "a": "25.4", "A": "4", "T": 1},
    },
    {"u": 4, "s": "BTCUSDT", "b": "25.3", "B": "31.2", "a": "25.4", "A": "4"},
    {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 1, "p": "1.1", "q": "1", "T": 1, "m": True},
    {"stream": "btcusdt@depth5", "data": {"lastUpdateId": 1, "bids": [["1.1", "1"]], "asks": [["1.2", "1"]]}},
    {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0, "b": [["1.1", "1"]], "a": [["1.2", "0"]]},
    {"e": "markPriceUpdate", "E": 1, "s": "BTCUSDT", "p": "11794.15", "r": "0.0003", "T": 2},
    {
        "subscriptionId": 0,
        "event": {
            "e": "executionReport", "E": 1, "s": "ETHUSDT", "c": "keel-7", "S": "BUY", "o": "LIMIT", "f": "GTC",
            "q": "1", "p": "25", "P": "0", "C": "", "x": "TRADE", "X": "FILLED", "r": "NONE", "i": 4, "l": "1",
            "L": "25", "n": "0.1", "N": "BNB", "T": 1, "t": 2, "w": True, "m": False,
        },
    },
    {
        "e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1,
        "o": {
            "s": "BTCUSDT", "c": "autoclose-1", "S": "SELL", "o": "LIMIT", "f": "GTC", "q": "0.001", "p": "9910",
            "sp": "0", "x": "CALCULATED", "X": "FILLED", "i": 1, "l": "0.001", "L": "99.12", "T": 1, "t": 5, "m": False,
        },
    },
    {
        "e": "ALGO_UPDATE", "T": 1, "E": 1,
        "o": {"caid": "keel-8", "aid": 1, "s": "BNBUSDT", "S": "SELL", "q": "0.01", "X": "TRIGGERED", "ai": "9"},
    },
    {
        "e": "ACCOUNT_UPDATE", "E": 1, "T": 1,
        "a": {"m": "FUNDING_FEE", "B": [{"a": "USDT", "wb": "1", "bc": "-0.1"}], "P": [{"s": "BTCUSDT", "pa": "1"}]},
    },
    {"e": "outboundAccountPosition", "E": 1, "u": 1, "B": [{"a": "ETH", "f": "1", "l": "0"}]},
    {"id": "p-1-7-0", "status": 200, "result": {"orderId": 1, "clientOrderId": "keel-7", "transactTime": 1}},
    {"id": "r-1-8-7", "status": 409, "error": {"code": -2021, "msg": "", "data": {"cancelResult": "FAILURE",
     "newOrderResult": "NOT_ATTEMPTED", "cancelResponse": {"code": -2011, "msg": ""}, "newOrderResponse": None}}},
]  # fmt: skip

RIG = Rig(USDM)
GUARDED = np.full((ROOM + 2) * 64, 0xA5, np.uint8).view(RECORD)
ROW = GUARDED[:ROOM]
GUARD = GUARDED[ROOM:].tobytes()

odd = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8), st.just([]), st.just({}),
    st.sampled_from(["NaN", "-1", "0", "1e9", "9" * 30, "0.0000000001", "keel-7", "BTCUSDT", "FILLED", [["1", "x"]]]),
)  # fmt: skip


def survives(message: bytes) -> None:
    try:
        count = RIG.codec.decode(message, 1, ROW)
    except Undecodable as error:
        assert str(error)
    else:
        assert 0 <= count <= ROOM
        assert all(int(ROW[k].kind) in KINDS for k in range(count))
    assert GUARDED[ROOM:].tobytes() == GUARD


def paths(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path for key, below in inner for path in [(*at, key), *paths(below, (*at, key))]]


def test_the_samples_are_valid() -> None:
    for sample in VALID:
        RIG.codec.decode(json.dumps(sample).encode(), 1, ROW)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes(message: bytes) -> None:
    survives(message)


def test_every_truncation() -> None:
    for sample in VALID:
        message = json.dumps(sample, separators=(",", ":")).encode()
        for end in range(len(message)):
            survives(message[:end])


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_fields_replaced_or_taken_away(data: st.DataObject) -> None:
    sample = copy.deepcopy(data.draw(st.sampled_from(VALID)))
    for _ in range(data.draw(st.integers(1, 3))):
        left = paths(sample)
        if not left:
            break
        *before, last = data.draw(st.sampled_from(left))
        node = sample
        for key in before:
            node = node[key]
        if data.draw(st.booleans()) or not isinstance(node, dict):
            node[last] = copy.deepcopy(data.draw(odd))
        else:
            del node[last]
    survives(json.dumps(sample).encode())


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(VALID), st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_flipped(sample: dict[str, Any], flips: list[tuple[int, int]]) -> None:
    message = bytearray(json.dumps(sample, separators=(",", ":")).encode())
    for place, value in flips:
        message[place % len(message)] = value
    survives(bytes(message))


def test_deep_nesting_is_no_way_in() -> None:
    survives(b"[" * 100_000)
    survives(b'{"data":' * 50_000 + b"}" * 50_000)
    survives(b'{"stream":"x","data":' * 3000 + b"{}" + b"}" * 3000)
