"""Which strategy is studied on which recording, over which grid: one row each, and what `make evidence` runs.

A row whose strategy or files are not there is left out and named. Grids are small enough for a quarter of an hour on
two cores; what was searched is written beside every result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from engine.core.strategies import table
from engine.research.folds import Cut

FIVE_MINUTES: Final = "candles/binance_spot_5m_39pairs_2025H1.parquet"
HOURS: Final = "candles/binance_spot_1h_404pairs_2025H1.parquet"
PERPS_5M: Final = "candles/binance_usdm_5m_5perps_2023-01_2024-05.parquet"
PERPS_1M: Final = "candles/binance_usdm_1m_4perps_2025-05-04_06-15.parquet"
DEPEG: Final = "candles/depeg_2023-03_1m_6venues.parquet"
TRIANGLE: Final = "trades/binance_spot_triangle_aggtrades_2020-11-01.parquet"
QUOTES: Final = "book/binance_hft_bbo.parquet"
TRADES: Final = "trades/binance_hft_trades.parquet"
FUNDING: Final = "funding/binance_usdm_funding.parquet"


class Study(NamedTuple):
    """A walk to be made. `symbols` empty: all of the files."""

    name: str
    title: str
    strategy: str
    files: tuple[str, ...]
    grid: dict[str, list[float]]
    cut: Cut = Cut()
    symbols: tuple[str, ...] = ()
    mind: str = ""  # what the reader must know of the data


class Recorded(NamedTuple):
    """A recorded stretch on which every strategy is run with the parameters it ships with."""

    title: str
    files: tuple[str, ...]
    symbols: tuple[str, ...] = ()


STUDIES: Final[tuple[Study, ...]] = (
    Study(
        "momentum", "Small-cap momentum, 39 spot pairs by five minutes, January to April 2025", "momentum",
        (FIVE_MINUTES,),
        {"surge": [1.5, 2.5], "breakout_bars": [24, 48], "stop_atr": [2.0, 3.0], "trail_atr": [3.0, 5.0]},
        mind="The pairs are those still alive in June 2025: who died is not in the file, which flatters long rules.",
    ),
    Study(
        "crossover", "Crossover of two means (the plain rule), 39 spot pairs by five minutes", "crossover",
        (FIVE_MINUTES,),
        {"fast": [24, 48], "slow": [192, 384], "stop_pct": [3.0, 6.0]},
        mind="Survivors only, as above.",
    ),
)  # fmt: skip

STRETCHES: Final[tuple[Recorded, ...]] = (
    Recorded("Spot, 39 pairs by 5 minutes, January to April 2025", (FIVE_MINUTES,)),
    Recorded("Spot, 391 pairs by the hour, the same months", (HOURS,)),
    Recorded("Perpetuals, 5 by 5 minutes, January 2023 to February 2024", (PERPS_5M, FUNDING)),
    Recorded("Perpetuals, 4 by the minute, May 2025", (PERPS_1M, FUNDING)),
    Recorded("The depeg of March 2023, six venues by the minute", (DEPEG,)),
    Recorded("BTC, ETH and ETH/BTC, every trade of two hours, November 2020", (TRIANGLE,)),
    Recorded("BTC, spot and perpetual, quotes and trades of eleven minutes, August 2024", (QUOTES, TRADES)),
)


def missing(files: tuple[str, ...], strategy: str, folder: Path) -> str:
    """Why a row cannot be run, empty where it can."""
    if strategy and strategy not in {row.name for row in table.STRATEGIES}:
        return f"there is no strategy {strategy}"
    absent = [name for name in files if not (folder / name).is_file()]
    return f"{', '.join(absent)} is not in {folder}" if absent else ""
