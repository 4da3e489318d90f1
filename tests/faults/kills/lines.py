"""Lives one after the other on the same accounts, and what must be true after each and at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from accounts import E8, Asked, NoFutures, Spot, Usdm
from fates import FROM_OUTSIDE, Fate
from market import Market
from zygotes import Silent, Zygote

from engine.contracts import records as r
from engine.core import life as states
from engine.core.state import CASH_ASSETS
from engine.journal import manifest as manifests
from engine.journal import segments

CASH: Final = 1_000.0
START_S: Final = 60.0
AGREE_S: Final = 20.0
"""Far beyond what it takes; a machine that does a dozen other things must not break a test."""
STEP_S: Final = 0.012
UNSETTLED: Final = (states.SUBMITTED, states.CANCELING, states.UNKNOWN)


class Broken(AssertionError):
    """Something that must hold does not."""


class Gone(Exception):
    """It was killed while it was looked at."""


class Ended(NamedTuple):
    """How a life went: from its birth to the reconciled state, from there to every position behind a stop (seconds;
    None where it was killed before), events replayed, and whether its own hook ended it."""

    fate: Fate
    ready_s: float | None
    guarded_s: float | None
    events: int
    by_hook: bool


def crossover(patient: bool, notional_usd: float = 40.0) -> dict[str, dict[str, float]]:
    """The strategy that enters whenever two means cross; `patient`: at a limit, for a while."""
    patience = {"entry_patience_s": 0.15, "reprices": 2} if patient else {}
    eager = {"fast": 1, "slow": 2, "stop_pct": 0.5, "notional_usd": notional_usd, "entry_cap_bps": 50}
    return {"crossover": eager | patience}


class Line:
    """One home, one account at each venue."""

    dust_usd = Decimal(6)
    """Less than an order may be worth: kept, since the venue takes no order for it."""

    def __init__(
        self, floor: Any, zygote: Zygote, market: Market, folder: Path, number: int, spots: Sequence[str],
        perps: Sequence[str], strategies: Mapping[str, Mapping[str, float]],
    ) -> None:  # fmt: skip
        self.floor, self._zygote, self._market, self.number = floor, zygote, market, number
        self.home = folder / f"line{number:04d}"
        self.home.mkdir(parents=True)
        self.prefix = f"k{number}"
        account = number % len(floor.line["venues"]["binance_spot"]["accounts"])
        lines = floor.line["venues"]
        self._spot = Spot(Asked(lines["binance_spot"], account))
        self._usdm = Usdm(Asked(lines["binance_usdm"], account)) if perps else NoFutures()
        self._spots, self._perps = spots, perps
        self.rules = {one.symbol: one for one in floor.sandbox._market.instruments}
        markets = {"coins": ("spot", "binance_spot", spots), "futures": ("usdm", "binance_usdm", perps)}
        self._order = {
            "home": str(self.home), "prefix": self.prefix, "redis": floor.redis._url, "cash": CASH,
            "strategies": strategies,
            "venues": [
                (name, market, _with_key(lines[venue], account), list(symbols))
                for name, (market, venue, symbols) in markets.items() if symbols
            ],
        }  # fmt: skip
        self._last: dict[str, Any] = {}

    # --- a life -------------------------------------------------------------------------------------

    def live(self, fate: Fate) -> Ended:
        """One life, killed as its fate says. Raises Broken."""
        self._bear(fate)
        born = time.monotonic()
        ready = self._started(fate, born)
        if ready is None:
            self._while_dead(fate)
            return Ended(fate, None, None, 0, fate.hook != "startup")
        ready_s = time.monotonic() - born
        try:
            guarded_s = self._check(fate)
        except Gone:
            self._while_dead(fate)
            return Ended(fate, ready_s, None, int(ready["events"]), True)
        by_hook = self._trade(fate)
        self._while_dead(fate)
        return Ended(fate, ready_s, guarded_s, int(ready["events"]), by_hook)

    def _bear(self, fate: Fate) -> None:
        self._zygote.bear(self._order | {"fate": fate})

    def _started(self, fate: Fate, born: float) -> dict[str, Any] | None:
        """What it says once it is reconciled; None where it was killed before that."""
        if fate.hook == "startup":
            found = self._zygote.next(max(born + fate.after_s - time.monotonic(), 0.0))
            if found is None:
                self._zygote.kill()
                found = self._zygote.next(START_S)
        else:
            found = self._zygote.next(START_S)
        if found is None:
            raise Broken(f"it neither starts nor ends within {START_S:g} s")
        if found["at"] == "dead":
            self._must_be_killed(fate, found)
            return None
        return found

    def _trade(self, fate: Fate) -> bool:
        """The market moves until it is dead; whether it was its own hook that ended it."""
        self._zygote.tell("arm")
        begun = time.monotonic()
        until = begun + (fate.after_s if fate.hook in FROM_OUTSIDE else fate.patience_s)
        by_hook = True
        while (found := self._zygote.next(STEP_S)) is None:
            if time.monotonic() >= until:
                by_hook = False
                self._zygote.kill()
                found = self._zygote.next(START_S)
                break
            self._market.step()
        self._must_be_killed(fate, found)
        return by_hook

    def _must_be_killed(self, fate: Fate, found: dict[str, Any] | None) -> None:
        if found is None or found["at"] != "dead" or found["signal"] != 9:
            raise Broken(f"it ended by itself: {found}\n{self.words(fate)}")

    def words(self, fate: Fate) -> str:
        """The last a life said to people."""
        said = self.home / f"life-{fate.seed:06d}.err"
        return said.read_text()[-4000:] if said.exists() else ""

    def _while_dead(self, fate: Fate) -> None:
        self._market.go_on(fate.while_dead)

    # --- what must be true after a start -------------------------------------------------------------

    def _check(self, fate: Fate) -> float:
        begun = time.monotonic()
        self._until(self._naked, fate)
        guarded_s = time.monotonic() - begun
        self._until(self._differs, fate)
        return guarded_s

    def _until(self, wrong: Callable[[], str], fate: Fate) -> None:
        """Wait until nothing is wrong. Raises Broken, and Gone where it is killed meanwhile."""
        until = time.monotonic() + AGREE_S
        while what := wrong():
            if time.monotonic() >= until:
                raise Broken(f"{what}\nthe engine: {self._last}")
            if (found := self._zygote.next(0.01)) is not None:
                self._must_be_killed(fate, found)
                raise Gone

    def _naked(self) -> str:
        """Positions at the venues that no stop of ours at the venue covers; empty where there are none."""
        open_orders = [one for one in self._spot.open_orders() + self._usdm.open_orders() if one["is_stop"]]
        held, positions = self._spot.balances(), self._usdm.positions()
        found = []
        for symbol in self._spots:
            base = symbol.split("/")[0]
            if base in CASH_ASSETS:
                continue
            rest = Decimal(held.get(base, 0)) / E8 - _covered(open_orders, base + "USDT", "SELL", self.prefix)
            if rest * Decimal(self._market.price(symbol)) > self.dust_usd:
                found.append(f"{rest} {base} held without a stop")
        for name, lots in positions.items():
            stops = _covered(open_orders, name, "SELL" if lots > 0 else "BUY", self.prefix)
            if stops < abs(lots):
                found.append(f"{name}: position {lots}, stops for {stops}")
        return "; ".join(found)

    def _differs(self) -> str:
        """How the engine's books and the venues' differ; empty where they agree. Raises Broken for what time does
        not mend."""
        self._zygote.tell("books")
        found = self._zygote.next(START_S)
        if found is not None and found["at"] == "dead" and found["signal"] == 9:
            raise Gone
        if found is None or found["at"] != "books":
            raise Broken(f"asked for its books, it says {found}")
        said = self._last = found["books"]
        if said["state"] != "ACTIVE" or said["violations"] or said["quarantined"]:
            raise Broken(f"it does not trade on: {said}")
        if said["fault"] or said["unanswered"] or any(one["status"] in UNSETTLED for one in said["working"]):
            return f"not settled: {said}"
        return "; ".join(self._differences(said))

    def _differences(self, said: dict[str, Any]) -> list[str]:
        spot, usdm_e8, positions = self._spot.balances(), self._usdm.balance(), self._usdm.positions()
        theirs = dict(spot) | {"USDT": spot["USDT"] + usdm_e8}
        wrong = [
            f"{asset}: the engine has {ours}, the venue {theirs.get(asset, 0)}"
            for asset, ours in said["balances"].items() if ours != theirs.get(asset, 0)
        ]  # fmt: skip
        coins_e8 = sum(spot.get(asset, 0) for asset in said["balances"] if asset in CASH_ASSETS)
        wallets = {"coins": coins_e8} | ({"futures": usdm_e8} if self._perps else {})
        if said["wallets"] != wallets:
            wrong.append(f"cash by venue: the engine has {said['wallets']}, the venues {wallets}")
        for name, lots in said["positions"].items():
            venue, symbol = name.split(" ")
            there = positions.get(symbol.split(":")[0].replace("/", ""), Decimal(0))
            if venue == "futures" and lots * self.rules[symbol].lot_size != there:
                wrong.append(f"{symbol}: the engine has {lots} lots, the venue {there}")
        ours = sorted(f"{self.prefix}-{one['client_id']}" for one in said["working"])
        open_there = sorted(one["text"] for one in self._spot.open_orders() + self._usdm.open_orders())
        if ours != open_there:
            wrong.append(f"working orders: the engine has {ours}, the venues {open_there}")
        if said["foreign"]:
            wrong.append("it takes a position of ours for foreign")
        return wrong

    # --- what must be true at the end ----------------------------------------------------------------

    def close(self) -> dict[str, int]:
        """A last life that ends in order; then all journals against all that the venues remember. Raises Broken."""
        fate = Fate(seed=self.number * 1_000_000, hook="running", count=1, after_s=0.0, while_dead="nothing")
        self._bear(fate)
        if self._started(fate, time.monotonic()) is None:
            raise Broken("the last life does not start")
        self._check(fate)
        self._zygote.tell("stop")
        found = self._zygote.next(START_S)
        if found is None or found["at"] != "dead" or found["code"] != 0:
            raise Broken(f"the last life does not end in order: {found}")
        return self.judge()

    def judge(self) -> dict[str, int]:
        """All journals against all books; counts of what was looked at. Raises Broken."""
        return Ledger(self).judge()

    def unjournalled(self) -> set[int]:
        """Client ids that may have been used without being in a journal: none, where the disk has room."""
        return set()

    def runs(self) -> list[Path]:
        """Folders of all lives that got as far as a journal, in order."""
        return [
            path for path in sorted((self.home / "runs").glob("*-live"))
            if (path / manifests.FILE).exists() and any((path / segments.FOLDER).glob("*.keel"))
        ]  # fmt: skip

    def journals(self) -> tuple[list[Any], list[str]]:
        """Records of every run, one after the other; names of the instruments."""
        found, names = [], []
        for path in self.runs():
            names = [f"{one.venue} {one.symbol}" for one in manifests.read(path).instruments]
            found.append(r.joined(list(segments.read(path)))["record"])
        return found, names


class Ledger:
    """All journals of a line against its accounts."""

    def __init__(self, line: Line) -> None:
        self._line = line
        blocks, self._names = line.journals()
        self.records = r.joined(blocks, r.RECORD)

    def judge(self) -> dict[str, int]:
        """Raises Broken; counts of what was looked at."""
        placed = self.records["client_id"][self.records["kind"] == r.PLACE].tolist()
        twice = [number for number, count in Counter(placed).items() if count > 1]
        if twice:
            raise Broken(f"client ids used twice: {twice}")
        there, fills = self._orders(), 0
        may = set(placed) | self._line.unjournalled()
        lost = there - {f"{self._line.prefix}-{number}" for number in may}
        if lost:
            raise Broken(f"orders at the venues that are in no journal: {sorted(lost)}")
        refused = set(self.records["client_id"][self.records["kind"] == r.ORDER_REJECT].tolist())
        missing = {n for n in placed if f"{self._line.prefix}-{n}" not in there} - refused
        if missing:
            raise Broken(f"orders of the journals that the venues do not have and nobody refused: {missing}")
        for number, name in enumerate(self._names):
            fills += self._fills(number, name)
        return {"placed": len(placed), "at the venues": len(there), "fills": fills}

    def _orders(self) -> set[str]:
        """Ids of all orders at the venues. Raises Broken where one is there twice."""
        found: list[str] = []
        spot, usdm = self._line._spot, self._line._usdm
        for symbol in self._line._spots:
            found += spot.orders(symbol.replace("/", ""))
        for symbol in self._line._perps:
            plain, waiting = usdm.orders(_name(symbol))
            found += waiting
            found += [text for text in plain if text not in waiting]  # a stop that was triggered is an order as well
        twice = [text for text, count in Counter(found).items() if count > 1]
        if twice:
            raise Broken(f"orders that are twice at a venue: {twice}")
        return set(found)

    def _fills(self, number: int, name: str) -> int:
        venue, symbol = name.split(" ")
        mine = self.records[(self.records["kind"] == r.FILL) & (self.records["instrument"] == number)]
        told = {
            (int(one["trade_id"]), int(one["price_ticks"]), int(one["qty_lots"]), int(one["fee_e8"]), int(one["side"]))
            for one in mine
        }
        rules = self._line.rules[symbol]
        books = self._line._spot if venue == "coins" else self._line._usdm
        theirs = {
            (one.trade_id, int(one.price / rules.tick_size), int(one.quantity / rules.lot_size), int(one.fee * E8),
             one.side)
            for one in books.fills(_name(symbol))
        }  # fmt: skip
        if told != theirs:
            raise Broken(f"fills of {name}: journals only {told - theirs}, venue only {theirs - told}")
        if len(told) != len({one[0] for one in told}):
            raise Broken(f"fills of {name} were told in two ways: {sorted(told)}")
        return len(theirs)


def _name(symbol: str) -> str:
    return symbol.split(":")[0].replace("/", "")


def _covered(orders: list[dict[str, Any]], symbol: str, side: str, prefix: str) -> Decimal:
    """What our stops of a symbol would close."""
    mine = (one for one in orders if one["symbol"] == symbol and one["side"] == side)
    return sum((one["left"] for one in mine if one["text"].startswith(prefix + "-")), Decimal(0))


def _with_key(line: dict[str, Any], account: int) -> dict[str, Any]:
    own = line["accounts"][account]
    places = {name: line[name] for name in ("rest", "ws", "ws_api")}
    return places | {"key": own["key"], "secret": own["secret"]}


__all__ = ["Broken", "Ended", "Line", "Silent"]
