"""Client order ids and decimal grids, by property."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contracts.errors import BadInput
from engine.contracts.records import ADOPTED, FORCED
from engine.venues.binance.client_ids import FIRST_STAND_IN, ClientIds, Request
from engine.venues.binance.decimals import Grid, Sizes, fee_e8, floor_of, signed, time_ns
from engine.venues.undecodable import Undecodable

IDS = ClientIds("keel7f3a")
most = (1 << 63) - 1


@given(st.integers(1, most))
def test_our_ids_come_back_and_fit_the_venue(client_id: int) -> None:
    text = IDS.encode(client_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,36}", text)
    assert IDS.decode(text) == client_id
    assert ClientIds("keel7f3b").decode(text) is None


@given(st.integers(1, most))
def test_a_stand_in_speaks_of_the_engines_orders_and_of_its_own(client_id: int) -> None:
    ids = IDS.stand_in()
    text = ids.encode(client_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,36}", text) and ids.decode(text) == client_id
    is_own = client_id >= FIRST_STAND_IN
    assert text == (f"keel7f3aw-{client_id}" if is_own else IDS.encode(client_id))
    assert IDS.is_stand_in(text) == is_own and IDS.decode(text) == (None if is_own else client_id)
    assert IDS.bit_of(text) == (ADOPTED if is_own else 0)


@pytest.mark.parametrize("text", ["", "keel7f3aw", "keel7f3aw-", "keel7f3aw-0x1", "keel7f3bw-1", "web_1"])
def test_nobody_else_is_taken_for_a_stand_in(text: str) -> None:
    assert not IDS.is_stand_in(text) and IDS.bit_of(text) == 0


def test_the_number_ranges_of_engine_and_stand_in_never_meet() -> None:
    ids = IDS.stand_in()
    assert ids.decode("keel7f3aw-7") is None and ids.decode(f"keel7f3a-{FIRST_STAND_IN}") is None
    assert IDS.bit_of("autoclose-1") == FORCED
    with pytest.raises(BadInput, match="prefix"):
        ClientIds("a" * 16).stand_in()


@given(st.text(max_size=40))
def test_other_texts_are_foreign(text: str) -> None:
    assert IDS.decode(text) is None or text == IDS.encode(int(text.partition("-")[2]))


@pytest.mark.parametrize("client_id", [0, -1, most + 1])
def test_ids_out_of_range(client_id: int) -> None:
    with pytest.raises(BadInput, match="outside"):
        IDS.encode(client_id)


@pytest.mark.parametrize("prefix", ["", "a" * 17, "7k", "a-b", "autoclose", "adl_x", "web_x", "käl", "a b"])
def test_prefixes_that_would_be_mistaken(prefix: str) -> None:
    with pytest.raises(BadInput, match="prefix"):
        ClientIds(prefix)


def test_the_longest_id_fits_and_a_request_that_does_not_is_refused() -> None:
    assert len(ClientIds("a" * 16).encode(most)) == 36
    with pytest.raises(BadInput, match="36"):
        Request("r", 65535, most, most).encode()


steps = st.sampled_from(["0.01", "0.1", "0.5", "0.25", "0.00001", "1", "10", "0.00000001", "0.05"])


@given(steps, st.integers(1, 2**40), st.integers(0, 6))
def test_whole_ticks_are_exact_however_many_zeros_follow(step: str, ticks: int, zeros: int) -> None:
    text = f"{ticks * Decimal(step):f}"
    text += "0" * zeros if "." in text else "." + "0" * zeros if zeros else ""
    grid = Grid("X", "price", "tick", Decimal(step), least=1)
    assert grid[text] == ticks == grid[text] == grid.nearest(text) == grid.rounded(text, up=True)


@given(steps, st.integers(1, 2**40), st.integers(1, 999))
def test_between_two_ticks_is_an_error_or_rounded_on_demand(step: str, ticks: int, part: int) -> None:
    text = f"{(ticks + Decimal(part) / 1000) * Decimal(step):f}"
    grid = Grid("X", "price", "tick", Decimal(step), least=1)
    with pytest.raises(Undecodable, match=f"X: price .* is not a whole number of ticks of {Decimal(step)}"):
        grid[text]
    assert (grid.rounded(text, up=False), grid.rounded(text, up=True)) == (ticks, ticks + 1)
    assert grid.nearest(text) == ticks + (part >= 500)
    assert Sizes("X", "size", "lot", Decimal(step), least=0)[text] == ticks


@given(st.text(max_size=12))
def test_only_plain_decimals_are_numbers(text: str) -> None:
    grid = Grid("X", "quantity", "lot", Decimal("0.001"), least=0)
    try:
        got = grid[text]
    except Undecodable:
        return
    assert re.fullmatch(r"[0-9]*\.?[0-9]*", text, re.ASCII) and Decimal(text) == got * Decimal("0.001")


def test_the_memory_of_a_grid_is_bounded() -> None:
    grid = Grid("X", "price", "tick", Decimal("0.01"), least=1)
    for ticks in range(1, 20_000):
        assert grid[f"{ticks / 100:.2f}"] == ticks
    assert len(grid) <= 8192


@pytest.mark.parametrize(
    ("text", "expected"), [("0.00000001", 1), ("0.000000011", 2), ("-0.000000019", -1), ("12", 12 * 10**8)]
)
def test_fees_are_rounded_against_us(text: str, expected: int) -> None:
    assert fee_e8(text, "fee") == expected


def test_signed_numbers_and_times() -> None:
    assert floor_of("-0.00010000", "rate", 12) == -100_000_000
    assert signed("-10", "position") == Decimal(-10)
    for bad in ("NaN", "Infinity", "1e5", "", "--1", "1" * 21, "+1", "1_0"):
        with pytest.raises(Undecodable, match="wallet"):
            signed(bad, "wallet")
    assert time_ns(1723161255342) == time_ns(1723161255342000) == 1723161255342_000_000
    with pytest.raises(Undecodable, match="neither"):
        time_ns(10**17)
