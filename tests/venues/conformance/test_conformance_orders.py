"""What every venue does with orders: the same commands, the same records."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest
from conformance_subjects import Subject
from venue_bench import Bench

from engine.contracts import reasons
from engine.contracts import records as r


def rest(bench: Bench, share: float = 0.9, side: int = r.BUY, usd: float = 200, ref: int = 0) -> int:
    """A limit order that rests away from the market."""
    ticks = int(bench.bid * share) if side == r.BUY else int(bench.ask * (2 - share))
    return bench.place(side, bench.lots(usd), r.LIMIT_ORDER, ticks, ref=ref)


def held_lots(bench: Bench) -> int:
    """Whole lots of the first instrument that the account holds."""
    one = bench.instruments[0]
    if one.kind == "perp":
        return sum(p.qty_lots for p in bench.do(bench.venue.account.positions()) if p.instrument == 0)
    free = {wallet.asset: wallet.free for wallet in bench.do(bench.venue.account.wallets())}
    return int(free.get(one.base, Decimal(0)) / one.lot_size)


def buy(bench: Bench, usd: float = 300) -> int:
    """Lots bought at the market."""
    lots = bench.lots(usd)
    bench.wait_filled(bench.place(r.BUY, lots, r.MARKET, bench.ask + bench.ask // 100), lots)
    return lots


def test_a_market_order_fills_and_the_wallets_add_up(bench: Bench, subject: Subject) -> None:
    one = bench.instruments[0]

    def money() -> tuple[Decimal, Decimal]:
        found = {w.asset: w.free + w.locked for w in bench.do(bench.venue.account.wallets())}
        return found.get(one.quote, Decimal(0)), found.get(one.base, Decimal(0))

    cash, coins = money()
    before = held_lots(bench)
    lots = bench.lots(300)
    order = bench.place(r.BUY, lots, r.MARKET, bench.ask + bench.ask // 100)
    fills = bench.wait_filled(order, lots)
    assert sum(int(fill["qty_lots"]) for fill in fills) == lots
    assert all(int(fill["side"]) == r.BUY and int(fill["trade_id"]) != 0 for fill in fills)
    assert all(abs(int(fill["price_ticks"]) - bench.ask) < bench.ask // 50 for fill in fills)
    if subject.is_perp:
        assert held_lots(bench) - before == lots
        return
    paid = sum((one.price(int(f["price_ticks"])) * one.quantity(int(f["qty_lots"])) for f in fills), Decimal(0))
    in_base = sum(int(f["fee_e8"]) for f in fills if int(f["bits"]) & r.FEE_IN_BASE)
    in_quote = sum(int(f["fee_e8"]) for f in fills if not int(f["bits"]) & r.FEE_IN_BASE)
    assert in_base + in_quote > 0
    cash_after, coins_after = money()
    assert abs(cash - cash_after - paid - Decimal(in_quote) / 10**8) < Decimal("0.000001")
    assert abs(coins_after - coins - one.quantity(lots) + Decimal(in_base) / 10**8) < Decimal("0.00000001")


def test_a_limit_order_rests_is_shown_and_is_cancelled(bench: Bench) -> None:
    order = rest(bench)
    ack = bench.wait(order, r.ORDER_ACK)
    assert int(ack["venue_order_id"]) != 0
    shown = [one for one in bench.do(bench.venue.account.open_orders()) if one.client_id == order]
    assert len(shown) == 1 and shown[0].side == r.BUY and shown[0].filled_lots == 0
    assert shown[0].price_ticks == int(bench.of(order)[0]["price_ticks"])
    assert bench.do(bench.venue.execution.ask(0, order)) is True
    bench.cancel(order)
    bench.wait(order, r.CANCEL_ACK)
    assert all(one.client_id != order for one in bench.do(bench.venue.account.open_orders()))
    assert bench.do(bench.venue.execution.ask(0, order)) is True
    assert bench.kinds(order)[-1] == r.CANCEL_ACK


def test_an_order_nobody_knows_cannot_be_cancelled_or_asked_for(bench: Bench) -> None:
    bench.cancel(88_001)
    assert int(bench.wait(88_001, r.CANCEL_REJECT)["reason"]) == reasons.UNKNOWN_ORDER
    assert bench.do(bench.venue.execution.ask(0, 88_002)) is False


def test_a_filled_order_is_told_again_when_asked_for_but_its_fill_is_not(bench: Bench, subject: Subject) -> None:
    lots = bench.lots(100)
    order = bench.place(r.BUY, lots, r.MARKET, bench.ask + bench.ask // 100)
    bench.wait_filled(order, lots)
    assert bench.do(bench.venue.execution.ask(0, order)) is True
    if subject.is_real:
        assert sum(int(one["qty_lots"]) for one in bench.of(order) if one["kind"] == r.FILL) == lots
    bench.cancel(order)
    assert int(bench.wait(order, r.CANCEL_REJECT)["reason"]) == reasons.UNKNOWN_ORDER


def test_a_stop_waits_is_seen_in_its_book_and_is_cancelled(bench: Bench) -> None:
    lots = buy(bench) // 2
    trigger = int(bench.bid * 0.95)
    bits = r.REDUCE_ONLY if bench.instruments[0].kind == "perp" else 0
    stop = bench.place(r.SELL, lots, r.STOP_MARKET, 0, trigger, role=r.ROLE_STOP, bits=bits)
    bench.wait(stop, r.ORDER_ACK)
    shown = [one for one in bench.do(bench.venue.account.open_orders()) if one.client_id == stop]
    assert [(one.side, one.qty_lots, one.trigger_ticks) for one in shown] == [(r.SELL, lots, trigger)]
    assert shown[0].book in ("orders", "algo", "emulated")
    assert bench.do(bench.venue.execution.ask(0, stop)) is True
    bench.cancel(stop)
    bench.wait(stop, r.CANCEL_ACK)
    assert all(one.client_id != stop for one in bench.do(bench.venue.account.open_orders()))


def test_an_order_takes_the_place_of_another(bench: Bench) -> None:
    old = rest(bench, 0.9)
    bench.wait(old, r.ORDER_ACK)
    new = rest(bench, 0.92, ref=old)
    bench.wait(new, r.ORDER_ACK)
    bench.wait(old, r.CANCEL_ACK)
    mine = {one.client_id for one in bench.do(bench.venue.account.open_orders())}
    assert new in mine and old not in mine
    late = rest(bench, 0.93, ref=old)
    assert int(bench.wait(late, r.ORDER_REJECT)["reason"]) == reasons.REPLACED_ORDER_GONE
    bench.cancel(new)
    bench.wait(new, r.CANCEL_ACK)


def test_a_client_id_is_used_once(bench: Bench) -> None:
    order = rest(bench)
    bench.wait(order, r.ORDER_ACK)
    bench.place(r.BUY, bench.lots(200), r.LIMIT_ORDER, int(bench.bid * 0.9), client_id=order)
    bench.quiet()
    shown = [one for one in bench.do(bench.venue.account.open_orders()) if one.client_id == order]
    assert len(shown) == 1
    bench.cancel(order)
    bench.wait(order, r.CANCEL_ACK)


REFUSED = {
    "post only": (reasons.WOULD_TAKE,),
    "too small": (reasons.MIN_NOTIONAL, reasons.LOT_SIZE),
    "too dear": (reasons.INSUFFICIENT_BALANCE, reasons.INSUFFICIENT_MARGIN),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_the_rules_forbid_is_refused_with_its_reason(bench: Bench, why: str) -> None:
    far = int(bench.bid * 0.9)
    if why == "post only":
        order = bench.place(r.BUY, bench.lots(200), r.LIMIT_ORDER, int(bench.ask * 1.01), bits=r.POST_ONLY)
    elif why == "too small":
        order = bench.place(r.BUY, 1, r.LIMIT_ORDER, far)
        one = bench.instruments[0]
        if one.price(far) * one.lot_size >= one.min_notional and one.min_qty <= one.lot_size:
            pytest.skip(f"{one.symbol}: one lot is not too small there")
    else:
        order = bench.place(r.BUY, bench.lots(500_000), r.LIMIT_ORDER, far)
    refusal = bench.wait(order, r.ORDER_REJECT)
    assert int(refusal["reason"]) in REFUSED[why]
    assert all(one.client_id != order for one in bench.do(bench.venue.account.open_orders()))


def filled_lots(bench: Bench, order: int) -> int:
    return sum(int(one["qty_lots"]) for one in bench.of(order) if one["kind"] == r.FILL)


def is_over(bench: Bench, order: int, lots: int) -> bool:
    return bool({r.ORDER_EXPIRED, r.CANCEL_ACK} & set(bench.kinds(order))) or filled_lots(bench, order) == lots


def test_more_than_there_is_fills_in_part_and_the_rest_expires(bench: Bench) -> None:
    """The market goes on meanwhile: where two of its levels came within the limit, all was filled and it is tried
    again."""
    for _ in range(5):
        bench.play_until_all_is_heard()  # what others offered is there again
        quote = bench.quotes()[-1]
        lots = int(quote["ask_lots"]) + bench.lots(50)
        if bench.lots(9_000) < lots:
            pytest.skip("the best level holds more than the account can buy")
        order = bench.place(r.BUY, lots, r.LIMIT_ORDER, int(quote["ask_ticks"]), tif=r.IOC)
        bench.heard.until(partial(is_over, bench, order, lots))
        if 0 < filled_lots(bench, order) < lots:
            return
    raise AssertionError("it never filled in part")


def test_reduce_only_never_opens(bench: Bench, subject: Subject) -> None:
    if not subject.is_perp:
        pytest.skip("spot has no reduce-only")
    held = held_lots(bench)
    if held:
        bench.wait_filled(
            bench.place(-1 if held > 0 else 1, abs(held), bits=r.REDUCE_ONLY, role=r.ROLE_EXIT), abs(held)
        )
    order = bench.place(r.SELL, bench.lots(200), bits=r.REDUCE_ONLY, role=r.ROLE_EXIT)
    assert int(bench.wait(order, r.ORDER_REJECT)["reason"]) == reasons.REDUCE_ONLY_REJECTED
    assert held_lots(bench) == 0


def test_a_fill_is_told_once_however_often_it_is_read(bench: Bench) -> None:
    buy(bench, 150)
    assert bench.do(bench.venue.account.fills_since(0)) == 0
    trades = [int(one["trade_id"]) for one in bench.heard.account_records if one["kind"] == r.FILL]
    assert len(trades) == len(set(trades)) > 0
