"""An independent backtest of an EMA crossover on one stretch: nautilus_trader's bars, averages, fills and fees.

Feed it quotes (`--quotes`, columns ts_ns, bid, bid_size, ask, ask_size) or candles (`--from-candles`, expanded as
`candle_quotes` says). The answer is JSON: every fill, every round trip, the totals, the parameters and the assumptions
that must hold on the other side for the two to agree to the last digit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import nautilus_trader
import numpy as np
import pandas as pd
from candle_quotes import QuotePath, quote_path, read_candles, read_quotes, write_quotes
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import BacktestEngineConfig, DataEngineConfig, LoggingConfig, RiskEngineConfig
from nautilus_trader.indicators.averages import ExponentialMovingAverage
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, CurrencyType, OmsType, OrderSide
from nautilus_trader.model.events import OrderFilled, PositionClosed
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Currency, Money, Price, Quantity
from nautilus_trader.persistence.wranglers import QuoteTickDataWrangler
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("BINANCE")
START_CASH_USDT = 10_000_000
MINUTE_NS = 60_000_000_000

ASSUMPTIONS = (
    "A bar [T, T + D) holds the quotes with T <= ts_ns < T + D and its close is the mid of the last of them; every "
    "quote reaches nautilus shift_ns late, because nautilus's bars are (T, T + D] and would take the next open.",
    "The bar is closed, and the strategy decides, at exactly T + D, before the quote that opens the next bar is seen.",
    "Bars without a quote are not built.",
    "EMA of period n: alpha = 2 / (n + 1); the first close sets value = close, then every close, the first included, "
    "does value = alpha * close + (1 - alpha) * value in doubles; it is initialised once it has seen n closes.",
    "The first bar on which both averages are initialised only notes whether fast > slow and does not trade: a fast "
    "average that begins above is not bought until it crosses again.",
    "Later, fast > slow after not fast > slow buys; not fast > slow (equality included) after fast > slow sells.",
    "Long only, one fixed quantity; a position still open at the end stays open and is left out of the totals of "
    "round trips.",
    "A market order decided at t fills whole at t + latency, at the quote that stands then: a buy at the ask, a sell "
    "at the bid, no slippage. nautilus looks at its queue of orders under way only when something happens, and after "
    "applying a new quote, so a timer without an action is set for that moment.",
    "Commission is taker_fee * price * quantity in the quote currency for buys and sells alike, each fill rounded to "
    "1e-8 half away from zero after a product in doubles; nothing is taken in the base currency.",
    "A round trip's pnl is quantity * (exit price - entry price) less both commissions.",
)


class Instrument(NamedTuple):
    """One symbol to trade and its fixed quantity; tick and lot are decimal strings such as 0.01."""

    symbol: str
    tick: str
    lot: str
    quantity: str

    @classmethod
    def parse(cls, text: str) -> Instrument:
        """From 'SOL/USDT,0.01,0.001,1'. Raises ArgumentTypeError with the form that is wanted."""
        parts = text.split(",")
        if len(parts) != 4 or "/" not in parts[0]:
            raise argparse.ArgumentTypeError(f"{text!r} is not SYMBOL,TICK,LOT,QUANTITY such as SOL/USDT,0.01,0.001,1")
        return cls(*parts)

    def pair(self, taker_fee: str) -> CurrencyPair:
        name = self.symbol.replace("/", "")
        base = self.symbol.split("/")[0]
        tick, lot = Price.from_str(self.tick), Quantity.from_str(self.lot)
        return CurrencyPair(
            instrument_id=InstrumentId(Symbol(name), VENUE),
            raw_symbol=Symbol(name),
            base_currency=Currency(base, 8, 0, base, CurrencyType.CRYPTO),
            quote_currency=USDT,
            price_precision=tick.precision,
            size_precision=lot.precision,
            price_increment=tick,
            size_increment=lot,
            ts_event=0,
            ts_init=0,
            maker_fee=Decimal(taker_fee),
            taker_fee=Decimal(taker_fee),
        )


class Rules(NamedTuple):
    """What is the same for every instrument of a run."""

    fast: int
    slow: int
    bar_minutes: int
    latency_ms: int
    taker_fee: str
    shift_ns: int


class Crossover(Strategy):
    """Buys when the fast average comes to lie above the slow one at a bar's close, sells when it no longer does."""

    def __init__(self, pair: CurrencyPair, quantity: str, rules: Rules) -> None:
        super().__init__()
        self.pair = pair
        self.quantity = Quantity.from_str(quantity) if "." in quantity else Quantity(int(quantity), pair.size_precision)
        self.latency_ns = rules.latency_ms * 1_000_000
        self.bar_type = BarType.from_str(f"{pair.id}-{rules.bar_minutes}-MINUTE-MID-INTERNAL")
        self.fast = ExponentialMovingAverage(rules.fast)
        self.slow = ExponentialMovingAverage(rules.slow)
        self.above: bool | None = None
        self.decision: dict[str, Any] = {}
        self.closes: list[tuple[int, Decimal]] = []
        self.gaps: list[float] = []
        self.fills: list[dict[str, Any]] = []
        self.round_trips: list[dict[str, Any]] = []

    def on_start(self) -> None:
        self.register_indicator_for_bars(self.bar_type, self.fast)
        self.register_indicator_for_bars(self.bar_type, self.slow)
        self.subscribe_quote_ticks(self.pair.id)
        self.subscribe_bars(self.bar_type)

    def on_bar(self, bar: Bar) -> None:
        self.closes.append((bar.ts_event, bar.close.as_decimal()))
        if not self.slow.initialized or not self.fast.initialized:
            return
        self.gaps.append(abs(self.fast.value - self.slow.value))
        above = self.fast.value > self.slow.value
        if self.above is not None and above != self.above:
            self._send(OrderSide.BUY if above else OrderSide.SELL)
        self.above = above

    def _send(self, side: OrderSide) -> None:
        if side == OrderSide.SELL and not self.fills:
            return  # the averages began with fast above slow: there is nothing to sell
        now_ns = self.clock.timestamp_ns()
        self.decision = {"decided_ns": now_ns, "fast": self.fast.value, "slow": self.slow.value}
        self.submit_order(self.order_factory.market(self.pair.id, side, self.quantity))
        self.clock.set_time_alert_ns(f"arrival-{now_ns}", now_ns + self.latency_ns, lambda event: None)

    def on_order_filled(self, event: OrderFilled) -> None:
        self.fills.append(
            {
                "ts_ns": event.ts_event,
                "side": "buy" if event.order_side == OrderSide.BUY else "sell",
                "qty": str(event.last_qty),
                "price": str(event.last_px),
                "commission": str(event.commission.as_decimal()),
                **self.decision,
            }
        )

    def on_position_closed(self, event: PositionClosed) -> None:
        self.round_trips.append(
            {
                "opened_ns": event.ts_opened,
                "closed_ns": event.ts_closed,
                "qty": str(event.peak_qty),
                "entry": str(Price(event.avg_px_open, self.pair.price_precision)),
                "exit": str(Price(event.avg_px_close, self.pair.price_precision)),
                "pnl": str(event.realized_pnl.as_decimal()),
            }
        )


