"""Where Binance listens: production, the test networks, and any other place that speaks the same (a sandbox).

Spot has a test network of its own; futures have demo trading. Keys of one work nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from engine.contracts.errors import BadInput

MarketName = Literal["spot", "usdm"]


class Endpoints(NamedTuple):
    """Base URLs without a path at the end, but `ws_api`, which is whole. `wallet`: where the key's permissions are
    told (`/sapi`); empty where nobody tells them."""

    rest: str
    ws: str
    ws_api: str
    wallet: str = ""


ENDPOINTS: Final[dict[tuple[MarketName, str], Endpoints]] = {
    ("spot", "production"): Endpoints(
        "https://api.binance.com", "wss://stream.binance.com:9443", "wss://ws-api.binance.com:443/ws-api/v3",
        "https://api.binance.com",
    ),
    ("spot", "testnet"): Endpoints(
        "https://testnet.binance.vision", "wss://stream.testnet.binance.vision",
        "wss://ws-api.testnet.binance.vision/ws-api/v3",
    ),
    ("usdm", "production"): Endpoints(
        "https://fapi.binance.com", "wss://fstream.binance.com", "wss://ws-fapi.binance.com/ws-fapi/v1",
        "https://api.binance.com",
    ),
    ("usdm", "testnet"): Endpoints(
        "https://demo-fapi.binance.com", "wss://fstream.binancefuture.com", "wss://testnet.binancefuture.com/ws-fapi/v1",
    ),
}  # fmt: skip


def given(line: Mapping[str, Any]) -> Endpoints:
    """Endpoints from a sandbox's start line (`rest`, `ws`, `ws_api`). Raises BadInput naming what is missing."""
    missing = [name for name in ("rest", "ws", "ws_api") if not line.get(name)]
    if missing:
        raise BadInput(f"endpoints: {', '.join(missing)} missing; give rest, ws and ws_api as in the start line")
    rest, ws = str(line["rest"]).rstrip("/"), str(line["ws"]).rstrip("/")
    return Endpoints(rest, ws, str(line["ws_api"]), str(line.get("wallet") or rest).rstrip("/"))
