"""The calls about a customer's money and positions."""

from __future__ import annotations

from typing import Any

from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.binance_usdm.catalogue import NO_CAP_E8
from engine.sandbox.binance_usdm.shapes import cross_wallet_e8, entry_price
from engine.sandbox.binance_usdm.tickets import perp
from engine.sandbox.futures import Futures
from engine.sandbox.perp_tape import PerpTape, decimal
from engine.sandbox.tape import text_e8
from engine.sandbox.traders import Trader

Json = Any


def _initial(futures: Futures, trader: Trader, tape: PerpTape) -> int:
    """Initial margin of a position at the mark price."""
    held = trader.positions[tape.index]
    return -(-tape.paid_e8(1, tape.mark, abs(held.lots)) // held.leverage) if held.lots else 0


def _maintenance(futures: Futures, trader: Trader, tape: PerpTape) -> int:
    held = trader.positions[tape.index]
    value = tape.paid_e8(1, tape.mark, abs(held.lots))
    return -(-value * int(futures.filters(tape).maintenance_e8) // 10**8)


def _totals(futures: Futures, trader: Trader) -> dict[str, str]:
    """The sums that account (v2, v3) begins with."""
    tapes = futures.tapes
    profit = sum(trader.positions[t.index].profit_e8(t, t.mark) for t in tapes)
    crossed = sum(trader.positions[t.index].profit_e8(t, t.mark) for t in tapes if not trader.isolated[t.index])
    found = {
        "totalInitialMargin": trader.margin_e8 + trader.locked_e8,
        "totalMaintMargin": sum(_maintenance(futures, trader, t) for t in tapes),
        "totalWalletBalance": trader.wallet_e8,
        "totalUnrealizedProfit": profit,
        "totalMarginBalance": trader.wallet_e8 + profit,
        "totalPositionInitialMargin": trader.margin_e8,
        "totalOpenOrderInitialMargin": trader.locked_e8,
        "totalCrossWalletBalance": cross_wallet_e8(trader),
        "totalCrossUnPnl": crossed,
        "availableBalance": trader.available_e8,
        "maxWithdrawAmount": trader.available_e8,
    }
    return {name: text_e8(amount) for name, amount in found.items()}


def _asset(futures: Futures, trader: Trader) -> dict[str, Any]:
    total = _totals(futures, trader)
    return {
        "asset": futures.cash_asset,
        "walletBalance": total["totalWalletBalance"],
        "unrealizedProfit": total["totalUnrealizedProfit"],
        "marginBalance": total["totalMarginBalance"],
        "maintMargin": total["totalMaintMargin"],
        "initialMargin": total["totalInitialMargin"],
        "positionInitialMargin": total["totalPositionInitialMargin"],
        "openOrderInitialMargin": total["totalOpenOrderInitialMargin"],
        "crossWalletBalance": total["totalCrossWalletBalance"],
        "crossUnPnl": total["totalCrossUnPnl"],
        "availableBalance": total["availableBalance"],
        "maxWithdrawAmount": total["maxWithdrawAmount"],
        "updateTime": trader.update_ms,
    }


def account_v3(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET v3 account: the wallet and the symbols with a position or orders."""
    busy = [tape for tape in futures.tapes if _is_busy(trader, tape)]
    positions = [_account_position(futures, trader, tape) for tape in busy]
    return _totals(futures, trader) | {"assets": [_asset(futures, trader)], "positions": positions}


def account_v2(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET v2 account: the wallet, permissions and all symbols."""
    head = {
        "feeTier": 0,
        "feeBurn": False,
        "canTrade": True,
        "canDeposit": False,
        "canWithdraw": False,
        "updateTime": 0,
        "multiAssetsMargin": trader.is_multi_asset,
        "tradeGroupId": -1,
    }
    positions = []
    for tape in futures.tapes:
        held = trader.positions[tape.index]
        positions.append(
            _account_position(futures, trader, tape)
            | {
                "openOrderInitialMargin": "0",
                "leverage": str(trader.leverages[tape.index]),
                "isolated": trader.isolated[tape.index],
                "entryPrice": entry_price(tape, held.entry_e8(tape)),
                "breakEvenPrice": entry_price(tape, held.entry_e8(tape)),
                "maxNotional": str(NO_CAP_E8 // 10**8),
                "bidNotional": "0",
                "askNotional": "0",
            }
        )
    asset = _asset(futures, trader) | {"marginAvailable": True}
    return head | _totals(futures, trader) | {"assets": [asset], "positions": positions}


def _is_busy(trader: Trader, tape: PerpTape) -> bool:
    orders = any(order.symbol == tape.index for order in trader.working.values())
    return orders or trader.positions[tape.index].lots != 0


def _account_position(futures: Futures, trader: Trader, tape: PerpTape) -> dict[str, Any]:
    held = trader.positions[tape.index]
    profit, apart = held.profit_e8(tape, tape.mark), trader.isolated[tape.index]
    side = 1 if held.lots > 0 else -1
    return {
        "symbol": tape.name,
        "positionSide": "BOTH",
        "positionAmt": tape.quantity(held.lots),
        "unrealizedProfit": text_e8(profit),
        "isolatedMargin": text_e8(held.margin_e8 + profit if apart and held.lots else 0),
        "notional": text_e8(side * tape.paid_e8(1, tape.mark, abs(held.lots)) if held.lots else 0),
        "isolatedWallet": text_e8(held.margin_e8 if apart else 0),
        "initialMargin": text_e8(_initial(futures, trader, tape)),
        "positionInitialMargin": text_e8(_initial(futures, trader, tape)),
        "maintMargin": text_e8(_maintenance(futures, trader, tape)),
        "updateTime": held.update_ms,
    }


def risk_v3(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET v3 positionRisk: the symbols with a position or orders."""
    found = [perp(futures, p)] if "symbol" in p else futures.tapes
    return [_risk(futures, trader, tape) for tape in found if _is_busy(trader, tape)]


def risk_v2(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET v2 positionRisk: all symbols, or one."""
    found = [perp(futures, p)] if "symbol" in p else futures.tapes
    rows = []
    for tape in found:
        row = _risk(futures, trader, tape)
        margin = row["isolatedMargin"]
        rows.append(
            {name: row[name] for name in (
                "symbol", "positionAmt", "entryPrice", "breakEvenPrice", "markPrice", "unRealizedProfit",
                "liquidationPrice",
            )}
            | {
                "leverage": str(trader.leverages[tape.index]),
                "maxNotionalValue": str(NO_CAP_E8 // 10**8),
                "marginType": "isolated" if trader.isolated[tape.index] else "cross",
                "isolatedMargin": margin,
                "isAutoAddMargin": "false",
                "positionSide": "BOTH",
                "notional": row["notional"],
                "isolatedWallet": row["isolatedWallet"],
                "updateTime": row["updateTime"],
                "isolated": trader.isolated[tape.index],
                "adlQuantile": row["adl"],
            }
        )  # fmt: skip
    return rows


def _risk(futures: Futures, trader: Trader, tape: PerpTape) -> dict[str, Any]:
    held, row = trader.positions[tape.index], _account_position(futures, trader, tape)
    limit_e8 = round(futures.liquidation_ticks(trader, tape.index) * tape.tick_e8)
    entry = entry_price(tape, held.entry_e8(tape)) if held.lots else "0.0"
    return {
        "symbol": tape.name,
        "positionSide": "BOTH",
        "positionAmt": row["positionAmt"],
        "entryPrice": entry,
        "breakEvenPrice": entry,
        "markPrice": text_e8(tape.mark * tape.tick_e8),
        "unRealizedProfit": row["unrealizedProfit"],
        "liquidationPrice": decimal(limit_e8, 8) if limit_e8 else "0",
        "isolatedMargin": row["isolatedMargin"],
        "notional": row["notional"],
        "marginAsset": futures.cash_asset,
        "isolatedWallet": row["isolatedWallet"],
        "initialMargin": row["initialMargin"],
        "maintMargin": row["maintMargin"],
        "positionInitialMargin": row["positionInitialMargin"],
        "openOrderInitialMargin": "0",
        "adl": 1 if held.lots else 0,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": held.update_ms,
    }


def balance(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET v2 and v3 balance."""
    asset = _asset(futures, trader)
    return [
        {
            "accountAlias": f"sandbox{trader.number}",
            "asset": futures.cash_asset,
            "balance": asset["walletBalance"],
            "crossWalletBalance": asset["crossWalletBalance"],
            "crossUnPnl": asset["crossUnPnl"],
            "availableBalance": asset["availableBalance"],
            "maxWithdrawAmount": asset["maxWithdrawAmount"],
            "marginAvailable": True,
            "updateTime": trader.update_ms,
        }
    ]


def income(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET income: the newest rows, or those from `startTime` on, oldest first."""
    index = perp(futures, p).index if "symbol" in p else None
    kind, limit = p.text("incomeType"), p.limit(100, 1000)
    start, end = p.integer("startTime") or 0, p.integer("endTime") or 2**62
    found = [
        {
            "symbol": futures.tapes[row.symbol].name if row.symbol >= 0 else "",
            "incomeType": row.kind,
            "income": text_e8(row.amount_e8),
            "asset": futures.cash_asset,
            "info": str(row.trade_id) if row.trade_id else row.kind,
            "time": row.time_ms,
            "tranId": row.tran_id,
            "tradeId": str(row.trade_id) if row.trade_id else "",
        }
        for row in trader.income
        if index in (None, row.symbol) and kind in (None, row.kind) and start <= row.time_ms <= end
    ]
    return found[:limit] if start else found[-limit:]
