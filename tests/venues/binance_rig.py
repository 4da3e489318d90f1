"""Instruments, messages and recordings the Binance tests share."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.contracts.instruments import Instrument
from engine.contracts.records import RECORD, as_dict
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.codec import Codec

NOW_NS = 1_700_000_000_000_000_000
FIXTURES = "nautilus_binance_coinbase_fixtures.tar.gz"


def instrument(symbol: str, tick: str, lot: str, kind: str = "spot", venue: str = "binance") -> Instrument:
    base, quote = symbol.split("/")
    return Instrument(
        symbol=symbol, venue=venue, base=base, quote=quote, kind=kind, tick_size=Decimal(tick), lot_size=Decimal(lot),  # type: ignore[arg-type]
        min_qty=Decimal(lot), max_qty=Decimal(10**9),
    )  # fmt: skip


SPOT = [instrument("BTC/USDT", "0.01", "0.00001"), instrument("ETH/USDT", "0.01", "0.0001")]
USDM = [
    instrument("BTC/USDT", "0.1", "0.001", "perp"),
    instrument("ETH/USDT", "0.01", "0.001", "perp"),
    instrument("DOGE/USDT", "0.00001", "1", "perp"),
    instrument("BNB/USDT", "0.01", "0.01", "perp"),
]


class Rig:
    """A codec with its output: `rig(message)` gives the records as named integers."""

    def __init__(self, instruments: list[Instrument]) -> None:
        self.codec = Codec(instruments, ClientIds("keel"))
        self.out = np.zeros(8, RECORD)

    def __call__(self, message: bytes | str | dict[str, Any], ts_ns: int = NOW_NS) -> list[dict[str, int | str]]:
        if isinstance(message, dict):
            message = json.dumps(message)
        raw = message.encode() if isinstance(message, str) else message
        count = self.codec.decode(raw, ts_ns, self.out)
        return [as_dict(self.out[k]) for k in range(count)]

    @property
    def asides(self) -> list[Any]:
        return list(self.codec.asides)


AT_MS = 1499405658657
AT_NS = AT_MS * 1_000_000


def spot_event(**change: Any) -> dict[str, Any]:
    """executionReport as documented, about order 7 of ours unless said otherwise."""
    return {
        "e": "executionReport", "E": AT_MS + 1, "s": "ETHUSDT", "c": "keel-7", "S": "BUY", "o": "LIMIT", "f": "GTC",
        "q": "1.00000000", "p": "2500.00000000", "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "", "x": "NEW",
        "X": "NEW", "r": "NONE", "i": 4293153, "l": "0.00000000", "z": "0.00000000", "L": "0.00000000", "n": "0",
        "N": None, "T": AT_MS, "t": -1, "I": 8641984, "w": True, "m": False, "M": False, "O": AT_MS,
        "Z": "0.00000000", "Y": "0.00000000", "Q": "0.00000000", "W": AT_MS, "V": "NONE",
    } | change  # fmt: skip


def usdm_event(**change: Any) -> dict[str, Any]:
    """ORDER_TRADE_UPDATE as documented, about order 7 of ours unless said otherwise."""
    order = {
        "s": "BTCUSDT", "c": "keel-7", "S": "SELL", "o": "LIMIT", "f": "GTC", "q": "0.001", "p": "9910.5", "ap": "0",
        "sp": "0", "x": "NEW", "X": "NEW", "i": 8886774, "l": "0", "z": "0", "L": "0", "T": AT_MS, "t": 0, "b": "0",
        "a": "9.91", "m": False, "R": False, "wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "BOTH", "cp": False,
        "rp": "0", "pP": False, "si": 0, "ss": 0, "V": "EXPIRE_TAKER", "pm": "OPPONENT", "gtd": 0,
    } | change  # fmt: skip
    return {"e": "ORDER_TRADE_UPDATE", "E": AT_MS, "T": AT_MS, "o": order}


def filled(**change: Any) -> dict[str, Any]:
    return spot_event(**{"x": "TRADE", "X": "FILLED", "l": "0.5000", "L": "2499.50", "t": 98765432} | change)


def raw_folder() -> Path:
    """Folder of raw recordings; skips the test where there is none."""
    folder = Path(os.environ.get("KEEL_DATA_DIR", Path(__file__).parents[3] / "shared" / "data")) / "raw"
    if not folder.is_dir():
        pytest.skip(f"no raw recordings in {folder} (set KEEL_DATA_DIR)")
    return folder


def recorded(name: str) -> Iterator[bytes]:
    """Lines of a gzipped recording; skips the test where it is absent."""
    path = raw_folder() / name
    if not path.is_file():
        pytest.skip(f"{name} is not among the raw recordings")
    with gzip.open(path) as lines:
        yield from lines


def fixtures(part: str) -> dict[str, dict[str, Any]]:
    """Recorded fixture messages whose path contains `part`, by file name."""
    path = raw_folder() / FIXTURES
    if not path.is_file():
        pytest.skip(f"{FIXTURES} is not among the raw recordings")
    found: dict[str, dict[str, Any]] = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            if part in member.name and member.name.endswith(".json"):
                handle = archive.extractfile(member)
                assert handle is not None
                found[Path(member.name).stem] = json.load(handle)
    return found
