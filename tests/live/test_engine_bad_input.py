"""Bad input on the market and user streams of a live engine: counted, told, left out; nothing else is disturbed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from engine_rig import Floor, spot, trading  # noqa: E402
from venue_books import agree  # noqa: E402
from venue_wire import Wire, frame  # noqa: E402

pytestmark = pytest.mark.asyncio(loop_scope="function")
MARKET, USER = b"/stream", b"/ws-api"
ABSURD = ("1e30", "-5.00", "NaN", "Infinity", "", "0", "99999999999999999999.99", "1.123456789", "0x10", "１")
ORDER = {
    "e": "executionReport", "E": 1, "s": "BTCUSDT", "c": "t0-1", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "1.000",
    "p": "100.00", "P": "0.00", "x": "TRADE", "X": "FILLED", "r": "NONE", "i": 1, "l": "1.000", "z": "1.000",
    "L": "100.00", "n": "0.001", "N": "BTC", "T": 1, "t": 77, "m": False, "C": "",
}  # fmt: skip


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), ("BTC/USDT",), accounts=6)
    yield running
    running.stop()


def quote(**fields: Any) -> bytes:
    """A best quote of BTC/USDT with something wrong."""
    data = {"u": 10**9, "s": "BTCUSDT", "b": "100.00", "B": "1.000", "a": "100.02", "A": "1.000"} | fields
    return json.dumps({"stream": "btcusdt@bookTicker", "data": data}).encode()


def trade(**fields: Any) -> bytes:
    data = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 10**9, "p": "100.00", "q": "1.000", "T": 1, "m": True, "M": True}
    return json.dumps({"stream": "btcusdt@trade", "data": data | fields}).encode()


MARKET_NONSENSE = [
    b"{not json", b"", b"null", b"17", b'"text"', b"[1,2]", b"\xff\xfe\x00", b"{" * 5_000, b'{"stream":3,"data":[]}',
    b'{"stream":"btcusdt@bookTicker","data":null}', quote(s="NOPEUSDT"), quote(b=7), trade(T="soon"), trade(p=None),
    trade(q="-1"), trade(s="ETHUSDT"),
    *(quote(b=text) for text in ABSURD), *(quote(A=text) for text in ("NaN", "-1", "1e30")),
    *(trade(p=text) for text in ABSURD),
]  # fmt: skip
UNKNOWN = [b'{"stream":"btcusdt@brandNew","data":{"e":"brandNew"}}', b'{"result":null,"id":99}']


def order(**fields: Any) -> bytes:
    """An order event with something wrong."""
    return json.dumps({"subscriptionId": 0, "event": ORDER | fields}).encode()


USER_NONSENSE = [
    b"{not json", b"[]", b'{"event":5}', b'{"event":{"e":"executionReport"}}', order(s="NOPEUSDT"), order(S="HOLD"),
    order(x="MELTED"), order(l="NaN"), order(l="-1"), order(L="1e30"), order(L="-5"), order(n="NaN"), order(n="1e40"),
    order(T=-1), order(t="x"), order(N=None), order(q="NaN", x="NEW", X="NEW"), order(c=7),
]  # fmt: skip


async def test_nonsense_on_the_streams_disturbs_nothing(floor: Floor, tmp_path: Path) -> None:
    wire = Wire(floor, floor.line["venues"]["binance_spot"]["rest"])
    venue = spot(floor, 0, urls=wire.urls(floor.line["venues"]["binance_spot"]))
    async with trading(floor, tmp_path, 0, venues=[(venue, ["BTC/USDT"])]) as running:
        position = await running.enter()
        await running.guarded()
        before = running.core.state.books[0].copy(), int(position.qty_lots)
        for nonsense in (*MARKET_NONSENSE, *UNKNOWN):
            assert wire.inject(MARKET, frame(nonsense)) == 1
        for nonsense in USER_NONSENSE:
            assert wire.inject(USER, frame(nonsense)) == 2
        await running.quote(running.mid)
        await running.until(lambda: running.core.state.books[0].updated_ns > before[0].updated_ns)
        counts = {one.name: one.undecodable for one in (*venue.market.health(), *venue.execution.health())}
        assert counts == {
            "sandbox/stream": len(MARKET_NONSENSE), "sandbox orders": len(USER_NONSENSE),
            "sandbox user stream": len(USER_NONSENSE),
        }  # fmt: skip
        assert (running.core.state.books[0].bid_ticks, int(position.qty_lots)) == (before[0].bid_ticks, before[1])
        assert running.core.state.head[0].violations == 0
        assert any("left out" in text for text in running.told("undecodable"))
        await running.close()
    wire.close()
    await agree(running)


BROKEN = {
    "truncated": frame(b"short", claimed=120), "endless": b"\x81\x7f" + b"\x7f" * 8, "opcode": b"\x83\x05hello",
}  # fmt: skip


@pytest.mark.parametrize("number", range(len(BROKEN)), ids=list(BROKEN))
async def test_a_broken_frame_costs_one_connection(
    floor: Floor, tmp_path: Path, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire(floor, floor.line["venues"]["binance_spot"]["rest"])
    venue = spot(floor, number + 1, urls=wire.urls(floor.line["venues"]["binance_spot"]), mute_s=0.5)
    async with trading(floor, tmp_path, number + 1, venues=[(venue, ["BTC/USDT"])]) as running, running.busy():
        await running.until(lambda: running.core.state.books[0].updated_ns > 0)
        wire.inject(MARKET, list(BROKEN.values())[number])
        await running.until(lambda: venue.market.health()[0].reconnects >= 1)
        await running.until(lambda: running.core.state.books[0].updated_ns > 0)
        assert venue.execution.is_ready and running.trading_state == "ACTIVE"
    wire.close()
    assert not caplog.records, "what libraries log may hold addresses"