def simulate(instrument: Instrument, quotes: QuotePath, rules: Rules) -> Crossover:
    pair = instrument.pair(rules.taker_fee)
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True),
            data_engine=DataEngineConfig(time_bars_build_with_no_updates=False),
            risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    latency = LatencyModel(base_latency_nanos=rules.latency_ms * 1_000_000)
    cash = [Money(START_CASH_USDT, USDT)]
    engine.add_venue(VENUE, OmsType.NETTING, AccountType.CASH, cash, latency_model=latency)
    engine.add_instrument(pair)
    index = pd.DatetimeIndex(quotes.ts_ns + rules.shift_ns, tz="UTC", name="timestamp")
    names = ("bid_price", "bid_size", "ask_price", "ask_size")
    engine.add_data(QuoteTickDataWrangler(pair).process(pd.DataFrame(dict(zip(names, quotes[1:], strict=True)), index)))
    strategy = Crossover(pair, instrument.quantity, rules)
    engine.add_strategy(strategy)
    engine.run()
    engine.dispose()
    return strategy


def check(strategy: Crossover, quotes: QuotePath, instrument: Instrument, rules: Rules) -> None:
    """Refuse to answer if nautilus did something other than ASSUMPTIONS says."""
    bar_ns = rules.bar_minutes * MINUTE_NS
    bar = quotes.ts_ns // bar_ns
    last = np.flatnonzero(np.append(np.diff(bar) > 0, False))  # nothing comes after the last bar to close it
    decimals = -int(Decimal(instrument.tick).as_tuple().exponent)
    scale = 10**decimals
    twice_mid = np.rint(quotes.bid[last] * scale) + np.rint(quotes.ask[last] * scale)
    want = [(int(b + 1) * bar_ns, Decimal(int(m)) / (2 * scale)) for b, m in zip(bar[last], twice_mid, strict=True)]
    if strategy.closes != want:
        odd = next((pair for pair in zip(strategy.closes, want, strict=False) if pair[0] != pair[1]), None)
        count = f"{len(strategy.closes)} bars, not {len(want)}"
        raise SystemExit(f"{instrument.symbol}: nautilus built {count}; first (seen, wanted) that differ: {odd}")
    for fill in strategy.fills:
        arrival_ns = fill["decided_ns"] + rules.latency_ms * 1_000_000
        standing = int(np.searchsorted(quotes.ts_ns + rules.shift_ns, arrival_ns, side="right")) - 1
        price = (quotes.ask if fill["side"] == "buy" else quotes.bid)[standing]
        exact = Decimal(fill["price"]) * Decimal(fill["qty"]) * Decimal(rules.taker_fee)
        off = abs(exact - Decimal(fill["commission"]))
        if fill["ts_ns"] != arrival_ns or float(fill["price"]) != price or off > Decimal("0.5e-8"):
            raise SystemExit(f"{instrument.symbol}: fill {fill} is not at the quote of {arrival_ns} with its fee")
    fees = [Decimal(fill["commission"]) for fill in strategy.fills]
    for n, trip in enumerate(strategy.round_trips):
        pnl = Decimal(trip["qty"]) * (Decimal(trip["exit"]) - Decimal(trip["entry"])) - fees[2 * n] - fees[2 * n + 1]
        if pnl != Decimal(trip["pnl"]):
            raise SystemExit(f"{instrument.symbol}: round trip {trip} has a pnl of {pnl} by hand")


