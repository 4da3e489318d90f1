"""The tables of the store: a projection of journals, except `audit`, which is the record itself.

Money and prices are NUMERIC (exact), times BIGINT ns UTC with a `ts` column drawn from them for people.
`place` counts a run's rows of one table in stream order. The migrations make these tables; a test compares.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Index,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
    }
)


def _text(*names: str) -> list[Column[Any]]:
    return [Column(name, Text, nullable=False) for name in names]


def _money(*names: str) -> list[Column[Any]]:
    return [Column(name, Numeric, nullable=False) for name in names]


def _whole(*names: str) -> list[Column[Any]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


def _figures(*names: str) -> list[Column[Any]]:
    return [Column(name, Double, nullable=False) for name in names]


def _flags(*names: str) -> list[Column[Any]]:
    return [Column(name, Boolean, nullable=False) for name in names]


def _moment(name: str = "ts_ns", drawn: str = "ts") -> list[Column[Any]]:
    """Nanoseconds, and the same as a timestamp (NULL where there is none yet)."""
    expression = f"to_timestamp(NULLIF({name}, 0) / 1000000000.0)"
    return [
        Column(name, BigInteger, nullable=False),
        Column(drawn, DateTime(timezone=True), Computed(expression, persisted=True)),
    ]


def _of_run(name: str, key: tuple[str, ...], columns: list[Column[Any]], by_time: str = "ts_ns") -> Table:
    return Table(
        name,
        metadata,
        Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
        *columns,
        PrimaryKeyConstraint("run_id", *key),
        Index(f"{name}_by_time", "run_id", by_time),
    )


runs: Final = Table(
    "runs", metadata, Column("run_id", Text, primary_key=True),
    Column("created", DateTime(timezone=True), nullable=False),
    *_text("world", "grade"), *_flags("simulated", "synthetic"), *_money("capital_usd"), *_moment("from_ns", "from_ts"),
    *_moment("to_ns", "to_ts"), *_text("code"), *_whole("events"), *_text("digest"),
    Column("wall_s", Double, nullable=False), Column("manifest", JSON, nullable=False),
)  # fmt: skip

orders: Final = _of_run("orders", ("client_id",), [
    *_whole("client_id", "seq"), *_moment(), *_text("symbol", "venue", "strategy", "role", "side", "order_type", "tif"),
    *_flags("reduce_only", "post_only"), *_money("price", "qty", "trigger"), *_whole("replaces"),
    *_text("reason", "status"), *_money("filled_qty"), *_text("refusal"), *_moment("done_ts_ns", "done_ts"),
])  # fmt: skip

fills: Final = _of_run("fills", ("venue", "symbol", "trade_id"), [
    *_whole("trade_id", "client_id", "seq"), *_moment(), *_text("symbol", "venue", "side"),
    *_money("price", "qty", "fee_usd"), *_flags("maker", "forced"), *_text("role"),
])  # fmt: skip

trades: Final = _of_run("trades", ("trade_no",), [
    *_whole("trade_no", "seq"), *_moment("opened_ns", "opened"), *_moment("closed_ns", "closed"),
    *_text("symbol", "venue", "strategy", "side"),
    *_money(
        "qty", "entry_price", "exit_price", "stop_price", "gross_usd", "fees_usd", "funding_usd", "net_usd",
        "slippage_usd", "risk_usd",
    ),
    Column("r_multiple", Double), *_money("mae_usd", "mfe_usd"), *_text("exit_reason", "regime"),
    Column("forecast", Double), Column("forecast_confidence", Double), Column("forecast_age_s", Double),
    *_whole("hour"),
], by_time="closed_ns")  # fmt: skip

equity: Final = _of_run("equity", ("place",), [
    *_whole("place", "seq"), *_moment(),
    *_money("equity_usd", "cash_usd", "free_usd", "day_pnl_usd", "open_risk_usd"),
])  # fmt: skip

refusals: Final = _of_run("refusals", ("place",), [
    *_whole("place", "seq"), *_moment(), *_text("symbol", "strategy", "side", "reason", "source"),
    *_money("measured_usd", "limit_usd"),
])  # fmt: skip

gaps: Final = _of_run("gaps", ("place",), [
    *_whole("place", "seq"), *_moment(), *_text("symbol", "strategy"), *_whole("trade_no"), *_text("cause"),
    *_money("loss_usd", "planned_usd", "stop_price"),
])  # fmt: skip

states: Final = _of_run("states", ("place",), [
    *_whole("place", "seq"), *_moment(), *_text("before", "after", "reason"),
])  # fmt: skip

regimes: Final = _of_run("regimes", ("place",), [
    *_whole("place", "seq"), *_moment(), *_text("symbol", "before", "after"),
    *_figures("trend", "volatility", "breadth", "spread", "liquidity", "funding"), *_whole("cycles"),
])  # fmt: skip

selections: Final = _of_run("selections", ("place",), [
    *_whole("place", "seq"), *_moment(), *_text("strategy", "regime", "reason"),
    *_figures("before", "share", "mean_r", "radius_r", "trades"),
])  # fmt: skip

projections: Final = Table(
    "projections", metadata, Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    *_whole("entries"), *_text("digest"), Column("rows", JSON, nullable=False),
)  # fmt: skip
"""How far a run's journal is projected: entries, their digest, and rows by table."""

audit: Final = Table(
    "audit", metadata, Column("seq", BigInteger, primary_key=True, autoincrement=False), *_moment(),
    *_text("who", "what"), Column("before", JSON), Column("after", JSON), *_text("why"), Column("evidence", JSON),
    Column("key", Text), *_text("prev_hash", "hash"), UniqueConstraint("key"),
)  # fmt: skip
"""Append-only and hash-chained. JSON (not JSONB) keeps the text that was hashed. `key` makes an append idempotent."""
