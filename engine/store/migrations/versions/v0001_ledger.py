"""The first tables: a run and what its journal says, and the audit that nobody may change."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0001"
down_revision = None

_TABLES: Final = (
    """
    CREATE TABLE runs (
        run_id TEXT NOT NULL, created timestamptz NOT NULL, world TEXT NOT NULL, grade TEXT NOT NULL,
        simulated BOOLEAN NOT NULL, synthetic BOOLEAN NOT NULL, capital_usd NUMERIC NOT NULL, from_ns BIGINT NOT NULL,
        from_ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(from_ns, 0) / 1000000000.0)) STORED,
        to_ns BIGINT NOT NULL,
        to_ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(to_ns, 0) / 1000000000.0)) STORED,
        code TEXT NOT NULL, events BIGINT NOT NULL, digest TEXT NOT NULL, wall_s DOUBLE PRECISION NOT NULL,
        manifest JSON NOT NULL, CONSTRAINT runs_pkey PRIMARY KEY (run_id)
    )
    """,
    """
    CREATE TABLE orders (
        run_id TEXT NOT NULL, client_id BIGINT NOT NULL, seq BIGINT NOT NULL, ts_ns BIGINT NOT NULL,
        ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(ts_ns, 0) / 1000000000.0)) STORED,
        symbol TEXT NOT NULL, venue TEXT NOT NULL, strategy TEXT NOT NULL, role TEXT NOT NULL, side TEXT NOT NULL,
        order_type TEXT NOT NULL, tif TEXT NOT NULL, reduce_only BOOLEAN NOT NULL, post_only BOOLEAN NOT NULL,
        price NUMERIC NOT NULL, qty NUMERIC NOT NULL, trigger NUMERIC NOT NULL, replaces BIGINT NOT NULL,
        reason TEXT NOT NULL, status TEXT NOT NULL, filled_qty NUMERIC NOT NULL, refusal TEXT NOT NULL,
        done_ts_ns BIGINT NOT NULL,
        done_ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(done_ts_ns, 0) / 1000000000.0)) STORED,
        CONSTRAINT orders_pkey PRIMARY KEY (run_id, client_id),
        CONSTRAINT orders_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (run_id)
    )
    """,
    "CREATE INDEX orders_by_time ON orders (run_id, ts_ns)",
    """
    CREATE TABLE fills (
        run_id TEXT NOT NULL, trade_id BIGINT NOT NULL, client_id BIGINT NOT NULL, seq BIGINT NOT NULL,
        ts_ns BIGINT NOT NULL,
        ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(ts_ns, 0) / 1000000000.0)) STORED,
        symbol TEXT NOT NULL, venue TEXT NOT NULL, side TEXT NOT NULL, price NUMERIC NOT NULL, qty NUMERIC NOT NULL,
        fee_usd NUMERIC NOT NULL, maker BOOLEAN NOT NULL, forced BOOLEAN NOT NULL, role TEXT NOT NULL,
        CONSTRAINT fills_pkey PRIMARY KEY (run_id, venue, symbol, trade_id),
        CONSTRAINT fills_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (run_id)
    )
    """,
    "CREATE INDEX fills_by_time ON fills (run_id, ts_ns)",
    """
    CREATE TABLE trades (
        run_id TEXT NOT NULL, trade_no BIGINT NOT NULL, seq BIGINT NOT NULL, opened_ns BIGINT NOT NULL,
        opened timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(opened_ns, 0) / 1000000000.0)) STORED,
        closed_ns BIGINT NOT NULL,
        closed timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(closed_ns, 0) / 1000000000.0)) STORED,
        symbol TEXT NOT NULL, venue TEXT NOT NULL, strategy TEXT NOT NULL, side TEXT NOT NULL, qty NUMERIC NOT NULL,
        entry_price NUMERIC NOT NULL, exit_price NUMERIC NOT NULL, stop_price NUMERIC NOT NULL,
        gross_usd NUMERIC NOT NULL, fees_usd NUMERIC NOT NULL, funding_usd NUMERIC NOT NULL, net_usd NUMERIC NOT NULL,
        slippage_usd NUMERIC NOT NULL, risk_usd NUMERIC NOT NULL, r_multiple DOUBLE PRECISION, mae_usd NUMERIC NOT NULL,
        mfe_usd NUMERIC NOT NULL, exit_reason TEXT NOT NULL, CONSTRAINT trades_pkey PRIMARY KEY (run_id, trade_no),
        CONSTRAINT trades_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (run_id)
    )
    """,
    "CREATE INDEX trades_by_time ON trades (run_id, closed_ns)",
    """
    CREATE TABLE equity (
        run_id TEXT NOT NULL, place BIGINT NOT NULL, seq BIGINT NOT NULL, ts_ns BIGINT NOT NULL,
        ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(ts_ns, 0) / 1000000000.0)) STORED,
        equity_usd NUMERIC NOT NULL, cash_usd NUMERIC NOT NULL, free_usd NUMERIC NOT NULL, day_pnl_usd NUMERIC NOT NULL,
        open_risk_usd NUMERIC NOT NULL, CONSTRAINT equity_pkey PRIMARY KEY (run_id, place),
        CONSTRAINT equity_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (run_id)
    )
    """,
    "CREATE INDEX equity_by_time ON equity (run_id, ts_ns)",
    """
    CREATE TABLE refusals (
        run_id TEXT NOT NULL, place BIGINT NOT NULL, seq BIGINT NOT NULL, ts_ns BIGINT NOT NULL,
        ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(ts_ns, 0) / 1000000000.0)) STORED,
        symbol TEXT NOT NULL, strategy TEXT NOT NULL, side TEXT NOT NULL, reason TEXT NOT NULL, source TEXT NOT NULL,
        measured_usd NUMERIC NOT NULL, limit_usd NUMERIC NOT NULL, CONSTRAINT refusals_pkey PRIMARY KEY (run_id, place),
        CONSTRAINT refusals_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (run_id)
    )
    """,
    "CREATE INDEX refusals_by_time ON refusals (run_id, ts_ns)",
    """
    CREATE TABLE gaps (
        run_id TEXT NOT NULL, place BIGINT NOT NULL, seq BIGINT NOT NULL, ts_ns BIGINT NOT NULL,
        ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(ts_ns, 0) / 1000000000.0)) STORED,
        symbol TEXT NOT NULL, strategy TEXT NOT NULL, trade_no BIGINT NOT NULL, cause TEXT NOT NULL,
        loss_usd NUMERIC NOT NULL, planned_usd NUMERIC NOT NULL, stop_price NUMERIC NOT NULL,
        CONSTRAINT gaps_pkey PRIMARY KEY (run_id, place),
        CONSTRAINT gaps_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (run_id)
    )
    """,
    "CREATE INDEX gaps_by_time ON gaps (run_id, ts_ns)",
    """
    CREATE TABLE states (
        run_id TEXT NOT NULL, place BIGINT NOT NULL, seq BIGINT NOT NULL, ts_ns BIGINT NOT NULL,
        ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(ts_ns, 0) / 1000000000.0)) STORED,
        before TEXT NOT NULL, after TEXT NOT NULL, reason TEXT NOT NULL,
        CONSTRAINT states_pkey PRIMARY KEY (run_id, place),
        CONSTRAINT states_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (run_id)
    )
    """,
    "CREATE INDEX states_by_time ON states (run_id, ts_ns)",
    """
    CREATE TABLE projections (
        run_id TEXT NOT NULL, entries BIGINT NOT NULL, digest TEXT NOT NULL, rows JSON NOT NULL,
        CONSTRAINT projections_pkey PRIMARY KEY (run_id),
        CONSTRAINT projections_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (run_id)
    )
    """,
    """
    CREATE TABLE audit (
        seq BIGINT NOT NULL, ts_ns BIGINT NOT NULL,
        ts timestamptz GENERATED ALWAYS AS (to_timestamp(NULLIF(ts_ns, 0) / 1000000000.0)) STORED,
        who TEXT NOT NULL, what TEXT NOT NULL, before JSON, after JSON, why TEXT NOT NULL, evidence JSON, key TEXT,
        prev_hash TEXT NOT NULL, hash TEXT NOT NULL, CONSTRAINT audit_pkey PRIMARY KEY (seq),
        CONSTRAINT audit_key_key UNIQUE (key)
    )
    """,
)

_PROTECTION: Final = (
    """
    CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit is append-only: % refused', TG_OP;
    END $$
    """,
    """
    CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()
    """,
    "ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_append_only",
)


def upgrade() -> None:
    for statement in (*_TABLES, *_PROTECTION):
        op.execute(statement)
