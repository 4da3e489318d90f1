"""The parts of the ccxt venue that need no exchange: errors, numbers, ids, reports, emulated stops."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import BadInput, Fatal, KeelError, Refused, Retryable, Unknown
from engine.contracts.instruments import Instrument
from engine.venues.binance.client_ids import FIRST_STAND_IN, ClientIds
from engine.venues.ccxt.board import Board
from engine.venues.ccxt.facts import EXCHANGES
from engine.venues.ccxt.faults import failure_of, spoken
from engine.venues.ccxt.market import CcxtMarketData
from engine.venues.ccxt.opening import open_ccxt
from engine.venues.ccxt.reports import Reports, Sent, number_of
from engine.venues.ccxt.rules import changes
from engine.venues.ccxt.session import Session, new_client
from engine.venues.ccxt.steps import Steps
from engine.venues.emulated_stops import EmulatedStops, HeldStop
from engine.venues.fills import SeenFills
from engine.venues.signing import Secret
from engine.venues.undecodable import Undecodable

ONE = Instrument(
    symbol="BTC/USD", venue="coinbase", base="BTC", quote="USD", tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00000001"), min_qty=Decimal("0.00000001"), max_qty=Decimal(3400),
)  # fmt: skip


class Ear:
    """An inlet that remembers."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.notices: list[Any] = []

    def market(self, records: Any, count: int) -> None:
        self.records += [records[k].copy() for k in range(count)]

    account = market

    def notice(self, notice: Any) -> None:
        self.notices.append(notice)


def reports(exchange: str = "coinbase") -> tuple[Reports, Ear]:
    board = Board("coinbase")
    board.bind([ONE])
    made = Reports(board, EXCHANGES[exchange], ClientIds("keel1"), SeenFills())
    made.inlet = ear = Ear()
    return made, ear


OUTCOMES = (
    (ccxt.InsufficientFunds("x"), reasons.INSUFFICIENT_BALANCE, Refused),
    (ccxt.OrderNotFound("x"), reasons.UNKNOWN_ORDER, Refused),
    (ccxt.DuplicateOrderId("x"), reasons.DUPLICATE_CLIENT_ID, Refused),
    (ccxt.OrderImmediatelyFillable("x"), reasons.WOULD_TAKE, Refused),
    (ccxt.InvalidOrder("binance Filter failure: NOTIONAL"), reasons.MIN_NOTIONAL, Refused),
    (ccxt.ExchangeError(""), reasons.VENUE_REFUSED, Refused),
    (ccxt.AuthenticationError("x"), reasons.KEY_REFUSED, Fatal),
    (ccxt.PermissionDenied("x"), reasons.KEY_REFUSED, Fatal),
    (ccxt.InvalidNonce("x"), reasons.CLOCK_SKEW, Retryable),
    (ccxt.RateLimitExceeded("x"), reasons.RATE_LIMITED, Retryable),
    (ccxt.DDoSProtection("x"), reasons.RATE_LIMITED, Retryable),
    (ccxt.RequestTimeout("x"), reasons.VENUE_REFUSED, Unknown),
    (ccxt.NetworkError("x"), reasons.VENUE_REFUSED, Unknown),
    (ccxt.ExchangeNotAvailable("x"), reasons.VENUE_REFUSED, Unknown),
    (ccxt.BadResponse("x"), reasons.VENUE_REFUSED, Unknown),
)


@pytest.mark.parametrize(("error", "reason", "reaction"), OUTCOMES, ids=lambda x: type(x).__name__)
def test_each_class_of_error_has_its_reaction(error: ccxt.BaseError, reason: int, reaction: type[KeelError]) -> None:
    assert failure_of(error, "")[:2] == (reason, reaction)


def test_every_error_ccxt_can_raise_is_in_the_table() -> None:
    kinds = [kind for kind in vars(ccxt).values() if isinstance(kind, type) and issubclass(kind, ccxt.BaseError)]
    assert len(kinds) > 30
    for kind in kinds:
        assert failure_of(kind("words"), "binance").reaction in (Refused, Retryable, Unknown, Fatal)


def test_binance_codes_and_coinbase_words_decide_before_the_class() -> None:
    revoked = ccxt.DDoSProtection('binance {"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}')
    assert failure_of(revoked, "binance").reason == reasons.KEY_REFUSED
    body = '{"error_response":{"error":"INVALID_LIMIT_PRICE_POST_ONLY"}}'
    assert failure_of(ccxt.ExchangeError(""), "", body).reason == reasons.WOULD_TAKE


def test_what_is_shown_carries_no_signature() -> None:
    text = spoken(
        "binance GET https://api.x/api/v3/order?symbol=A&signature=deadbeef 500 apiKey=abcdef\nlistenKey: zz9"
    )
    assert not any(secret in text for secret in ("deadbeef", "abcdef", "zz9", "?"))
    assert "https://api.x/api/v3/order" in text


