"""The bench over the wire: what it counts as dropped and late, and one short run of all of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.cli.main import app
from engine.contracts.records import CANCEL, ENTRY, FILL, PLACE, QUOTE
from engine.journal.segments import JournalWriter
from engine.research import wire_ccxt, wirebench
from engine.research.wirebench import Played, Sent, Tap, dropped, heard, latencies, percentiles, sustained
from engine.venues.connection import Connection

SYMBOLS = ["ETHUSDT", "BTCUSDT"]  # by instrument number: not the sandbox's order


def journal(folder: Path, *records: dict[str, int]) -> Path:
    entries = np.zeros(len(records), ENTRY)
    for k, fields in enumerate(records):
        entries["seq"][k] = 1 + sum(one["kind"] < PLACE for one in records[: k + 1])
        for name, value in fields.items():
            entries["record"][name][k] = value
    with JournalWriter(folder) as writer:
        writer.append(entries)
    return folder


def quote(instrument: int, number: int, seen_ns: int) -> dict[str, int]:
    return {"kind": QUOTE, "instrument": instrument, "ref_id": number, "ts_ns": seen_ns}


PLAYED = Played(  # three writes, the second with two quotes of BTC
    ["BTCUSDT", "ETHUSDT"], 6, np.array([1_000, 2_000, 3_000]), np.array([[10, 50], [12, 51], [13, 52]])
)


def test_a_quote_that_is_not_in_the_journal_was_dropped(tmp_path: Path) -> None:
    whole = [quote(1, number, 0) for number in (9, 10, 11, 12, 13)] + [quote(0, number, 0) for number in (50, 51, 52)]
    assert dropped(heard(journal(tmp_path / "whole", *whole)), PLAYED, SYMBOLS) == 0
    torn = [one for one in whole if one["ref_id"] not in (11, 52)]
    found = heard(journal(tmp_path / "torn", *torn))
    assert dropped(found, PLAYED, SYMBOLS) == 2
    assert sustained(found, {50_000: PLAYED}, SYMBOLS)["sustained_quotes_per_s"] == 0


def test_an_order_is_timed_from_its_own_quote_to_its_own_frame(tmp_path: Path) -> None:
    run = journal(
        tmp_path,
        quote(1, 11, 5_000),
        {"kind": PLACE, "instrument": 1, "client_id": 7},
        {"kind": FILL, "instrument": 1, "client_id": 7, "ts_ns": 6_000},
        {"kind": PLACE, "instrument": 1, "client_id": 8},  # a stop: no tick caused it
        quote(0, 52, 9_000),
        {"kind": CANCEL, "instrument": 0, "client_id": 7},
        {"kind": PLACE, "instrument": 0, "client_id": 9},  # never left
    )
    sent = {(PLACE, 7): Sent(125_000, "k-7"), (PLACE, 8): Sent(7_000, "k-8"), (CANCEL, 7): Sent(19_000, "")}
    figures = latencies(heard(run), sent, [PLAYED], {"k-7": 302_000, "k-8": 1}, SYMBOLS)
    assert figures["orders"] == 2
    assert figures["tick_to_order_us_max"] == 120.0  # the place; the cancel took 10 us
    assert figures["tick_to_order_us_p50"] == 65.0
    assert figures["wire_to_wire_us_max"] == 300.0  # quote 11 left in the second write


def test_nothing_measured_is_nothing_said() -> None:
    assert percentiles("x", []) == {"x_p50": None, "x_p99": None, "x_max": None}


def test_a_tap_hears_orders_only_while_it_is_open() -> None:
    with Tap() as tap:
        assert Connection.on_sent is not None
        Connection.on_sent(b'{"id":"p-0-7-0","method":"order.place","params":{"newClientOrderId":"k-7"}}')
        Connection.on_sent(b'{"id":"c-0-8-0","method":"order.cancel","params":{}}')
        Connection.on_sent(b'{"id":3,"method":"ping"}')
    assert Connection.on_sent is None
    assert {key: one.venue_id for key, one in tap.orders().items()} == {(PLACE, 7): "k-7", (CANCEL, 8): ""}


def test_the_whole_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wirebench, "RATES", (5_000,))
    for module in (wirebench, wire_ccxt):
        monkeypatch.setattr(module, "QUOTES_PER_S", 2_000)
    written = tmp_path / "results.json"
    written.write_text('{"live_call_us_p50": 0.3}')
    answer = CliRunner().invoke(app, ["bench", "wire", "--seconds", "2", "--json", "--write", str(written)])
    assert answer.exit_code == 0, answer.output
    figures = json.loads(answer.stdout)
    assert figures["dropped"] == figures["dropped_at_10k"] == figures["dropped_steady"] == 0
    assert 4_500 < figures["sustained_quotes_per_s"] < 5_500
    assert figures["events"] > 15_000 and figures["ccxt_orders"] > 0
    assert figures["ccxt_wire_to_wire_us_p50"] > figures["ccxt_tick_to_order_us_p50"] > 0
    held = json.loads(written.read_text())
    assert held["live_call_us_p50"] == 0.3 and held["wire"]["events"] == figures["events"]
