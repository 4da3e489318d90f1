"""The ledger: a journal by hand in, exact rows out; sums that hold on any order flow."""

from __future__ import annotations

import time
from decimal import Decimal as D

import numpy as np
import pytest
from golden_journal import ALL, BTC, INSTRUMENTS, STRATEGIES, entry, golden
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts import reasons as why
from engine.contracts import records as r
from engine.contracts.errors import Fatal
from engine.contracts.instruments import E8
from engine.contracts.ledger import (
    CycleRow,
    DeskRow,
    EquityRow,
    FillRow,
    GapRow,
    Ledger,
    OrderRow,
    RefusalRow,
    RegimeRow,
    SelectionRow,
    StateRow,
    TradeRow,
)
from engine.journal.ledger import fold


def folded(*entries: np.ndarray) -> Ledger:
    return fold(entries, INSTRUMENTS, STRATEGIES)


def test_golden_orders() -> None:
    limit = {"order_type": "limit", "tif": "gtc", "reduce_only": False, "replaces": 0, "trigger": D(0)}
    short = limit | {
        "symbol": "DOGE-PERP", "venue": "okx", "strategy": "crossover", "role": "entry", "side": "sell",
        "post_only": True, "price": D("0.12345"), "qty": D(2), "reason": "ENTRY_SIGNAL",
    }  # fmt: skip
    assert folded(golden()).orders == [
        OrderRow(
            client_id=11, seq=2, ts_ns=2000, symbol="BTCUSDT", venue="binance", strategy="momentum", role="entry",
            side="buy", post_only=False, price=D(50_000), qty=D("0.004"), reason="ENTRY_SIGNAL", status="filled",
            filled_qty=D("0.004"), refusal="", done_ts_ns=5000, **limit,
        ),
        OrderRow(
            client_id=12, seq=5, ts_ns=5000, symbol="BTCUSDT", venue="binance", strategy="momentum", role="stop",
            side="sell", order_type="stop_market", tif="gtc", reduce_only=True, post_only=False, price=D(0),
            qty=D("0.004"), trigger=D(49_000), replaces=10, reason="STOP_LOSS", status="filled",
            filled_qty=D("0.004"), refusal="", done_ts_ns=12_000,
        ),
        OrderRow(client_id=13, seq=9, ts_ns=9000, status="rejected", filled_qty=D(0), refusal="WOULD_TAKE",
                 done_ts_ns=10_000, **short),
        OrderRow(client_id=14, seq=14, ts_ns=14_000, status="canceled", filled_qty=D("0.5"), refusal="",
                 done_ts_ns=16_000, **short),
    ]  # fmt: skip


def test_cycles_are_told_with_their_way_and_in_shadow_or_not() -> None:
    legs = {"legs": 0 | 1 << 16 | 0 << 32 | 0b011 << 48, "strategy": 3}
    begun = entry(1, kind=r.CYCLE, reason=why.CYCLE_BEGUN, quoted_e9=2_000_000, amount_e8=150 * E8, risk_e8=E8, **legs)
    done = entry(2, kind=r.CYCLE, reason=why.CYCLE_DONE, quoted_e9=2_000_000, realised_e9=-500_000, amount_e8=100 * E8,
                 **legs)  # fmt: skip
    seen = entry(3, kind=r.CYCLE, reason=why.CYCLE_MISSED, bits=r.SHADOW, quoted_e9=1_000_000, **legs)
    back = entry(4, kind=r.CYCLE, reason=why.BACK_TO_SHADOW, bits=r.SHADOW, quoted_e9=150_000, realised_e9=-20_000)
    book = folded(begun, done, seen, back)
    (first, second) = INSTRUMENTS[:2]
    way = f"{first.quote} > {first.base} > {second.base} > {first.quote}"
    sent = {"venue": first.venue, "way": way, "shadow": False}
    assert book.cycles == [
        CycleRow(seq=2, ts_ns=2000, begun_ns=1000, reason="CYCLE_DONE", quoted_bps=20.0, realised_bps=-5.0,
                 amount_usd=D(100), net_usd=D("-0.05"), **sent),
        CycleRow(seq=3, ts_ns=3000, begun_ns=3000, reason="CYCLE_MISSED", quoted_bps=10.0, realised_bps=0.0,
                 amount_usd=D(0), net_usd=D(0), **(sent | {"shadow": True})),
    ]  # fmt: skip
    assert book.desks == [
        DeskRow(seq=4, ts_ns=4000, venue=first.venue, trading=False, reason="BACK_TO_SHADOW", mean_bps=-0.2,
                decay_bps=1.5)
    ]  # fmt: skip


