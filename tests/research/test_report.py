"""The report as files, as text and as a reader's browser sees it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console
from sample_run import empty, sample

from engine.contracts import reasons
from engine.contracts.errors import Fatal
from engine.contracts.ledger import CycleRow, DeskRow, OrderRow, RegimeRow, SelectionRow
from engine.research.breakdown import EXIT_WORDS
from engine.research.metrics import Metrics, measure
from engine.research.report import figures, wording
from engine.research.report.page import page
from engine.research.report.render import ReportPaths, print_report, write_report
from engine.research.verdict import dollars

MONEY = ("gross_usd", "fees_usd", "funding_usd", "slippage_usd", "net_usd")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
VOID = {"meta", "br", "input", "link", "img", "hr"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_report(tmp_path_factory.mktemp("run"), *sample())


class Balance(HTMLParser):
    """Complains about tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def payload(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="payload">(.*?)</script>', html, re.S)
    assert found
    return dict(json.loads(found[1]))


def test_json_holds_the_names_others_rely_on(written: ReportPaths) -> None:
    document = json.loads(written.json.read_text())
    names = """run_id digest trades start_equity_usd end_equity_usd net_pnl_usd gross_pnl_usd fees_usd funding_usd
        slippage_usd worst_trade_usd worst_day_usd min_reserve_usd refusals gaps sharpe sortino cagr calmar
        max_drawdown_pct max_drawdown_usd profit_factor expectancy_usd expectancy_r sqn
        probabilistic_sharpe deflated_sharpe pbo why_null"""
    assert set(names.split()) <= set(document)
    assert document["trades"] == 150 and document["refusals"] == 64 and document["gaps"] == len(document["gap_list"])


def test_page_is_whole_and_names_no_other_place(written: ReportPaths) -> None:
    html = written.html.read_text()
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    ours = html.replace(figures_library(), "")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)|https?://|@import|url\(""", ours)
    assert html.count("plotly.js v") == 1
    assert f"{len(html.encode()) / 1e6:.1f} MB" in html
    assert len(html.encode()) < 7_000_000
    for words in ("CANDLE-GRADE", "SIMULATED", "SYNTHETIC DATA", "not financial advice", "order latency", "40 ms"):
        assert words in html


def figures_library() -> str:
    from importlib import resources

    return resources.files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")


def test_badges_only_where_true() -> None:
    ledger, run, closes = sample(count=5, days=10)
    real = msgspec.structs.replace(run, synthetic=False, simulated=False, grade="tick-grade")
    head = page(measure(ledger, real, closes), ledger, real, closes).split("</header>")[0]
    assert "TICK-GRADE" in head and "SYNTHETIC" not in head and "SIMULATED" not in head


def test_everything_from_a_run_is_escaped() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    ledger, run, closes = sample(count=6, days=10)
    trades = [msgspec.structs.replace(t, symbol=evil, exit_reason=evil) for t in ledger.trades]
    refusals = [msgspec.structs.replace(r, reason=evil) for r in ledger.refusals]
    ledger = msgspec.structs.replace(ledger, trades=trades, refusals=refusals)
    source = msgspec.structs.replace(run.sources[0], path=evil)
    run = msgspec.structs.replace(run, run_id=evil, strategies={evil: {evil: 1.0}}, sources=[source], symbols=[evil])
    html = page(measure(ledger, run, {evil: closes["SOLUSDT"]}), ledger, run, {evil: closes["SOLUSDT"]})
    assert "<img" not in html.replace(figures_library(), "") and "<script>alert" not in html
    assert payload(html)["trades"][0][1] == evil


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_an_empty_run_is_told_in_plain_words(rows: int, tmp_path: Path) -> None:
    paths = write_report(tmp_path, *empty(rows))
    html = paths.html.read_text()
    assert "No trade was closed." in html and "Nothing was refused." in html
    assert ("No equity was recorded." in html) == (rows == 0)
    assert "None" not in html.replace(figures_library(), "").replace("None were set.", "")
    assert payload(html)["trades"] == []


