"""The gate every entry passes: fails closed, one stable reason code a refusal (architecture §7).

`check_entry` derives everything again from the state: it trusts neither the strategy nor the sizing.
"""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.core.book import spread_bps
from engine.core.compile import kernel
from engine.core.limits import SCALE
from engine.core.money import fits, value_down, value_up
from engine.core.orders import ACTIVE, entry_cost, kept_lots, loss_at_stop
from engine.core.portfolio import book_e8, free_e8, liquidation_ticks, stop_fill_ticks
from engine.core.wallet import wallet_free_e8, wallet_of

MINUTE_NS = 60_000_000_000
FUNDING_PCT = 12 * SCALE
MAX_TICKS = 1 << 46  # a price of 100,000 in ticks of 1e-8 is 2**43
ROOM = 8  # how many times over a price may grow before the value of a position is no longer computable


@kernel
def share_of(amount_e8: int, pct: int) -> int:
    """`pct` (1e-4 per cent) of an amount, rounded down to 1e-4 USD: never more than the share."""
    return (amount_e8 // 10_000) * pct // 100


@kernel
def trade_limit_e8(s: Any) -> int:
    """Most a single trade may lose at its stop."""
    limits = s.limits[0]
    return min(limits.trade_loss_e8, share_of(s.head[0].day_start_e8, limits.trade_loss_pct))


@kernel
def day_limit_e8(s: Any) -> int:
    """Most the current UTC day may lose."""
    limits = s.limits[0]
    return min(limits.day_loss_e8, share_of(s.head[0].day_start_e8, limits.day_loss_pct))


@kernel
def reserve_e8(s: Any) -> int:
    """Cash that is never committed."""
    limits = s.limits[0]
    return max(limits.reserve_e8, share_of(s.head[0].day_start_e8, limits.reserve_pct))


@kernel
def worst_e8(s: Any) -> int:
    """Equity with *all* stops hit and all pending entries stopped out."""
    head = s.head[0]
    return book_e8(s) + head.at_stops_e8 - head.pending_risk_e8


@kernel
def day_room_e8(s: Any) -> int:
    """What may still be put at risk today: the limit less today's loss in the worst case."""
    head = s.head[0]
    return head.day_limit_e8 + worst_e8(s) - head.day_start_e8


@kernel
def drawdown_e8(s: Any) -> int:
    """The fall from the peak of equity that must not be reached."""
    return share_of(s.head[0].peak_e8, s.limits[0].drawdown_pct)


@kernel
def drawdown_room_e8(s: Any) -> int:
    """What may still be put at risk below the peak: less than this, for at the limit only exits are allowed."""
    return worst_e8(s) - (s.head[0].peak_e8 - drawdown_e8(s))


@kernel
def commit_room_e8(s: Any, i: int) -> int:
    """Cash an entry of instrument `i` may still commit. Perpetual losses and funding are paid from cash, so
    the day's loss limit is kept back besides the reserve where margin is, or is about to be, in use."""
    head = s.head[0]
    in_use = s.instruments[i].is_perp != 0 or head.margin_e8 > 0 or head.pending_margins > 0
    kept = head.day_limit_e8 + funding_buffer_e8(s) if in_use else 0
    return free_e8(s) - reserve_e8(s) - kept


@kernel
def funding_buffer_e8(s: Any) -> int:
    """Cash above the reserve that must stand ready for the next funding payment: 12 % of what may be open. Data
    with more than 10 % in one interval is refused as damage. Below it, payers leave."""
    return share_of(min(s.limits[0].exposure_e8, max(s.head[0].day_start_e8, 0)), FUNDING_PCT)


@kernel
def wallet_room_e8(s: Any, i: int) -> int:
    """Cash an entry of instrument `i` may still take from its venue's wallet. What the account keeps back for
    perpetuals is kept in each wallet that margin is, or is about to be, in use in. The reserve may lie anywhere: a
    wallet that holds everything is never tighter than the account."""
    wallet = wallet_of(s, i)
    in_use = s.instruments[i].is_perp != 0 or wallet.margin_e8 > 0 or wallet.pending_margins > 0
    kept = s.head[0].day_limit_e8 + wallet_buffer_e8(s, i) if in_use else 0
    return wallet_free_e8(wallet) - kept


@kernel
def wallet_buffer_e8(s: Any, i: int) -> int:
    """`funding_buffer_e8` of one wallet: of what may be open there, at the highest leverage allowed."""
    most = max(wallet_of(s, i).cash_e8, 0) // SCALE * s.limits[0].max_leverage
    return min(share_of(most, FUNDING_PCT), funding_buffer_e8(s))


@kernel
def cluster_exposure_e8(s: Any, cluster: int, side: int) -> int:
    """Open notional of one cluster in one direction."""
    total = 0
    for i in range(s.head[0].instruments):
        p = s.positions[i]
        if p.qty_lots * side > 0 and s.instruments[i].cluster == cluster:
            total += p.cost_e8
    return total


@kernel
def pending_notional_e8(s: Any) -> int:
    """Notional of entries that are not finished, bounded from above by their orders."""
    total = 0
    for slot in range(s.orders.shape[0]):
        order = s.orders[slot]
        if order.reserve_e8 > 0:
            total += value_up(s.instruments[order.instrument], order.price_ticks, order.qty_lots - order.filled_lots)
    return total


@kernel
def check_state(s: Any, i: int) -> int:
    """Everything about now that forbids an entry whatever its size; 0 when there is nothing."""
    return _check_now(s, i, False)


@kernel
def check_more(s: Any, i: int) -> int:
    """The same for the rest of an entry under way, which may have filled in part."""
    return _check_now(s, i, True)


@kernel
def _check_now(s: Any, i: int, more: bool) -> int:
    head = s.head[0]
    limits = s.limits[0]
    book = s.books[i]
    p = s.positions[i]
    if head.trading_state != ACTIVE:
        return reasons.NOT_ACTIVE
    if s.instruments[i].quote_is_cash == 0:
        return reasons.NOT_TRADABLE
    if p.foreign_lots != 0:
        return reasons.INSTRUMENT_BLOCKED
    if p.doubts != 0:
        return reasons.ORDER_IN_DOUBT
    others = p.qty_lots != 0 or p.stop_id != 0 or s.plans[i].client_id != 0
    if p.entry_id != 0 or p.exit_id != 0 or (others and not more):
        return reasons.POSITION_OPEN
    if book.bid_ticks <= 0 or book.ask_ticks <= book.bid_ticks:
        return reasons.CROSSED_BOOK
    if head.now_ns - book.updated_ns > limits.max_data_age_s * (1_000_000_000 // SCALE):
        return reasons.STALE_DATA
    if spread_bps(book) * SCALE > limits.max_spread_bps:
        return reasons.SPREAD_TOO_WIDE
    mine = 0 if p.qty_lots != 0 else 1  # an open position is among those counted
    if (head.open_positions + head.pending_entries + mine) * SCALE > limits.max_positions:
        return reasons.MAX_POSITIONS
    if head.minute == head.now_ns // MINUTE_NS and (head.minute_orders + 1) * SCALE > limits.orders_per_minute:
        return reasons.ORDER_RATE
    return 0


@kernel
def check_order(
    s: Any, i: int, side: int, ticks: int, lots: int, stop_ticks: int, leverage: int
) -> tuple[int, int, int]:
    """(reason, measured, limit) of the first rule an entry breaks, (0, 0, 0) when it breaks none.
    `measured` and `limit` are 1e-8 USD where the rule is about money, else plain numbers."""
    limits = s.limits[0]
    instrument = s.instruments[i]
    book = s.books[i]
    if ticks <= 0 or ticks > MAX_TICKS or stop_ticks > MAX_TICKS or (side != 1 and side != -1):
        return reasons.BAD_NUMBER, ticks, MAX_TICKS
    if stop_ticks <= 0 or (ticks - stop_ticks) * side <= 0:
        return reasons.STOP_MISSING, stop_ticks, ticks
    kept = kept_lots(instrument, side, lots)
    if kept < instrument.min_lots or kept <= 0:
        return reasons.QUANTITY_BELOW_MINIMUM, kept, instrument.min_lots
    if lots > instrument.max_lots:
        return reasons.QUANTITY_ABOVE_MAXIMUM, lots, instrument.max_lots
    if not fits(instrument, max(ticks, stop_ticks) * ROOM, lots):
        return reasons.BAD_NUMBER, lots, instrument.max_lots  # would leave 64 bits
    twice_mid = book.bid_ticks + book.ask_ticks
    if abs(2 * ticks - twice_mid) * 1e4 * SCALE > float(limits.fat_finger_bps) * twice_mid:
        return reasons.FAT_FINGER, ticks, twice_mid // 2
    band = instrument.band_up_e4 if ticks * 2 > twice_mid else instrument.band_down_e4
    if (ticks * 20_000 - twice_mid * band) * (1 if band > SCALE else -1) > 0:
        return reasons.PRICE_OUT_OF_BAND, ticks, twice_mid // 2
    # the exit at the stop must clear the venue's minimum too, or the position could never be closed
    least = value_down(instrument, min(ticks, stop_fill_ticks(s, stop_ticks, side)), kept)
    if least < instrument.min_notional_e8:
        return reasons.NOTIONAL_BELOW_MINIMUM, least, instrument.min_notional_e8
    return _check_money(s, i, side, ticks, lots, stop_ticks, leverage)


@kernel
def _check_money(
    s: Any, i: int, side: int, ticks: int, lots: int, stop_ticks: int, leverage: int
) -> tuple[int, int, int]:
    head = s.head[0]
    limits = s.limits[0]
    instrument = s.instruments[i]
    notional = value_up(instrument, ticks, lots)
    if notional > limits.order_notional_e8:
        return reasons.ORDER_NOTIONAL, notional, limits.order_notional_e8
    mine = s.positions[i].cost_e8 + notional
    if mine > limits.instrument_exposure_e8:
        return reasons.INSTRUMENT_EXPOSURE, mine, limits.instrument_exposure_e8
    total = head.exposure_e8 + pending_notional_e8(s) + notional
    if total > limits.exposure_e8:
        return reasons.EXPOSURE, total, limits.exposure_e8
    cluster = cluster_exposure_e8(s, instrument.cluster, side) + pending_notional_e8(s) + notional
    if cluster > limits.cluster_exposure_e8:
        return reasons.CLUSTER_EXPOSURE, cluster, limits.cluster_exposure_e8
    cost = entry_cost(instrument, side, ticks, lots, leverage)
    if cost > commit_room_e8(s, i):
        return reasons.RESERVE, cost, max(commit_room_e8(s, i), 0)
    if cost > wallet_room_e8(s, i):
        return reasons.VENUE_CASH, cost, max(wallet_room_e8(s, i), 0)
    if instrument.is_perp != 0:
        broken = _check_leverage(s, i, side, ticks, stop_ticks, leverage)
        if broken != 0:
            return broken, leverage * SCALE, limits.max_leverage
    elif side < 0:
        return reasons.NOT_TRADABLE, side, 0  # spot is never sold short
    loss = loss_at_stop(s, i, side, ticks, lots, stop_ticks)
    room = _trade_room_e8(s, i)
    if loss > room:
        return reasons.TRADE_LOSS, loss, room
    if loss > day_room_e8(s):
        return reasons.DAY_LOSS, loss, max(day_room_e8(s), 0)
    if loss >= drawdown_room_e8(s):
        return reasons.DRAWDOWN_ROOM, loss, max(drawdown_room_e8(s), 0)
    return 0, 0, 0


@kernel
def _trade_room_e8(s: Any, i: int) -> int:
    """What an entry may lose at its stop: the limit, less what the part already open would lose there."""
    p = s.positions[i]
    if p.qty_lots == 0:
        return trade_limit_e8(s)
    lost = p.fees_e8 - p.gross_e8 - p.funding_e8 - p.at_stop_e8
    return min(trade_limit_e8(s), p.limit_e8) - max(lost, 0)


@kernel
def _check_leverage(s: Any, i: int, side: int, ticks: int, stop_ticks: int, leverage: int) -> int:
    limits = s.limits[0]
    if leverage < 1 or leverage * SCALE > limits.max_leverage or leverage > s.instruments[i].max_leverage:
        return reasons.LEVERAGE
    away = abs(float(ticks) - liquidation_ticks(s, i, side, float(ticks), leverage))
    needed = abs(ticks - stop_ticks) * (1.0 + limits.liquidation_buffer_pct / (100.0 * SCALE))
    return reasons.LIQUIDATION_TOO_NEAR if away < needed else 0


@kernel
def count_order(s: Any) -> None:
    """Count an entry towards the order rate."""
    head = s.head[0]
    minute = head.now_ns // MINUTE_NS
    if head.minute != minute:
        head.minute = minute
        head.minute_orders = 0
    head.minute_orders += 1
