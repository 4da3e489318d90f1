"""A journal written by hand: two instruments, the life of a few orders, one closed trade."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from engine.contracts import reasons as why
from engine.contracts import records as r
from engine.contracts.instruments import Instrument

BTC = Instrument(
    symbol="BTCUSDT", venue="binance", base="BTC", quote="USDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"),
    min_qty=Decimal("0.001"), max_qty=Decimal(9000),
)  # fmt: skip
PERP = Instrument(
    symbol="DOGE-PERP", venue="okx", base="DOGE", quote="USDT", kind="perp", tick_size=Decimal("0.00001"),
    lot_size=Decimal("0.1"), min_qty=Decimal("0.1"), max_qty=Decimal(9000), contract_size=Decimal(1000),
)  # fmt: skip
INSTRUMENTS = [BTC, PERP]
STRATEGIES = {1: "momentum", 2: "crossover"}
ALL = r.NO_INSTRUMENT


def entry(seq: int, kind: int, instrument: int = 0, **fields: int) -> np.ndarray:
    """One ENTRY at 1000 ns times its seq."""
    made = np.zeros(1, r.ENTRY)
    made["seq"] = seq
    record = made["record"]
    record["ts_ns"], record["kind"], record["instrument"] = seq * 1000, kind, instrument
    for name, value in fields.items():
        record[name] = value
    return made


def golden() -> np.ndarray:
    """Bought with two fills (one fee in base), stop triggered and filled; a perp short refused; a cancel race."""
    buy = {"strategy": 1, "order_type": r.LIMIT_ORDER, "tif": r.GTC, "side": r.BUY, "role": r.ROLE_ENTRY}
    stop = {
        "strategy": 1, "order_type": r.STOP_MARKET, "tif": r.GTC, "side": r.SELL, "role": r.ROLE_STOP,
        "bits": r.REDUCE_ONLY,
    }  # fmt: skip
    short = buy | {"side": r.SELL, "strategy": 2, "bits": r.POST_ONLY}
    rows = [
        entry(1, r.QUOTE, bid_ticks=1, ask_ticks=2),
        entry(2, r.PLACE, **buy, client_id=11, price_ticks=5_000_000, qty_lots=4, reason=why.ENTRY_SIGNAL),
        entry(3, r.ORDER_ACK, client_id=11),
        entry(4, r.FILL, client_id=11, side=r.BUY, price_ticks=4_999_000, qty_lots=1, fee_e8=5_000_000, trade_id=7,
              bits=r.MAKER),
        entry(5, r.FILL, client_id=11, side=r.BUY, price_ticks=5_000_000, qty_lots=3, fee_e8=300, trade_id=8,
              bits=r.FEE_IN_BASE),
        entry(5, r.PLACE, **stop, client_id=12, qty_lots=4, trigger_ticks=4_900_000, ref_id=10, reason=why.STOP_LOSS),
        entry(6, r.FILL, client_id=11, side=r.BUY, price_ticks=5_000_000, qty_lots=3, fee_e8=300, trade_id=8,
              bits=r.FEE_IN_BASE),  # the venue repeats itself
        entry(7, r.EQUITY, ALL, equity_e8=99_900_000_000, cash_e8=80_000_000_000, free_e8=79_000_000_001,
              day_pnl_e8=-100_000_000, open_risk_e8=400_000_000),
        entry(8, r.REFUSED, 1, strategy=2, side=r.SELL, reason=why.DAY_LOSS, measured_e8=2_100_000_000,
              limit_e8=2_000_000_000),
        entry(9, r.PLACE, 1, **short, client_id=13, price_ticks=12_345, qty_lots=20, reason=why.ENTRY_SIGNAL),
        entry(10, r.ORDER_REJECT, 1, client_id=13, reason=why.WOULD_TAKE),
        entry(11, r.ORDER_TRIGGERED, client_id=12),
        entry(12, r.FILL, client_id=12, side=r.SELL, price_ticks=4_800_000, qty_lots=4, fee_e8=19_200_000, trade_id=9),
        entry(12, r.TRADE_SIZE, strategy=1, trade_no=1, entry_value_e8=19_999_000_000, qty_lots=4,
              exit_value_e8=19_200_000_000, stop_ticks=4_900_000),
        entry(12, r.CLOSED, strategy=1, side=1, reason=why.STOP_LOSS, trade_no=1, gross_e8=-799_000_000,
              fees_e8=39_200_000, funding_e8=1_200_000, risk_e8=418_500_000),
        entry(12, r.EXCURSION, strategy=1, trade_no=1, mae_e8=-800_000_000, mfe_e8=5, slippage_e8=400_000_000,
              opened_ns=4000),
        entry(12, r.GAP, strategy=1, reason=why.GAP_BETWEEN_TICKS, trade_no=1, loss_e8=837_000_000,
              planned_e8=418_500_000, stop_ticks=4_900_000),
        entry(13, r.STATE, ALL, reason=why.DAY_LOSS_LIMIT, index=0, value_e9=1),
        entry(14, r.PLACE, 1, **short, client_id=14, price_ticks=12_345, qty_lots=20, reason=why.ENTRY_SIGNAL),
        entry(14, r.CANCEL, 1, client_id=14, reason=why.ENTRY_TIMEOUT),
        entry(15, r.FILL, 1, client_id=14, side=r.SELL, price_ticks=12_345, qty_lots=5, fee_e8=1, trade_id=7),
        entry(16, r.CANCEL_ACK, 1, client_id=14),
        entry(17, r.OPERATOR, ALL, reason=why.OPERATOR_RESUME),
        entry(17, r.STATE, ALL, reason=why.OPERATOR_RESUME, index=1, value_e9=0),
        entry(18, r.PARAMETER, ALL, reason=1, index=2, value_e9=1_500_000_000),
        entry(19, r.PARAMETER, ALL, reason=1, index=2, value_e9=2_000_000_000),
        entry(20, r.LIMIT, ALL, index=0, amount_e8=500_000_000),
    ]  # fmt: skip
    return np.frombuffer(b"".join(row.tobytes() for row in rows), r.ENTRY)  # concatenate would lose the layout
