"""All of the core's memory: one flat buffer, typed views into it, snapshot, restore, digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts.errors import BadInput, Fatal
from engine.contracts.instruments import E8, Instrument
from engine.core import fills, funding, orders, outcomes, patience, regime, selector, timers, triangles
from engine.core.bars import BAR, CLOSED_BAR, RING, TIMEFRAMES
from engine.core.book import BOOK
from engine.core.cycle_state import CYCLE_STATE
from engine.core.legs import POT
from engine.core.limits import LIMITS, Limits
from engine.core.memory import Flat, FlatType
from engine.core.orders import ORDER
from engine.core.portfolio import POSITION
from engine.core.strategies.table import LAST_NUMBER, STRATEGIES
from engine.core.wallet import WALLET

HEAD: Final = np.dtype(
    (
        np.record,
        [
            (name, "<i8")
            for name in (
                "now_ns",
                "seq",
                "day_end_ns",
                "trading_state",
                "next_client_id",
                "lost_from_id",  # client ids that a run may have used whose last entries were lost: never given again
                "lost_to_id",  # fills of such orders are adopted, what else is said of them is left out
                "next_trade_no",
                "next_timer_ns",
                "next_timer_id",
                "deposits_e8",
                "gross_e8",
                "fees_e8",
                "funding_e8",
                "unrealised_e8",
                "cash_e8",
                "margin_e8",
                "reserved_e8",  # cash reserved for entry orders
                "pending_risk_e8",  # loss at the stops of entry orders not yet filled
                "pending_entries",
                "pending_margins",  # those of perpetuals among them
                "at_stops_e8",  # open P&L if every stop were hit now
                "exposure_e8",
                "min_free_e8",  # least free cash since the last equity note
                "day_start_e8",
                "day_limit_e8",  # the day's loss limit, fixed at the day's start
                "day_gap_reason",
                "day_fees_e8",  # fees paid before the day began
                "day_funding_e8",  # funding received before the day began
                "peak_e8",
                "fallen",  # how near the limit on the fall from the peak came: see `engine.core.drawdown`
                "open_positions",
                "violations",
                "minute",  # current minute and entries sent in it
                "minute_orders",
                "instruments",
                "flattening",  # 1: after an emergency, until a person resumes: whatever opens is closed again
                "exits_due",  # 1: positions or entries have to be looked at outside their own events
                "quarantined",  # events refused as malformed
                "repeated",  # fills that were told before
            )
        ],
    )
)

INSTRUMENT: Final = np.dtype(
    (
        np.record,
        [
            (name, "<i8")
            for name in (
                "value_num",  # value_e8 = ticks x lots x value_num / value_den
                "value_den",
                "lot_base_e8",
                "min_lots",
                "max_lots",
                "min_notional_e8",
                "band_up_e4",
                "band_down_e4",
                "maker_fee_e8",
                "taker_fee_e8",
                "maintenance_e8",
                "max_leverage",
                "is_perp",
                "fee_in_base",
                "base_asset",
                "quote_asset",
                "quote_is_cash",
                "cluster",
                "is_stable",  # both legs are meant to keep one price
                "is_btc",  # bitcoin against cash: the market's leader may be one of these
                "tie_break",  # stable rank by name: order of symbols in a file never matters
                "wallet",  # of its venue
                "base_is_cash",  # its base is a currency that other pairs here are paid in
                "base_home",  # where coins of its base are sold for cash (see `triangles`), -1: nowhere
                "quote_home",  # the same for its quote; -1 where that is cash
            )
        ],
    )
)

FORECAST_ROW: Final = np.dtype(
    (np.record, [(name, "<i8") for name in ("value_e9", "confidence_e9", "expires_ns", "digest", "told_ns")])
)
"""The latest forecast of an instrument; `told_ns` is when the core heard it, 0: never."""

CASH_ASSETS: Final = ("USDT", "USDC", "USD", "FDUSD", "TUSD", "DAI", "BUSD", "USDP")
"""Assets counted as one dollar. A depeg is a risk of its own that the arbitrage strategy guards."""


ARBITRAGE: Final = "arbitrage"
"""The strategy for which triangles are looked for."""


class Core(NamedTuple):
    """The state, the buffer it lives in, and the names the numbers stand for."""

    state: Flat
    buffer: np.ndarray[Any, np.dtype[np.uint8]]
    instruments: tuple[Instrument, ...]
    assets: tuple[str, ...]


# What `State` (a `Flat`) holds, in the order it lies in memory, for n instruments and so many assets, wallets and
# triangles. Some views share bytes with their neighbours: `limit_words` (limits as int64), `NAME_params` (a strategy's
# parameters by name, the same bytes as its stretch of `params`) and `selector_params` (the same of `selector_words`).
def _shapes(n: int, assets: int, wallets: int, ways: int) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    i8, f8 = np.dtype("<i8"), np.dtype("<f8")
    count = sum(len(row.params) for row in STRATEGIES)
    shapes: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
        "head": (HEAD, (1,)),
        "limits": (LIMITS, (1,)),
        "instruments": (INSTRUMENT, (n,)),
        "wallets": (WALLET, (wallets,)),
        "timeframes_ns": (i8, (TIMEFRAMES,)),
        "params": (f8, (count,)),
        "param_bounds": (f8, (count, 2)),
        "param_start": (i8, (LAST_NUMBER + 2,)),
        "enabled": (i8, (LAST_NUMBER + 1,)),
        "books": (BOOK, (n,)),
        "bars": (BAR, (n, TIMEFRAMES)),
        "ring": (CLOSED_BAR, (n, TIMEFRAMES, RING)),
        "positions": (POSITION, (n,)),
        "told": (fills.TOLD, (n,)),
        "plans": (patience.PLAN, (n,)),
        "orders": (ORDER, (orders.POOL,)),
        "timers": (i8, (timers.SLOTS,)),
        "balances": (i8, (assets,)),
        "forecasts": (FORECAST_ROW, (n,)),
        "funding": (funding.FUNDING_NEXT, (n,)),
        "gauges": (regime.GAUGE, (n,)),
        "climate": (regime.CLIMATE, (1,)),
        "decisions": (outcomes.DECISION, (n,)),
        "expectancy": (outcomes.EXPECTANCY, (selector.ROOM, regime.ROOM, outcomes.HOURS)),
        "selector_words": (f8, (len(selector.PARAMS),)),
        "selector_bounds": (f8, (len(selector.PARAMS), 2)),
        "shares": (selector.SHARE, (selector.ROOM,)),
        "pots": (POT, (n,)),
        "cycle": (CYCLE_STATE, (1,)),
        "triangles": (triangles.TRIANGLE, (ways,)),
        "first_touching": (i8, (n + 1,)),
        "touching": (i8, (3 * ways,)),
    }
    return shapes | {row.name: (row.state, (n,)) for row in STRATEGIES}


def names() -> tuple[str, ...]:
    """The arrays a state is made of, in the order they lie in memory."""
    return tuple(_shapes(1, 1, 1, 1))


def _views(buffer: np.ndarray[Any, Any], n: int, assets: int, wallets: int, ways: int) -> Flat:
    views: dict[str, Any] = {}
    offset = 0
    for name, (dtype, shape) in _shapes(n, assets, wallets, ways).items():
        size = dtype.itemsize * int(np.prod(shape))
        views[name] = buffer[offset : offset + size].view(dtype).reshape(shape)
        offset += size
    views["limit_words"] = views["limits"].view(np.dtype("<i8"))
    views["selector_params"] = views["selector_words"].view(selector.PARAMS_DTYPE)
    first = 0
    for row in STRATEGIES:
        views[f"{row.name}_params"] = views["params"][first : first + len(row.params)].view(row.params_dtype)
        first += len(row.params)
    return Flat("state", views)


def flat_type() -> FlatType:
    """The compile-time type of every core's state: the same whatever is traded."""
    return _views(np.zeros(_size(1, 1, 1, 1), np.uint8), 1, 1, 1, 1).flat_type


