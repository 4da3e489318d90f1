"""How many quotes a second nautilus_trader's backtest takes in, with the simplest strategy and no orders.

Only `BacktestEngine.run` is timed: the quotes are made into QuoteTicks and added before, logging, the run analysis and
the risk engine are off. Two strategies keep an EMA of the mid price: `python_strategy` in `on_quote_tick`, as a user
would write it, and `cython_indicator`, nautilus's own compiled ExponentialMovingAverage registered for the quotes with
no Python called per quote. The first is the headline: a strategy has to be called.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import nautilus_trader
import numpy as np
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, RiskEngineConfig
from nautilus_trader.indicators.averages import ExponentialMovingAverage
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, PriceType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import QuoteTickDataWrangler
from nautilus_trader.trading.strategy import Strategy
from recorded_quotes import Quotes, load_quotes, tile

EMA_ALPHA = 0.01
EMA_PERIOD = 199  # 2 / (199 + 1) = EMA_ALPHA
VENUE = Venue("BINANCE")
PAIR = CurrencyPair(
    instrument_id=InstrumentId(Symbol("BTCUSDT"), VENUE),
    raw_symbol=Symbol("BTCUSDT"),
    base_currency=BTC,
    quote_currency=USDT,
    price_precision=1,
    size_precision=3,
    price_increment=Price.from_str("0.1"),
    size_increment=Quantity.from_str("0.001"),
    ts_event=0,
    ts_init=0,
    maker_fee=Decimal("0.0002"),
    taker_fee=Decimal("0.0005"),
)


class PythonStrategy(Strategy):
    def __init__(self) -> None:
        super().__init__()
        self.ema = 0.0
        self.seen = 0

    def on_start(self) -> None:
        self.subscribe_quote_ticks(PAIR.id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        mid = (tick.bid_price.as_double() + tick.ask_price.as_double()) * 0.5
        self.ema = self.ema + EMA_ALPHA * (mid - self.ema) if self.seen else mid
        self.seen += 1


class CythonIndicator(Strategy):
    def __init__(self) -> None:
        super().__init__()
        self.average = ExponentialMovingAverage(EMA_PERIOD, PriceType.MID)

    def on_start(self) -> None:
        self.register_indicator_for_quote_ticks(PAIR.id, self.average)
        self.subscribe_quote_ticks(PAIR.id)

    @property
    def ema(self) -> float:
        return float(self.average.value)

    @property
    def seen(self) -> int:
        return int(self.average.count)


STRATEGIES: dict[str, type[Any]] = {"python_strategy": PythonStrategy, "cython_indicator": CythonIndicator}
HEADLINE = "python_strategy"


def quote_ticks(quotes: Quotes) -> list[QuoteTick]:
    names = ("bid_price", "bid_size", "ask_price", "ask_size")
    index = pd.DatetimeIndex(quotes.local_ns, tz="UTC", name="timestamp")
    frame = pd.DataFrame(dict(zip(names, quotes[2:], strict=True)), index=index)
    ticks: list[QuoteTick] = QuoteTickDataWrangler(PAIR).process(frame)
    return ticks


def run_once(name: str, ticks: list[QuoteTick]) -> tuple[float, float, int]:
    """Seconds in `run`, and the strategy's EMA and number of quotes seen."""
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True),
            risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    engine.add_venue(VENUE, OmsType.NETTING, AccountType.CASH, [Money(1_000_000, USDT)])
    engine.add_instrument(PAIR)
    engine.add_data(ticks, validate=False, sort=False)
    strategy = STRATEGIES[name]()
    engine.add_strategy(strategy)
    started = time.perf_counter()
    engine.run()
    seconds = time.perf_counter() - started
    seen = strategy.ema, strategy.seen
    engine.dispose()
    return seconds, *seen


def expected_ema(quotes: Quotes) -> float:
    mids = (quotes.bid + quotes.ask) * 0.5
    ema = float(mids[0])
    for mid in mids.tolist():
        ema += EMA_ALPHA * (mid - ema)
    return ema


def measure(path: Path, min_quotes: int, repeats: int) -> dict[str, Any]:
    recorded = load_quotes(path)
    quotes = tile(recorded, -(-min_quotes // len(recorded.bid)))
    ticks = quote_ticks(quotes)
    want = expected_ema(quotes)
    variants: dict[str, dict[str, Any]] = {}
    for name in STRATEGIES:
        rates = []
        for _ in range(repeats):
            seconds, ema, seen = run_once(name, ticks)
            if seen != len(ticks) or not np.isclose(ema, want, rtol=0.0, atol=1e-6):
                raise SystemExit(f"{name} saw {seen} quotes and an EMA of {ema}, not {len(ticks)} and {want}")
            rates.append(len(ticks) / seconds)
        variants[name] = {
            "median_quotes_per_s": round(statistics.median(rates)),
            "best_quotes_per_s": round(max(rates)),
            "repeats": [round(r) for r in rates],
        }
    head = variants[HEADLINE]
    return {
        "nautilus_quotes_per_s": head["median_quotes_per_s"],
        "nautilus_quotes_per_s_best": head["best_quotes_per_s"],
        "quotes": len(ticks),
        "version": nautilus_trader.__version__,
        "repeats": head["repeats"],
        "variants": variants,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, help="quotes Parquet, e.g. $KEEL_DATA_DIR/book/binance_hft_bbo.parquet")
    parser.add_argument("--quotes", type=int, default=500_000, help="at least this many quotes (default 500 000)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    args = parser.parse_args()
    print(json.dumps(measure(args.input, args.quotes, args.repeats), indent=None if args.json else 2))


if __name__ == "__main__":
    main()
