"""Where a setting comes from, which wins, and how a bad one is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pydantic
import pytest

from engine import settings
from engine.contracts.errors import BadInput
from engine.core.limits import BOUNDS


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test starts in a folder without keel.toml and without variables of ours."""
    for variable in list(os.environ):
        if variable.startswith(settings.PREFIX) or variable in settings.PLAIN_VARIABLES:
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults_are_those_of_a_thousand_dollar_account() -> None:
    found = settings.load()
    assert found.account.capital_usd == 1000.0
    assert (found.limits.trade_loss_usd, found.limits.day_loss_usd, found.limits.reserve_usd) == (10.0, 20.0, 200.0)
    assert found.data_dir is None
    assert found.home == Path(".keel")
    assert found.database_url is None


def test_command_line_wins_over_environment_over_file(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "keel.toml").write_text("[limits]\ntrade_loss_usd = 1\nday_loss_usd = 2\nreserve_usd = 3\n")
    monkeypatch.setenv("KEEL_LIMITS__DAY_LOSS_USD", "4")
    monkeypatch.setenv("KEEL_LIMITS__RESERVE_USD", "5")
    limits = settings.load({"limits": {"reserve_usd": 6}}).limits
    assert (limits.trade_loss_usd, limits.day_loss_usd, limits.reserve_usd) == (1.0, 4.0, 6.0)
    assert limits.trade_loss_pct == 1.0


def test_keel_config_names_another_file(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "mine.toml").write_text('home = "elsewhere"\n[strategies.crossover]\nfast = 7\n')
    monkeypatch.setenv("KEEL_CONFIG", "mine.toml")
    found = settings.load()
    assert found.home == Path("elsewhere")
    assert found.strategies["crossover"]["fast"] == 7.0
    assert found.strategies["crossover"]["slow"] == 192.0


