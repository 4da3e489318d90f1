"""What a trade was decided on: regime, forecast, hour. And how the market and the selector's shares changed."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0002"
down_revision = "0001"

_STATEMENTS: Final = (
    "ALTER TABLE trades ADD COLUMN regime TEXT NOT NULL DEFAULT 'unknown', ADD COLUMN forecast DOUBLE PRECISION, "
    "ADD COLUMN forecast_confidence DOUBLE PRECISION, ADD COLUMN forecast_age_s DOUBLE PRECISION, "
    "ADD COLUMN hour BIGINT NOT NULL DEFAULT 0",
    "UPDATE trades SET hour = (opened_ns / 3600000000000) % 24",
    "ALTER TABLE trades ALTER COLUMN regime DROP DEFAULT, ALTER COLUMN hour DROP DEFAULT",
    """
    CREATE TABLE regimes (
        run_id TEXT NOT NULL, place BIGINT NOT NULL, seq BIGINT NOT NULL, ts_ns BIGINT NOT NULL,
        ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(ts_ns, 0) / 1000000000.0)) STORED,
        symbol TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, trend DOUBLE PRECISION NOT NULL,
        volatility DOUBLE PRECISION NOT NULL, breadth DOUBLE PRECISION NOT NULL, spread DOUBLE PRECISION NOT NULL,
        liquidity DOUBLE PRECISION NOT NULL, funding DOUBLE PRECISION NOT NULL, cycles BIGINT NOT NULL,
        CONSTRAINT regimes_pkey PRIMARY KEY (run_id, place),
        CONSTRAINT regimes_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (run_id)
    )
    """,
    "CREATE INDEX regimes_by_time ON regimes (run_id, ts_ns)",
    """
    CREATE TABLE selections (
        run_id TEXT NOT NULL, place BIGINT NOT NULL, seq BIGINT NOT NULL, ts_ns BIGINT NOT NULL,
        ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(ts_ns, 0) / 1000000000.0)) STORED,
        strategy TEXT NOT NULL, regime TEXT NOT NULL, reason TEXT NOT NULL, before DOUBLE PRECISION NOT NULL,
        share DOUBLE PRECISION NOT NULL, mean_r DOUBLE PRECISION NOT NULL, radius_r DOUBLE PRECISION NOT NULL,
        trades DOUBLE PRECISION NOT NULL, CONSTRAINT selections_pkey PRIMARY KEY (run_id, place),
        CONSTRAINT selections_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (run_id)
    )
    """,
    "CREATE INDEX selections_by_time ON selections (run_id, ts_ns)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)
