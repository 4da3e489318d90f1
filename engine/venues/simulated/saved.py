"""The simulated account on disk, so that a restarted engine finds its balances and orders again.

One file, replaced as a whole (`engine.journal.snapshots`: checked, nothing executed). Not in it: books, which are
stale by then, and what was under way in either direction, which dies with the process as it would on the wire; what
the answers under way said is in the history, and the venue can be asked. Rows are found again by symbol, tick and
lot, so instruments may be added, left out and reordered, but not while something is held or open in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.contracts.errors import BadInput, Fatal
from engine.contracts.instruments import Instrument
from engine.core.memory import Flat
from engine.journal import snapshots
from engine.venues.simulated.history import picked

Array = np.ndarray[Any, Any]
_HEAD: Final = ("now_ns", "next_order_id", "next_trade_id", "cash_e8", "locked_e8", "margin_e8", "live_count")
_HELD: Final = ("base_e8", "locked_lots", "qty_lots", "cost_e8", "margin_e8", "leverage")


def row_name(one: Instrument) -> str:
    """What an instrument's row in the file goes by."""
    return f"{one.venue} {one.symbol} {one.tick_size.normalize()} {one.lot_size.normalize()}"


def parts_of(venue: Flat, history: Array) -> dict[str, Array | bytes]:
    """A copy of what is to be saved."""
    names = ("head", "orders", "live", "working", "holdings")
    return {name: getattr(venue, name).copy() for name in names} | {"history": history}


def write(folder: Path, instruments: Sequence[Instrument], parts: dict[str, Array | bytes]) -> Path:
    """Replace the file of the account in `folder`. Raises Fatal on a full disk."""
    meta = {"simulated": "true", "rows": "\n".join(row_name(one) for one in instruments)}
    return snapshots.save(folder, 0, parts, meta)


def read(folder: Path, instruments: Sequence[Instrument], venue: Flat) -> Array | None:
    """Put the account saved in `folder` into a fresh `venue`; returns the history, or None where nothing was saved.

    Raises Fatal for a damaged file or one of another build, BadInput where something is held or open in an
    instrument that is not there any more (or has another tick or lot).
    """
    path = snapshots.latest(folder)
    if path is None:
        return None
    saved = snapshots.load(path)
    head, holdings, orders = (_array(saved.parts, name, venue, path) for name in ("head", "holdings", "orders"))
    live, working = _array(saved.parts, "live", venue, path), _array(saved.parts, "working", venue, path)
    rows = {row_name(one): place for place, one in enumerate(instruments)}
    moved = np.full(len(holdings), -1, np.int64)
    for old, name in enumerate(saved.meta["rows"].split("\n")):
        moved[old] = rows.get(name, -1)
        is_used = working[old] or any(holdings[old][field] for field in ("base_e8", "qty_lots"))
        if moved[old] < 0 and is_used:
            raise BadInput(
                f"{path}: the simulated account has something in {name!r} (symbol, tick, lot), which is not among the "
                "instruments; trade that symbol again, or delete the file to begin with fresh capital"
            )
        if moved[old] >= 0:
            venue.working[moved[old]] = working[old]
            for field in _HELD:
                venue.holdings[field][moved[old]] = holdings[field][old]
    for field in _HEAD:
        venue.head[field] = head[field]
    venue.live[:] = live
    venue.orders[:] = orders
    is_order = orders["client_id"] != 0
    venue.orders["instrument"][is_order] = moved[orders["instrument"][is_order]]
    _gather(venue)
    history = saved.parts["history"]
    assert isinstance(history, np.ndarray)
    history["instrument"] = moved[history["instrument"]]
    return picked(history, history["instrument"] < len(instruments))


def _gather(venue: Flat) -> None:
    """Coins lie in the row of their home now, whichever that was, and what is promised follows from the orders."""
    for row, home in enumerate(venue.base_row.tolist()):
        if home not in (-1, row):
            venue.holdings["base_e8"][home] += venue.holdings["base_e8"][row]
            venue.holdings["base_e8"][row] = 0
        if home >= 0:
            lots = int(venue.holdings["locked_lots"][row])
            venue.promised_e8[home] += lots * int(venue.instruments["lot_base_e8"][row])
    for order in venue.orders[venue.orders["client_id"] != 0]:
        if (home := int(venue.quote_row[order["instrument"]])) >= 0:
            venue.promised_e8[home] += order["locked_e8"]


def _array(parts: dict[str, Array | bytes], name: str, venue: Flat, path: Path) -> Array:
    found, mine = parts.get(name), getattr(venue, name)
    per_row = name in ("holdings", "working")
    if not isinstance(found, np.ndarray) or found.dtype != mine.dtype or (not per_row and found.shape != mine.shape):
        raise Fatal(f"{path}: venue.{name} is of another build; delete the file to begin with fresh capital")
    return found