def test_charts_are_bounded_on_a_long_run() -> None:
    ledger, run, closes = sample(count=300, days=90)
    charts = figures.price_charts(ledger, run, closes)
    assert 0 < len(charts) <= figures.PRICE_SYMBOLS
    for chart in charts.values():
        assert all(len(trace["x"]) <= figures.PRICE_POINTS for trace in chart["data"])
    counts = [sum(t.symbol == name for t in ledger.trades) for name in charts]
    assert counts == sorted(counts, reverse=True)


def test_waterfall_adds_up() -> None:
    ledger, run, closes = sample(count=50, days=30)
    metrics = measure(ledger, run, closes)
    *parts, (_, total, is_total) = figures.waterfall_steps(metrics)
    assert is_total and sum(usd for _, usd, _ in parts) == pytest.approx(total, abs=1e-9)
    held = msgspec.structs.replace(
        metrics, open_positions=["SOLUSDT 1"], open_pnl_usd=5.0, end_equity_usd=metrics.end_equity_usd + 5.0
    )
    *_, (_, net, _), (_, still_open, _), (_, change, _) = figures.waterfall_steps(held)
    assert net + still_open == pytest.approx(change, abs=1e-8)


def test_no_file_is_left_half_written(tmp_path: Path) -> None:
    blocked = tmp_path / "run"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(Fatal, match=r"report\.json: the report cannot be written"):
        write_report(blocked, *empty())
    (tmp_path / "other" / "report.html").mkdir(parents=True)
    with pytest.raises(Fatal, match=r"report\.html: the report cannot be written"):
        write_report(tmp_path / "other", *empty())
    assert sorted(p.name for p in (tmp_path / "other").iterdir()) == ["report.html", "report.json"]


def test_writing_twice_gives_the_same_bytes(tmp_path: Path, written: ReportPaths) -> None:
    again = write_report(tmp_path, *sample())
    assert again.html.read_bytes() == written.html.read_bytes()
    assert again.json.read_bytes() == written.json.read_bytes()


@pytest.mark.parametrize("run", [sample(count=40, days=40), empty(), empty(5)])
def test_terminal_fits_a_hundred_columns(run: Any) -> None:
    out = io.StringIO()
    print_report(Console(file=out, width=140), measure(*run), run[0])
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "SIMULATED" in text and "Sharpe" in text and "Profit factor" in text and "not financial advice" in text


@pytest.mark.parametrize("times", [1, 1000])
def test_terminal_of_eighty_columns_cuts_no_amount(times: int) -> None:
    ledger, run, closes = sample()
    trades = [
        msgspec.structs.replace(t, **{name: getattr(t, name) * times for name in MONEY}, symbol=f"LONGNAME{t.symbol}")
        for t in ledger.trades
    ]
    metrics = measure(msgspec.structs.replace(ledger, trades=trades), run, closes)
    out = io.StringIO()
    print_report(Console(file=out, width=80), metrics, ledger)
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"[\d$−+]…", text)
    amounts = [metrics.fees_usd, metrics.slippage_usd, metrics.start_equity_usd, metrics.by_exit_reason[0].net_usd]
    for amount in amounts:
        assert dollars(abs(amount)) in text


def test_a_step_of_nothing_draws_no_bar() -> None:
    ledger, run, closes = sample()
    spot = [msgspec.structs.replace(t, funding_usd=Decimal(0)) for t in ledger.trades]
    out = io.StringIO()
    print_report(
        Console(file=out, width=80), measure(msgspec.structs.replace(ledger, trades=spot), run, closes), ledger
    )
    step = next(line for line in out.getvalue().splitlines() if line.startswith(" Funding"))
    assert "$0.00" in step and "█" not in step