def test_golden_fills_count_a_repeated_one_once() -> None:
    btc = {"symbol": "BTCUSDT", "venue": "binance", "forced": False}
    buy = btc | {"client_id": 11, "side": "buy", "role": "entry"}
    assert folded(golden()).fills == [
        FillRow(trade_id=7, seq=4, ts_ns=4000, price=D(49_990), qty=D("0.001"), fee_usd=D("0.05"), maker=True, **buy),
        FillRow(trade_id=8, seq=5, ts_ns=5000, price=D(50_000), qty=D("0.003"), fee_usd=D("0.15"), maker=False, **buy),
        FillRow(trade_id=9, client_id=12, seq=12, ts_ns=12_000, side="sell", price=D(48_000), qty=D("0.004"),
                fee_usd=D("0.192"), maker=False, role="stop", **btc),
        FillRow(trade_id=7, client_id=14, seq=15, ts_ns=15_000, symbol="DOGE-PERP", venue="okx", side="sell",
                price=D("0.12345"), qty=D("0.5"), fee_usd=D("0.00000001"), maker=False, forced=False, role="entry"),
    ]  # fmt: skip


def test_golden_trades_and_notes() -> None:
    ledger = folded(golden())
    assert ledger.trades == [
        TradeRow(
            trade_no=1, seq=12, opened_ns=4000, closed_ns=12_000, symbol="BTCUSDT", venue="binance",
            strategy="momentum", side="long", qty=D("0.004"), entry_price=D("49997.5"), exit_price=D(48_000),
            stop_price=D(49_000), gross_usd=D("-7.99"), fees_usd=D("0.392"), funding_usd=D("0.012"),
            net_usd=D("-8.37"), slippage_usd=D(4), risk_usd=D("4.185"), r_multiple=-2.0, mae_usd=D(-8),
            mfe_usd=D("0.00000005"), exit_reason="STOP_LOSS",
        )
    ]  # fmt: skip
    assert ledger.equity == [
        EquityRow(seq=7, ts_ns=7000, equity_usd=D(999), cash_usd=D(800), free_usd=D("790.00000001"),
                  day_pnl_usd=D(-1), open_risk_usd=D(4))
    ]  # fmt: skip
    of_perp = {"symbol": "DOGE-PERP", "strategy": "crossover", "side": "sell"}
    assert ledger.refusals == [
        RefusalRow(seq=8, ts_ns=8000, reason="DAY_LOSS", source="risk", measured_usd=D(21), limit_usd=D(20), **of_perp),
        RefusalRow(seq=10, ts_ns=10_000, reason="WOULD_TAKE", source="venue", measured_usd=D(0), limit_usd=D(0),
                   **of_perp),
    ]  # fmt: skip
    assert ledger.gaps == [
        GapRow(seq=12, ts_ns=12_000, symbol="BTCUSDT", strategy="momentum", trade_no=1, cause="GAP_BETWEEN_TICKS",
               loss_usd=D("8.37"), planned_usd=D("4.185"), stop_price=D(49_000))
    ]  # fmt: skip
    assert ledger.states == [
        StateRow(seq=13, ts_ns=13_000, before="ACTIVE", after="REDUCING", reason="DAY_LOSS_LIMIT"),
        StateRow(seq=17, ts_ns=17_000, before="REDUCING", after="ACTIVE", reason="OPERATOR_RESUME"),
    ]


def test_grouping_into_blocks_changes_nothing() -> None:
    whole = golden()
    assert folded(*[whole[k : k + 1] for k in range(len(whole))], whole[:0]) == folded(whole)


def test_perp_prices_use_the_contract_size() -> None:
    notes = {"strategy": 2, "trade_no": 5}
    ledger = folded(
        entry(1, r.CLOSED, 1, **notes, side=-1, reason=why.TAKE_PROFIT, gross_e8=1, risk_e8=0),
        entry(1, r.EXCURSION, 1, **notes),
        entry(1, r.TRADE_SIZE, 1, **notes, qty_lots=5, entry_value_e8=6_172_500_000, exit_value_e8=100),
    )
    (trade,) = ledger.trades
    assert (trade.side, trade.qty, trade.entry_price) == ("short", D("0.5"), D("0.12345"))
    assert trade.r_multiple is None


