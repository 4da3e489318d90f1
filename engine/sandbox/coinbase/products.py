"""Products as the catalogue shows them, with the last 24 hours."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from engine.sandbox.coinbase.amounts import plain, ratio
from engine.sandbox.coinbase.floor import TWINS, Floor, Product
from engine.sandbox.tape import Bar, Tape

DAY_MS: Final = 86_400_000
MOST_QUOTE: Final = "150000000"
FIAT: Final = {"USD": "US Dollar", "EUR": "Euro", "GBP": "British Pound"}
COINS: Final = {"BTC": "Bitcoin", "ETH": "Ethereum", "SOL": "Solana", "XRP": "XRP", "DOGE": "Dogecoin"}
_EMPTY: Final = (
    "market_cap", "base_cbrn", "quote_cbrn", "product_cbrn", "icon_color", "icon_url", "display_name_overwrite",
    "about_description", "best_bid_price", "best_ask_price",
)  # fmt: skip


class Day(NamedTuple):
    """The last 24 hours of a tape, in its units."""

    open: int
    high: int
    low: int
    lots: int
    quote_e8: int


def day_of(tape: Tape, now_ms: int) -> Day:
    """Open, high, low and volume of the last day; of the last price alone where nothing is known."""
    bars: list[Bar] = [bar for bar in tape.bars[-1441:] if bar.open_ms >= now_ms - DAY_MS]
    if not bars:
        return Day(tape.last_ticks, tape.last_ticks, tape.last_ticks, 0, 0)
    return Day(
        bars[0].open, max(bar.high for bar in bars), min(bar.low for bar in bars), sum(bar.lots for bar in bars),
        sum(bar.quote_e8 for bar in bars),
    )  # fmt: skip


def change_percent(tape: Tape, day: Day) -> str:
    """Change since 24 hours ago in per cent."""
    move = tape.last_ticks - day.open
    text = ratio(abs(move) * 100, day.open)
    return f"-{text}" if move < 0 and text != "0" else text


def product_name(code: str) -> str:
    """The name of a currency."""
    return FIAT.get(code) or COINS.get(code) or code


def product_shape(floor: Floor, product: Product) -> dict[str, Any]:
    """One product of the catalogue."""
    tape, one = product.tape, product.tape.instrument
    row, day = floor.exchange.filters(tape), day_of(tape, floor.clock.now_ms())
    twin = f"{one.base}-{TWINS[one.quote]}" if one.quote in TWINS else ""
    is_alias = product.book != product.product_id
    return {
        "product_id": product.product_id,
        "price": plain(tape.last_ticks * tape.tick_e8),
        "price_percentage_change_24h": change_percent(tape, day),
        "volume_24h": plain(day.lots * tape.lot_e8),
        "volume_percentage_change_24h": "0",
        "base_increment": plain(tape.lot_e8),
        "quote_increment": plain(tape.tick_e8),
        "quote_min_size": plain(int(row.min_notional_e8)),
        "quote_max_size": MOST_QUOTE,
        "base_min_size": plain(max(int(row.min_lots), 1) * tape.lot_e8),
        "base_max_size": plain(int(row.max_lots) * tape.lot_e8),
        "base_name": product_name(one.base),
        "quote_name": product_name(one.quote),
        "watched": False,
        "is_disabled": False,
        "new": False,
        "status": "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": one.quote,
        "base_currency_id": one.base,
        "fcm_trading_session_details": None,
        "mid_market_price": "",
        "alias": product.book if is_alias else "",
        "alias_to": [twin] if twin and not is_alias else [],
        "base_display_symbol": one.base,
        "quote_display_symbol": "USD" if is_alias else one.quote,
        "view_only": False,
        "price_increment": plain(tape.tick_e8),
        "display_name": product.product_id,
        "product_venue": "CBE",
        "approximate_quote_24h_volume": plain(day.quote_e8 // 10**6 * 10**6),
        "new_at": "2023-01-01T00:00:00Z",
        "is_alpha_testing": False,
        **dict.fromkeys(_EMPTY, ""),
    }
