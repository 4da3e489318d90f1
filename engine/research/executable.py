"""What was executable after fees, at each fee tier: triangles on the ticks of 2020 and through the depeg of 2023, and
scalping on the recorded perpetual.

Every row says what could be seen and what the engine made of it, as shipped and on the most eager terms, with orders
that arrive at once and with orders that arrive late. What nobody recorded (the books between two minutes, what stood
behind a trade) lies between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.core.limits import Limits
from engine.research import triangles
from engine.research.folds import Stretch
from engine.research.quoted import READINGS
from engine.research.search import Data, figures
from engine.research.stretch import Terms, play
from engine.research.studies import DEPEG, DEPEG_QUOTES, PERPETUAL, QUOTES, TRADES, TRIANGLE
from engine.research.triangles import ASKED, ROOM, TIERS_BPS, Moments, Tier, Way

SHIPPED: Final[dict[str, dict[str, float]]] = {"arbitrage": {}}
OPEN: Final = {"arbitrage": ASKED["arbitrage"] | {"depeg_bps": 1000.0}}
FEE_FACTORS: Final = (1.0, 0.5, 0.0)


class Turn(NamedTuple):
    """One way to play a recording: in words, how late orders arrive, and on what terms."""

    words: str
    order_latency_ms: float
    strategies: dict[str, dict[str, float]]
    limits: Limits


class Triangle(NamedTuple):
    """A recording of a triangle: the file, how it becomes quotes, the way round, and how it is played."""

    title: str
    file: str
    reading: str
    way: Way
    max_age_ms: float
    turns: tuple[Turn, ...]


class ClosesOf(NamedTuple):
    """A triangle of which only candles are recorded."""

    title: str
    file: str
    venue: str
    way: Way


TRIANGLES: Final = (
    Triangle(
        "BTC/USDT, ETH/USDT and ETH/BTC on Binance, every trade of two hours, 2020-11-01", TRIANGLE, "last_trades",
        (("BTC/USDT", 1), ("ETH/BTC", 1), ("ETH/USDT", -1)), 1_000.0,
        (
            Turn("as shipped, orders 100 ms on their way", 100.0, SHIPPED, Limits()),
            Turn("at once for half a basis point, 100 ms", 100.0, OPEN, ROOM),
            Turn("the same, 5 ms", 5.0, OPEN, ROOM),
        ),
    ),
    Triangle(
        "BTC/USD, BTC/USDC and USDC/USD on Binance.US, quotes by the minute, 2023-03-01 to 03-25", DEPEG_QUOTES,
        "minute_quotes", (("USDC/USD", 1), ("BTC/USDC", 1), ("BTC/USD", -1)), 1_000.0,
        (
            Turn("as shipped, the quotes stand still", 100.0, SHIPPED, Limits()),
            Turn("at once for half a basis point, depeg guard open, the quotes stand still", 100.0, OPEN, ROOM),
            Turn("the same, each leg a minute later", 60_000.0, OPEN, ROOM),
        ),
    ),
)  # fmt: skip

CLOSES: Final = (
    ClosesOf("Binance.US USDT USDC BTC", DEPEG, "binance_us",
             (("USDC/USDT", 1), ("BTC/USDC", 1), ("BTC/USDT", -1))),
    ClosesOf("Kraken USDT USDC BTC", DEPEG, "kraken", (("USDC/USDT", 1), ("BTC/USDC", 1), ("BTC/USDT", -1))),
    ClosesOf("Kraken USD USDT BTC", DEPEG, "kraken", (("USDT/USD", 1), ("BTC/USDT", 1), ("BTC/USD", -1))),
    ClosesOf("Kraken USD USDC BTC", DEPEG, "kraken", (("USDC/USD", 1), ("BTC/USDC", 1), ("BTC/USD", -1))),
    ClosesOf("Coinbase USD USDT BTC", DEPEG, "coinbase", (("USDT/USD", 1), ("BTC/USDT", 1), ("BTC/USD", -1))),
)  # fmt: skip


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One way to play, at every tier."""

    words: str
    tiers: list[Tier]


class Executable(msgspec.Struct, frozen=True, kw_only=True):
    """A recording of a triangle: what could be seen at every fee tier, and what was made of it."""

    title: str
    seen: list[Moments]
    played: list[Played]


class AtFee(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy as shipped on a whole recording, for an account whose fees are `factor` times the usual ones."""

    factor: float
    maker_bps: float
    taker_bps: float
    trades: int
    gross_usd: float
    fees_usd: float
    net_usd: float


def executable(one: Triangle, folder: Path, fees_bps: Sequence[float] = TIERS_BPS) -> Executable:
    """One recording, looked at and played at every fee."""
    way = READINGS[one.reading]
    market = way.read(folder / one.file, way.pairs, 20.0)
    return Executable(
        title=one.title,
        seen=triangles.moments(market, one.way, fees_bps, one.max_age_ms),
        played=[
            Played(
                words=turn.words,
                tiers=triangles.played(market, fees_bps, turn.order_latency_ms, turn.strategies, turn.limits),
            )
            for turn in one.turns
        ],
    )


def at_closes(one: ClosesOf, folder: Path, fees_bps: Sequence[float] = TIERS_BPS) -> Executable:
    """One triangle of candles, at every fee: nothing is played."""
    return Executable(
        title=one.title, seen=triangles.closes(folder / one.file, one.venue, one.way, fees_bps), played=[]
    )


def scalped(folder: Path, factors: Sequence[float] = FEE_FACTORS) -> list[AtFee]:
    """Scalping as shipped on the recorded perpetual, from its first quote to its last, at every fee."""
    market = Data(paths=(folder / QUOTES, folder / TRADES), symbols=(PERPETUAL,)).open()
    usual, found = market.instruments[0], []
    for factor in factors:
        terms = Terms(strategies={"scalping": {}}, timeframes_s=(60, 180, 720), fee_factor=factor)
        came = figures(play(market, Stretch(market.from_ns, market.to_ns), terms))
        found.append(
            AtFee(
                factor=factor, maker_bps=float(usual.maker_fee) * factor * 1e4,
                taker_bps=float(usual.taker_fee) * factor * 1e4, trades=came.trades, gross_usd=came.gross_usd,
                fees_usd=came.fees_usd, net_usd=came.net_usd,
            )
        )  # fmt: skip
    return found


def of_study(name: str, folder: Path) -> tuple[list[Executable], list[AtFee]]:
    """What stands on a study's page about fee tiers, as far as its files are there."""
    if name == "arbitrage":
        found = [executable(one, folder) for one in TRIANGLES if (folder / one.file).is_file()]
        return found + [at_closes(one, folder) for one in CLOSES if (folder / one.file).is_file()], []
    return [], scalped(folder) if name == "scalping" else []
