"""The futures WS API: the methods it has, with REST's calls behind them."""

from __future__ import annotations

from typing import Any, Final

from engine.sandbox.binance_spot import market_calls as spot
from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.binance_spot.security import check_key
from engine.sandbox.binance_spot.ws_api import Method
from engine.sandbox.binance_usdm import account_calls as account
from engine.sandbox.binance_usdm import algo_calls as algo
from engine.sandbox.binance_usdm import market_calls as market
from engine.sandbox.binance_usdm import settings_calls as settings
from engine.sandbox.binance_usdm import trading
from engine.sandbox.futures import Futures


def _for_key(work: Any) -> Any:
    """A call that needs an API key but no signature."""

    def answer(futures: Futures, p: Parameters) -> Any:
        return work(futures, check_key(futures, p.text("apiKey")), p)

    return answer


METHODS: Final[dict[str, Method]] = {
    "ping": Method(1, False, spot.ping),
    "time": Method(1, False, spot.server_time),
    "depth": Method(5, False, market.depth),
    "ticker.price": Method(1, False, market.price_ticker),
    "ticker.book": Method(2, False, market.book_ticker),
    "order.place": Method(1, True, trading.place, 1),
    "order.modify": Method(1, True, trading.modify, 1),
    "order.cancel": Method(1, True, trading.cancel),
    "order.status": Method(1, True, trading.get_order),
    "algoOrder.place": Method(1, True, algo.place, 1),
    "algoOrder.cancel": Method(1, True, algo.cancel),
    "account.position": Method(5, True, account.risk_v2),
    "v2/account.position": Method(5, True, account.risk_v3),
    "account.balance": Method(5, True, account.balance),
    "v2/account.balance": Method(5, True, account.balance),
    "account.status": Method(5, True, account.account_v2),
    "v2/account.status": Method(5, True, account.account_v3),
    "userDataStream.start": Method(5, False, _for_key(settings.start_stream)),
    "userDataStream.ping": Method(1, False, _for_key(settings.keep_stream)),
    "userDataStream.stop": Method(1, False, _for_key(settings.end_stream)),
}
