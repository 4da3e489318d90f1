"""The same venue on the loop the engine runs on."""

from __future__ import annotations

from pathlib import Path

import uvloop
from binance_venue_rig import Stand, rigged


def test_an_order_lives_on_uvloop(tmp_path: Path) -> None:
    stand = Stand(tmp_path, speed=0.0, symbols=("BTC/USDT",), minutes=12)

    async def trade() -> None:
        async with rigged(stand, symbols=("BTC/USDT",)) as rig:
            bid, _ = rig.touch()
            order = rig.limit(1, 1000, bid * 95 // 100)
            await rig.has(order, "order_ack")
            rig.cancel(order)
            await rig.has(order, "cancel_ack")
            stand.fault("A1")
            lost = rig.place(1, 100)
            await rig.has(lost, "order_unknown")
            await rig.inlet.until(lambda: rig.venue.execution.is_ready)
            assert await rig.venue.execution.ask(0, lost)

    try:
        uvloop.run(trade())
    finally:
        stand.stop()