def _size(n: int, assets: int, wallets: int, ways: int) -> int:
    return sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in _shapes(n, assets, wallets, ways).values())


def _cash_e8(amount_usd: float) -> int:
    if not 1.0 <= amount_usd <= 1e7:
        raise BadInput(f"capital_usd = {amount_usd} is outside 1..10,000,000 USD")
    return int(round(Decimal(str(amount_usd)) * E8))


def new_core(
    instruments: Sequence[Instrument],
    limits: Limits,
    capital_usd: float,
    strategies: dict[str, dict[str, float]],
    timeframes_s: Sequence[int],
    wallets_usd: Mapping[str, float] | None = None,
    selector_params: Mapping[str, float] | None = None,
) -> Core:
    """A fresh core.

    `strategies` names the enabled ones with the parameters that differ from their defaults (the booking
    asset receives `capital_usd`). `wallets_usd` says how `capital_usd` lies at the venues, by their names; without
    it one wallet pays for all of them. `selector_params` are the selector's parameters (those left out stand at their
    defaults); without any, each strategy has the whole risk budget. Raises BadInput for an unknown strategy or
    parameter, a value out of bounds, wallets that are not those of the venues or do not add up, no instrument, or more
    than 65,000.
    """
    if not 1 <= len(instruments) <= 65_000:
        raise BadInput(f"{len(instruments)} instruments; between 1 and 65,000 can be traded at once")
    if len(timeframes_s) != TIMEFRAMES or sorted(set(timeframes_s)) != list(timeframes_s) or timeframes_s[0] < 1:
        raise BadInput(f"timeframes_s = {list(timeframes_s)}: {TIMEFRAMES} rising lengths in seconds are needed")
    assets = _assets(instruments)
    cash = _cash_e8(capital_usd)
    wallets = _wallets(instruments, cash, wallets_usd)
    ranks = _ranks(instruments)
    cash_names = frozenset(one.quote for one in instruments if one.quote in CASH_ASSETS)
    home = triangles.homes(instruments, ranks, cash_names, _booking_asset(instruments))
    seek = instruments if ARBITRAGE in strategies else ()
    ways, first, touching = triangles.find(seek, ranks, cash_names, home)
    counts = (len(instruments), len(assets), len(wallets), len(ways))
    buffer = np.zeros(_size(*counts), np.uint8)
    s = _views(buffer, *counts)
    s.triangles[:], s.touching[:] = ways, touching
    s.first_touching[: len(first)] = first
    _fill_head(s, len(instruments), cash)
    s.wallets["cash_e8"] = list(wallets.values())
    names = list(wallets)
    s.instruments["wallet"] = [names.index(one.venue) if wallets_usd else 0 for one in instruments]
    s.balances[assets.index(_booking_asset(instruments))] = s.head[0]["cash_e8"]
    s.limits[:] = limits.row()
    s.timeframes_ns[:] = [seconds * 1_000_000_000 for seconds in timeframes_s]
    s.timers[:] = timers.NEVER
    s.positions["look_ns"] = timers.NEVER
    _fill_instruments(s, instruments, assets, ranks)
    _fill_homes(s, instruments, home, cash_names)
    _fill_params(s, strategies)
    selector.prepare(s, {row.number: row.tier for row in STRATEGIES}, selector_params)
    s.climate["leader"] = regime.NOBODY
    return Core(s, buffer, tuple(instruments), assets)


