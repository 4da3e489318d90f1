"""What was executable at each fee tier, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from engine.research.executable import AtFee, Executable
from engine.research.report.markdown import table
from engine.research.triangles import Moments, Tier
from engine.research.verdict import dollars, ratio

EAGER = 1
"""Place of the most eager way to play among those of a recording."""
NOT_YET = "STALE_DATA"
"""Not shown: the two other quotes of the same moment had not come yet."""


def triangles(found: Sequence[Executable]) -> str:
    """Every recording of a triangle, and those of candles alone."""
    parts = [
        "## What was executable, by fee\n\n10 bps a leg is what a new account pays at Binance, 7.5 with the exchange's "
        "own coin; 2.5 and nothing are there to see where it begins.\n"
    ]
    parts += [_played(one) for one in found if one.played]
    closes = [one for one in found if not one.played]
    if closes:
        fees = [one.fee_bps for one in closes[0].seen]
        rows = [(one.title, f"{one.seen[0].minutes:,}", *(f"{m.paying:,}" for m in one.seen)) for one in closes]
        parts.append(
            "### At the closes of the minutes, the depeg of March 2023\n\nBoth ways round, no spread, no size, and the "
            "three closes need not be of one moment: minutes in which the closes alone would have paid. A loose upper "
            "bound; the quotes above say how loose.\n\n"
            + table(["Triangle", "Minutes with all three", *(f"pay at {fee:g} bps" for fee in fees)], rows)
        )
    return "\n".join(parts)


def _played(one: Executable) -> str:
    rows = [
        (f"{seen.fee_bps:g} bps", paying(seen), f"{ratio(seen.best_bps)} bps", *(went(p.tiers[k]) for p in one.played))
        for k, seen in enumerate(one.seen)
    ]
    heads = ["Fee a leg", "Minutes that paid at the touch", "Best of them, after fees", *(p.words for p in one.played)]
    refused = one.played[EAGER].tiers[0].refused
    why = ", ".join(f"{reason} {count:,}" for reason, count in refused.items() if reason != NOT_YET)
    against = f"\nRefused at {one.seen[0].fee_bps:g} bps on the most eager terms: {why}.\n" if why else ""
    return f"### {one.title}\n\n{table(heads, rows)}{against}"


def paying(seen: Moments) -> str:
    """Minutes that paid, of all."""
    return f"{seen.paying:,} of {seen.minutes:,}"


def went(tier: Tier) -> str:
    """What became of the cycles, and of the money."""
    if tier.begun == 0:
        return "none begun"
    missed = tier.begun - tier.done - tier.unwound
    return (
        f"{tier.begun:,} begun, {tier.done:,} through, {tier.unwound:,} turned back, {missed:,} missed: "
        f"{dollars(tier.net_usd, True)}"
    )


def at_fees(found: Sequence[AtFee]) -> str:
    """A strategy as shipped at each fee."""
    rows = [
        (f"{one.maker_bps:g} and {one.taker_bps:g} bps", one.trades,
         dollars(one.gross_usd, True), dollars(one.fees_usd), dollars(one.net_usd, True))
        for one in found
    ]  # fmt: skip
    return (
        "## What was executable, by fee\n\nThe whole recording, parameters as shipped, orders 100 ms on their "
        "way. The first row is what an account pays at Binance.\n\n"
        + table(["Fees, maker and taker", "Trades", "Gross", "Fees paid", "Net"], rows)
    )
