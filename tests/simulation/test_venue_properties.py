"""Whatever the market does and whatever we send, the venue's books balance. Audited after every happening."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from exchange_desk import Desk, perp, spot
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts import records as r

DONE = {r.ORDER_REJECT, r.CANCEL_ACK, r.ORDER_EXPIRED}
CASH = 10_000 * 10**8
COINS = 400
PRICED = {r.LIMIT_ORDER, r.STOP_LIMIT}

moves = st.integers(-400, 400)
sizes = st.integers(0, 300)
markets = st.tuples(st.just("market"), moves, st.integers(0, 3), sizes, st.sampled_from([0, r.BUY, r.SELL]))
orders = st.tuples(
    st.just("place"),
    st.sampled_from([r.BUY, r.SELL]),
    st.integers(1, 400),
    st.sampled_from([r.MARKET, r.LIMIT_ORDER, r.STOP_MARKET, r.STOP_LIMIT]),
    st.sampled_from([r.GTC, r.IOC, r.FOK]),
    st.sampled_from([0, 0, r.REDUCE_ONLY, r.POST_ONLY]),
    st.integers(-300, 300),
    st.integers(-300, 300),
    st.sampled_from([0, 0, 0, 1, 2, 3]),  # replace the order sent that many orders ago
)
cancels = st.tuples(st.just("cancel"), st.integers(1, 6))
funding = st.tuples(st.just("funding"), st.integers(-(10**8), 10**8))
flows = st.lists(st.one_of(markets, markets, markets, orders, orders, orders, cancels, funding), max_size=70)


class Audit:
    """Follows the venue's answers and compares them with what the venue holds."""

    def __init__(self, is_perp: bool, is_path: bool, fee_in_base: bool = False) -> None:
        one = perp(maintenance_margin_rate=Decimal("0.02")) if is_perp else spot(fee_in_base=fee_in_base)
        self.desk = Desk(one, cash=10_000, coins_lots=0 if is_perp else COINS)
        self.is_perp, self.is_path = is_perp, is_path
        self.price = 10_000
        self.sent: dict[int, dict[str, int]] = {}
        self.answered: list[bytes] = []
        self.cash, self.base_e8, self.position = CASH, 0 if is_perp else COINS * 10**6, 0

    def act(self, step: tuple[Any, ...]) -> None:
        desk = self.desk
        if step[0] == "market":
            self._move(*step[1:])
        elif step[0] == "cancel":
            desk.cancel(max(desk.last_id + 1 - step[1], 1))
        elif step[0] == "funding":
            desk.happen(r.FUNDING, rate_e12=step[1])
        else:
            _, side, lots, order_type, tif, bits, at, limit, back = step
            price, trigger = self.price + limit, self.price + at
            replaces = max(desk.last_id + 1 - back, 0) if back else 0
            order = {"side": side, "lots": lots, "order_type": order_type, "price": price}
            number = desk.place(**order, trigger=trigger, tif=tif, bits=bits, leverage=5, replaces=replaces)
            self.sent[number] = order | {"left": lots, "done": 0, "accepted": 0}
        self.listen()
        self.check()

    def _move(self, move: int, half: int, lots: int, side: int) -> None:
        self.price = max(self.price + move, 2_000)
        if self.is_path:
            jump = r.JUMP if side == 0 else 0
            self.desk.path(self.price, lots=0 if jump else lots, spread=2 * half + 1, depth=lots, bits=jump)
        elif side != 0:
            self.desk.trade(self.price, lots, side)
        else:
            self.desk.quote(self.price - half - 1, self.price + half + 1, lots, lots)

    def listen(self) -> None:
        for record in self.desk.records():
            self.answered.append(record.tobytes())
            kind, number = int(record["kind"]), int(record["client_id"])
            if kind == r.FUNDING:
                self.cash += int(record["amount_e8"])
                continue
            if kind == r.FILL:
                self._filled(record, self.sent.get(number))
            if kind == r.CANCEL_REJECT or number == 0:
                continue
            order = self.sent[number]
            if kind == r.ORDER_ACK:
                order["accepted"] += 1
            elif kind in DONE:
                order["done"] += 1
            elif kind == r.FILL and order["left"] == 0:
                order["done"] += 1

    def _filled(self, record: Any, order: dict[str, int] | None) -> None:
        side, lots, price = int(record["side"]), int(record["qty_lots"]), int(record["price_ticks"])
        bits, fee = int(record["bits"]), int(record["fee_e8"])
        value = price * lots * 10_000
        self.cash -= side * value
        self.position += side * lots
        self.base_e8 += side * lots * 10**6
        if bits & r.FEE_IN_BASE:
            self.base_e8 -= fee
        else:
            self.cash -= fee
        assert lots > 0 and price > 0
        if order is None:
            assert bits & r.FORCED and self.is_perp
            return
        order["left"] -= lots
        assert order["left"] >= 0 and order["accepted"] == 1 and order["done"] == 0
        if order["order_type"] in PRICED:
            assert (price - order["price"]) * side <= 0
        if bits & r.MAKER:
            assert price == order["price"]

    def check(self) -> None:
        v, head, holding = self.desk.v, self.desk.head, self.desk.holding
        live = [v.orders[slot] for slot in v.live[: head.live_count]]
        assert {int(o.client_id): int(o.left_lots) for o in live} == {
            number: order["left"] for number, order in self.sent.items() if not order["done"]
        }
        assert all(order["done"] <= 1 for order in self.sent.values())
        assert head.cash_e8 >= 0 and holding.base_e8 >= 0
        assert head.locked_e8 == sum(int(o.locked_e8) for o in live) and all(o.locked_e8 >= 0 for o in live)
        if self.is_perp:
            sign = 1 if self.position > 0 else -1
            assert holding.qty_lots == self.position and head.margin_e8 == holding.margin_e8 >= 0
            assert head.cash_e8 == self.cash + sign * holding.cost_e8
        else:
            assert (head.cash_e8, holding.base_e8) == (self.cash, self.base_e8)
            assert head.cash_e8 >= head.locked_e8
            assert holding.locked_lots == sum(int(o.left_lots) for o in live if o.side < 0)
            assert 0 <= holding.locked_lots * 10**6 <= holding.base_e8

    def finish(self) -> None:
        """Cancel what stands: then every order has had its one last answer, and nothing is locked."""
        for number in self.desk.live():
            self.desk.cancel(number)
        self.listen()
        self.check()
        assert all(order["done"] == 1 for order in self.sent.values())
        assert self.desk.head.locked_e8 == self.desk.holding.locked_lots == 0