@given(st.integers(1, 10**11), st.sampled_from(["0.01", "0.00001", "0.5", "5", "0.00000001"]))
def test_a_float_of_the_venue_is_exactly_its_decimal(count: int, step: str) -> None:
    steps = Steps("price", Decimal(step))
    text = steps.text(count)
    assert steps.exact(text) == count
    if len(text.replace(".", "").lstrip("0")) <= 15:
        assert steps.exact(float(text)) == count


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "x", -1.0, 1e30, 0.015])
def test_absurd_numbers_are_refused(value: Any) -> None:
    with pytest.raises(Undecodable):
        Steps("price", Decimal("0.01")).exact(value)


def test_other_peoples_sizes_never_vanish() -> None:
    steps = Steps("size", Decimal("0.1"))
    assert [steps.down(x) for x in (0, 0.01, 0.19, 0.2)] == [0, 1, 1, 2]


@pytest.mark.parametrize(("exchange", "text"), [("binance", "keel1-7"), ("okx", "keel1Z7")])
def test_ids_come_back_as_they_went(exchange: str, text: str) -> None:
    made, _ = reports(exchange)
    assert made.text(7) == text and made.client_id(text) == 7
    assert made.client_id("keel10-7") is None and made.client_id(None) is None and made.client_id("web_1") is None


@pytest.mark.parametrize(("exchange", "text"), [("coinbase", "keel1w-5"), ("okx", "keel1wZ5")])
def test_fills_of_a_stand_ins_order_are_adopted(exchange: str, text: str) -> None:
    made, ear = reports(exchange)
    order = {"symbol": "BTC/USD", "id": "u", "clientOrderId": text, "status": "open", "filled": 0}
    fill = {"symbol": "BTC/USD", "id": "t", "order": "u", "side": "sell", "price": 1.0, "amount": 1e-06}
    assert not made.trade(fill), "nobody knows yet whose it is"
    made.order(order)
    assert made.trade(fill | {"id": "t2"}) and not made.trade(fill | {"id": "t2"})
    told = [(int(one["kind"]), int(one["client_id"]), int(one["bits"])) for one in ear.records]
    assert told == [(r.FILL, 0, r.ADOPTED)] * 2 and ear.notices == []


@pytest.mark.parametrize("exchange", ["binance", "okx"])
def test_a_stand_in_sees_both_kinds_of_orders(exchange: str) -> None:
    board = Board("coinbase")
    board.bind([ONE])
    ids = ClientIds("keel1").stand_in()
    made = Reports(board, EXCHANGES[exchange], ids, SeenFills())
    for number in (7, FIRST_STAND_IN + 7):
        assert made.client_id(made.text(number)) == number


def test_ids_that_are_no_numbers_are_stable_and_fit() -> None:
    assert number_of("123") == 123 and number_of("") == 0
    assert 0 < number_of("86cda72f-3b3f-4b44-8913-ec071fe2f0ae") < 2**63
    assert number_of("a") == number_of("a") != number_of("b")


def test_x9_events_repeated_after_a_reconnect_are_told_once() -> None:
    made, ear = reports()
    made.begin(Sent(1, made.board.at(0), r.BUY, 100))
    opened = {"symbol": "BTC/USD", "id": "u-1", "clientOrderId": "keel1-1", "status": "open", "filled": 0}
    fill = {"symbol": "BTC/USD", "id": "t-1", "order": "u-1", "side": "buy", "price": 100.0, "amount": 1e-06,
            "fee": {"cost": 6e-07, "currency": "USD"}, "takerOrMaker": "maker", "timestamp": 17 * 10**11}  # fmt: skip
    closed = opened | {"status": "closed", "filled": 1e-06}
    for _ in range(3):
        made.order(opened)
        made.trade(fill)
        made.order(closed)
    assert [int(one["kind"]) for one in ear.records] == [r.ORDER_ACK, r.FILL]
    told = ear.records[1]
    assert (told["qty_lots"], told["price_ticks"], told["fee_e8"], told["bits"]) == (100, 10_000, 60, r.MAKER)


def test_a_fill_ahead_of_its_order_waits_for_it() -> None:
    made, ear = reports()
    made.begin(Sent(1, made.board.at(0), r.BUY, 100))
    assert not made.trade({"symbol": "BTC/USD", "id": "t", "order": "u", "side": "buy", "price": 1.0, "amount": 1e-06})
    made.order({"symbol": "BTC/USD", "id": "u", "clientOrderId": "keel1-1", "status": "open"})
    assert [int(one["kind"]) for one in ear.records] == [r.ORDER_ACK, r.FILL]


def test_when_a_feed_is_lost_every_one_of_its_books_is_stale() -> None:
    many = [msgspec.structs.replace(ONE, symbol=f"C{number}/USD", base=f"C{number}") for number in range(600)]
    board, ear = Board("coinbase"), Ear()
    session = Session("coinbase", EXCHANGES["coinbase"], new_client("coinbase", "", Secret(""), None, False), None)
    market = CcxtMarketData(session, board, EmulatedStops(), 15.0, False)
    market._inlet = ear
    market._tell_lost(board.bind(many), "lost", "cut")
    assert [int(one["instrument"]) for one in ear.records] == list(range(600))
    assert {int(one["kind"]) for one in ear.records} == {r.FEED_STATUS}


