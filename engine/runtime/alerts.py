"""Telling a person: e-mail, telephone, chat, whatever apprise speaks, without the engine ever waiting for it.

Rules
-----
* `put` never waits, never raises, and takes no more than a bounded room; what is alike takes the place of the older.
* Every channel has a thread of its own: one that is slow or dead keeps nothing from the others.
* CRITICAL alerts are said again after 10, 30, 60 s and then every 60 s, with growing urgency, until acknowledged.
* Channels are addresses with secrets in them: words name a channel by its number and kind, never by its address.
* A channel that does not deliver is told (on stderr), once, and once more when it does again.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec

from engine.contracts.errors import BadInput, Refused
from engine.contracts.redaction import learn_address

Level = Literal["INFO", "WARNING", "CRITICAL"]
REPEATS_S: Final = (10.0, 30.0, 60.0)
"""After the first time, since then; from there on every `EVERY_S`."""
EVERY_S: Final = 60.0
ROOM: Final = 64  # alerts that wait for one channel; the oldest gives way
OPEN_MOST: Final = 32  # alerts that are repeated at the same time
TRIES_S: Final = (1.0, 3.0, 10.0, 30.0)  # pauses before a failed delivery is tried again
CLOSE_S: Final = 2.0
LONGEST_TEXT: Final = 2_000  # characters
MOST_URLS: Final = 32
_FORBIDDEN: Final = 0o077
_KINDS: Final[dict[Level, str]] = {"INFO": "info", "WARNING": "warning", "CRITICAL": "failure"}
# what a plugin of apprise may raise on a server's strange answer; it must not end the channel
_FAULTS: Final = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person should know now. Alerts of one `key` are about one thing: the newest text counts, and
    `acknowledge(key)` ends the repeating of a CRITICAL one."""

    level: Level
    title: str
    text: str
    key: str = ""

    @property
    def about(self) -> str:
        """What it is about."""
        return self.key or self.title

    @property
    def is_minor(self) -> bool:
        """May be left out where too many come at once."""
        return self.level != "CRITICAL"


class Alerts:
    """Delivers alerts to the apprise `urls`; `say` takes a line about what is told and what is not delivered. To be
    used within ``with``; at its end what still waits gets `CLOSE_S` seconds."""

    def __init__(self, urls: Sequence[str], say: Callable[[str], None], link: str = "") -> None:
        """`link`: the phone link, added to CRITICAL alerts; it is as good as a key and never said to `say`."""
        self._say = say
        self._link = link
        self._channels = [_Channel(number, url, say) for number, url in enumerate(urls, 1)]
        self._news: list[Alert | str] = []  # a text: acknowledge that key
        self._lock = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._go_on, name="alerts", daemon=True)
        self._standing: dict[str, _Standing] = {}  # the thread's own
        self.lost = 0

    def __enter__(self) -> Self:
        for channel in self._channels:
            channel.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        give_up = time.monotonic() + CLOSE_S
        with self._lock:
            self._ending = True
            self._lock.notify()
        self._thread.join(CLOSE_S)
        for channel in self._channels:
            channel.finish(max(0.0, give_up - time.monotonic()))

    def put(self, alert: Alert) -> None:
        """Tell people; returns at once. Anything less than CRITICAL about the same ends the repeating."""
        self._hand_over(alert)

    def acknowledge(self, key: str = "") -> None:
        """What alerts of `key` (of any) were about is over: they are not repeated any more."""
        self._hand_over(key)

    def _hand_over(self, what: Alert | str) -> None:
        with self._lock:  # held by the thread for no longer than it takes one item
            self._news.append(what)
            if len(self._news) > ROOM:
                gone = next((k for k, one in enumerate(self._news) if isinstance(one, Alert) and one.is_minor), 0)
                del self._news[gone]
                self.lost += 1
            self._lock.notify()

    # --- the thread -------------------------------------------------------------------------------

    def _go_on(self) -> None:
        while (what := self._next()) is not None:
            if isinstance(what, Alert):
                self._take(what)
            else:
                for key in [key for key in self._standing if what in ("", key)]:
                    del self._standing[key]

    def _next(self) -> Alert | str | None:
        """What was handed over, in order, repeating meanwhile what is due; None at the end."""
        while True:
            self._repeat()
            due_s = min((one.due_s for one in self._standing.values()), default=None)
            with self._lock:
                if not self._news and not self._ending:
                    self._lock.wait(None if due_s is None else max(0.0, due_s - time.monotonic()))
                if self._news:
                    return self._news.pop(0)
                if self._ending:
                    return None

    def _take(self, alert: Alert) -> None:
        standing = self._standing.get(alert.about)
        if standing is not None and alert.level == "CRITICAL":
            standing.alert = alert  # said with the next repetition
            return
        self._standing.pop(alert.about, None)
        if alert.level == "CRITICAL" and len(self._standing) < OPEN_MOST:
            self._standing[alert.about] = _Standing(alert)
        self._deliver(alert)

    def _repeat(self) -> None:
        now_s = time.monotonic()
        for one in self._standing.values():
            if one.due_s <= now_s:
                one.said_again(now_s)
                since_s = now_s - one.began_s
                title = f"{one.alert.title} (reminder {one.times - 1}, for {since_s:.0f} s now, nobody has ended it)"
                self._deliver(msgspec.structs.replace(one.alert, title=title, key=one.alert.about))

    def _deliver(self, alert: Alert) -> None:
        self._say(f"alert {alert.level}: {alert.title}: {alert.text}")
        text = f"{alert.text[:LONGEST_TEXT]}\n{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        if self._link and alert.level == "CRITICAL":
            text = f"{text}\nEmergency: {self._link}"
        for channel in self._channels:
            channel.put(msgspec.structs.replace(alert, text=text, title=alert.title[:200]))