def played(flow: list[tuple[Any, ...]], **kind: bool) -> Audit:
    audit = Audit(**kind)
    audit.act(("market", 0, 1, 100, 0))
    for step in flow:
        audit.act(step)
    audit.finish()
    return audit


@pytest.mark.parametrize("is_path", [False, True], ids=["ticks", "candles"])
@pytest.mark.parametrize("kind", [{"is_perp": False}, {"is_perp": False, "fee_in_base": True}, {"is_perp": True}])
@given(flow=flows)
@settings(max_examples=40, deadline=None)
def test_the_books_balance(kind: dict[str, bool], is_path: bool, flow: list[tuple[Any, ...]]) -> None:
    played(flow, is_path=is_path, **kind)


@given(flow=flows)
@settings(max_examples=10, deadline=None)
def test_the_same_flow_gives_the_same_answers(flow: list[tuple[Any, ...]]) -> None:
    assert played(flow, is_perp=True, is_path=False).answered == played(flow, is_perp=True, is_path=False).answered


def fixed_flow() -> str:
    """A long flow made without hypothesis, as hex: the same in every process."""
    state = 12_345
    flow: list[tuple[Any, ...]] = []
    for _ in range(400):
        draw: list[int] = []
        for _ in range(5):
            state = (state * 1_103_515_245 + 12_345) % 2**31
            draw.append(state >> 8)
        if draw[0] % 3 == 0:
            flow.append(("market", draw[1] % 801 - 400, draw[2] % 4, draw[3] % 300, draw[4] % 3 - 1))
        elif draw[0] % 3 == 1:
            kinds = draw[2] % 4 + 1, draw[3] % 3 + 1, (0, r.REDUCE_ONLY, r.POST_ONLY)[draw[4] % 3]
            at = draw[0] % 601 - 300, draw[1] % 601 - 300
            flow.append(("place", (draw[4] >> 4) % 2 * 2 - 1, draw[1] % 400 + 1, *kinds, *at, draw[3] % 2))
        else:
            flow.append(("cancel", draw[1] % 6 + 1))
    audits = [played(flow, is_perp=p, is_path=c) for p in (False, True) for c in (False, True)]
    return b"".join(b"".join(audit.answered) for audit in audits).hex()


def test_compiled_and_plain_answers_are_the_same_bytes() -> None:
    here = Path(__file__).parent
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{here}{os.pathsep}{here.parents[1]}"}
    code = "import test_venue_properties as t; print(t.fixed_flow())"
    plain = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert plain.stdout.strip() == fixed_flow()
    assert len(plain.stdout) > 200 * 128  # two hundred answers and more
