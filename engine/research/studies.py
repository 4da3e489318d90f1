"""Which strategy is studied on which recording, over which grid: one row each, and what `make evidence` runs.

A row whose strategy or files are not there is left out and named. Grids are small enough for a quarter of an hour on
two cores; what was searched is written beside every result. A study that `settles` decides what its strategy ships
with: a test holds the defaults to what the committed pages say was chosen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from engine.core.strategies import table
from engine.markets.feedmodel import FeedModel
from engine.research.folds import Cut
from engine.research.quoted import FEED_LATENCY_MS
from engine.research.search import Data, Score, Values
from engine.research.stretch import Terms
from engine.research.walkforward import Plan, Rule

FIVE_MINUTES: Final = "candles/binance_spot_5m_39pairs_2025H1.parquet"
HOURS: Final = "candles/binance_spot_1h_404pairs_2025H1.parquet"
PERPS_5M: Final = "candles/binance_usdm_5m_5perps_2023-01_2024-05.parquet"
PERPS_1M: Final = "candles/binance_usdm_1m_4perps_2025-05-04_06-15.parquet"
DEPEG: Final = "candles/depeg_2023-03_1m_6venues.parquet"
DEPEG_QUOTES: Final = "candles/depeg_2023-03_1m_quotes_spread_depth.parquet"
TRIANGLE: Final = "trades/binance_spot_triangle_aggtrades_2020-11-01.parquet"
QUOTES: Final = "book/binance_hft_bbo.parquet"
TRADES: Final = "trades/binance_hft_trades.parquet"
FUNDING: Final = "funding/binance_usdm_funding.parquet"
PERPETUAL: Final = "BTC/USDT:USDT"
SECOND: Final = 1 / 86_400  # in days
NO_SHADOW: Final[Values] = {"shadow_cycles": 0}
EVERY_CYCLE: Final = Rule(
    name="every cycle the touch promises",
    strategy="arbitrage",
    params={"shadow_cycles": 0, "min_edge_bps": 0.1, "decay_bps": 0, "depeg_bps": 1000, "max_age_ms": 5_000},
)


class Study(NamedTuple):
    """A walk to be made. `symbols` empty: all of the files; `timeframes_s` and `late_s` empty: the market's own.

    `fixed` stands beside the grid, `reading` is how the file becomes quotes (`quoted.READINGS`), `settles`: what it
    finds steadiest is what the strategy ships with.
    """

    name: str
    title: str
    strategy: str
    files: tuple[str, ...]
    grid: dict[str, list[float]]
    cut: Cut = Cut()
    symbols: tuple[str, ...] = ()
    mind: str = ""  # what the reader must know of the data
    settles: bool = False
    fixed: Values = {}
    reading: str = ""
    score: Score = "sharpe"
    rule: Rule = Rule()
    fee_factor: float = 1.0
    timeframes_s: tuple[int, ...] = ()
    late_s: tuple[float, ...] = ()

    def plan(self, folder: Path) -> Plan:
        """The walk of it on the recordings in `folder`, $1,000 under the default limits."""
        return Plan(
            strategy=self.strategy,
            data=Data(
                paths=tuple((folder / name).resolve() for name in self.files),
                symbols=self.symbols or None,
                feed=FeedModel(feed_latency_ms=FEED_LATENCY_MS) if self.reading else FeedModel(),
                reading=self.reading,
            ),
            grid=self.grid,
            fixed=self.fixed,
            terms=Terms(strategies={}, timeframes_s=self.timeframes_s, fee_factor=self.fee_factor),
            cut=self.cut,
            score=self.score,
            rule=self.rule,
            late_s=self.late_s,
        )


class Recorded(NamedTuple):
    """A recorded stretch on which every strategy is run with the parameters it ships with."""

    title: str
    files: tuple[str, ...]
    symbols: tuple[str, ...] = ()
    reading: str = ""


STUDIES: Final[tuple[Study, ...]] = (
    Study(
        "momentum", "Small-cap momentum, 39 spot pairs by five minutes, January to April 2025", "momentum",
        (FIVE_MINUTES,),
        {"surge": [1.5, 2.5], "breakout_bars": [24, 48], "stop_atr": [2.0, 3.0], "trail_atr": [3.0, 4.0, 5.0]},
        mind="The pairs are those still alive in June 2025: who died is not in the file, which flatters long rules.",
        settles=True,
    ),
    Study(
        "momentum-perpetuals", "Momentum, 5 perpetuals by five minutes, January 2023 to February 2024", "momentum",
        (PERPS_5M, FUNDING),
        {"surge": [1.5, 2.5], "stop_atr": [2.0, 3.0], "trail_atr": [3.0, 5.0]},
        mind="Only five, chosen by whoever recorded them; two begin in May 2023. Funding as it was paid.",
    ),
    Study(
        "scalping", "Scalping, one perpetual, every quote and trade of six minutes, August 2024", "scalping",
        (QUOTES, TRADES),
        {"horizon_s": [10, 30, 60], "entry_z": [0.4, 0.6], "edge_factor": [1.0, 1.5]},
        Cut(folds=2, embargo_hours=10 / 3600, warm_days=65 * SECOND, shortest_hours=1 / 60),
        symbols=(PERPETUAL,), settles=True, score="net", timeframes_s=(1, 3, 12), late_s=(0.0, 0.1, 1.0),
        rule=Rule(name="crossover of one-second bars"),
        mind="Six minutes of one perpetual are all the quotes of a perpetual there are: nothing can be concluded from "
        "them but that the costs are larger than the moves. Candles do not help: a scalper abstains on them, since "
        "they say neither sizes nor who took.",
    ),
    Study(
        "arbitrage", "Triangular arbitrage through the USDC depeg, Binance.US quotes by the minute, March 2023",
        "arbitrage", (DEPEG_QUOTES,),
        {"min_edge_bps": [1.0, 3.0, 10.0], "depeg_bps": [30.0, 1000.0]},
        Cut(folds=6, train_days=6.0, test_days=3.0, embargo_hours=1.0, warm_days=0.05),
        fixed=NO_SHADOW, reading="minute_quotes", score="net", rule=EVERY_CYCLE, late_s=(0.0, 60.0, 120.0),
        mind="At the usual fee of 10 bps a leg. BTC/USD, BTC/USDC and USDC/USD at the end of each minute: the mid, "
        "half the minute's mean spread on both sides of it, and half of its mean depth. Between two minutes nothing is "
        "known, so an order sent at once finds the quote it saw: what is executed is more than anybody could have had. "
        "Without the shadow stage, which as shipped comes first at every venue. Six days of training and six tests of "
        "three, so that the depeg of 10 to 13 March is one of the tests.",
    ),
    Study(
        "arbitrage-ticks", "Triangular arbitrage without any fee, BTC, ETH and ETH/BTC, two hours of November 2020",
        "arbitrage", (TRIANGLE,),
        {"min_edge_bps": [0.1, 0.25, 0.5, 1.0, 2.0, 3.0]},
        Cut(folds=4, embargo_hours=1 / 60, warm_days=120 * SECOND, shortest_hours=5 / 60),
        settles=True, fixed=NO_SHADOW, reading="last_trades", score="net", rule=EVERY_CYCLE, fee_factor=0.0,
        late_s=(0.0, 0.1, 1.0),
        mind="No account pays no fee on all three legs, and at 2.5 bps a leg no moment of these two hours paid any "
        "more ([arbitrage](arbitrage.md)): this is no result anybody could have had. It is played to learn how much "
        "edge has to be left *after* fees for what happens between the legs, which is what `min_edge_bps` asks for. "
        "Quotes are the last trades and their sizes: real ones were often better, and often gone. What bounds a loss "
        "(`unwind_bps`, `max_seconds`, `share`) is not tuned.",
    ),
    Study(
        "crossover", "Crossover of two means (the plain rule), 39 spot pairs by five minutes", "crossover",
        (FIVE_MINUTES,),
        {"fast": [24, 48], "slow": [192, 384], "stop_pct": [3.0, 6.0]},
        mind="Survivors only, as for momentum. The rule is a yardstick: its defaults are not tuned.",
    ),
)  # fmt: skip

STRETCHES: Final[tuple[Recorded, ...]] = (
    Recorded("Spot, 39 pairs by 5 minutes, January to April 2025", (FIVE_MINUTES,)),
    Recorded("Spot, 391 pairs by the hour, the same months", (HOURS,)),
    Recorded("Perpetuals, 5 by 5 minutes, January 2023 to February 2024", (PERPS_5M, FUNDING)),
    Recorded("Perpetuals, 4 by the minute, May 2025", (PERPS_1M, FUNDING)),
    Recorded("The depeg of March 2023, six venues by the minute", (DEPEG,)),
    Recorded("The depeg of March 2023, Binance.US quotes by the minute", (DEPEG_QUOTES,), reading="minute_quotes"),
    Recorded("BTC, ETH and ETH/BTC, two hours of trades as quotes, November 2020", (TRIANGLE,), reading="last_trades"),
    Recorded("BTC, spot trades, perpetual quotes and trades of eleven minutes, August 2024", (QUOTES, TRADES)),
)  # fmt: skip


def missing(files: tuple[str, ...], strategy: str, folder: Path) -> str:
    """Why a row cannot be run, empty where it can."""
    if strategy and strategy not in {row.name for row in table.STRATEGIES}:
        return f"there is no strategy {strategy}"
    absent = [name for name in files if not (folder / name).is_file()]
    return f"{', '.join(absent)} is not in the folder of recordings" if absent else ""
