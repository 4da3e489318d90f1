"""Markets that a test moves: one where each step is a second of the venue's time, whatever the wall says, and one that
plays by itself and lets a pair leave the others when it is asked to."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from cross_rig import LEGS, CrossFloor, lots_worth
from fates import Fate

from engine.contracts import records as r
from engine.contracts.instruments import E8

BAR_MS: Final = 1_000
ROOMY: Final = 7.531
"""Size at the touch that fills any order here at once."""
CROSSING: Final = ("ETHBTC", 1), ("ETHBTC", -1)
APART: Final = (*CROSSING, *CROSSING, ("BTCUSDC", 1), ("BTCUSDC", -1), ("ETHUSDT", 1))
"""Who leaves the others, and on which side of them. Where coins are sold that a cycle left over, prices do not fall
while somebody lives: what a cycle loses is its own doing."""


class Walk:
    """The prices of some symbols of a floor, walking up and down so that means cross with every few bars."""

    def __init__(self, floor: Any, symbols: Sequence[str], seed: int, thin: float) -> None:
        """`thin`: the share of steps in which the touch holds only a part of what an order wants."""
        self._floor, self._dice, self._thin = floor, random.Random(f"market {seed}"), thin
        instruments = floor._market.instruments
        self._rows = [
            (k, float(one.tick_size), float(one.lot_size), floor.mid[one.symbol])
            for k, one in enumerate(instruments) if one.symbol in symbols
        ]  # fmt: skip
        self._share = dict.fromkeys((row[0] for row in self._rows), 1.0)
        self._trend = dict.fromkeys((row[0] for row in self._rows), 1)
        self._now_ms = round(time.time() * 1000)

    def step(self) -> None:
        """A second passes: two prices of each symbol, in one bar."""
        self._now_ms = max(self._now_ms, round(time.time() * 1000)) // BAR_MS * BAR_MS + BAR_MS
        for part in range(2):
            self._play(self._now_ms + part * 300, {number: self._moved(number) for number, *_ in self._rows})

    def murmur(self) -> None:
        """The same prices once more, within the second."""
        self._play(self._now_ms + 700, dict(self._share))

    def go_on(self, how: str) -> None:
        """Without the engine, as its fate says."""
        if how == "a move":
            for _ in range(3):
                self.step()
        elif how == "stops hit":
            self._hit_stops()

    def _hit_stops(self) -> None:
        """Every price falls below any stop, and stays there for a bar."""
        for number in self._share:
            self._share[number] *= 0.985
        for part in range(2):
            self._play(self._now_ms + 600 + part, dict(self._share))

    def price(self, symbol: str) -> float:
        """The last one."""
        instruments = self._floor._market.instruments
        number = next(k for k, one in enumerate(instruments) if one.symbol == symbol)
        return float(self._floor.mid[symbol] * self._share[number])

    def _moved(self, number: int) -> float:
        dice = self._dice
        if dice.random() < 0.3:
            self._trend[number] = -self._trend[number]
        if dice.random() < 0.02:
            self._share[number] *= 0.992  # below a stop
        pull = (1.0 - self._share[number]) * 0.02
        self._share[number] *= 1 + self._trend[number] * dice.uniform(0.0002, 0.0012) + pull
        return self._share[number]

    def _play(self, time_ms: int, shares: dict[int, float]) -> None:
        events = np.zeros(3 * len(self._rows), r.RECORD)
        events["ts_ns"] = events["venue_ts_ns"] = time.time_ns()
        for k, (number, tick, lot, mid) in enumerate(self._rows):
            one = events[3 * k : 3 * k + 3]
            ticks = round(mid * shares[number] / tick)
            size = ROOMY if self._dice.random() >= self._thin else 12.0 / (mid * shares[number])
            lots = max(round(size / lot), 1)
            one["instrument"] = number
            one["kind"] = (r.QUOTE, r.TRADE, r.TRADE)
            quote = (("bid_ticks", ticks - 1), ("bid_lots", lots), ("ask_ticks", ticks + 1), ("ask_lots", lots))
            for name, value in quote:
                one[name][0] = value
            one["side"][1:], one["price_ticks"][1:], one["qty_lots"][1:] = (-1, 1), (ticks - 1, ticks), (lots, 1)

        async def play() -> None:
            self._floor._hall.play(events, time_ms)

        self._floor.run(play())


class Crosses:
    """The pairs of a floor that agree, until one of them is asked to leave the others; by seed: which, how far, and for
    how long. The floor's first account is the only one that trades there."""

    def __init__(self, floor: CrossFloor, seed: int) -> None:
        self._floor, self._dice = floor, random.Random(f"crosses {seed}")
        self._fate: Fate | None = None
        floor.play()

    def step(self) -> None:
        """See that some pair stands apart."""
        if self._stands():
            return
        fate = self._fate
        symbol, side = self._dice.choice(CROSSING if fate is not None and fate.trouble else APART)
        if fate is not None and fate.trouble:
            self._trouble(fate, LEGS[side][fate.leg])
        self._part(symbol, side * self._dice.uniform(250, 450), self._dice.choice((400, 900, 1_500)))

    def meet(self, fate: Fate) -> None:
        """A life of that fate trades from now on: whoever stands apart has trouble waiting for the leg it says."""
        self._floor.tell("/faults", {}, "DELETE")
        self._fate = fate

    def _trouble(self, fate: Fate, symbol: str) -> None:
        """The next order of that pair meets it."""
        number, _, part = fate.trouble.partition(" ")
        lots = lots_worth(self._floor, symbol, 100.0) if part else 0
        self._floor.tell("/faults", {}, "DELETE")
        self._floor.fault(number, symbol=symbol, lots=lots, delay_ms=300)

    def go_on(self, how: str) -> None:
        """Without the engine, as its fate says: who stands apart comes back, or what the account holds falls."""
        held = self._held()
        if how == "against us" and held:
            self._part(f"{held}USDT", -self._dice.uniform(60, 150), self._dice.choice((1_500, 4_000)))
        elif how != "nothing":
            while self._stands():
                time.sleep(0.01)

    def price(self, symbol: str) -> float:
        """What it could be sold for now."""
        tape = self._exchange.by_name[symbol.replace("/", "")]
        return float(tape.instrument.price(tape.bid_ticks))

    @property
    def _exchange(self) -> Any:
        return self._floor.exchange

    def _stands(self) -> bool:
        told = self._exchange.dislocated
        return any(told.stands(one) for one in told.begun[-2:])

    def _part(self, symbol: str, bps: float, duration_ms: int) -> None:
        wanted = {"symbol": symbol, "bps": bps, "duration_ms": duration_ms, "depth_usd": 600}
        self._floor.tell("/dislocate", wanted)

    def _held(self) -> str:
        """The coin that the account holds most of; empty where it holds none that an order would be taken for."""
        held = self._exchange.balances(self._exchange.accounts.all[0])
        worth = {coin: sum(held[coin]) / E8 * self.price(f"{coin}/USDT") for coin in ("BTC", "ETH")}
        best = max(worth, key=lambda coin: worth[coin])
        return best if worth[best] > 10.0 else ""


Market = Walk | Crosses
