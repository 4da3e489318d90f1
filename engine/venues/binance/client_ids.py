"""Ids we give to Binance and get back: orders and websocket requests.

Both carry what is needed to understand the answer, so nothing has to be remembered between them.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from engine.contracts.errors import BadInput
from engine.contracts.records import ADOPTED, FORCED

LONGEST: Final = 36
_MOST: Final = (1 << 63) - 1
_PREFIX: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,15}", re.ASCII)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_REQUEST: Final = re.compile(r"([pcr])-([0-9]{1,5})-([0-9]{1,19})-([0-9]{1,19})", re.ASCII)

STAND_IN: Final = "w"
"""What follows the prefix of orders that somebody sent in the engine's place: the watchdog, or an emergency."""
FIRST_STAND_IN: Final = 1 << 50
"""Ids from here on are a stand-in's own; the engine counts from 1 and never comes that far."""

FORCED_PREFIXES: Final = ("autoclose-", "adl_autoclose", "settlement_autoclose-", "delivery_autoclose-")
"""Client ids Binance itself uses to close positions: liquidation, auto-deleveraging, settlement, delivery."""

_RESERVED: Final = ("autoclose", "adl_", "settlement_", "delivery_", "web_", "ios_", "and_", "android_", "electron_")


class ClientIds:
    """Our integer order ids as Binance client order ids: `keel7f3a-124`, at most 36 of [A-Za-z0-9_-].

    `prefix` names the run (1-16 letters, digits, underscores; a letter first), so that orders of another run, of a
    person or of another program are seen to be foreign. Raises BadInput for a prefix the venue itself uses.
    """

    def __init__(self, prefix: str) -> None:
        if _PREFIX.fullmatch(prefix) is None or prefix.startswith(_RESERVED):
            raise BadInput(
                f"client id prefix {prefix!r} must be 1-16 letters, digits or underscores, start with a letter and "
                f"not with {', '.join(_RESERVED)}"
            )
        self.prefix = prefix
        self._head = prefix + "-"
        self._stand_in = f"{prefix}{STAND_IN}"

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the texts of these ids begin with, before their dash."""
        return (self.prefix,)

    def stand_in(self) -> StandInIds:
        """Ids for whoever acts in the engine's place. Raises BadInput for a prefix that is too long for it."""
        return StandInIds(self.prefix)

    def is_stand_in(self, text: str) -> bool:
        """The order was sent in our place: its fills are of our position."""
        head, _, number = text.partition("-")
        return head == self._stand_in and _NUMBER.fullmatch(number) is not None

    def bit_of(self, text: str) -> int:
        """What fills of an order that has no id of ours are: FORCED, ADOPTED, or 0: somebody else's."""
        if text.startswith(FORCED_PREFIXES):
            return FORCED
        return ADOPTED if self.is_stand_in(text) else 0

    def encode(self, client_id: int) -> str:
        """The venue's text for our id. Raises BadInput outside 1..2**63-1."""
        if not 0 < client_id <= _MOST:
            raise BadInput(f"client id {client_id} is outside 1..2**63-1")
        return self._head + str(client_id)

    def decode(self, text: str) -> int | None:
        """Our id, or None for an order this run did not place."""
        if not text.startswith(self._head):
            return None
        number = text[len(self._head) :]
        if _NUMBER.fullmatch(number) is None or int(number) > _MOST:
            return None
        return int(number)


class StandInIds(ClientIds):
    """Ids of the engine's orders (to see and cancel them) and, from `FIRST_STAND_IN` on, of a stand-in's own."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self._own = ClientIds(prefix + STAND_IN)

    @property
    def prefixes(self) -> tuple[str, ...]:
        return (self.prefix, self._own.prefix)

    def encode(self, client_id: int) -> str:
        return self._own.encode(client_id) if client_id >= FIRST_STAND_IN else super().encode(client_id)

    def decode(self, text: str) -> int | None:
        own = self._own.decode(text)
        if own is not None:
            return own if own >= FIRST_STAND_IN else None
        engines = super().decode(text)
        return engines if engines is not None and engines < FIRST_STAND_IN else None


PLACE: Final = "p"
CANCEL: Final = "c"
REPLACE: Final = "r"


class Request(NamedTuple):
    """What a websocket request asked for; its id carries this, so a bare error still finds its order."""

    action: str
    instrument: int
    client_id: int  # the order to place or cancel; REPLACE: the new one
    replaced_id: int = 0  # REPLACE: the order to cancel

    def encode(self) -> str:
        """Request id, at most 36 characters. Raises BadInput where the numbers do not fit."""
        text = f"{self.action}-{self.instrument}-{self.client_id}-{self.replaced_id}"
        if len(text) > LONGEST or _REQUEST.fullmatch(text) is None:
            raise BadInput(f"request {tuple(self)} does not fit an id of {LONGEST} characters")
        return text

    @staticmethod
    def decode(text: object) -> Request | None:
        """The request behind an id, or None where the id is not one of an order request of ours."""
        match = _REQUEST.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            return None
        action, instrument, client_id, replaced_id = match.groups()
        return Request(action, int(instrument), int(client_id), int(replaced_id))
