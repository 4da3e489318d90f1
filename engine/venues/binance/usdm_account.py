"""What only the USD-M account has: positions, margin modes, leverage."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from engine.contracts.errors import Refused, Retryable
from engine.venues.binance.dialects import Call
from engine.venues.binance.link import Link
from engine.venues.budgets import Urgency
from engine.venues.port import Position, Wallet
from engine.venues.signing import Value

T = TypeVar("T")
POSITION_MODE: Final = Call("/fapi/v1/positionSide/dual", 30)
MULTI_ASSETS: Final = Call("/fapi/v1/multiAssetsMargin", 30)
BALANCE: Final = Call("/fapi/v3/balance", 5)
POSITION_RISK: Final = Call("/fapi/v3/positionRisk", 5)
ACCOUNT_CONFIG: Final = Call("/fapi/v1/accountConfig", 5)
SYMBOL_CONFIG: Final = Call("/fapi/v1/symbolConfig", 5)
MARGIN_TYPE: Final = Call("/fapi/v1/marginType", 1)
LEVERAGE: Final = Call("/fapi/v1/leverage", 1)
ALREADY: Final = -4046  # "No need to change margin type."


class _Dual(msgspec.Struct):
    dualSidePosition: bool


class _Multi(msgspec.Struct):
    multiAssetsMargin: bool


class _Config(msgspec.Struct):
    canTrade: bool = True


class _Balance(msgspec.Struct):
    """`{"asset":"USDT","balance":"122607.35","availableBalance":"23.72"}`"""

    asset: str
    balance: Decimal
    availableBalance: Decimal


class _Risk(msgspec.Struct):
    """`{"symbol":"ADAUSDT","positionAmt":"30","entryPrice":"0.385"}`"""

    symbol: str
    positionAmt: Decimal
    entryPrice: Decimal


class SymbolConfig(msgspec.Struct):
    """`{"symbol":"BTCUSDT","marginType":"CROSSED","isAutoAddMargin":false,"leverage":21}`"""

    symbol: str
    marginType: str
    leverage: int


class UsdmAccount:
    """Questions and settings of the USD-M account."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._told: set[str] = set()

    async def check(self) -> bool:
        """Whether it may trade. Raises Refused for hedge mode and multi-asset margin."""
        name = self._link.venue
        if (await self._get(POSITION_MODE, _Dual)).dualSidePosition:
            raise Refused(f"{name}: hedge mode is on; switch to one-way mode (preferences, position mode)")
        if (await self._get(MULTI_ASSETS, _Multi)).multiAssetsMargin:
            raise Refused(f"{name}: multi-assets mode is on; switch to single-asset mode (preferences, asset mode)")
        return (await self._get(ACCOUNT_CONFIG, _Config)).canTrade

    async def wallets(self) -> list[Wallet]:
        """Free is what can be used for orders; locked the rest of the wallet."""
        found = await self._get(BALANCE, list[_Balance])
        return [
            Wallet(asset=b.asset, free=b.availableBalance, locked=max(Decimal(0), b.balance - b.availableBalance))
            for b in found
            if b.balance
        ]

    async def positions(self) -> list[Position]:
        """Other than zero; those of symbols we do not trade are shown as foreign."""
        link = self._link.running()
        found = []
        for risk in await self._get(POSITION_RISK, list[_Risk]):
            number = link.by_symbol.get(risk.symbol)
            if not risk.positionAmt:
                continue
            if number is None:
                if risk.symbol not in self._told:
                    self._told.add(risk.symbol)
                    link.say("foreign", f"a position of {risk.positionAmt} {risk.symbol}, which is not traded here")
                continue
            lots = risk.positionAmt / link.mine[number].lot_size
            if lots != int(lots):
                raise Retryable(f"{risk.symbol}: a position of {risk.positionAmt} is no whole number of lots")
            found.append(Position(instrument=number, qty_lots=int(lots), entry_price=risk.entryPrice))
        return found

    async def isolate(self, symbol: str) -> int:
        """Isolated margin, set and verified; returns the leverage kept. Raises Refused where it cannot be set."""
        margin: dict[str, Value] = {"symbol": symbol, "marginType": "ISOLATED"}
        if (await self._kept(symbol)).marginType != "ISOLATED":
            answer = await self._link.rest.exchange("POST", MARGIN_TYPE, margin, True, Urgency.EXIT)
            if answer.code != ALREADY:
                self._link.rest.judged(answer, MARGIN_TYPE)
        kept = await self._kept(symbol)
        if kept.marginType != "ISOLATED":
            raise Refused(f"{symbol}: isolated margin was asked for, the venue keeps {kept.marginType}")
        return kept.leverage

    async def lever(self, symbol: str, leverage: int) -> None:
        """This leverage, set and verified. Raises Refused where the venue keeps another."""
        wanted: dict[str, Value] = {"symbol": symbol, "leverage": leverage}
        answer = await self._link.rest.exchange("POST", LEVERAGE, wanted, True, Urgency.EXIT)
        self._link.rest.judged(answer, LEVERAGE)
        kept = await self._kept(symbol)
        if kept.leverage != leverage:
            raise Refused(f"{symbol}: leverage {leverage} was asked for, the venue keeps {kept.leverage}")

    async def _kept(self, symbol: str) -> SymbolConfig:
        found = await self._get(SYMBOL_CONFIG, list[SymbolConfig], {"symbol": symbol})
        for one in found:
            if one.symbol == symbol:
                return one
        raise Retryable(f"{symbol}: the venue says nothing about its margin and leverage")

    async def _get(self, call: Call, shape: type[T], params: dict[str, Value] | None = None) -> T:
        return self._decoded(await self._link.rest.get(call, params, True, Urgency.EXIT), shape)

    def _decoded(self, body: bytes, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.MsgspecError as error:
            raise Retryable(f"{self._link.venue}: an answer about the account cannot be read: {error}") from None
