"""The process of one signal source: it loads the class, keeps the histories it is told, and answers.

It has nothing of the engine's: no keys, no journal, no core. The engine ends it when it takes too long; it ends itself
when the engine is gone. What the class prints goes to stderr, the pipe stays clean.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import BinaryIO, Final

import numpy as np

from engine.contracts.errors import BadInput
from engine.signals.foreign import ask
from engine.signals.histories import Histories
from engine.signals.loading import Loaded, load
from engine.signals.messages import CLOSED, LENGTH, Answer, Begin, Begun, Closed, packed, unpacked

NICE: Final = 10
"""The engine comes first."""


def main() -> None:
    """Until the pipe ends."""
    os.nice(NICE)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(os.fdopen(os.dup(0), "rb"), inbox), daemon=True).start()
    begin: Begin = unpacked(inbox.get(), Begin)
    sys.path += [place for place in begin.path if place not in sys.path]
    try:
        loaded = load(begin.plan)
    except BadInput as error:
        _write(out, packed(Begun(fault=str(error))))
        return
    told = Begun(timeframe_s=loaded.timeframe_s, lookback=loaded.lookback, digest=loaded.digest, text=loaded.text)
    _write(out, packed(told))
    _answer(loaded, begin, inbox, out)


def _read(pipe: BinaryIO, inbox: queue.SimpleQueue[bytes]) -> None:
    """Messages out of the pipe, while the class may be busy. At its end the engine is gone: so is this process."""
    while len(head := pipe.read(LENGTH.size)) == LENGTH.size:
        inbox.put(pipe.read(LENGTH.unpack(head)[0]))
    os._exit(0)


def _write(out: BinaryIO, message: bytes) -> None:
    out.write(message)
    out.flush()


def _answer(loaded: Loaded, begin: Begin, inbox: queue.SimpleQueue[bytes], out: BinaryIO) -> None:
    source = loaded.new()
    histories = Histories(begin.names, loaded.timeframe_s, loaded.lookback)
    while True:
        message: Closed = unpacked(inbox.get(), Closed)
        for row in np.frombuffer(message.rows, CLOSED):
            if row["forgotten"]:
                histories.forget(int(row["instrument"]))
            else:
                histories.append(int(row["instrument"]), row["bar"])
        if message.about < 0:
            continue
        try:
            forecast = ask(source, *histories.latest(message.about))
            answer = Answer() if forecast is None else Answer((forecast.value, forecast.confidence, forecast.valid_s))
        except BadInput as error:
            answer = Answer(fault=str(error))
        _write(out, packed(answer))


if __name__ == "__main__":
    main()
