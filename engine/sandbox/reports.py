"""In which order the reports of one burst are sent."""

from __future__ import annotations

from engine.sandbox.accounts import Report
from engine.sandbox.faults import Faults


def arranged(faults: Faults, reports: list[Report]) -> list[Report]:
    """As they happened, unless a fault is armed: A3 (twice), A4 (fills before the ack), A5 (fills last first)."""
    fills = [one for one in reports if one.event == "TRADE"]
    if fills and faults.take("A3"):
        reports = [one for report in reports for one in ([report] * (2 if report.event == "TRADE" else 1))]
    if fills and any(one.event == "NEW" for one in reports) and faults.take("A4"):
        reports = sorted(reports, key=lambda one: one.event != "TRADE")
    if len(fills) > 1 and faults.take("A5"):
        backwards = iter(fills[::-1])
        reports = [next(backwards, one) if one.event == "TRADE" else one for one in reports]
    return reports
