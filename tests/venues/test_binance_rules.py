"""Binance's exchange information as a whole: one odd symbol among hundreds takes nothing from the others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.contracts.errors import Retryable
from engine.venues.binance.dialects import DIALECTS
from engine.venues.binance.rules import read_rules


def symbol(base: str, **lot: str) -> dict[str, Any]:
    return {
        "symbol": f"{base}USDT", "status": "TRADING", "baseAsset": base, "quoteAsset": "USDT", "orderTypes": ["LIMIT"],
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.00100000", "maxQty": "9000.0", "stepSize": "0.00100000"} | lot,
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    "odd",
    [
        symbol("ODD", stepSize="0.00000000"),
        symbol("ODD", minQty="10000"),
        symbol("ODD", maxQty="much"),
        symbol("ODD") | {"filters": []},
        symbol("ODD") | {"filters": [*symbol("ODD")["filters"], {"filterType": "MARKET_LOT_SIZE", "maxQty": "0.0001"}]},
    ],
    ids=["no step", "least above most", "no number", "no filters", "market orders too small"],
)
def test_one_odd_symbol_takes_nothing_from_the_others(odd: dict[str, Any]) -> None:
    body = msgspec.json.encode({"symbols": [odd, symbol("BTC")]})
    assert [name for name, _ in read_rules(body, DIALECTS["spot"], "test")] == ["BTC/USDT"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"symbols": 7}', b'{"symbols": [{"symbol": 5}]}'])
def test_an_answer_that_makes_no_sense_is_asked_for_again(body: bytes) -> None:
    with pytest.raises(Retryable, match="exchange information"):
        list(read_rules(body, DIALECTS["spot"], "test"))