def quotes_digest(quotes: QuotePath, decimals: int) -> str:
    """SHA-256 over little-endian int64 rows of ts_ns, bid in ticks, ask in ticks: is it the same input?"""
    ticks = (np.rint(side * 10.0**decimals).astype("<i8") for side in (quotes.bid, quotes.ask))
    return hashlib.sha256(np.stack([quotes.ts_ns.astype("<i8"), *ticks], axis=1).tobytes()).hexdigest()


def report(instrument: Instrument, quotes: QuotePath, rules: Rules) -> dict[str, Any]:
    strategy = simulate(instrument, quotes, rules)
    check(strategy, quotes, instrument, rules)
    decimals = -int(Decimal(instrument.tick).as_tuple().exponent)
    steps = np.diff(quotes.ts_ns // (rules.bar_minutes * MINUTE_NS))
    return {
        **instrument._asdict(),
        "quotes": len(quotes.ts_ns),
        "quotes_sha256": quotes_digest(quotes, decimals),
        "missing_bars": int((steps[steps > 1] - 1).sum()),
        "bars": len(strategy.closes),
        "closest_averages": min(strategy.gaps, default=None),
        "total_pnl": str(sum((Decimal(trip["pnl"]) for trip in strategy.round_trips), Decimal(0))),
        "total_commission": str(sum((Decimal(fill["commission"]) for fill in strategy.fills), Decimal(0))),
        "open_at_end": len(strategy.fills) > 2 * len(strategy.round_trips),
        "round_trips": strategy.round_trips,
        "fills": strategy.fills,
    }


def load(args: argparse.Namespace, instrument: Instrument) -> QuotePath:
    if args.quotes is not None:
        return read_quotes(args.quotes)
    tick = Decimal(instrument.tick)
    candles = read_candles(args.from_candles, instrument.symbol, float(tick), args.start, args.end)
    decimals = -int(tick.as_tuple().exponent)
    return quote_path(candles, args.bar_minutes * MINUTE_NS, args.spread_ticks, decimals)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--quotes", type=Path, help="quote Parquet of one instrument")
    source.add_argument("--from-candles", type=Path, help="candle Parquet; see candle_quotes.py for the path taken")
    parser.add_argument("--instrument", type=Instrument.parse, action="append", help="SYMBOL,TICK,LOT,QUANTITY, repeat")
    parser.add_argument("--from", dest="start", type=datetime.fromisoformat, default="2025-01-01T00:00:00+00:00")
    parser.add_argument("--to", dest="end", type=datetime.fromisoformat, default="2025-02-01T00:00:00+00:00")
    parser.add_argument("--spread-ticks", type=int, default=2, help="candles only; even, so that the mid is the price")
    parser.add_argument("--fast", type=int, default=48)
    parser.add_argument("--slow", type=int, default=192)
    parser.add_argument("--bar-minutes", type=int, default=5)
    parser.add_argument("--latency-ms", type=int, default=100)
    parser.add_argument("--taker-fee", default="0.001")
    parser.add_argument("--shift-ns", type=int, default=1)
    parser.add_argument("--export-quotes", type=Path, help="also write the quotes used (one instrument)")
    parser.add_argument("--out", type=Path, help="write the JSON here instead of to stdout")
    args = parser.parse_args()
    args.instrument = args.instrument or [Instrument("SOL/USDT", "0.01", "0.001", "1")]
    if (args.quotes or args.export_quotes) and len(args.instrument) != 1:
        parser.error("--quotes and --export-quotes take exactly one --instrument")
    return args


def main() -> None:
    args = parse_args()
    rules = Rules(args.fast, args.slow, args.bar_minutes, args.latency_ms, args.taker_fee, args.shift_ns)
    source: dict[str, Any] = {"quotes": args.quotes and args.quotes.name}
    if args.from_candles is not None:
        source = {
            "candles": args.from_candles.name,
            "from": args.start.isoformat(),
            "to": args.end.isoformat(),
            "spread_ticks": args.spread_ticks,
            "path": "open at 0, low at D/3, high at 2D/3, close at D - 1 ms",
        }
    runs = []
    for instrument in args.instrument:
        quotes = load(args, instrument)
        if args.export_quotes is not None:
            write_quotes(args.export_quotes, quotes)
        runs.append(report(instrument, quotes, rules))
    answer = {
        "engine": "nautilus_trader",
        "version": nautilus_trader.__version__,
        "source": source,
        "rules": rules._asdict(),
        "assumptions": list(ASSUMPTIONS),
        "runs": runs,
    }
    text = json.dumps(answer, indent=1) + "\n"
    if args.out is None:
        print(text, end="")
    else:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
