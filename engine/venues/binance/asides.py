"""What a message says besides records: typed values the caller acts on.

A RECORD is an event the core understands. Some messages say things the core has no event for (a diff of a book, a
fee in a third asset, an order somebody else placed, a wallet): those become one of these, in `Codec.asides`, valid
until the next `decode`. Quantities of other people's orders and of wallets stay `Decimal`: nothing is folded from them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from engine.contracts.errors import KeelError
from engine.venues.binance.client_ids import Request
from engine.venues.ladder import Diff


class ForeignFee(NamedTuple):
    """A fill whose fee was taken in neither base nor quote (BNB).

    `out["fee_e8"][record]` is 0 and waits: convert `amount_e8` (1e-8 units of `asset`, rounded up) at the asset's
    price and write it there before the record is journalled, so that the core sees one fill with its whole fee.
    """

    record: int
    instrument: int
    client_id: int
    trade_id: int
    asset: str
    amount_e8: int


class ForeignOrder(NamedTuple):
    """An order of another program, person or run. Quarantine and show it; never touch it unasked."""

    instrument: int
    client_text: str
    venue_order_id: int
    execution: str
    status: str
    side: int
    quantity: Decimal
    price: Decimal
    last_quantity: Decimal
    last_price: Decimal
    trade_id: int
    venue_ts_ns: int


class Balance(NamedTuple):
    """One asset of the wallet: spot free and locked; USD-M wallet balance (locked 0)."""

    asset: str
    free: Decimal
    locked: Decimal


class Holding(NamedTuple):
    """One position the venue reports: signed quantity. `instrument` is None for a symbol we do not trade."""

    symbol: str
    instrument: int | None
    quantity: Decimal
    side: str  # BOTH in one-way mode; LONG or SHORT means hedge mode, which Keel refuses


class Wallet(NamedTuple):
    """Balances and positions after a change; only those that changed are listed."""

    venue_ts_ns: int
    cause: str
    balances: tuple[Balance, ...]
    holdings: tuple[Holding, ...]


class WalletChange(NamedTuple):
    """A deposit, withdrawal or transfer: signed amount."""

    venue_ts_ns: int
    asset: str
    amount: Decimal


class FundingPaid(NamedTuple):
    """Funding on a cross-margin position: Binance does not say which symbol it was for (ask the income history)."""

    venue_ts_ns: int
    asset: str
    amount_e8: int


class OrderList(NamedTuple):
    """State of an OCO or other order list; its orders send their own events."""

    venue_ts_ns: int
    instrument: int
    list_id: int
    list_text: str
    status: str  # e.g. EXEC_STARTED, ALL_DONE, RESPONSE
    order_status: str  # e.g. EXECUTING, ALL_DONE, REJECT


class Reply(NamedTuple):
    """A successful answer to a request that is not about one order; `result` is its JSON, unparsed."""

    request_id: str | int | None
    status: int
    result: bytes


class Fault(NamedTuple):
    """An error the venue sent. `reaction` is what to do (see `faults`); `request` the order request it answers."""

    request_id: str | int | None
    request: Request | None
    status: int
    code: int
    message: str
    reason: int  # contracts.reasons
    reaction: type[KeelError]
    retry_after_ms: int  # when the venue says to come back (ms since 1970); 0: it does not say


class StreamEnded(NamedTuple):
    """The venue closes this stream; subscribe again. `event` is its name for it."""

    event: str


Aside = Diff | ForeignFee | ForeignOrder | Wallet | WalletChange | FundingPaid | OrderList | Reply | Fault | StreamEnded
