"""The first page of the evidence: every study in a line, what ships and why, what was executable, every stretch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from engine.research.defaults import RULE, Choice
from engine.research.dossier import fall_pct
from engine.research.executable import Executable
from engine.research.report import wording
from engine.research.report.evidencepage import GENERATED, band, result
from engine.research.report.evidencetiers import paying, went
from engine.research.report.markdown import table
from engine.research.report.walkterminal import chance, interval
from engine.research.verdict import dollars, percent, ratio

if TYPE_CHECKING:
    from engine.research.evidence import Found, Shipped

HEADS: Final = ("Study", "Out of sample", "Trades", "Net", "95 %", "Cash", "Buy and hold", "95 %", "Naive rule", "95 %",
                "At random", "Trials", "Verdict")  # fmt: skip
BELIEF: Final = ("Study", "Sharpe, 95 %", "DSR", "PBO", "SPA against cash, p", "Deepest fall", "Naive rule")
FELL: Final = ("Stretch", "Strategy", "Days", "Symbols", "Trades", "Net", "Deepest fall", "Worst trade",
               "Stopped by its limit", "Under 5 %")  # fmt: skip


def first_page(
    found: Sequence[Found], shipped: Sequence[Shipped], choices: Sequence[Choice], left_out: Sequence[str], code: str
) -> str:
    """The tables over everything, and what was not run."""
    shown = [one.study.name for one in found if one.dossier.walk.proof.shown]
    verdict = f"An edge is shown by: {', '.join(shown)}." if shown else "No study shows an edge."
    nothing = "\n".join(f"- {line}" for line in left_out)
    parts = [
        f"{GENERATED}\n\n# Evidence\n\n**{verdict}** What the strategies came to on recorded markets they were not "
        "tuned on, after fees, funding and slippage, beside cash, buying and holding, a naive rule, and the same "
        "trades at random moments. How to read it: [evaluation](../evaluation.md).\n",
        table(HEADS, [_line(one) for one in found]),
        "Net is out of sample, from $1,000 under the default limits; every fold starts flat. An edge is only shown by "
        "at least 30 days out of sample, an interval of the Sharpe ratio above zero, DSR at least 95 % and PBO below "
        "one half. `arbitrage-ticks` pays no fee, which nobody can: its net is no result.\n",
        "## How far to believe it\n\n" + table(BELIEF, [_belief(one) for one in found]),
        "DSR: the probability of skill, allowing for all trials. PBO above one half: choosing among them was worth "
        "nothing. A dash: too few days for the figure to exist.\n",
        _settled(choices),
        _executable([one for study in found for one in study.executable]),
        "## Every recorded stretch, with the parameters as shipped\n\nNot out of sample where a study above was made "
        "on the same file; it shows what the limits hold. Arbitrage and scalping abstain on candles. *All three*: "
        "arbitrage, momentum and scalping on one account, the selector sharing out the risk. Falls are of hourly marks "
        "(minutes where the stretch is under two days); the engine watches every price.\n",
        table(FELL, _stretches(shipped)),
        f"## Not run\n\n{nothing}\n" if left_out else "",
        f"Code {code}. {wording.DISCLOSURE}\n",
    ]
    return "\n".join(part for part in parts if part)


def _line(one: Found) -> tuple[object, ...]:
    walk, marks = one.dossier.walk, one.dossier.yardsticks
    trades = sum(fold.outside.trades for fold in walk.folds)
    return (
        f"[{one.study.name}]({one.study.name}.md)", walk.proof.length, trades, percent(marks.strategy_pct),
        band(marks.strategy_ci95_pct), percent(marks.cash_pct), result(marks.buy_and_hold_pct),
        band(marks.buy_and_hold_ci95_pct), result(marks.rule_pct), band(marks.rule_ci95_pct), result(marks.random_pct),
        walk.proof.trials, "edge" if walk.proof.shown else "no evidence of edge",
    )  # fmt: skip


def _belief(one: Found) -> tuple[object, ...]:
    proof = one.dossier.walk.proof
    return (
        one.study.name, interval(proof.sharpe_ci95), chance(proof.deflated), chance(proof.pbo), chance(proof.spa_cash),
        percent(fall_pct(one.dossier.walk.outside)), one.dossier.yardsticks.rule or "is it",
    )  # fmt: skip


def _settled(choices: Sequence[Choice]) -> str:
    rows = [
        (one.strategy, f"`{name}`", f"{one.shipped[name]:g}", f"{value:g}", f"[{one.study}]({one.study}.md)",
         f"{one.folds} of {one.of_folds}" if one.told_apart else "all came to the same")
        for one in choices
        for name, value in one.chosen.items()
    ]  # fmt: skip
    if not rows:
        return ""
    heads = ["Strategy", "Parameter", "Ships", "Chosen", "By", "Folds that chose it"]
    changes = [change for one in choices for change in one.changes]
    wanted = "" if not changes else "To be changed: " + "; ".join(f"`{change}`" for change in changes) + ".\n"
    return f"## What ships, and what the search chose\n\n{table(heads, rows)}\n{RULE}\n{wanted}"


def _executable(found: Sequence[Executable]) -> str:
    rows = [
        (one.title, f"{seen.fee_bps:g} bps", paying(seen), f"{ratio(seen.best_bps)} bps", went(one.played[0].tiers[k]),
         *(went(p.tiers[k]) for p in one.played[1:]))
        for one in found if one.played
        for k, seen in enumerate(one.seen)
    ]  # fmt: skip
    if not rows:
        return ""
    heads = ["Triangle", "Fee a leg", "Minutes that paid", "Best, after fees", "As shipped", "At its most eager",
             "The same, at another latency"]  # fmt: skip
    return (
        f"## Arbitrage: what was executable after fees\n\n{table(heads, rows)}\nTerms, and the closes of other venues: "
        "[arbitrage](arbitrage.md). Scalping by fee: [scalping](scalping.md).\n"
    )


def _stretches(shipped: Sequence[Shipped]) -> list[tuple[object, ...]]:
    return [
        (one.stretch, _named(one), days_text(one.days), one.symbols, f"{one.figures.trades:,}",
         percent(one.figures.return_pct), percent(one.figures.max_drawdown_pct), dollars(one.worst_usd),
         "yes" if one.figures.stopped else "no", "yes" if -one.figures.max_drawdown_pct < one.fall_limit_pct else "NO")
        for one in shipped
    ]  # fmt: skip


def _named(one: Shipped) -> str:
    """The strategy, or all three and what each came to."""
    if len(one.strategies) == 1:
        return one.strategies[0]
    came = ", ".join(f"{name} {dollars(net, True)}" for name, (trades, net) in one.by_strategy.items() if trades)
    return f"all three ({came})" if came else "all three"


def days_text(days: float) -> str:
    """``0.083`` of a short stretch, ``120`` of a long one."""
    return f"{days:.2g}" if days < 10 else f"{days:.0f}"
