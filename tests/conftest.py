"""Files that take long begin first: no worker is left with one of them while the others have nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

LONGEST: Final = (
    "acceptance/test_findings.py",  # compiles what backtests run, where this build never did: the others find it done
    "live/test_secrets.py",
    "faults/test_a25_emergency.py",
    "faults/test_surviving.py",
    "faults/test_watchdog.py",
    "live/test_watchdog_process.py",
    "cli/test_doctor_venues.py",
    "cli/test_demo.py",
    "live/test_key_rotation.py",
    "live/test_engine_refusals.py",
    "cli/test_keys.py",
    "cli/test_config.py",
    "faults/test_a18_a20.py",
    "faults/test_a17_kill.py",
    "faults/test_a17_legs.py",
    "faults/test_chaos.py",
)
"""The longest of all, longest first, below this folder; the rest follow in their own order."""


# How long an example takes says how busy the machine is.
settings.register_profile("keel", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("keel")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort whole files, so that each stays together."""
    here = Path(__file__).parent
    place = {here / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))
