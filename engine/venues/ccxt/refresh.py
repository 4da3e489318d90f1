"""Rules, fees and funding read again on a schedule, and at once after an order was refused for a rule (X6, X13)."""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal
from typing import Any, Final

from engine.contracts.errors import KeelError
from engine.contracts.instruments import E8, Instrument
from engine.venues.budgets import Urgency
from engine.venues.ccxt.board import Board, Listing
from engine.venues.ccxt.faults import Failure
from engine.venues.ccxt.market import CcxtMarketData
from engine.venues.ccxt.reports import Reports
from engine.venues.ccxt.rules import changes, is_rescaled, with_fees
from engine.venues.ccxt.session import Session
from engine.venues.ccxt.steps import decimal_of

SOONEST_S: Final = 1.0  # between two readings, however many orders are refused


class Refresh:
    """Set `now` to have everything read again."""

    def __init__(self, session: Session, board: Board, market: CcxtMarketData, every_s: float) -> None:
        self._session, self._board, self._market, self._every_s = session, board, market, every_s
        self._funding_ms = 0
        self.now = asyncio.Event()
        self.fees: dict[str, tuple[Decimal, Decimal]] = {}

    async def run(self, reports: Reports) -> None:
        """Until cancelled."""
        self._funding_ms = self._session.exchange.milliseconds()
        await self._price_fee_asset(reports)
        while True:
            try:
                async with asyncio.timeout(self._every_s):
                    await self.now.wait()
            except TimeoutError:
                pass
            self.now.clear()
            try:
                await self.read(reports)
            except KeelError as error:
                reports.notice("rules", f"rules and fees could not be read again: {error}")
            await asyncio.sleep(SOONEST_S)

    async def read(self, reports: Reports) -> None:
        """Tell what changed since the last reading. Raises Retryable, Refused."""
        listings = list(self._board.by_symbol.values())
        fresh = await self._market.load([listing.symbol for listing in listings])
        fees = await self.read_fees() if self._session.exchange.apiKey else {}
        for listing, new in zip(listings, fresh, strict=True):
            maker, taker = fees.get(listing.symbol, (listing.instrument.maker_fee, listing.instrument.taker_fee))
            self._tell(reports, listing, with_fees(new, maker, taker))
        await self._price_fee_asset(reports)
        await self._read_funding(reports)

    async def _price_fee_asset(self, reports: Reports) -> None:
        """What a third asset that fees are taken in (BNB) is worth."""
        asset = self._session.facts.fee_asset
        for quote in {listing.instrument.quote for listing in self._board.by_symbol.values()}:
            symbol = f"{asset}/{quote}"
            found = symbol if symbol in (self._session.exchange.markets or {}) else f"{symbol}:{quote}"
            if asset and found in (self._session.exchange.markets or {}):
                ticker = await self._session.attempt(Urgency.MARKET_DATA, "fetch_ticker", found)
                if not isinstance(ticker, Failure) and ticker.get("last"):
                    reports.rates[symbol] = float(ticker["last"])

    async def _read_funding(self, reports: Reports) -> None:
        """Funding paid on our positions since the last look."""
        if not self._session.exchange.has.get("fetchFundingHistory") or not self._session.exchange.apiKey:
            return
        since_ms = self._funding_ms
        for listing in self._board.by_symbol.values():
            if listing.instrument.kind == "perp":
                for paid in await self._session.ask("fetch_funding_history", listing.symbol, since_ms, 100):
                    if int(paid["timestamp"]) > since_ms:
                        amount = decimal_of(paid["amount"], f"{listing.symbol}: funding") * E8
                        reports.funding(listing, int(paid["timestamp"]) * 1_000_000, math.floor(amount))
                        self._funding_ms = max(self._funding_ms, int(paid["timestamp"]))

    def _tell(self, reports: Reports, listing: Listing, new: Instrument) -> None:
        old = listing.instrument
        if is_rescaled(old, new):
            reports.notice("rules", f"{listing.symbol}: tick {old.tick_size} -> {new.tick_size}, lot {old.lot_size} -> "
                           f"{new.lot_size}: restart to trade it again", listing.number)  # fmt: skip
            return
        for index, amount_e8, words in changes(old, new):
            reports.rule(listing, index, amount_e8)
            reports.notice("rules", f"{listing.symbol}: {words}", listing.number)
        listing.instrument = new

    async def read_fees(self) -> dict[str, tuple[Decimal, Decimal]]:
        """The account's maker and taker fees, by symbol. Raises Retryable, Refused."""
        listings = list(self._board.by_symbol.values())
        if self._session.facts.fees == "all":
            every = await self._session.ask("fetch_trading_fees")
            told = {listing.symbol: every[listing.symbol] for listing in listings if listing.symbol in every}
        else:
            told = {}
            for listing in listings:
                told[listing.symbol] = await self._session.ask("fetch_trading_fee", listing.symbol)
        self.fees = {symbol: pair for symbol, fee in told.items() if (pair := _pair(fee)) is not None}
        return self.fees


def _pair(fee: dict[str, Any]) -> tuple[Decimal, Decimal] | None:
    maker, taker = fee.get("maker"), fee.get("taker")
    if maker is None or taker is None:
        return None
    return decimal_of(maker, "maker fee"), decimal_of(taker, "taker fee")
