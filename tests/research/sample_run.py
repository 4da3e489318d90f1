"""A seeded synthetic run: ledger, manifest and closes as a backtest would leave them, money exact.

`python tests/research/sample_run.py FOLDER` writes its report there, to be looked at.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import numpy as np

from engine.contracts.instruments import Instrument
from engine.contracts.ledger import EquityRow, FillRow, GapRow, Ledger, RefusalRow, StateRow, TradeRow
from engine.contracts.runs import Manifest, Source
from engine.research.equity import Closes, Floats, Times

START_NS = 1_735_689_600_000_000_000  # 2025-01-01T00:00:00Z
MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
BASES = ("SOL", "AVAX", "LINK", "INJ", "APT", "SUI", "NEAR", "ARB", "TIA", "SEI")
EXITS = ("STOP_LOSS", "TRAILING_STOP", "TAKE_PROFIT", "TIME_STOP", "EXIT_SIGNAL")
REFUSALS = ("DAY_LOSS", "EXPOSURE", "STALE_DATA", "SPREAD_TOO_WIDE", "MAX_POSITIONS", "NOTIONAL_BELOW_MINIMUM")


def cents(value: float, places: int = 8) -> Decimal:
    """Exact decimal rounded to `places`."""
    return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-places))


def instrument(base: str) -> Instrument:
    tick, lot = Decimal("0.0001"), Decimal("0.01")
    return Instrument(
        symbol=f"{base}USDT", venue="binance", base=base, quote="USDT", tick_size=tick, lot_size=lot,
        min_qty=lot, max_qty=Decimal(1_000_000),
    )  # fmt: skip


def manifest(days: int, symbols: list[str], run_id: str = "2025-01-01-momentum-7f3a") -> Manifest:
    return Manifest(
        run_id=run_id,
        created="2026-01-05T12:00:00Z",
        world="backtest",
        strategies={"momentum": {"lookback_bars": 48.0, "stop_atr": 2.5, "surge": 1.8}},
        instruments=[instrument(symbol.removesuffix("USDT")) for symbol in symbols],
        capital_usd=1000.0,
        limits={"trade_loss_usd": 10.0, "day_loss_usd": 20.0, "reserve_usd": 200.0, "drawdown_pct": 5.0},
        simulation={"order_latency_ms": 40.0, "feed_latency_ms": 15.0, "spread_bps": 4.0, "taker_fee_bps": 10.0},
        timeframes_s=[300, 900, 3600],
        sources=[Source(path="synthetic-2025.parquet", sha256="ab" * 32, kind="synthetic", rows=345_600, seed=11)],
        symbols=symbols,
        from_ns=START_NS,
        to_ns=START_NS + days * DAY_NS,
        grade="candle-grade",
        simulated=True,
        synthetic=True,
        code="c0de" * 16,
        events=1_382_400,
        digest="d1ce" * 16,
        wall_s=1.4,
    )


def prices(rng: np.random.Generator, days: int, symbols: list[str]) -> dict[str, tuple[Times, Floats]]:
    """Correlated 5-minute closes."""
    count = days * 288
    ts = START_NS + np.arange(1, count + 1, dtype=np.int64) * 5 * MINUTE_NS
    market = rng.normal(0, 0.0012, count)
    return {
        symbol: (ts, 8.0 * (1 + i) * np.exp(np.cumsum(0.8 * market + rng.normal(-3e-6, 0.0016, count))))
        for i, symbol in enumerate(symbols)
    }


def trade(rng: np.random.Generator, number: int, symbol: str, closes: Closes, days: int) -> TradeRow:
    ts, price = closes[symbol]
    entry = int(rng.integers(0, len(ts) - 300))
    long = bool(rng.random() < 0.7)
    sign = 1 if long else -1
    stop = price[entry] * (1 - sign * 0.02)
    path = sign * (price[entry : entry + 280] / price[entry] - 1)
    hits = np.flatnonzero((path < -0.02) | (path > 0.035))
    length = max(1, int(hits[0])) if len(hits) else 279
    reason = EXITS[0 if path[length] < -0.02 else 2 if path[length] > 0.035 else int(rng.integers(1, 5))]
    qty = cents(float(rng.uniform(150, 390)) / price[entry], 2)
    gapped = 1 - sign * 0.03 if number % 40 == 20 else 1.0  # now and then the price is not there
    entry_price, exit_price = cents(float(price[entry]), 4), cents(float(price[entry + length] * gapped), 4)
    gross = (exit_price - entry_price) * qty * sign
    fees = ((exit_price + entry_price) * qty * Decimal("0.001")).quantize(Decimal("0.00000001"))
    funding = cents(float(rng.normal(0, 0.02)))
    net = gross - fees + funding
    risk = cents(0.02 * float(entry_price * qty) + float(fees))
    return TradeRow(
        trade_no=number, seq=entry * 10, opened_ns=int(ts[entry]), closed_ns=int(ts[entry + length]), symbol=symbol,
        venue="binance", strategy="momentum", side="long" if long else "short", qty=qty, entry_price=entry_price,
        exit_price=exit_price, stop_price=cents(float(stop), 4), gross_usd=gross, fees_usd=fees, funding_usd=funding,
        net_usd=net, slippage_usd=cents(0.0004 * float(entry_price * qty)), risk_usd=risk,
        r_multiple=float(net / risk), mae_usd=-abs(net), mfe_usd=abs(net), exit_reason=reason,
    )  # fmt: skip


def fills(row: TradeRow) -> list[FillRow]:
    """Entry and exit of one trade, the fee split in two."""
    half = (row.fees_usd / 2).quantize(Decimal("0.00000001"))
    ends = (
        (row.opened_ns, row.entry_price, half, "entry", row.side == "long"),
        (row.closed_ns, row.exit_price, row.fees_usd - half, "exit", row.side != "long"),
    )
    return [
        FillRow(
            trade_id=row.trade_no * 2 + i, client_id=row.trade_no * 2 + i, seq=row.seq + i, ts_ns=ts, symbol=row.symbol,
            venue=row.venue, side="buy" if buys else "sell", price=price, qty=row.qty, fee_usd=fee, maker=False,
            forced=False, role=role,
        )
        for i, (ts, price, fee, role, buys) in enumerate(ends)
    ]  # fmt: skip


def equity(trades: list[TradeRow], days: int, capital: Decimal = Decimal(1000)) -> list[EquityRow]:
    """Hourly rows: realised money plus a straight line from entry to exit for what is open."""
    rows, day_start = [], capital
    for hour in range(days * 24 + 1):
        now = START_NS + hour * HOUR_NS
        held = capital
        for row in trades:
            if row.closed_ns <= now:
                held += row.net_usd
            elif row.opened_ns < now:
                share = Decimal(now - row.opened_ns) / (row.closed_ns - row.opened_ns)
                held += (row.net_usd * share).quantize(Decimal("1e-8"))
        rows.append(
            EquityRow(
                seq=hour, ts_ns=now, equity_usd=held, cash_usd=held, free_usd=held - 400, day_pnl_usd=held - day_start,
                open_risk_usd=Decimal(0),
            )
        )  # fmt: skip
        if hour % 24 == 0:
            day_start = held
    return rows


def sample(seed: int = 11, count: int = 150, days: int = 120) -> tuple[Ledger, Manifest, Closes]:
    rng = np.random.default_rng(seed)
    symbols = [f"{base}USDT" for base in BASES]
    closes = prices(rng, days, symbols)
    weights = np.arange(len(symbols), 0, -1) / sum(range(len(symbols) + 1))
    drawn = [trade(rng, n + 1, symbols[int(rng.choice(len(symbols), p=weights))], closes, days) for n in range(count)]
    trades = sorted(drawn, key=lambda row: row.closed_ns)
    refusals = [
        RefusalRow(
            seq=n, ts_ns=START_NS + n * HOUR_NS, symbol=symbols[n % 10], strategy="momentum", side="buy",
            reason=REFUSALS[int(min(5, rng.geometric(0.4) - 1))], source="risk", measured_usd=Decimal("22.5"),
            limit_usd=Decimal(20),
        )
        for n in range(64)
    ]  # fmt: skip
    gaps = [
        GapRow(
            seq=row.seq, ts_ns=row.closed_ns, symbol=row.symbol, strategy=row.strategy, trade_no=row.trade_no,
            cause="GAP_BETWEEN_CANDLES", loss_usd=-row.net_usd, planned_usd=Decimal(10), stop_price=row.stop_price,
        )
        for row in trades
        if row.net_usd < -10
    ]  # fmt: skip
    states = [StateRow(seq=9, ts_ns=START_NS + 40 * DAY_NS, before="ACTIVE", after="REDUCING", reason="DAY_LOSS_LIMIT")]
    ledger = Ledger(
        orders=[], fills=[fill for row in trades for fill in fills(row)], trades=trades, equity=equity(trades, days),
        refusals=refusals, gaps=gaps, states=states,
    )  # fmt: skip
    return ledger, manifest(days, symbols), closes


def empty(equity_rows: int = 0) -> tuple[Ledger, Manifest, Closes]:
    """A run in which nothing happened."""
    flat = equity([], 1)[:equity_rows]
    nothing = Ledger(orders=[], fills=[], trades=[], equity=flat, refusals=[], gaps=[], states=[])
    return nothing, manifest(0, ["SOLUSDT"], "nothing"), {}


if __name__ == "__main__":
    from rich.console import Console

    from engine.research.metrics import measure
    from engine.research.report.render import print_report, write_report

    folder = Path(sys.argv[1])
    print(write_report(folder, *sample()))
    write_report(folder / "empty", *empty())
    print_report(Console(width=100), measure(*sample(), trials=12), sample()[0])