def test_the_example_file_is_valid_as_it_is_and_with_every_line_in_force(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(settings.__file__).resolve().parents[1]
    text = (root / "keel.example.toml").read_text()
    (empty_folder / "keel.toml").write_text(text)
    as_shipped = settings.load()
    (empty_folder / "recordings").mkdir()
    in_force = re.sub(r"^# ([a-z_]+ = [^(\n]+)$", r"\1", text.replace("../shared/data", "recordings"), flags=re.M)
    assert in_force.count("\ntrade_loss_usd = 10\n") == 1
    (empty_folder / "keel.toml").write_text(in_force)
    assert settings.load().digest() == as_shipped.digest()


BAD = [
    ({"limits": {"trade_los_usd": 5}}, "limits.trade_los_usd", "did you mean 'trade_loss_usd'"),
    ({"limits": {"trade_loss_usd": 0}}, "limits.trade_loss_usd", "outside 0.01.."),
    ({"limits": {"trade_loss_usd": float("nan")}}, "limits.trade_loss_usd", "outside"),
    ({"limits": {"trade_loss_usd": True}}, "limits.trade_loss_usd", "must be a number"),
    ({"limits": 3}, "limits", "table of numbers"),
    ({"limits": {"reserve_usd": 1000}}, "limits.reserve_usd", "nothing to trade with"),
    ({"account": {"capital_usd": -5}}, "account.capital_usd = -5", "greater than or equal to 50"),
    ({"account": {"capital": 5}}, "account.capital", "did you mean 'capital_usd'"),
    ({"acount": {}}, "acount", "did you mean 'account'"),
    ({"simulation": {"order_latency": 5}}, "simulation.order_latency", "did you mean 'order_latency_ms'"),
    ({"feed": {"max_leverage": 2.5}}, "feed.max_leverage = 2.5", "whole number"),
    ({"feed": {"spread_bps": -1}}, "feed.spread_bps", "outside 0..1000"),
    ({"strategies": {"momentun": {}}}, "strategies.momentun", "did you mean 'momentum'"),
    ({"strategies": {"momentum": {"fst": 1}}}, "fst", "did you mean 'fast'"),
    ({"strategies": {"momentum": {"fast": 1}}}, "momentum.fast", "outside 2..200 bars"),
    ({"strategies": {"momentum": {"fast": "x"}}}, "strategies.momentum.fast", "must be a number"),
    ({"data_dir": "nowhere"}, "data_dir = nowhere", "not a folder"),
    ({"mode": "backtest"}, "mode", "'paper', 'shadow' or 'live'"),
    ({"venues": 3}, "venues", "tables such as"),
    ({"venues": {"binance": {"symbol": ["BTC/USDT"]}}}, "venues.binance.symbol", "did you mean 'symbols'"),
    ({"venues": {"binance": {"symbols": ["BTCUSDT"]}}}, "venues.binance.symbols", "BTC/USDT"),
    ({"venues": {"binance": {"symbols": ["BTC/USDT", "BTC/USDT"]}}}, "venues.binance.symbols", "twice"),
    ({"venues": {"binance": {"symbols": ["BTC/USDT:USDT"]}}}, "venues.binance.symbols", "binanceusdm"),
    ({"venues": {"binanceusdm": {"symbols": "BTC/USDT"}}}, "venues.binanceusdm.symbols", "BTC/USDT:USDT"),
    ({"venues": {"krakn": {}}}, "venues.krakn.exchange = krakn", "did you mean 'kraken'"),
    ({"venues": {"kraken": {"testnet": True}}}, "venues.kraken.testnet", "mode = paper"),
    ({"venues": {"kraken": {"adapter": "binance"}}}, "venues.kraken.adapter", "leave it out"),
    ({"venues": {"binance": {"testnet": "perhaps"}}}, "venues.binance.testnet", "bool"),
    ({"venues": {"binance": {"testnet": True, "urls": {"rest": "http://h"}}}}, "venues.binance.urls", "leave one out"),
    ({"venues": {"binance": {"urls": {"rest": "http://u:p@h"}}}}, "venues.binance.urls.rest", "nothing secret"),
    ({"venues": {"binance": {"urls": {"rest": "http://h"}}}}, "venues.binance.urls", "lacks ws, ws_api; give rest"),
    ({"venues": {"binance": {"urls": {"foo": "http://h"}}}}, "venues.binance.urls.foo", "known: rest, ws, ws_api"),
    ({"venues": {"binance": {"key": "a key with blanks"}}}, "venues.binance.key", "trading-cli keys add"),
    ({"venues": {"binance": {"capital_usd": 5000}}}, "venues", "more than account.capital_usd = 1000"),
    ({"venues": {"binance": {"capital_usd": 600}}}, "venues", "less than account.capital_usd = 1000"),
    ({"runtime": {"warm_upp": 1}}, "runtime.warm_upp", "did you mean 'warm_up'"),
    ({"runtime": {"warm_up": "perhaps"}}, "runtime.warm_up = 'perhaps'", "bool"),
    ({"runtime": {"market_queue": 1}}, "runtime.market_queue = 1", "outside 1024.."),
    ({"runtime": {"timeframes_s": [60, 30, 90]}}, "runtime.timeframes_s", "rising"),
    ({"runtime": {"strategies": ["momentun"]}}, "runtime.strategies", "did you mean 'momentum'"),
    ({"runtime": {"strategies": []}}, "runtime.strategies", "at least one"),
    ({"database_url": "mysql://u:p@h/d"}, "database_url", "postgresql://"),
]


@pytest.mark.parametrize(("overrides", "names", "fix"), BAD, ids=[str(bad[0]) for bad in BAD])
def test_a_bad_setting_is_refused_by_name_with_the_fix(overrides: dict[str, object], names: str, fix: str) -> None:
    with pytest.raises(BadInput) as refused:
        settings.load(overrides)
    assert names in str(refused.value)
    assert fix in str(refused.value)
    assert "(set on the command line)" in str(refused.value)


def test_all_bad_settings_are_told_at_once_with_their_origin(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / "keel.toml").write_text("[limits]\nday_loss_usd = 0\n")
    monkeypatch.setenv("KEEL_ACCOUNT__CAPITAL_USD", "lots")
    monkeypatch.setenv("KEEL_HOEM", "x")
    with pytest.raises(BadInput) as refused:
        settings.load()
    told = str(refused.value)
    assert "limits.day_loss_usd = 0.0 is outside" in told
    assert "(set in keel.toml)" in told
    assert "account.capital_usd = lots" in told
    assert "KEEL_ACCOUNT__CAPITAL_USD" in told
    assert "hoem is not a setting; did you mean 'home'" in told


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [("KEEL_CONFIG", "absent.toml", "is not a file"), ("KEEL_LIMITS", "3", "table of numbers")],
)
def test_bad_variables(variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadInput, match=said):
        settings.load()


def test_a_file_that_is_not_toml_is_refused_by_name(empty_folder: Path) -> None:
    (empty_folder / "keel.toml").write_text("limits = [")
    with pytest.raises(BadInput, match=r"keel\.toml is not valid TOML"):
        settings.load()