def _wallets(instruments: Sequence[Instrument], cash: int, wallets_usd: Mapping[str, float] | None) -> dict[str, int]:
    """Cash (1e-8 USD) by venue, in the order the instruments name them; all of it under no name where nobody said."""
    if not wallets_usd:
        return {"": cash}
    venues = list(dict.fromkeys(one.venue for one in instruments))
    if set(venues) != set(wallets_usd):
        raise BadInput(f"wallets_usd names {sorted(wallets_usd)}, the venues traded at are {sorted(venues)}")
    for name, usd in wallets_usd.items():
        if not 0.0 <= usd <= 1e7:  # NaN fails this too
            raise BadInput(f"wallets_usd.{name} = {usd} is outside 0..10,000,000 USD")
    found = {name: int(round(Decimal(str(wallets_usd[name])) * E8)) for name in venues}
    rest = cash - sum(found.values())
    if abs(rest) > len(found):  # shares of floats may miss by a rounding each
        raise BadInput(
            f"wallets_usd add up to {sum(found.values()) / E8:,.2f} USD, capital_usd is {cash / E8:,.2f}; "
            "make them equal"
        )
    found[max(found, key=lambda name: found[name])] += rest
    return found


def _fill_head(s: Any, n: int, cash: int) -> None:
    head = s.head[0]
    head.next_client_id = 1
    head.next_trade_no = 1
    head.next_timer_ns = timers.NEVER
    head.deposits_e8 = head.cash_e8 = head.min_free_e8 = head.peak_e8 = head.day_start_e8 = cash
    head.instruments = n


