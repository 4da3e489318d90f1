"""Cash by venue: one wallet a venue, moved together with the account's totals.

Rules
-----
* Over all wallets, cash, reserved cash and margin add up to the head's, after every event: `move_money` moves both.
* What lies at one venue pays for nothing at another: an entry must fit its venue's wallet (`engine.core.risk`).
* A wallet counts a venue's dollars and stablecoins as one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.core.compile import kernel

WALLET: Final = np.dtype(
    (
        np.record,
        [
            (name, "<i8")
            for name in (
                "cash_e8",
                "margin_e8",
                "reserved_e8",  # cash reserved for entry orders
                "pending_margins",  # entry orders of perpetuals not yet finished
            )
        ],
    )
)


@kernel
def wallet_of(s: Any, i: int) -> Any:
    """The wallet of the venue that trades instrument `i`."""
    return s.wallets[s.instruments[i].wallet]


@kernel
def move_money(s: Any, i: int, cash_e8: int, reserved_e8: int, margin_e8: int) -> None:
    """Add to the cash, the reserved cash and the margin of the account and of instrument `i`'s wallet alike."""
    head = s.head[0]
    wallet = wallet_of(s, i)
    head.cash_e8 += cash_e8
    head.reserved_e8 += reserved_e8
    head.margin_e8 += margin_e8
    wallet.cash_e8 += cash_e8
    wallet.reserved_e8 += reserved_e8
    wallet.margin_e8 += margin_e8


@kernel
def count_margins(s: Any, i: int, change: int) -> None:
    """An entry order of instrument `i` begins (+1) or is finished (-1); those of perpetuals are counted."""
    if s.instruments[i].is_perp != 0:
        s.head[0].pending_margins += change
        wallet_of(s, i).pending_margins += change


@kernel
def wallet_free_e8(wallet: Any) -> int:
    """Cash of a wallet that is neither spent, held as margin nor reserved for an order."""
    return wallet.cash_e8 - wallet.reserved_e8 - wallet.margin_e8