def test_entries_that_expired_unfilled_are_counted() -> None:
    ledger, run, closes = sample(count=5, days=5)
    fok = OrderRow(
        client_id=1, seq=1, ts_ns=run.from_ns, symbol="SOLUSDT", venue="binance", strategy="momentum", role="entry",
        side="buy", order_type="limit", tif="fok", reduce_only=False, post_only=False, price=Decimal(8), qty=Decimal(1),
        trigger=Decimal(0), replaces=0, reason="ENTRY_SIGNAL", status="expired", filled_qty=Decimal(0),
        refusal="NO_LIQUIDITY", done_ts_ns=run.from_ns,
    )  # fmt: skip
    others = [
        msgspec.structs.replace(fok, status="filled", filled_qty=Decimal(1)), msgspec.structs.replace(fok, role="stop"),
    ]  # fmt: skip
    ledger = msgspec.structs.replace(ledger, orders=[fok, fok, *others], refusals=[])
    metrics = measure(ledger, run, closes)
    assert (metrics.expired_entries, metrics.refusals) == (2, 0)
    out = io.StringIO()
    print_report(Console(file=out, width=100), metrics, ledger)
    assert "expired unfilled: 2" in out.getvalue()
    assert "2 entry orders expired unfilled." in page(metrics, ledger, run, closes)


def test_quarantined_rows_stand_at_the_head_of_page_and_terminal() -> None:
    ledger, run, closes = sample(count=5, days=5)
    source = msgspec.structs.replace(run.sources[0], rows=300, quarantined={"not_a_number": 6})
    run = msgspec.structs.replace(run, sources=[source])
    metrics = measure(ledger, run, closes)
    said = "6 of 300 rows were quarantined: not_a_number 6"
    out = io.StringIO()
    print_report(Console(file=out, width=100), metrics, ledger)
    assert said in out.getvalue()
    assert said in page(metrics, ledger, run, closes).split("</header>")[0]


def test_every_worded_figure_and_code_exists() -> None:
    named = {figure.name for group in wording.GROUPS.values() for figure in group}
    assert named <= set(Metrics.__struct_fields__)
    codes = set(reasons.NAMES.values())
    assert set(wording.REFUSAL_WORDS) | set(wording.GAP_WORDS) | set(EXIT_WORDS) <= codes


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "usd", "–"), (-1234.5, "usd", "−$1,234.50"), (-0.001, "usd+", "$0.00"), (2.0, "usd+", "+$2.00"),
        (0.5, "share", "50.00 %"), (-3.2, "pct", "−3.20 %"), (93_600.0, "time", "1 d 2 h"), (59.6, "time", "1 min"),
        (0.0, "time", "0 s"), ((-1.0, 2.0), "interval", "−1.00 to 2.00"), (True, "text", "yes"), (-0.2, "r", "−0.20 R"),
    ],
)  # fmt: skip
def test_figures_as_people_read_them(value: object, unit: str, words: str) -> None:
    assert wording.written(value, unit) == words


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with playwright.sync_playwright() as session:
        instance = session.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield instance
        instance.close()


def test_triangular_cycles_are_listed_where_there_are_any(tmp_path: Path, written: ReportPaths) -> None:
    assert 'id="cycles"' not in written.html.read_text() and json.loads(written.json.read_text())["cycles"] == []
    ledger, manifest, closes = sample()
    usual = {"venue": "binance", "way": "USDT > BTC > ETH > USDT", "begun_ns": 1, "quoted_bps": 9.0}
    ends = [*(("CYCLE_DONE", edge) for edge in (4.0, 6.0, 7.0)), ("CYCLE_UNWOUND", -3.0), ("CYCLE_MISSED", 0.0)]
    cycles = [
        CycleRow(seq=k, ts_ns=k, shadow=k < 2, reason=reason, realised_bps=edge, amount_usd=Decimal(100),
                 net_usd=Decimal(str(edge / 100)), **usual)
        for k, (reason, edge) in enumerate(ends)
    ]  # fmt: skip
    passed = DeskRow(seq=2, ts_ns=2, venue="binance", trading=True, reason="SHADOW_PASSED", mean_bps=5.0, decay_bps=0.5)
    ledger = msgspec.structs.replace(ledger, cycles=cycles, desks=[passed])
    paths = write_report(tmp_path, ledger, manifest, closes)
    text = paths.html.read_text()
    assert text.count("USDT &gt; BTC &gt; ETH &gt; USDT") == 5 and "went through, in shadow" in text
    assert "let out of shadow" in text
    sent, rehearsed = json.loads(paths.json.read_text())["cycles"]
    assert (sent["cycles"], sent["done"], sent["turned_back"], sent["missed"], sent["won"]) == (3, 1, 1, 1, 1)
    assert (sent["realised_bps"], sent["net_usd"]) == (2.0, 0.04) and rehearsed["realised_bps"] == 5.0
    console = Console(width=100, record=True, file=io.StringIO())
    print_report(console, measure(ledger, manifest, closes), ledger)
    assert "Triangular cycles" in (said := console.export_text()) and "+2.0" in said and "shadow" in said


