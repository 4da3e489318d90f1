"""What `status` and the dashboard show is what the core knows: rows from a driven core, there and back."""

from __future__ import annotations

import pytest
from probes import Desk
from streams import instrument

from engine.contracts import reasons
from engine.contracts.errors import BadData
from engine.contracts.records import CANCEL, FILL, OPERATOR, ORDER_REJECT, PLACE, REFUSED
from engine.core.orders import POOL
from engine.store import coreview, viewrows


@pytest.fixture
def desk() -> Desk:
    """One open position of 200 lots (2 units at 100.00) with its stop at 98.00 known to the venue."""
    made = Desk([instrument("AAA"), instrument("BBB")])
    made.open(0, 200, 10_000, 9_800)
    return made


def test_a_position_its_stop_and_the_account_are_shown(desk: Desk) -> None:
    desk.quote(0, 10_050, 10_060)
    name = coreview.name_of(desk.core, 0)
    found = coreview.positions(desk.core)
    assert list(found) == [name] == [f"{desk.core.instruments[0].venue}:{desk.core.instruments[0].symbol}"]
    row = found[name]
    assert (row.qty, row.entry, row.mark, row.stop) == (2.0, 100.0, 100.5, 98.0)
    assert row.stop_state == "accepted"
    assert row.unrealised_usd == pytest.approx(1.0)
    assert row.at_stop_usd < -4.0
    [order] = coreview.orders(desk.core).values()
    assert (order.role, order.side, order.trigger, order.qty, order.filled) == ("stop", "sell", 98.0, 2.0, 0.0)
    account = coreview.account(desk.core)
    assert account.state == "ACTIVE"
    assert account.equity_usd == pytest.approx(1001.0 - account.fees_usd)
    assert account.day_pnl_usd == pytest.approx(account.equity_usd - 1000.0)
    assert (account.reserve_usd, account.day_limit_usd, account.positions) == (200.0, 20.0, 1)
    assert account.open_risk_usd == pytest.approx(row.unrealised_usd - row.at_stop_usd)
    assert account.free_usd == account.cash_usd


def test_decisions_refusals_and_fills_are_told_from_their_records(desk: Desk) -> None:
    desk.quote(1, 9_999, 10_000)
    assert desk.enter(1, 100_000, 9_900) == 0
    from engine.core.output import drain

    [refused] = [r for r in drain(desk.out)["record"] if r["kind"] == REFUSED]
    row = coreview.refusal(desk.core, refused)
    assert (row.source, row.side, row.instrument) == ("risk", "buy", coreview.name_of(desk.core, 1))
    assert row.reason == reasons.name(int(refused["reason"]))
    assert desk.enter(1, 10, 9_900)
    [placed] = [r for r in drain(desk.out)["record"] if r["kind"] == PLACE]
    told = coreview.decision(desk.core, placed)
    assert (told.action, told.role, told.side, told.qty) == ("place", "entry", "buy", 0.1)
    said = desk.say(OPERATOR, 65535, reason=reasons.OPERATOR_EMERGENCY)
    cancels = [coreview.decision(desk.core, r) for r in said if r["kind"] == CANCEL]
    assert [(c.action, c.client_id, c.qty) for c in cancels] == [("cancel", told.client_id, None)]
    assert coreview.account(desk.core).state == "HALTED"


def test_what_a_venue_says_is_told_with_what_we_know_of_the_order(desk: Desk) -> None:
    from streams import events

    stop = int(desk.state.positions[0].stop_id)
    reject = events(1, kind=ORDER_REJECT, instrument=0, client_id=stop, reason=reasons.MIN_NOTIONAL)[0]
    row = coreview.refusal(desk.core, reject)
    assert (row.source, row.side, row.reason, row.limit_usd) == ("venue", "sell", "MIN_NOTIONAL", None)
    stranger = events(1, kind=ORDER_REJECT, instrument=0, client_id=stop + POOL, reason=reasons.MIN_NOTIONAL)[0]
    assert coreview.refusal(desk.core, stranger).side == ""
    one = events(1, kind=FILL, instrument=0, side=-1, price_ticks=9_800, qty_lots=50, fee_e8=5_000_000, bits=1)[0]
    fill = coreview.fill(desk.core, one)
    assert (fill.side, fill.price, fill.qty, fill.fee_usd, fill.maker) == ("sell", 98.0, 0.5, 0.05, True)


def test_rows_come_back_as_they_were_and_another_versions_rows_are_refused(desk: Desk) -> None:
    written = viewrows.cells(coreview.positions(desk.core))
    assert viewrows.rows(written, viewrows.PositionRow) == coreview.positions(desk.core)
    account = coreview.account(desk.core)
    assert viewrows.row(viewrows.cell(account), viewrows.AccountRow) == account
    with pytest.raises(BadData, match="another version"):
        viewrows.row({"equity": 1.0}, viewrows.AccountRow)
