"""Which of the engine's words go to a person: by the kind of notice, and by changes of the trading state."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import GAP, STATE
from engine.core.orders import ACTIVE, HALTED, REDUCING, TRADING_STATES
from engine.runtime.alerts import Alert, Alerts, Level
from engine.venues.port import Notice

# (venue or "", kind) -> how urgent, and its title; what is not listed is for the log and the live view
NOTICES: Final[dict[tuple[str, str], tuple[Level, str]]] = {
    ("journal", "refused"): ("CRITICAL", "Journal cannot be written: no entries"),
    ("engine", "invariant"): ("CRITICAL", "An invariant does not hold: halted"),
    ("", "refused"): ("WARNING", "Refused by a venue"),
    ("", "foreign"): ("WARNING", "Not ours"),
    ("", "wallet"): ("INFO", "Money moved"),
    ("", "clock"): ("WARNING", "Clocks disagree"),
}
STATES: Final[dict[int, Level]] = {ACTIVE: "INFO", REDUCING: "WARNING", HALTED: "CRITICAL"}
STATE_KEY: Final = "trading state"
INVARIANT_KEY: Final = "engine invariant"


class Telling:
    """Puts alerts, prefixed with the world they are of."""

    def __init__(self, alerts: Alerts, world: str) -> None:
        self._alerts, self._world = alerts, world.upper()

    def notice(self, one: Notice) -> None:
        """Something the runtime or a venue says."""
        found = NOTICES.get((one.venue, one.kind)) or NOTICES.get(("", one.kind))
        if found is not None:
            level, title = found
            self._put(level, title, f"{one.venue}: {one.text}", f"{one.venue} {one.kind}")

    def journalled(self, entries: np.ndarray[Any, Any]) -> None:
        """Changes of the trading state, losses beyond their plan."""
        records = entries["record"]
        for one in records[(records["kind"] == STATE) | (records["kind"] == GAP)]:
            reason = reasons.name(int(one["reason"]))
            if one["kind"] == GAP:
                lost, planned = int(one["loss_e8"]) / 1e8, int(one["planned_e8"]) / 1e8
                text = f"${lost:,.2f} instead of ${planned:,.2f}: {reason}"
                self._put("WARNING", "Lost more than planned", text, "gap")
                continue
            before, after = int(one["index"]), int(one["value_e9"])
            text = f"{TRADING_STATES[before]} -> {TRADING_STATES[after]}: {reason}"
            fix = "" if after == ACTIVE else '; trading-cli resume --why "..." lifts it, once you have looked'
            if after == ACTIVE:
                self._alerts.acknowledge(INVARIANT_KEY)
            self._put(STATES[after], f"{TRADING_STATES[after]}", text + fix, STATE_KEY)

    def _put(self, level: Level, title: str, text: str, key: str) -> None:
        self._alerts.put(Alert(level=level, title=f"{self._world}: {title}", text=text, key=key))