def test_a_trade_tells_what_it_was_decided_on() -> None:
    notes = {"strategy": 2, "trade_no": 5}
    told = [
        entry(1, r.OUTCOME, 1, **notes, regime=2, hour=13, r_e9=5, forecast_e9=-250_000_000,
              confidence_e9=600_000_000, forecast_age_ns=1_500_000_000),
        entry(1, r.CLOSED, 1, **notes, side=-1, reason=why.TAKE_PROFIT, gross_e8=1, risk_e8=0),
        entry(1, r.EXCURSION, 1, **notes),
        entry(1, r.TRADE_SIZE, 1, **notes, qty_lots=5, entry_value_e8=6_172_500_000, exit_value_e8=100),
    ]  # fmt: skip
    for place in range(4):
        (trade,) = folded(*told[place:], *told[:place]).trades
        assert (trade.regime, trade.hour, trade.forecast) == ("calm_down", 13, -0.25)
        assert (trade.forecast_confidence, trade.forecast_age_s) == (0.6, 1.5)
    told[0]["record"]["forecast_age_ns"] = -1
    assert folded(*told).trades[0].forecast is None
    (older,) = folded(*told[1:]).trades
    assert (older.regime, older.hour, older.forecast_age_s) == ("unknown", 0, None)
    with pytest.raises(Fatal, match="trade 5 has two outcome notes"):
        folded(*told, told[0])


def test_regimes_and_shares_are_told_with_their_figures() -> None:
    ledger = folded(
        entry(3, r.REGIME, 0, before=0, regime=4, funding_e6=-120, cycles=7, trend_e9=-1_500_000_000,
              volatility_e9=2_100_000_000, breadth_e9=250_000_000, spread_e9=10**9, liquidity_e9=1),
        entry(4, r.SELECTION, ALL, strategy=1, regime=4, reason=why.SHARE_DEMOTED_GAP, share_e9=0,
              before_e9=700_000_000, mean_e9=-10**8, radius_e9=10**8, trades_e9=12_500_000_000),
        entry(5, r.REGIME, ALL, before=4, regime=9),
    )  # fmt: skip
    assert ledger.regimes[0] == RegimeRow(
        seq=3, ts_ns=3000, symbol="BTCUSDT", before="unknown", after="wild", trend=-1.5, volatility=2.1, breadth=0.25,
        spread=1.0, liquidity=1e-9, funding=-0.00012, cycles=7,
    )  # fmt: skip
    assert (ledger.regimes[1].symbol, ledger.regimes[1].after) == ("", "REGIME_9")
    assert ledger.selections == [
        SelectionRow(seq=4, ts_ns=4000, strategy="momentum", regime="wild", reason="SHARE_DEMOTED_GAP", before=0.7,
                     share=0.0, mean_r=-0.1, radius_r=0.1, trades=12.5)
    ]  # fmt: skip


def test_a_day_gap_and_a_forced_fill_have_no_order() -> None:
    ledger = folded(
        entry(1, r.GAP, ALL, reason=why.GAP_FUNDING, loss_e8=2_100_000_000, stop_ticks=3),
        entry(2, r.FILL, 1, side=r.BUY, price_ticks=10, qty_lots=1, trade_id=1, bits=r.FORCED),
    )
    assert (ledger.gaps[0].symbol, ledger.gaps[0].strategy, ledger.gaps[0].stop_price) == ("", "", D(0))
    assert (ledger.fills[0].forced, ledger.fills[0].role, ledger.orders) == (True, "exit", [])


