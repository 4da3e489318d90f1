"""What the account's messages say, passed on: each fill once and with its whole fee, the rest as notices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts.errors import Refused, Retryable
from engine.contracts.instruments import E8
from engine.contracts.records import FILL, RECORD
from engine.venues.binance.asides import Aside, ForeignFee, ForeignOrder, FundingPaid, StreamEnded, Wallet, WalletChange
from engine.venues.binance.codec import MOST_RECORDS, Codec
from engine.venues.binance.link import Link
from engine.venues.sheet import Sheet

FEE_ASSETS: Final = ("BNB",)
PRICES_S: Final = 60.0


class _Price(msgspec.Struct):
    """`{"symbol":"BNBUSDT","price":"600.1"}`"""

    price: Decimal


class Teller:
    """One for all ways on which a venue speaks about our account."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._codec = Codec(link.instruments, link.client_ids, link.venue)
        self._out: np.ndarray[Any, Any] = np.zeros(MOST_RECORDS, RECORD)
        self._own: np.ndarray[Any, Any] = np.zeros(1, RECORD)
        self._sheet = Sheet()
        self._count = 0
        self._prices: dict[tuple[str, str], Decimal] = {}
        self.listeners: list[Callable[[np.ndarray[Any, Any], int], None]] = []

    def read(self, message: bytes, ts_ns: int) -> list[Aside]:
        """Understand a message; `tell` passes it on. Raises Undecodable."""
        self._count = 0
        self._count = self._codec.decode(message, ts_ns, self._out)
        return self._codec.asides

    def tell(self) -> None:
        """Pass on what was read last."""
        asides = self._codec.asides
        for aside in asides:
            if isinstance(aside, ForeignFee):
                self._out["fee_e8"][aside.record] = self._converted(aside)
        if self._count and FILL in self._out["kind"][: self._count].tolist():
            self._leave_out_told()
        if self._count:
            self._pass(self._out, self._count)
        for aside in asides:
            self._notice(aside)

    def put(
        self, kind: int, number: int, at_ns: int, side: int, bits: int, code: int,
        word0: int, word1: int, word2: int, word3: int, word4: int,
    ) -> None:  # fmt: skip
        """One record of our own making; a fill only where it was not told before."""
        if kind == FILL and not self._link.fills.is_new(number, word4):
            return
        self._sheet.begin(self._own, time.time_ns())
        self._sheet.put(kind, number, at_ns, side, bits, code, word0, word1, word2, word3, word4)
        self._pass(self._own, 1)

    def _pass(self, records: np.ndarray[Any, Any], count: int) -> None:
        self._link.inlet.account(records, count)
        for listener in self.listeners:
            listener(records, count)

    def _leave_out_told(self) -> None:
        out, kept = self._out, 0
        for k in range(self._count):
            is_told = out["kind"][k] == FILL and not self._link.fills.is_new(
                int(out["instrument"][k]), int(out["trade_id"][k])
            )
            if not is_told:
                if kept != k:
                    out[kept] = out[k]
                kept += 1
        self._count = kept

    # --- fees in a third asset ----------------------------------------------------------------------------

    def _converted(self, fee: ForeignFee) -> int:
        record = self._out[fee.record]
        return self.fee_in_quote(
            fee.instrument, fee.asset, Decimal(fee.amount_e8) / E8, int(record["price_ticks"]), int(record["qty_lots"])
        )

    def fee_in_quote(self, number: int, asset: str, amount: Decimal, price_ticks: int, lots: int) -> int:
        """A fee in another asset as 1e-8 quote units, rounded up, at the newest price known; without one, the taker's
        fee of the fill (told to people)."""
        one = self._link.mine[number]
        price = self._prices.get((asset, one.quote))
        if price is None:
            value = one.price(price_ticks) * one.quantity(lots) * one.contract_size
            text = f"{one.symbol}: a fee in {asset} has no price in {one.quote}; booked as the taker's fee"
            self._link.say("rules", text, number)
            return int((value * one.taker_fee * E8).to_integral_value(ROUND_CEILING))
        return int((amount * price * E8).to_integral_value(ROUND_CEILING))

    async def keep_prices(self) -> None:
        """Know what the assets that fees are taken in are worth. Runs until cancelled."""
        link = self._link
        pairs = {(asset, one.quote) for one in link.mine.values() for asset in FEE_ASSETS if asset != one.quote}
        while pairs:
            for pair in sorted(pairs):
                try:
                    body = await link.rest.get(link.dialect.price, {"symbol": "".join(pair)})
                    self._prices[pair] = msgspec.json.decode(body, type=_Price).price
                except Refused:
                    pairs.discard(pair)  # there is no such market here
                except (Retryable, msgspec.MsgspecError) as error:
                    link.say("lost", f"price of {'/'.join(pair)}, for fees: {error}")
            await asyncio.sleep(PRICES_S)

    # --- for people -----------------------------------------------------------------------------------------

    def _notice(self, aside: Aside) -> None:
        link = self._link
        if isinstance(aside, ForeignOrder):
            what = f"{link.mine[aside.instrument].symbol}: order {aside.client_text!r} is not ours: {aside.execution}"
            text = f"{what}, {aside.status}, {aside.quantity} at {aside.price}, filled {aside.last_quantity}"
            link.say("foreign", text, aside.instrument)
        elif isinstance(aside, WalletChange):
            link.say("wallet", f"{aside.amount} {aside.asset} came or went")
        elif isinstance(aside, FundingPaid):
            link.say("wallet", f"funding of {Decimal(aside.amount_e8) / E8} {aside.asset} names no position")
        elif isinstance(aside, Wallet):
            for holding in aside.holdings:
                if holding.side != "BOTH":
                    link.say("refused", f"{holding.symbol}: hedge mode was switched on; switch to one-way mode")
        elif isinstance(aside, StreamEnded):
            link.say("lost", f"the venue ends the user stream ({aside.event})")
