"""The port every venue is behind: market data, execution, account.

Rules
-----
* What happens at a venue reaches the engine as RECORDs through the `Inlet`, from the loop's own thread; nothing else
  influences a decision. `Notice`s are for people.
* A send has three outcomes, each a record: accepted, refused (ORDER_REJECT, CANCEL_REJECT with a reason), unknown
  (ORDER_UNKNOWN: timeout, disconnect, 5xx, unparsable). `send` neither waits nor raises for the venue's sake.
* A fill is told once (by the venue's trade id), however often and on however many ways the venue tells it.
* The parts of one venue know nothing of other venues: one's death changes nothing for the rest.
* The numbers in records are positions in the engine's one list of instruments, of all venues together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec
import numpy as np

from engine.contracts.errors import Refused
from engine.contracts.instruments import Instrument
from engine.venues.signing import Secret

Records = np.ndarray[Any, Any]
NoticeKind = Literal[
    "connected",  # a stream stands and delivers
    "lost",  # a stream broke, or is mute (pings without data count as mute); reconnecting
    "gap",  # a book lost its sequence and is read anew
    "undecodable",  # a message nobody understands was counted and left out
    "refused",  # the venue refused a request that is no order: key, permission, rate
    "foreign",  # an order, fill or position that is not ours: shown, never touched
    "wallet",  # a deposit, withdrawal or transfer
    "rules",  # tick, lot, minimum or fee changed
    "emulated",  # something the venue does not have is done by us (stops, replacement)
    "clock",  # the venue's clock and ours disagree
    "emergency",  # an emergency was asked for, where it stands
    "invariant",  # the engine's own books do not bear it out: it is halted
]


class Notice(NamedTuple):
    """Something a person may want to know; `text` says what, and the fix where there is one. No secrets."""

    venue: str
    kind: NoticeKind
    text: str
    instrument: int | None = None


class StreamHealth(NamedTuple):
    """One stream or connection. Times are wall ns, 0 before the first; `data_ns` counts data only, never pings.
    `clock_offset_ms`: the venue's clock less ours, on streams that orders depend on; None where it is not measured."""

    name: str
    connected: bool
    data_ns: int
    messages: int
    reconnects: int
    gaps: int
    undecodable: int
    clock_offset_ms: float | None = None


class Inlet(Protocol):
    """Where a venue puts what it hears. Copies at once: the caller may reuse its array."""

    def market(self, records: Records, count: int) -> None:
        """The first `count` of `records`: QUOTE, DEPTH, TRADE, MARK (of which only the newest may survive an
        overload), PATH, FUNDING, FEED_STATUS (which always do)."""

    def account(self, records: Records, count: int) -> None:
        """Order events, fills, FUNDING with an amount, FILTER, BALANCE: never dropped, taken before market data."""

    def notice(self, notice: Notice) -> None:
        """Tell people."""


class MarketData(Protocol):
    """Rules and prices of one venue; needs no key."""

    @property
    def name(self) -> str:
        """The venue, as in `Instrument.venue`."""

    async def load(self, symbols: Sequence[str]) -> list[Instrument]:
        """Rules of `symbols` (BASE/QUOTE, BASE/QUOTE:SETTLE for perpetuals), in their order, with standard fees.
        Raises BadInput for a symbol the venue does not trade, Retryable where it is not reachable."""

    async def history(self, number: int, instrument: Instrument, timeframe_s: int, count: int) -> Records:
        """The last `count` closed candles of an instrument (`number` in the engine's list) as PATH records in time
        order, for warming up; fewer where there are less, of a finer length where the venue has none of that one.
        Works before `run`."""

    async def run(self, instruments: Sequence[Instrument], inlet: Inlet) -> None:
        """Connect, subscribe to this venue's among `instruments`, and stay connected (with jitter between attempts)
        until cancelled. A broken, mute or incomplete stream is a FEED_STATUS for each instrument it feeds."""

    def health(self) -> list[StreamHealth]:
        """Every stream, for the live view."""


