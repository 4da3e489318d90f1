"""The public channels: what each says of one product. Prices and sizes as in REST; sides of trades are the makers'."""

from __future__ import annotations

from typing import Any, Final

from engine.sandbox.coinbase.amounts import plain, stamp
from engine.sandbox.coinbase.floor import Floor, Product
from engine.sandbox.coinbase.market_calls import candle_shape, joined, trade_shape
from engine.sandbox.coinbase.products import change_percent, day_of
from engine.sandbox.tape import Trade

Event = dict[str, Any]
SNAPSHOT_TRADES: Final = 50
SNAPSHOT_CANDLES: Final = 100
CANDLE_MINUTES: Final = 5
SIDES: Final = {-1: "bid", 1: "offer"}


class BookChannel:
    """level2 of one product: a snapshot for each who comes, then for all the levels that changed since."""

    def __init__(self, floor: Floor, product: Product) -> None:
        self._floor = floor
        self._product = product
        self._told_id = -1
        self._told: dict[int, dict[int, int]] = {-1: {}, 1: {}}

    def snapshot(self) -> Event:
        """The book as it was last told to everybody: call `update` (and send it) first."""
        levels = [(side, ticks, lots) for side in (-1, 1) for ticks, lots in self._told[side].items()]
        return self._event("snapshot", levels)

    def update(self) -> Event | None:
        """The changes since the last call; None where there are none."""
        tape = self._product.tape
        if tape.update_id == self._told_id:
            return None
        self._told_id = tape.update_id
        now = {side: dict(self._floor.exchange.levels(tape, side)) for side in (-1, 1)}
        told, self._told = self._told, now
        changed = [
            (side, ticks, now[side].get(ticks, 0))
            for side in (-1, 1)
            for ticks in sorted(told[side].keys() | now[side].keys(), reverse=side < 0)
            if told[side].get(ticks) != now[side].get(ticks)
        ]
        return self._event("update", changed) if changed else None

    def _event(self, kind: str, levels: list[tuple[int, int, int]]) -> Event:
        tape, time = self._product.tape, stamp(self._floor.clock.now_ms())
        updates = [
            {
                "side": SIDES[side],
                "event_time": time,
                "price_level": plain(ticks * tape.tick_e8),
                "new_quantity": plain(lots * tape.lot_e8),
            }
            for side, ticks, lots in levels
        ]
        return {"type": kind, "product_id": self._product.product_id, "updates": updates}


def ticker_event(floor: Floor, product: Product, kind: str, with_touch: bool) -> Event:
    """ticker, and without the touch ticker_batch."""
    tape = product.tape
    day = day_of(tape, floor.clock.now_ms())
    high, low = plain(day.high * tape.tick_e8), plain(day.low * tape.tick_e8)
    one = {
        "type": "ticker",
        "product_id": product.product_id,
        "price": plain(tape.last_ticks * tape.tick_e8),
        "volume_24_h": plain(day.lots * tape.lot_e8),
        "low_24_h": low,
        "high_24_h": high,
        "low_52_w": low,
        "high_52_w": high,
        "price_percent_chg_24_h": change_percent(tape, day),
    }
    if with_touch:
        one |= {
            "best_bid": plain(tape.bid_ticks * tape.tick_e8),
            "best_bid_quantity": plain(tape.bid_lots * tape.lot_e8),
            "best_ask": plain(tape.ask_ticks * tape.tick_e8),
            "best_ask_quantity": plain(tape.ask_lots * tape.lot_e8),
        }
    return {"type": kind, "tickers": [one]}


def trades_event(product: Product, kind: str, trades: list[Trade]) -> Event:
    """market_trades, newest first."""
    return {"type": kind, "trades": [trade_shape(product.product_id, product.tape, one) for one in reversed(trades)]}


def candles_event(product: Product, kind: str, count: int) -> Event:
    """candles of five minutes, newest first."""
    tape = product.tape
    bars = joined(tape.bars[-count * CANDLE_MINUTES :], CANDLE_MINUTES, tape.next_trade_id > 1)[-count:]
    shapes = [candle_shape(tape, bar) | {"product_id": product.product_id} for bar in reversed(bars)]
    return {"type": kind, "candles": shapes}


def status_event(products: list[Product]) -> Event:
    """status: the products and what may be done with them."""
    return {"type": "snapshot", "products": [_status(one) for one in products]}


def _status(product: Product) -> dict[str, Any]:
    tape, one = product.tape, product.tape.instrument
    return {
        "product_type": "SPOT",
        "id": product.product_id,
        "base_currency": one.base,
        "quote_currency": one.quote,
        "base_increment": plain(tape.lot_e8),
        "quote_increment": plain(tape.tick_e8),
        "display_name": f"{one.base}/{one.quote}",
        "status": "online",
        "status_message": "",
        "min_market_funds": plain(int(one.min_notional * 10**8)),
    }
