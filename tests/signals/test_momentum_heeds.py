"""A compiled strategy follows a user's class: momentum leaves out entries that a forecast speaks against."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "core"))
from streams import EAGER, SECOND_NS, Weather, instrument, random_stream

from engine.contracts import reasons
from engine.contracts.records import FORECAST, PLACE, REFUSED, ROLE_ENTRY, joined
from engine.core.limits import Limits
from engine.research.session import Session
from engine.signals.forecasting import Forecasting
from engine.signals.plan import SignalPlan
from engine.simulation.venue import SimulationModel

STREAM = random_stream(7, [instrument("AAA"), instrument("BBB")], Weather(hours=9, step_s=75, volatility=0.003))
GLOOM = SignalPlan(name="gloom", class_path="spoken:Gloom", symbols=("AAAUSDT",), parameters={"valid_s": 1800.0})


def played(weight: float, *plans: SignalPlan) -> Any:
    """The journal of momentum at its hungriest, with forecasts of that weight."""
    kept: list[Any] = []
    Session(
        Forecasting(STREAM, {one.name: one for one in plans}),
        strategies={"momentum": EAGER["momentum"] | {"forecast_weight": weight}}, capital_usd=1_000.0, limits=Limits(),
        simulation=SimulationModel(), timeframes_s=(300, 900, 1800), sinks=[kept.append],
    ).run()  # fmt: skip
    return joined(kept)["record"]


def entries(records: Any) -> list[tuple[int, int]]:
    found = records[(records["kind"] == PLACE) & (records["role"] == ROLE_ENTRY)]
    return list(zip(found["instrument"].tolist(), found["ts_ns"].tolist(), strict=True))


def test_momentum_leaves_out_what_a_forecast_speaks_against() -> None:
    plain, deaf, warned = played(1.0), played(0.0, GLOOM), played(1.0, GLOOM)
    assert entries(deaf) == entries(plain) and {i for i, _ in entries(plain)} == {0, 1}
    forecasts = warned[warned["kind"] == FORECAST]
    assert set(forecasts["instrument"].tolist()) == {0}
    first_ns = int(forecasts["ts_ns"][0])
    assert any(i == 0 and at_ns > first_ns for i, at_ns in entries(plain))
    assert not any(i == 0 and at_ns > first_ns for i, at_ns in entries(warned)), "full weight, full confidence"
    assert any(i == 1 and at_ns > first_ns + 3600 * SECOND_NS for i, at_ns in entries(warned)), "the other trades on"
    refused = warned[(warned["kind"] == REFUSED) & (warned["reason"] == reasons.FORECAST_AGAINST)]
    assert set(refused["instrument"].tolist()) == {0}