class Execution(Protocol):
    """Orders to one venue and what becomes of them."""

    async def run(self, instruments: Sequence[Instrument], inlet: Inlet) -> None:
        """Keep the order socket and the user stream open until cancelled."""

    @property
    def is_ready(self) -> bool:
        """An order can be sent now and its events would be heard."""

    def send(self, command: Any) -> None:
        """Send one PLACE or CANCEL record (valid only during the call). PLACE with `ref_id` takes the place of that
        order of ours: atomically where the venue can, else cancelled first and placed once that is confirmed."""

    def know(self, instrument: int, trade_ids: Iterable[int]) -> None:
        """Fills of an earlier life: they are not told again."""

    async def ask(self, instrument: int, client_id: int) -> bool:
        """What became of an order of ours, in every book it may lie in: fills first, then its state, as records.
        False where the venue does not know it (no proof while a send may still be under way). Raises Retryable."""

    def health(self) -> list[StreamHealth]:
        """Order socket and user stream, for the live view."""


@runtime_checkable
class Rehearsing(Protocol):
    """An Execution that can go through the motions of an order without sending one. Orders are rare: unrehearsed,
    their code has left the processor's caches when one is wanted, and takes several times as long."""

    def rehearse(self, command: Any) -> None:
        """Do with this PLACE record what `send` does, but send nothing, use no allowance and remember nothing."""


@runtime_checkable
class CountingDown(Protocol):
    """An Execution whose venue can cancel orders by itself when it does not hear of us."""

    @property
    def counts_down(self) -> bool:
        """The venue has it."""

    async def count_down(self, instrument: int, after_ms: int) -> None:
        """Have all orders of an instrument cancelled `after_ms` from now unless this is said again; 0: never. Raises
        Retryable (it may be armed then), Refused."""


class AccountFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue says about the account and its key; fees as fractions, by `Instrument.symbol`.
    `clock_offset_ms`: the venue's clock less ours, None where it is not measured."""

    can_trade: bool
    can_withdraw: bool
    is_ip_bound: bool | None  # None: the venue does not say
    fees: dict[str, tuple[Decimal, Decimal]] = {}  # maker, taker
    notes: tuple[str, ...] = ()
    clock_offset_ms: float | None = None


class OpenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order in one of the venue's books. `client_id` is None where it is not ours (of this run)."""

    instrument: int
    client_id: int | None
    client_text: str
    venue_order_id: str
    book: Literal["orders", "algo", "emulated"]
    side: int
    order_type: str  # the venue's word
    qty_lots: int
    filled_lots: int
    price_ticks: int
    trigger_ticks: int


class Wallet(msgspec.Struct, frozen=True, kw_only=True):
    """One asset of an account, in units of the asset."""

    asset: str
    free: Decimal
    locked: Decimal


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One perpetual position: signed lots."""

    instrument: int
    qty_lots: int
    entry_price: Decimal


class Account(Protocol):
    """Questions about the account; every answer is the venue's own. A failed question raises Retryable: it is never
    an empty answer."""

    async def check(self) -> AccountFacts:
        """Whether this account may be traded. Raises Refused naming fault and fix: a wrong key, a key that may
        withdraw, hedge mode, a margin mode we do not use."""

    async def open_orders(self) -> list[OpenOrder]:
        """Everything open in all of the venue's books, other people's too."""

    async def wallets(self) -> list[Wallet]:
        """Assets with something in them."""

    async def positions(self) -> list[Position]:
        """Perpetual positions other than zero; empty on spot venues."""

    async def fills_since(self, since_ns: int) -> int:
        """Tell the inlet our fills since then that it was not told; returns how many."""

    async def foreign_fills(self, instrument: int, since_ns: int) -> Records:
        """Fills of an instrument since then by orders that are not ours, as FILL records in time order; told to nobody.
        Empty where the venue does not show them."""


async def nothing_open() -> None:
    """A venue that holds nothing open between calls."""


async def keyless(key: str, secret: Secret) -> None:
    """A venue without an account of its own there. Raises Refused."""
    raise Refused("this venue works without an API key: there is none to replace; restart the engine to give it one")


class Venue(NamedTuple):
    """One venue, put together: a real one's parts, or real market data with simulated execution and account. `close`
    lets go of what questions opened; a part that runs closes what it opened itself. `rekey` takes another key of the
    same account while everything runs: it is checked as at the start, orders stay, the user stream is opened anew; what
    it raises (BadInput, Refused, Retryable) leaves the old key in force."""

    name: str
    market: MarketData
    execution: Execution
    account: Account
    close: Callable[[], Awaitable[None]] = nothing_open
    rekey: Callable[[str, Secret], Awaitable[None]] = keyless