PLACE = entry(1, r.PLACE, strategy=1, side=r.BUY, client_id=1, qty_lots=3)
PART = entry(2, r.FILL, client_id=1, side=r.BUY, price_ticks=1, qty_lots=1, trade_id=1)
REST = entry(2, r.FILL, client_id=1, side=r.BUY, price_ticks=1, qty_lots=2, trade_id=2)


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], "submitted"),
        ([r.ORDER_ACK], "accepted"),
        ([r.ORDER_ACK, r.CANCEL], "accepted"),
        ([r.ORDER_ACK, r.CANCEL, r.CANCEL_REJECT], "accepted"),
        ([r.ORDER_UNKNOWN], "unknown"),
        ([r.ORDER_UNKNOWN, r.ORDER_ACK], "accepted"),
        ([PART], "partially_filled"),
        ([PART, r.ORDER_ACK], "partially_filled"),
        ([r.ORDER_UNKNOWN, PART], "partially_filled"),
        ([PART, REST], "filled"),
        ([PART, r.ORDER_EXPIRED], "expired"),
        ([r.CANCEL, r.CANCEL_ACK, PART], "canceled"),
        ([r.CANCEL, r.CANCEL_ACK, PART, REST], "filled"),
        ([r.ORDER_REJECT, r.ORDER_ACK], "rejected"),
    ],
)
def test_status_words(events: list[np.ndarray | int], status: str) -> None:
    happened = [entry(2, event, client_id=1) if isinstance(event, int) else event for event in events]
    assert folded(PLACE, *happened).orders[0].status == status


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry(3, 99)], "seq 3: unknown record kind 99"),
        ([entry(3, r.FILL, 2)], "instrument 2, the manifest lists 2"),
        ([PLACE, PLACE], "client order id 1 is placed twice"),
        ([PART, entry(4, r.FILL, client_id=2, trade_id=1)], "BTCUSDT trade id 1 names two different fills"),
        ([entry(3, r.CLOSED, trade_no=4), entry(3, r.CLOSED, trade_no=4)], "trade 4 has two closed notes"),
        ([entry(3, r.CLOSED, trade_no=4), entry(4, r.TIMER)], "seq 3: trade 4 is told only in part"),
        ([entry(3, r.STATE, ALL, index=0, value_e9=3)], "trading state 0 to 3"),
        (
            [entry(3, kind, trade_no=4, side=1) for kind in (r.CLOSED, r.EXCURSION, r.TRADE_SIZE)],
            "trade 4 has quantity 0",
        ),
    ],
)
def test_contradictions_are_named(entries: list[np.ndarray], message: str) -> None:
    with pytest.raises(Fatal, match=message):
        folded(*entries)


def test_a_trade_torn_off_at_the_very_end_is_left_out() -> None:
    assert folded(entry(3, r.TIMER), entry(4, r.CLOSED, trade_no=4)).trades == []


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_fills_add_up_whatever_happens_to_the_orders(data: st.DataObject) -> None:
    orders = {k: data.draw(st.integers(1, 50)) for k in range(1, data.draw(st.integers(2, 6)))}
    entries = [entry(1, r.PLACE, strategy=1, side=r.BUY, client_id=k, qty_lots=lots) for k, lots in orders.items()]
    left, fees = dict(orders), 0
    kinds = st.sampled_from([r.FILL, r.FILL, r.ORDER_ACK, r.CANCEL, r.CANCEL_ACK, r.ORDER_UNKNOWN, r.ORDER_EXPIRED])
    for number in range(data.draw(st.integers(0, 40))):
        kind, client_id = data.draw(kinds), data.draw(st.sampled_from(sorted(orders)))
        if kind != r.FILL:
            entries.append(entry(number + 2, kind, client_id=client_id))
        elif left[client_id]:
            lots, fee = data.draw(st.integers(1, left[client_id])), data.draw(st.integers(-(10**6), 10**9))
            left[client_id] -= lots
            fees += fee
            fill = {"client_id": client_id, "side": r.BUY, "price_ticks": 7, "qty_lots": lots, "fee_e8": fee}
            entries.append(entry(number + 2, r.FILL, **fill, trade_id=number))
    ledger = folded(*entries)
    for order in ledger.orders:
        own = [fill.qty for fill in ledger.fills if fill.client_id == order.client_id]
        assert sum(own) == order.filled_qty == (orders[order.client_id] - left[order.client_id]) * BTC.lot_size
        assert (order.status == "filled") == (order.filled_qty == order.qty)
        assert (order.done_ts_ns > 0) == (order.status in {"filled", "canceled", "expired"})
    assert sum(fill.fee_usd for fill in ledger.fills) == D(fees).scaleb(-8)


def test_a_hundred_thousand_entries_fold_in_two_seconds() -> None:
    entries = np.zeros(100_000, r.ENTRY)
    entries["seq"] = np.arange(100_000)
    record = entries["record"]
    record["kind"] = np.tile([r.PLACE, r.ORDER_ACK, r.FILL, r.EQUITY], 25_000)
    record["client_id"] = np.arange(100_000) // 4
    record["side"], record["qty_lots"], record["price_ticks"] = r.BUY, 1, 100
    record["trade_id"][2::4] = np.arange(25_000)
    started = time.process_time()
    ledger = folded(entries)
    assert time.process_time() - started < 2
    assert {order.status for order in ledger.orders} == {"filled"} and len(ledger.equity) == 25_000
