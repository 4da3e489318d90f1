"""A pair quoted in coins through our adapter: rules, wallets, and fees in the asset they were taken in."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from binance_rig import Rig as CodecRig
from binance_rig import filled, instrument
from binance_venue_rig import Rig, Stand, rigged

from engine.contracts.instruments import E8
from engine.contracts.records import FEE_IN_BASE, IOC
from engine.venues.binance.asides import ForeignFee

SYMBOLS = ("ETH/BTC", "BTC/USDT", "ETH/USDT")
CROSS = [instrument("ETH/BTC", "0.00001", "0.0001")]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    started = Stand(tmp_path_factory.mktemp("home"), speed=0.0, symbols=SYMBOLS, minutes=3, history_s=60.0, accounts=2)
    for account in range(2):
        for asset in ("BTC", "ETH"):
            started.tell("/deposit", {"account": account, "asset": asset, "amount": "1"})
    yield started
    started.stop()


@pytest.mark.parametrize(
    ("asset", "fee_e8", "bits"), [("BTC", 12_345, 0), ("ETH", 12_345, FEE_IN_BASE), ("USDT", 0, 0), ("BNB", 0, 0)]
)
def test_a_fee_is_in_quote_coins_in_base_coins_or_waits_for_a_price(asset: str, fee_e8: int, bits: int) -> None:
    rig = CodecRig(CROSS)
    [fill] = rig(filled(s="ETHBTC", L="0.03333", p="0.03333", n="0.00012345", N=asset))
    assert (fill["fee_e8"], fill["bits"]) == (fee_e8, bits)
    waiting = [one for one in rig.asides if isinstance(one, ForeignFee)]
    assert [(one.asset, one.amount_e8) for one in waiting] == ([] if fee_e8 else [(asset, 12_345)])


async def sent(rig: Rig, side: int, lots: int) -> list[dict[str, Any]]:
    """The fills of an immediate order past the touch."""
    bid, ask = rig.touch()
    order = rig.limit(side, lots, ask + 20 if side > 0 else bid - 20, tif=IOC)
    await rig.inlet.until(lambda: sum(int(e["qty_lots"]) for e in fills(rig, order)) == lots)
    return fills(rig, order)


def fills(rig: Rig, order: int) -> list[dict[str, Any]]:
    return [e for e in rig.inlet.orders if e["kind"] == "fill" and e["client_id"] == order]


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize("side", [1, -1])
async def test_a_leg_in_coins_is_told_to_the_last_unit(sandbox: Stand, side: int) -> None:
    """Wallets move by the fills and fees as the adapter told them: BTC in quote of ETH/BTC, ETH in its base."""
    async with rigged(sandbox, symbols=SYMBOLS, account=(side + 1) // 2) as rig:
        cross = rig.instruments[0]
        assert (cross.base, cross.quote) == ("ETH", "BTC") and cross.min_notional == Decimal("0.00005")
        before = {one.asset: one.free + one.locked for one in await rig.venue.account.wallets()}
        told = await sent(rig, side, 40)
        after = {one.asset: one.free + one.locked for one in await rig.venue.account.wallets()}
        assert all(bool(int(e["bits"]) & FEE_IN_BASE) is (side > 0) and int(e["fee_e8"]) > 0 for e in told)
        value_e8 = sum(int(e["price_ticks"]) * int(e["qty_lots"]) for e in told) * cross.tick_lot_e8
        fee_e8 = sum(int(e["fee_e8"]) for e in told)
        base_e8 = sum(int(e["qty_lots"]) for e in told) * cross.lot_size * E8
        assert (after["ETH"] - before["ETH"]) * E8 == side * base_e8 - (fee_e8 if side > 0 else 0)
        assert (after["BTC"] - before["BTC"]) * E8 == -side * value_e8 - (0 if side > 0 else fee_e8)
        assert after["USDT"] == before["USDT"]
        assert await rig.venue.account.fills_since(0) == 0, "asking for them again tells nothing new"
