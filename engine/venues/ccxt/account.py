"""Questions about the account at an exchange through ccxt."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.errors import Refused, Retryable
from engine.contracts.records import BUY, RECORD, SELL
from engine.venues.budgets import Urgency
from engine.venues.ccxt.board import Board, Listing
from engine.venues.ccxt.faults import Failure
from engine.venues.ccxt.refresh import Refresh
from engine.venues.ccxt.reports import Reports
from engine.venues.ccxt.session import RECV_WINDOW_MS, Session
from engine.venues.ccxt.steps import decimal_of
from engine.venues.emulated_stops import EmulatedStops
from engine.venues.port import AccountFacts, OpenOrder, Position, Records, Wallet
from engine.venues.undecodable import Undecodable

_SIDES: Final = {"buy": BUY, "sell": SELL}
_PAGE: Final = 500
_FARTHEST_DAYS: Final = 30
_DAY_MS: Final = 86_400_000

# what is read: (may withdraw, bound to addresses or None, may trade, whose account it is)
Rights = tuple[bool, bool | None, bool, str]


async def binance_rights(session: Session) -> Rights:
    """`{"ipRestrict":false,"enableWithdrawals":false,"enableSpotAndMarginTrading":true,"enableFutures":false,...}`"""
    told = await session.ask("sapi_get_account_apirestrictions")
    trades = "enableFutures" if session.facts.has_algo_book else "enableSpotAndMarginTrading"
    return bool(told["enableWithdrawals"]), bool(told["ipRestrict"]), bool(told.get(trades, True)), ""


async def coinbase_rights(session: Session) -> Rights:
    """`{"can_view":true,"can_trade":true,"can_transfer":false,"portfolio_uuid":"...","portfolio_type":"DEFAULT"}`"""
    told = await session.ask("v3_private_get_brokerage_key_permissions")
    return bool(told["can_transfer"]), None, bool(told["can_trade"]), str(told.get("portfolio_uuid") or "")


RIGHTS: Final[dict[str, Callable[[Session], Awaitable[Rights]]]] = {
    "binance": binance_rights,
    "coinbase": coinbase_rights,
}


class CcxtAccount:
    """See `port.Account`."""

    def __init__(
        self, session: Session, board: Board, reports: Reports, stops: EmulatedStops, refresh: Refresh, testnet: bool
    ) -> None:
        self._session, self._board, self._reports = session, board, reports
        self._stops, self._refresh, self._testnet = stops, refresh, testnet
        self.owner = ""  # whose account it is, known once checked, where the venue tells

    # --- may it be traded ---------------------------------------------------------------------------

    async def check(self) -> AccountFacts:
        """See the port. Tells clock skew apart from a wrong key, and both from a venue that cannot be reached."""
        session, notes = self._session, []
        if not session.exchange.apiKey:
            raise Refused(f"{session.name}: no API key is set; add one with `trading-cli keys add`")
        await session.measure_clock()
        if session.clock.samples:
            session.clock.check(RECV_WINDOW_MS)
        balance = await self._first_signed()
        read = RIGHTS.get(session.facts.rights)
        if read is None or self._testnet:
            rights = None
        else:
            rights = await self._rights(read)
        can_withdraw, is_bound, can_trade, self.owner = rights or (False, None, True, "")
        if rights is None:
            notes.append("the venue does not say here whether this key may withdraw: make sure that it may not")
        info = balance.get("info")
        if isinstance(info, dict):
            can_trade = can_trade and info.get("canTrade") is not False
            self.owner = self.owner or str(info.get("uid") or "")
        if can_withdraw:
            text = "this API key may withdraw; Keel refuses such keys: switch withdrawals (transfers) off for it"
            raise Refused(f"{session.name}: {text}, or create a key that may only read and trade")
        if not can_trade:
            raise Refused(f"{session.name}: this API key may not trade; switch trading on for it")
        await self._check_modes()
        fees = await self._refresh.read_fees() if self._board.by_symbol else {}
        return AccountFacts(
            can_trade=can_trade, can_withdraw=can_withdraw, is_ip_bound=is_bound, fees=fees, notes=tuple(notes),
            clock_offset_ms=session.clock.offset_ms,
        )  # fmt: skip

    async def _first_signed(self) -> Any:
        """The first signed question: what is wrong with key or clock shows here."""
        found = await self._session.attempt(Urgency.EXIT, "fetch_balance")
        if not isinstance(found, Failure):
            return found
        name = self._session.name
        if found.reason == reasons.KEY_REFUSED:
            text = "check key and secret, that the key is active, allowed from this address, and made for this exchange"
            raise Refused(f"{name}: the API key is refused ({found.text}); {text} and not its testnet")
        if found.reason == reasons.CLOCK_SKEW:
            raise Refused(f"{name}: the clocks disagree ({found.text}); turn on time synchronisation "
                          "(timedatectl set-ntp true)")  # fmt: skip
        raise found.error()

    async def _rights(self, read: Callable[[Session], Awaitable[Rights]]) -> Rights | None:
        """None where the address does not offer the question (test networks)."""
        try:
            return await read(self._session)
        except Retryable as error:
            if " 404 " in str(error):
                return None
            raise
        except KeyError as error:
            raise Retryable(f"{self._session.name}: what the key may do cannot be read: {error} is missing") from None

    async def _check_modes(self) -> None:
        session = self._session
        perps = [one.symbol for one in self._board.by_symbol.values() if one.instrument.kind == "perp"]
        if perps and session.exchange.has.get("fetchPositionMode"):
            mode = await session.ask("fetch_position_mode", perps[0])
            if mode.get("hedged"):
                raise Refused(f"{session.name}: hedge mode is on; switch the account to one-way mode (Position Mode)")

    # --- what is there ------------------------------------------------------------------------------

    async def open_orders(self) -> list[OpenOrder]:
        """See the port."""
        found = []
        for listing in list(self._board.by_symbol.values()):
            found += [self._open(one, "orders") for one in await self._session.ask("fetch_open_orders", listing.symbol)]
            if self._session.facts.has_algo_book and listing.instrument.kind == "perp":
                rows = await self._session.ask("fetch_open_orders", listing.symbol, None, None, {"trigger": True})
                found += [self._open(one, "algo") for one in rows]
        found += [self._held(stop) for stop in self._stops.all()]
        return found

    def _open(self, order: dict[str, Any], book: Any) -> OpenOrder:
        listing = self._board.by_symbol[str(order["symbol"])]
        text, info = str(order.get("clientOrderId") or ""), order.get("info") or {}
        client_id = self._reports.client_id(text) or self._reports.owner(listing, str(order["id"]))
        prices, lots = listing.prices, listing.lots
        kind = info.get("type") or info.get("orderType") or info.get("order_type")
        return OpenOrder(
            instrument=listing.number, client_id=client_id, client_text=text, venue_order_id=str(order["id"]),
            book=book, side=_SIDES.get(str(order.get("side")), 0), order_type=str(kind or order.get("type") or ""),
            qty_lots=lots.nearest(order.get("amount") or 0), filled_lots=lots.nearest(order.get("filled") or 0),
            price_ticks=prices.nearest(order.get("price") or 0),
            trigger_ticks=prices.nearest(order.get("triggerPrice") or 0),
        )  # fmt: skip

    def _held(self, stop: Any) -> OpenOrder:
        want, _ = stop.order
        return OpenOrder(
            instrument=stop.instrument, client_id=stop.client_id, client_text=self._reports.text(stop.client_id),
            venue_order_id="", book="emulated", side=stop.side, order_type="STOP", qty_lots=want.qty_lots,
            filled_lots=0, price_ticks=want.price_ticks, trigger_ticks=stop.trigger_ticks,
        )  # fmt: skip

    async def wallets(self) -> list[Wallet]:
        """See the port."""
        balance = await self._session.ask("fetch_balance")
        found = []
        for asset in sorted(balance.get("total") or {}):
            part = balance[asset]
            free, used = (_amount(part.get(name), asset) for name in ("free", "used"))
            if free or used:
                found.append(Wallet(asset=asset, free=free, locked=used))
        return found

    async def positions(self) -> list[Position]:
        """See the port."""
        perps = [one for one in self._board.by_symbol.values() if one.instrument.kind == "perp"]
        if not perps:
            return []
        rows = await self._session.ask("fetch_positions", [one.symbol for one in perps])
        found = []
        for row in rows:
            listing = self._board.by_symbol.get(str(row.get("symbol")))
            lots = listing.lots.nearest(abs(row.get("contracts") or 0)) if listing is not None else 0
            if listing is not None and lots:
                side = -1 if row.get("side") == "short" else 1
                price = _amount(row.get("entryPrice"), f"{listing.symbol}: entry price")
                found.append(Position(instrument=listing.number, qty_lots=side * lots, entry_price=price))
        return found

    # --- what was missed ----------------------------------------------------------------------------

    async def fills_since(self, since_ns: int) -> int:
        """See the port; looks back 30 days at most."""
        now_ms = time.time_ns() // 1_000_000
        since_ms = max(since_ns // 1_000_000, now_ms - _FARTHEST_DAYS * _DAY_MS)
        told = 0
        for listing in list(self._board.by_symbol.values()):
            for trade in await self._trades(listing, since_ms, now_ms):
                told += await self._told(listing, trade)
        return told

    async def foreign_fills(self, instrument: int, since_ns: int) -> Records:
        """See the port. Not told apart here: what somebody else closed is booked at the last price known."""
        return np.zeros(0, RECORD)

    async def _trades(self, listing: Listing, since_ms: int, now_ms: int) -> list[dict[str, Any]]:
        """Our trades since then: the newest page where that is enough, else day by day (Binance shows one a time)."""
        newest = await self._session.ask("fetch_my_trades", listing.symbol, None, _PAGE)
        if len(newest) < _PAGE or int(newest[0]["timestamp"]) < since_ms:
            return [trade for trade in newest if int(trade["timestamp"]) >= since_ms]
        found: dict[str, dict[str, Any]] = {}
        while since_ms <= now_ms:
            page = await self._session.ask("fetch_my_trades", listing.symbol, since_ms, _PAGE)
            fresh = {str(trade["id"]): trade for trade in page if str(trade["id"]) not in found}
            found |= fresh
            since_ms = int(page[-1]["timestamp"]) if len(page) >= _PAGE and fresh else since_ms + _DAY_MS
        return list(found.values())

    async def _told(self, listing: Listing, trade: dict[str, Any]) -> bool:
        order_id = str(trade.get("order") or "")
        if self._reports.owner(listing, order_id) is None and self._reports.is_new(listing, trade):
            found = await self._session.attempt(Urgency.EXIT, "fetch_order", order_id, listing.symbol)
            client_id = None if isinstance(found, Failure) else self._reports.client_id(found.get("clientOrderId"))
            if isinstance(found, Failure) and found.reason != reasons.UNKNOWN_ORDER:
                raise found.error()
            if client_id is None:
                self._reports.order(found | {"symbol": listing.symbol} if not isinstance(found, Failure) else {})
                is_ours = not isinstance(found, Failure) and self._reports.bit_of(str(found.get("clientOrderId") or ""))
                return bool(is_ours) and self._reports.trade(trade | {"symbol": listing.symbol})
            self._reports.adopt(listing, order_id, client_id)
        return self._reports.trade(trade | {"symbol": listing.symbol})


def _amount(value: Any, what: str) -> Decimal:
    try:
        return decimal_of(value, what) if value is not None else Decimal(0)
    except Undecodable as error:
        raise Retryable(str(error)) from None