class _Standing:
    """A CRITICAL alert nobody has ended."""

    def __init__(self, alert: Alert) -> None:
        self.alert = alert
        self.began_s = time.monotonic()
        self.times = 1
        self.due_s = self.began_s + REPEATS_S[0]

    def said_again(self, now_s: float) -> None:
        """Just now; the next time is fixed."""
        self.due_s = self.began_s + REPEATS_S[self.times] if self.times < len(REPEATS_S) else now_s + EVERY_S
        self.times += 1


class _Channel:
    """One address. Alerts wait in `_waiting`, by what they are about; the newest takes the place of the older."""

    def __init__(self, number: int, url: str, say: Callable[[str], None]) -> None:
        self.name = f"channel {number} ({kind_of(url)})"
        self._url = url
        self._say = say
        self._waiting: dict[str, Alert] = {}
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._ending = False
        self._failing = False
        self._thread = threading.Thread(target=self._go_on, name=f"alerts {number}", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def put(self, alert: Alert) -> None:
        """One more to deliver."""
        with self._lock:
            self._waiting.pop(alert.about, None)
            self._make_room()
            self._waiting[alert.about] = alert
        self._woken.set()

    def _make_room(self) -> None:
        """For one more: the oldest that is not CRITICAL goes, else the oldest."""
        if len(self._waiting) >= ROOM:
            minor = (about for about, one in self._waiting.items() if one.is_minor)
            del self._waiting[next(minor, next(iter(self._waiting)))]

    def finish(self, wait_s: float) -> None:
        """End once what waits was tried, or after `wait_s`."""
        self._ending = True
        self._woken.set()
        self._thread.join(wait_s)

    def _go_on(self) -> None:
        sender = sender_of(self._url)
        tries = 0
        while True:
            with self._lock:
                self._woken.clear()
                about = next(iter(self._waiting), None)
                alert = None if about is None else self._waiting.pop(about)
            if alert is None:
                if self._ending:
                    return
                self._woken.wait()
                continue
            if self._deliver(sender, alert):
                tries = 0
                continue
            with self._lock:
                if alert.about not in self._waiting:
                    self._make_room()
                    self._waiting[alert.about] = alert
            if self._ending:
                return
            self._woken.wait(TRIES_S[min(tries, len(TRIES_S) - 1)])
            tries += 1

    def _deliver(self, sender: Any, alert: Alert) -> bool:
        why = "it says no"
        try:
            done = bool(sender.notify(title=f"Keel: {alert.title}", body=alert.text, notify_type=_KINDS[alert.level]))
        except _FAULTS as error:
            done, why = False, type(error).__name__  # its words may hold the address
        if not done and not self._failing:
            self._say(f"alerts: {self.name} does not deliver ({why}); trying again")
        elif done and self._failing:
            self._say(f"alerts: {self.name} delivers again")
        self._failing = not done
        return done


def sender_of(url: str) -> Any:
    """Apprise with one address. Raises BadInput where it does not understand it."""
    import apprise  # half a second: not at the engine's start

    log = logging.getLogger("apprise")  # what went wrong is ours to say, without the address
    log.addHandler(logging.NullHandler())
    log.propagate = False
    sender = apprise.Apprise()
    if not sender.add(url):
        raise BadInput(f"an address of the kind {kind_of(url)} is not understood; its form stands in apprise's list")
    return sender


def kind_of(url: str) -> str:
    """The part of an address that is no secret."""
    kind = url.partition("://")[0]
    return kind if kind.isalnum() and len(kind) <= 20 and "://" in url else "no URL"


def read_urls(file: Path | None) -> list[str]:
    """The addresses in `file`: one a line, ``#`` begins a remark; none where no file is named. Raises BadInput or
    Refused naming file, line and fix, never the address."""
    if file is None:
        return []
    try:
        with open(file, "rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode & _FORBIDDEN:
                raise Refused(f"alerts.urls_file = {file} can be read by others (mode {mode:04o}): chmod 600 {file}")
            lines = opened.read(65_536).decode().splitlines()
    except OSError as error:
        raise BadInput(f"alerts.urls_file = {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"alerts.urls_file = {file} must be text, an address a line") from None
    found = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip() and not line.strip().startswith("#")]
    if len(found) > MOST_URLS:
        raise BadInput(f"alerts.urls_file = {file} holds {len(found)} addresses, more than {MOST_URLS}")
    for number, url in found:
        learn_address(url)
        try:
            sender_of(url)
        except BadInput as error:
            raise BadInput(f"alerts.urls_file = {file}, line {number}: {error}") from None
    return [url for _, url in found]
