"""The record layout and the life-cycle table are what they say they are."""

from __future__ import annotations

import numpy as np
import pytest
from probes import Desk, happen
from streams import instrument

from engine.contracts import reasons, records
from engine.contracts.records import ENTRY, KINDS, RECORD, RECORD_BYTES, STATE, VIOLATION, as_dict, joined
from engine.core import life
from engine.core.orders import HALTED
from engine.core.output import drain

NAMED_KINDS = sorted(
    value for name, value in vars(records).items()
    if name.isupper() and isinstance(value, int) and name in {kind.name.upper() for kind in KINDS.values()}
)  # fmt: skip


def test_a_record_is_64_bytes_and_every_field_lies_inside() -> None:
    assert RECORD.itemsize == RECORD_BYTES == 64
    assert ENTRY.itemsize == 72
    assert RECORD.fields is not None
    for name, (dtype, offset, *_) in RECORD.fields.items():
        assert offset % dtype.itemsize == 0 and offset + dtype.itemsize <= 64, name


@pytest.mark.parametrize("number", KINDS)
def test_the_fields_a_kind_names_exist_and_do_not_overlap(number: int) -> None:
    assert RECORD.fields is not None
    taken: dict[int, str] = {}
    for name in ("ts_ns", "kind", "instrument", *KINDS[number].fields):
        dtype, offset, *_ = RECORD.fields[name]
        for byte in range(offset, offset + dtype.itemsize):
            assert byte not in taken, f"{KINDS[number].name}: {name} overlaps {taken[byte]}"
            taken[byte] = name


def test_every_kind_has_a_row() -> None:
    assert NAMED_KINDS == sorted(KINDS)


def test_an_unknown_kind_cannot_be_shown_as_nothing() -> None:
    with pytest.raises(KeyError, match="unknown record kind 99"):
        as_dict(_of_kind(99))


def _of_kind(kind: int) -> np.record:
    one = np.zeros(1, RECORD)
    one["kind"] = kind
    return one[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("dtype", [RECORD, ENTRY])
def test_joined_keeps_layout_and_bytes(dtype: np.dtype) -> None:  # type: ignore[type-arg]
    rng = np.random.default_rng(7)
    blocks = [rng.integers(0, 255, n * dtype.itemsize, np.uint8).view(dtype) for n in (3, 0, 5)]
    whole = joined([blocks[0], blocks[1], blocks[2]], dtype)
    assert whole.dtype == dtype
    assert whole.tobytes() == b"".join(block.tobytes() for block in blocks)


# --- life ------------------------------------------------------------------------------------------


def test_every_state_can_be_reached_and_every_working_state_can_end() -> None:
    reached, ends = {life.SUBMITTED}, set(range(life.FIRST_DONE, len(life.STATES)))
    for _ in life.STATES:
        reached |= {after for (before, _), after in life.LIFE.items() if before in reached}
        ends |= {before for (before, _), after in life.LIFE.items() if after in ends}
    assert reached == set(range(1, len(life.STATES)))
    assert ends == set(range(1, len(life.STATES)))


def test_a_finished_order_never_works_again() -> None:
    assert not [row for row, after in life.LIFE.items() if row[0] >= life.FIRST_DONE > after]


def test_only_the_venues_word_leads_out_of_doubt() -> None:
    out_of_doubt = {happening for (before, happening), after in life.LIFE.items() if before == life.UNKNOWN != after}
    assert life.CANCEL_SENT not in out_of_doubt and life.IN_DOUBT not in out_of_doubt


PAIRS = [(s, h) for s in range(1, len(life.STATES)) for h in range(len(life.HAPPENINGS))]


def test_the_table_is_the_law_and_what_it_lacks_halts() -> None:
    desk = Desk([instrument()])
    fresh = desk.core.buffer.copy()
    for before, happening in PAIRS:
        desk.core.buffer[:] = fresh
        order = desk.state.orders[5]
        order.client_id, order.status, order.instrument = 5, before, 0
        went = happen(desk.state, desk.out, 5, happening)
        notes = drain(desk.out)["record"]
        violations = notes[notes["kind"] == VIOLATION]
        row = f"{life.STATES[before]}, {life.HAPPENINGS[happening]}"
        if (before, happening) in life.LIFE:
            assert went and order.status == life.LIFE[before, happening] and len(violations) == 0, row
        else:
            assert not went and order.status == before, row
            assert violations["reason"].tolist() == [reasons.NO_SUCH_TRANSITION], row
            assert desk.head.trading_state == HALTED and STATE in notes["kind"], row