@pytest.fixture
def complaints() -> list[str]:
    return []


def opened(browser: Any, path: Path, complaints: list[str], **options: Any) -> Any:
    """A page of the file, its console, errors and foreign requests gathered in `complaints`."""
    tab = browser.new_page(**options)
    tab.set_default_timeout(5000)
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: None if request.url == path.as_uri() else complaints.append(request.url))
    tab.goto(path.as_uri())
    return tab


def test_the_market_and_the_selectors_shares_are_drawn(tmp_path: Path) -> None:
    ledger, manifest, closes = sample()
    trades = [msgspec.structs.replace(one, regime="calm_up", forecast=0.25, hour=7) for one in ledger.trades]
    share = SelectionRow(
        seq=1, ts_ns=1, strategy="momentum", regime="calm_up", reason="SHARE_DEMOTED_GAP", before=0.7, share=0.0,
        mean_r=-0.12, radius_r=0.2, trades=31.0,
    )  # fmt: skip
    turned = RegimeRow(
        seq=1, ts_ns=1, symbol="BTCUSDT", before="chop", after="calm_up", trend=0.7, volatility=0.9, breadth=0.8,
        spread=1.0, liquidity=1.1, funding=0.0001, cycles=0,
    )  # fmt: skip
    ledger = msgspec.structs.replace(ledger, trades=trades, selections=[share], regimes=[turned])
    text = write_report(tmp_path, ledger, manifest, closes).html.read_text()
    assert "momentum, calm_up" in text and "held back: a trade lost more than its plan" in text
    assert payload(text)["trades"][0][16:] == ["calm_up", 0.25, 7]
    console = Console(width=100, record=True, file=io.StringIO())
    print_report(console, measure(ledger, manifest, closes), ledger)
    assert "moved 1 times" in (said := console.export_text()) and "-0.12" in said


def test_reader_sorts_filters_and_looks_at_prices(browser: Any, written: ReportPaths, complaints: list[str]) -> None:
    tab = opened(browser, written.html, complaints, viewport={"width": 1280, "height": 900})
    assert tab.locator(".chart svg.main-svg").count() >= 8
    assert tab.locator("#trade-table tbody tr").count() == 25
    net = tab.locator("#trade-table th", has_text="Net")
    for order in (True, False):
        net.click()
        cells = tab.locator("#trade-table tbody td:nth-child(4)").all_inner_texts()
        values = [float(cell.replace("−", "-").replace("$", "")) for cell in cells]
        assert values == sorted(values, reverse=order)
    tab.fill("#search", "sol long")
    assert set(tab.locator("#trade-table tbody td:nth-child(2)").all_inner_texts()) == {"SOLUSDT"}
    tab.select_option("#reason", "stop_loss")
    assert set(tab.locator("#trade-table tbody td:nth-child(6)").all_inner_texts()) == {"stop_loss"}
    tab.fill("#search", "no such symbol")
    assert "0 trades" in tab.inner_text("#count")
    before = tab.inner_html("#price .scatterlayer")
    tab.select_option("#symbol", index=1)
    assert tab.inner_html("#price .scatterlayer") != before
    assert complaints == []
    tab.close()


def test_page_fits_a_phone_in_the_dark(browser: Any, written: ReportPaths, complaints: list[str]) -> None:
    options = {"viewport": {"width": 420, "height": 900}, "color_scheme": "dark"}
    tab = opened(browser, written.html, complaints, **options)
    assert tab.evaluate("document.documentElement.scrollWidth") == 420
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert complaints == []
    tab.close()


def test_empty_page_opens_without_complaint(browser: Any, tmp_path: Path, complaints: list[str]) -> None:
    for rows in (0, 5):
        opened(browser, write_report(tmp_path, *empty(rows)).html, complaints).close()
    assert complaints == []
