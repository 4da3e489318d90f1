"""What a run was: enough to do it again byte for byte."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.contracts.instruments import Instrument


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One input file of a run. `sha256` is of the file's bytes: a changed file refuses to replay. `wicks` are the
    first few bars left out as absurd wicks, in words: symbol, time, prices."""

    path: str
    sha256: str
    kind: Literal["candles", "quotes", "trades", "funding", "synthetic"]
    rows: int
    quarantined: dict[str, int] = {}
    wicks: list[str] = []
    seed: int | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Written beside the journal before the first event; `summary` fields are filled at the end."""

    run_id: str
    created: str  # ISO 8601 UTC, wall clock: informational, not part of any digest
    world: Literal["backtest", "paper", "shadow", "live"]
    strategies: dict[str, dict[str, float]]  # name -> parameters in force
    instruments: list[Instrument]
    capital_usd: float
    wallets_usd: dict[str, float] = {}  # of it, by venue; empty: one wallet for all
    selector: dict[str, float] = {}  # its parameters; empty: none chose between the strategies
    limits: dict[str, float]
    simulation: dict[str, float]
    timeframes_s: list[int]
    signals: dict[str, str] = {}  # signal source -> class, its parameters and the digest that its forecasts carry
    sources: list[Source]
    symbols: list[str]
    from_ns: int
    to_ns: int
    grade: Literal["candle-grade", "tick-grade"]
    simulated: bool
    synthetic: bool
    continues: str = ""  # the run whose state this one began with: its opening snapshot lies beside the journal
    order_prefix: str = ""  # of the client ids at the venues; the same in a whole line of runs
    code: str  # digest of every core and simulation source file
    events: int = 0
    digest: str = ""  # of every journalled entry and the final state
    wall_s: float = 0.0
