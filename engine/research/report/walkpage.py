"""A walk as one HTML file: what was chosen in sample is grey, what came out of sample has the colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.contracts.errors import Fatal
from engine.core.compile import source_digest
from engine.research import equity
from engine.research.breakdown import iso
from engine.research.dossier import Dossier, fall_pct
from engine.research.report import wording
from engine.research.report.figures import CURVE_POINTS, MS, Chart
from engine.research.report.sections import Tile, esc, table, tile_list
from engine.research.report.shell import SIZE_MARK, chart, section, whole_page
from engine.research.report.walkterminal import chance, changed, interval, number, proof_rows, words
from engine.research.robustness import Again
from engine.research.verdict import ON_SYNTHETIC, counted, dollars, percent
from engine.research.walkforward import Joined

HTML_NAME: Final = "walk.html"
_NAVIGATION: Final = (
    ("equity", "Equity"), ("folds", "Folds"), ("yardsticks", "Yardsticks"), ("proof", "Proof"), ("search", "Search"),
    ("luck", "Luck"), ("stress", "Stress"), ("capacity", "Capacity"), ("terms", "Terms"),
)  # fmt: skip


def write_page(folder: Path, dossier: Dossier) -> Path:
    """`walk.html` in `folder`. Raises Fatal where it cannot be written."""
    path = folder / HTML_NAME
    try:
        path.write_text(page(dossier), encoding="utf-8")
    except OSError as error:
        raise Fatal(f"{path} cannot be written: {error.strerror}; free space or choose another folder") from error
    return path


def page(dossier: Dossier) -> str:
    """The whole file as text."""
    charts = {"equity": equity_chart(dossier), "trials": trials_chart(dossier), "drawdown": drawdown_chart(dossier)}
    payload: dict[str, Any] = {"charts": charts, "prices": {}, "trades": []}
    name = f"Walk-forward: {dossier.walk.plan.strategy}"
    return whole_page(name, _header(dossier), _body(dossier, payload), _footer(dossier), payload)


def equity_chart(dossier: Dossier) -> Chart:
    """The chosen parameters' training stretch before the first test in grey, the joined tests in colour, beside buying
    and holding, the plain rule and cash; borders of the folds as thin lines."""
    done, marks = dossier.walk, dossier.yardsticks
    capital = done.plan.terms.capital_usd
    scaled = Joined(done.inside.ts_ns, done.inside.usd / done.inside.usd[-1] * capital)
    lines = [("In sample, chosen", scaled, "--faint", 2.0)]
    lines += [("Buy and hold", marks.held, "--muted", 1.5)] if marks.held else []
    lines += [(f"Plain rule: {marks.rule}", marks.ruled, "--loss", 1.2)] if marks.ruled else []
    lines.append(("Out of sample", done.outside, "--accent", 2.4))
    data = [_line(*one) for one in lines]
    begin, end = int(done.inside.ts_ns[0] // MS), int(done.outside.ts_ns[-1] // MS)
    cash = _line("Cash", Joined(np.array([begin, end]) * MS, np.array([capital, capital])), "--faint", 1.0)
    cash["line"]["dash"] = "dot"
    borders = [
        {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": int(one.fold.test.from_ns // MS),
         "x1": int(one.fold.test.from_ns // MS), "line": {"color": "--rule", "width": 1}}
        for one in done.folds
    ]  # fmt: skip
    layout = {"yaxis": {"tickformat": "$,~f"}, "xaxis": {"type": "date"}, "hovermode": "x unified", "showlegend": True}
    return {"data": [cash, *data], "layout": layout | {"shapes": borders}}


def drawdown_chart(dossier: Dossier) -> Chart:
    """Fall below the highest out-of-sample equity so far, in per cent."""
    outside = dossier.walk.outside
    under = equity.underwater(equity.Curve(*outside)) * 100
    drawn = _line("Drawdown", Joined(outside.ts_ns, under), "--loss", 1.5)
    return {
        "data": [drawn | {"fill": "tozeroy", "fillcolor": "--loss-soft"}],
        "layout": {"yaxis": {"ticksuffix": " %"}, "xaxis": {"type": "date"}},
    }


def trials_chart(dossier: Dossier) -> Chart:
    """Every trial's Sharpe ratio in training against its place in the grid, grey; the chosen ones in colour, and what
    they came to out of sample."""
    chosen = {(one.fold.number, one.chosen) for one in dossier.walk.folds}
    groups: dict[str, tuple[list[float], list[float], str, int]] = {
        "Trials, in sample": ([], [], "--faint", 6), "Chosen, in sample": ([], [], "--muted", 9),
        "Chosen, out of sample": ([], [], "--accent", 10),
    }  # fmt: skip
    for trial in dossier.walk.trials:
        if trial.fold:
            name = "Chosen, in sample" if (trial.fold, trial.number) in chosen else "Trials, in sample"
            groups[name][0].append(trial.number)
            groups[name][1].append(trial.figures.sharpe or 0.0)
    for one in dossier.walk.folds:
        groups["Chosen, out of sample"][0].append(one.chosen)
        groups["Chosen, out of sample"][1].append(one.outside.sharpe or 0.0)
    data = [
        {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": [round(v, 3) for v in y],
         "marker": {"color": colour, "size": size}}
        for name, (x, y, colour, size) in groups.items()
    ]  # fmt: skip
    layout = {"xaxis": {"title": {"text": "place in the grid"}}, "yaxis": {"title": {"text": "Sharpe"}}}
    return {"data": data, "layout": layout | {"showlegend": True}}


def _line(name: str, joined: Joined, colour: str, width: float) -> Chart:
    ts, usd = equity.thinned(*joined, CURVE_POINTS)
    return {
        "type": "scatter", "mode": "lines", "name": name, "x": [int(t) for t in ts // MS],
        "y": [round(float(value), 4) for value in usd], "line": {"color": colour, "width": width},
    }  # fmt: skip


def _header(dossier: Dossier) -> str:
    done = dossier.walk
    links = "".join(f'<a href="#{anchor}">{esc(word)}</a>' for anchor, word in _NAVIGATION)
    badges = [("OUT OF SAMPLE", "plain"), ("SIMULATED", "plain")]
    badges += [("SYNTHETIC DATA", "alarm")] if dossier.synthetic else []
    badges += [] if done.proof.shown else [("NO EVIDENCE OF EDGE", "warn")]
    shown = "".join(f'<span class="badge {kind}">{esc(text)}</span>' for text, kind in badges)
    span = f"{iso(done.span.from_ns)[:10]} to {iso(done.span.to_ns)[:10]} · {counted(dossier.symbols, 'symbol')}"
    verdict = f"{done.proof.sentence} {ON_SYNTHETIC if dossier.synthetic else ''}".strip()
    return (
        f'<header><p class="overline">Keel · walk-forward</p><h1>{esc(done.plan.strategy)}</h1>'
        f'<p class="subline">{esc(span)}</p><p class="badges">{shown}</p><p class="verdict">{esc(verdict)}</p>'
        f"</header><nav>{links}</nav>"
    )


def _tiles(dossier: Dossier) -> str:
    done, marks = dossier.walk, dossier.yardsticks
    held = wording.MISSING if marks.buy_and_hold_pct is None else percent(marks.buy_and_hold_pct)
    random = wording.MISSING if marks.random_pct is None else percent(marks.random_pct)
    return tile_list([
        Tile("Out of sample", percent(marks.strategy_pct), f"{marks.days} days, after all costs"),
        Tile("Buy and hold", held, "the same days, fees paid"),
        Tile("Same trades at random", random, f"95 %: {interval(marks.random_ci95_pct, ' %')}"),
        Tile("Sharpe", number(done.proof.sharpe), f"95 %: {interval(done.proof.sharpe_ci95)}"),
        Tile("Deepest fall", percent(fall_pct(done.outside)), "out of sample, marked"),
    ])  # fmt: skip


def _body(dossier: Dossier, payload: dict[str, Any]) -> str:
    luck = dossier.monte_carlo
    bands = [] if luck is None else [
        ("Result, trades drawn again", interval(luck.drawn_return_pct, " %"), f"{luck.trades:,} trades"),
        ("Deepest fall, other order", interval(luck.order_drawdown_pct, " %"), "the same trades"),
        ("Result, heard late", interval(luck.jitter_return_pct, " %"),
         f"by up to {luck.jitter_s:g} s, {luck.jitters} runs"),
        ("Draws that lost money", chance(luck.loss_probability), ""),
    ]  # fmt: skip
    grey = "Grey: in sample, where the parameters were chosen. Colour: out of sample, the only part that counts."
    fell = chart("drawdown", payload, "Fall below the highest equity so far, in per cent", "No equity.")
    search = "Each point is one trial on one training stretch; choosing the highest is what overfits."
    return "".join((
        f'<dl class="tiles">{_tiles(dossier)}</dl>',
        section("equity", "Equity", grey, chart("equity", payload, "Equity in and out of sample", "No equity.")
                + f"<h3>Drawdown, out of sample</h3>{fell}"),
        section("folds", "Folds", "", _folds(dossier)),
        section("yardsticks", "The same days without it", "", _yardsticks(dossier)),
        section("proof", "How far to believe it", "", _proof(dossier)),
        section("search", "The search", search, chart("trials", payload, "Sharpe ratio of every trial", "No trial.")),
        section("luck", "Luck", "5 % to 95 % of each distribution.",
                table(["", "5 % to 95 %", "Of"], bands, [1], "Not asked for: --robust.")),
        section("stress", "Stress", "Played again on dearer assumptions.", _again(dossier.stress)),
        section("capacity", "Capacity", "The account and its limits in dollars times a factor; the depth stays.",
                _again(dossier.capacity)),
        section("terms", "Terms", "", _terms(dossier)),
    ))  # fmt: skip


def _folds(dossier: Dossier) -> str:
    heads = ["", "Train", "Test", "Chosen", "Sharpe in", "Sharpe out", "Net out", "Trades", "Left out"]
    rows = [
        (one.fold.number, f"{iso(one.fold.train.from_ns)[:10]} … {iso(one.fold.train.to_ns)[:10]}",
         f"{iso(one.fold.test.from_ns)[:10]} … {iso(one.fold.test.to_ns)[:10]}",
         words({k: v for k, v in one.params.items() if k in dossier.walk.plan.grid}), number(one.inside.sharpe),
         number(one.outside.sharpe), dollars(one.outside.net_usd, True), one.outside.trades, one.outside.left_out)
        for one in dossier.walk.folds
    ]  # fmt: skip
    note = "Left out: trades open at the end of a test stretch; they count on neither side."
    return table(heads, rows, range(4, 9), "") + f'<p class="quiet">{note}</p>'


def _yardsticks(dossier: Dossier) -> str:
    marks = dossier.yardsticks
    rows: list[tuple[str, float | None, str]] = [
        ("Strategy, out of sample", marks.strategy_pct, f"Sharpe 95 %: {interval(dossier.walk.proof.sharpe_ci95)}"),
        ("Cash", marks.cash_pct, ""),
        ("Buy and hold", marks.buy_and_hold_pct, "equal shares of every symbol, both fees"),
        ("Same trades at random", marks.random_pct,
         f"95 %: {interval(marks.random_ci95_pct, ' %')}; {chance(marks.random_better)} of draws did better"),
    ]  # fmt: skip
    if marks.rule is not None:
        rows.append(
            (f"Plain rule: {marks.rule}", marks.rule_pct, f"p that ours is no better: {chance(marks.spa_rule)}")
        )
    shown = [(name, wording.MISSING if value is None else percent(value), note) for name, value, note in rows]
    return table(["", "Result", "Note"], shown, [1], "")


def _proof(dossier: Dossier) -> str:
    proof = dossier.walk.proof
    rows = [(label, value, proof.why_null.get(name, meaning)) for name, label, value, meaning in proof_rows(proof)]
    return table(["", "Value", "Meaning"], rows, [1], "")


def _again(found: list[Again] | None) -> str:
    rows = [
        (changed(one), percent(one.return_pct), percent(one.max_drawdown_pct), f"{one.trades:,}",
         f"{one.refusals:,}", dollars(one.slippage_usd), dollars(one.fees_usd))
        for one in found or []
    ]  # fmt: skip
    heads = ["Change", "Result", "Deepest fall", "Trades", "Refused", "Slippage", "Fees"]
    return table(heads, rows, range(1, 7), "Not asked for: --robust.")


def _terms(dossier: Dossier) -> str:
    plan = dossier.walk.plan
    grid = "; ".join(f"{name}: {', '.join(f'{v:g}' for v in values)}" for name, values in plan.grid.items())
    steady = words({name: value for name, value in dossier.walk.recommended.items() if name in plan.grid})
    rows: list[tuple[str, object]] = [
        ("Grid", grid or "none"), ("Trials", dossier.walk.proof.trials), ("Capital", dollars(plan.terms.capital_usd)),
        ("Folds", f"{plan.cut.folds}, embargo {plan.cut.embargo_hours:g} h, warm-up {plan.cut.warm_days:g} days"),
        ("Seed", plan.seed), ("Most steady in training, by mean rank", steady),
        *((f"Data: {one.name}", f"{one.rows:,} rows, sha256 {one.sha256[:16]}") for one in dossier.sources),
    ]  # fmt: skip
    return table(["", ""], rows, [], "")


def _footer(dossier: Dossier) -> str:
    facts = (
        f"code {source_digest()[:16]}",
        f"one file of {SIZE_MARK}, most of it the chart library",
        wording.DISCLOSURE,
    )
    return f"<footer>{' · '.join(esc(fact) for fact in facts)}</footer>"