def test_half_a_book_is_none() -> None:
    board, ear = Board("coinbase"), Ear()
    session = Session("coinbase", EXCHANGES["coinbase"], new_client("coinbase", "", Secret(""), None, False), None)
    market = CcxtMarketData(session, board, EmulatedStops(), 15.0, True)
    market._inlet = ear
    listing = board.bind([ONE])[0]

    def put(listing: Any, told: Any) -> None:
        for price in told:
            market._sheet.put(r.DEPTH, 0, 1, 0, 0, 0, 0, listing.prices.exact(price), 1, 0, 0)

    market._read(listing, put, ["1.00", "1.01"])
    market._read(listing, put, ["2.00", "nonsense"])
    market._flush()
    assert [int(one["price_ticks"]) for one in ear.records] == [100, 101]
    assert [one.kind for one in ear.notices] == ["undecodable"]


def test_an_order_of_ours_that_the_venue_shows_first_can_be_cancelled_at_once() -> None:
    made, _ = reports()
    sent = made.order({"symbol": "BTC/USD", "id": "u", "clientOrderId": "keel1-9", "status": "open", "side": "buy"})
    assert sent is not None and sent.answered.is_set()


@pytest.mark.parametrize("broken", [{"filled": "x"}, {"filled": float("nan")}, {"info": 5}, {"timestamp": "soon"}])
def test_what_cannot_be_read_disturbs_nothing_else(broken: dict[str, Any]) -> None:
    made, ear = reports()
    made.begin(Sent(1, made.board.at(0), r.BUY, 100))
    order = {"symbol": "BTC/USD", "id": "u", "clientOrderId": "keel1-1", "status": "open"}
    assert made.order(order | broken) is None
    assert [one.kind for one in ear.notices] == ["undecodable"]
    assert made.trade({"symbol": "BTC/USD", "id": "t", "order": "u", "side": "sideways"}) is False
    assert made.order(order) is not None


def test_an_end_waits_for_the_fills_it_names() -> None:
    made, ear = reports()
    asked: list[int] = []
    made.catch_up = lambda sent: asked.append(sent.client_id)
    made.begin(Sent(1, made.board.at(0), r.BUY, 100))
    made.order({"symbol": "BTC/USD", "id": "u", "clientOrderId": "keel1-1", "status": "canceled", "filled": 5e-07})
    assert asked == [1] and [int(one["kind"]) for one in ear.records] == [r.ORDER_ACK]


def test_an_emulated_stop_fires_once_on_the_venues_own_price() -> None:
    stops, fired = EmulatedStops(), []
    stops.fire = lambda stop: fired.append(stop.client_id)
    stops.quoted(0, 100, 101)
    assert stops.would_trigger(0, r.SELL, 100) and not stops.would_trigger(0, r.SELL, 99)
    stops.hold(HeldStop(1, 0, r.SELL, 95, None))
    stops.hold(HeldStop(2, 0, r.BUY, 105, None))
    stops.hold(HeldStop(3, 1, r.SELL, 95, None))
    stops.quoted(0, 96, 97)
    assert not fired
    stops.traded(0, 95)
    stops.quoted(0, 90, 91)
    assert fired == [1]
    stops.quoted(0, 104, 105)
    assert fired == [1, 2] and [stop.client_id for stop in stops.all()] == [3]
    assert stops.drop(3) is not None and stops.drop(3) is None and stops.all() == []


def test_changed_rules_are_filter_records() -> None:

    new = msgspec.structs.replace(
        ONE, min_notional=Decimal(10), taker_fee=Decimal("0.006"), min_qty=Decimal("0.00000005")
    )
    assert [change[:2] for change in changes(ONE, new)] == [(0, 5), (2, 10 * 10**8), (4, 600_000)]


@pytest.mark.parametrize(
    ("exchange", "options", "word"),
    [("nope", {}, "nope"), ("coinbase", {"testnet": True}, "no testnet"), ("binance", {"urls": {"rest": "x"}}, "ws"),
     ("kraken", {"testnet": True}, "no testnet")],
)  # fmt: skip
def test_what_cannot_be_opened_is_named(exchange: str, options: dict[str, Any], word: str) -> None:
    with pytest.raises(BadInput, match=word):
        open_ccxt(exchange, "x", ClientIds("keel1"), **options)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_row_of_the_table_opens_and_can_do_what_it_says(exchange: str) -> None:
    client = open_ccxt(exchange, "x", ClientIds("keel1")).market._session.exchange  # type: ignore[attr-defined]
    facts = EXCHANGES[exchange]
    needed = [
        "watchOrders",
        "createOrder",
        "cancelOrder",
        "fetchOrder",
        "fetchOpenOrders",
        "fetchMyTrades",
        "fetchOHLCV",
    ]
    needed += ["watchMyTrades"] if facts.has_trade_stream else []
    needed += ["watchBidsAsks"] if facts.quotes == "touch" else ["watchOrderBookForSymbols"]
    assert [name for name in needed if not client.has.get(name)] == []
    assert facts.ready == "snapshot" or hasattr(client, "authenticate")