def _assets(instruments: Sequence[Instrument]) -> tuple[str, ...]:
    return tuple(sorted({i.base for i in instruments} | {i.quote for i in instruments}))


def _booking_asset(instruments: Sequence[Instrument]) -> str:
    quotes = [i.quote for i in instruments]
    cash = [q for q in quotes if q in CASH_ASSETS]
    return max(sorted(set(cash or quotes)), key=(cash or quotes).count)


def _ranks(instruments: Sequence[Instrument]) -> list[int]:
    """Each instrument's place by symbol and venue."""
    order = sorted(range(len(instruments)), key=lambda k: (instruments[k].symbol, instruments[k].venue))
    ranks = [0] * len(order)
    for rank, k in enumerate(order):
        ranks[k] = rank
    return ranks


def _fill_homes(s: Any, instruments: Sequence[Instrument], home: Sequence[int], cash: frozenset[str]) -> None:
    at = {(one.venue, one.base): home[k] for k, one in enumerate(instruments) if one.kind == "spot"}
    for k, one in enumerate(instruments):
        row = s.instruments[k]
        row.base_is_cash = one.kind == "spot" and one.base in cash
        row.base_home = home[k]
        row.quote_home = at.get((one.venue, one.quote), triangles.NONE) if one.kind == "spot" else triangles.NONE
        if one.quote in CASH_ASSETS:
            row.quote_home = triangles.NONE


def _fill_instruments(
    s: Any, instruments: Sequence[Instrument], assets: tuple[str, ...], ranks: Sequence[int]
) -> None:
    clusters = sorted({i.cluster for i in instruments})
    for k, rank in enumerate(ranks):
        one, row = instruments[k], s.instruments[k]
        value = one.tick_lot_e8
        row.value_num, row.value_den = value.numerator, value.denominator
        row.lot_base_e8 = one.lot_base_e8
        row.min_lots = -int(-one.min_qty // one.lot_size)
        row.max_lots = int(one.max_qty // one.lot_size)
        row.min_notional_e8 = int(one.min_notional * E8)
        row.band_up_e4, row.band_down_e4 = int(one.band_up * 10_000), int(one.band_down * 10_000)
        row.maker_fee_e8, row.taker_fee_e8 = int(one.maker_fee * E8), int(one.taker_fee * E8)
        row.maintenance_e8 = int(one.maintenance_margin_rate * E8)
        row.max_leverage = one.max_leverage
        row.is_perp = one.kind == "perp"
        row.fee_in_base = one.fee_in_base
        row.base_asset, row.quote_asset = assets.index(one.base), assets.index(one.quote)
        row.quote_is_cash = one.quote in CASH_ASSETS
        row.cluster = clusters.index(one.cluster)
        row.is_stable = one.cluster == "stable"
        row.is_btc = one.base in ("BTC", "XBT") and one.quote in CASH_ASSETS
        row.tie_break = rank


def _fill_params(s: Any, strategies: dict[str, dict[str, float]]) -> None:
    known = {row.name: row for row in STRATEGIES}
    for name in strategies:
        if name not in known:
            raise BadInput(f"unknown strategy {name!r}; known: {', '.join(known)}")
    by_number = {row.number: row for row in STRATEGIES}
    k = 0
    for number in range(1, LAST_NUMBER + 2):  # a number that nobody has owns no parameters
        s.param_start[number] = k
        if number not in by_number:
            continue
        row = by_number[number]
        values = row.resolve(strategies.get(row.name, {}))
        s.enabled[row.number] = row.name in strategies
        for param in row.params:
            s.params[k] = values[param.name]
            s.param_bounds[k] = (param.low, param.high)
            k += 1


def snapshot(core: Core) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A copy of everything the core knows."""
    return core.buffer.copy()


def restore(core: Core, memory: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Put a snapshot back. Raises Fatal where it was taken with another layout (instruments, strategies)."""
    if memory.shape != core.buffer.shape:
        sizes = f"{memory.size} bytes, the state has {core.buffer.size}"
        raise Fatal(f"the snapshot is of another configuration or build ({sizes}); replay the journal instead")
    core.buffer[:] = memory


def digest(core: Core) -> str:
    """Hex digest of the whole state."""
    return hashlib.blake2b(core.buffer.tobytes(), digest_size=16).hexdigest()