def test_no_secret_is_ever_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://keel:hunter2@db/keel")
    found = settings.load()
    assert found.database_url is not None
    assert found.database_url.get_secret_value().endswith("@db/keel")
    assert "hunter2" not in repr(found) + str(found) + str(found.model_dump())
    monkeypatch.setenv("DATABASE_URL", "hunter2")
    with pytest.raises(BadInput) as refused:
        settings.load()
    assert "hunter2" not in str(refused.value)
    assert "DATABASE_URL" in str(refused.value)


def test_venues_come_from_file_and_environment_alike(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "keel.toml").write_text('[venues.binance]\nsymbols = ["BTC/USDT"]\nkey = "main"\n[venues.okx]\n')
    monkeypatch.setenv("KEEL_VENUES__BINANCE__TESTNET", "true")
    monkeypatch.setenv("KEEL_VENUES__OKX__SYMBOLS", "ETH/USDT, SOL/USDT")
    monkeypatch.setenv("KEEL_RUNTIME__TIMEFRAMES_S", "60,300,900")
    found = settings.load()
    binance, okx = found.venues.values()
    assert (binance.exchange, binance.adapter, binance.symbols, binance.testnet, binance.key) == (
        "binance", "binance", ("BTC/USDT",), True, "main",
    )  # fmt: skip
    assert (okx.exchange, okx.adapter, okx.symbols) == ("okx", "ccxt", ("ETH/USDT", "SOL/USDT"))
    assert found.runtime.timeframes_s == (60, 300, 900)
    assert found.mode == "paper"


def test_the_venues_of_the_example_file_are_valid(empty_folder: Path) -> None:
    root = Path(settings.__file__).resolve().parents[1]
    lines = (root / "keel.example.toml").read_text().splitlines()
    (empty_folder / "keel.toml").write_text("\n".join(line[4:] for line in lines if line.startswith("#   ")))
    assert list(settings.load().venues) == ["binance", "perpetuals", "sandbox"]


def test_live_wants_every_limit_written_by_a_person(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = settings.missing_for_live(settings.load())
    assert missing[:2] == ["account.capital_usd", "limits.trade_loss_usd"] and len(missing) == 20
    lines = [f"{key.partition('.')[2]} = {BOUNDS[key.partition('.')[2]][0]}" for key in missing[1:]]
    (empty_folder / "keel.toml").write_text("\n".join(["[limits]", *lines[2:]]))
    monkeypatch.setenv("KEEL_LIMITS__TRADE_LOSS_PCT", "1")
    monkeypatch.setenv("KEEL_ACCOUNT__CAPITAL_USD", "1000")
    found = settings.load()
    assert settings.missing_for_live(found) == ["limits.trade_loss_usd"]
    assert settings.missing_for_live(settings.load({"limits": {"trade_loss_usd": 10}})) == []
    assert found.sources["limits.day_loss_usd"] == "in keel.toml"
    assert found.sources["limits.trade_loss_pct"] == "by the environment: KEEL_LIMITS__TRADE_LOSS_PCT"


def test_loading_settings_imports_no_exchange_library() -> None:
    script = "import sys; from engine import settings; settings.load(); print({'ccxt', 'aiohttp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.stdout.strip(), done.stderr) == ("set()", "")


def test_settings_do_not_change() -> None:
    found = settings.load()
    with pytest.raises(pydantic.ValidationError):
        found.home = Path("x")  # type: ignore[misc]
    with pytest.raises(AttributeError):
        found.limits.trade_loss_usd = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        found.strategies["momentum"]["fast"] = 1.0


def test_the_digest_follows_decisions_not_places(empty_folder: Path) -> None:
    first = settings.load().digest()
    assert settings.load({"home": "other", "database_url": "postgresql://a:b@c/d"}).digest() == first
    assert settings.load({"strategies": {"momentum": {}}}).digest() == first
    assert settings.load({"limits": {"trade_loss_usd": 9}}).digest() != first
    assert settings.load({"strategies": {"momentum": {"surge": 3.25}}}).digest() != first


def test_another_process_gets_our_environment_and_this_one_can_take_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEL_HOME", "here")
    before = settings.environment()
    try:
        settings.enter({"KEEL_HOME": "there"})
        assert settings.load().home == Path("there")
        assert settings.environment() == {"KEEL_HOME": "there"}
    finally:
        settings.enter(before)
    assert settings.load().home == Path("here")
