"""Alerts over real channels: an HTTP server and an SMTP server on this machine, slow and dead ones among them."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from engine.contracts.errors import BadInput, Refused
from engine.runtime import alerts
from engine.runtime.alerts import Alert, Alerts, read_urls

SECRET = "tok3nS3cretPart"
LATE_S = 15.0
"""For a busy machine: an alert that takes longer counts as not delivered."""


class Hook(ThreadingHTTPServer):
    """Takes what json:// sends; `answer` is the status, `hold` keeps the answer back until it is set."""

    daemon_threads = True

    def __init__(self) -> None:
        self.taken: queue.Queue[dict[str, Any]] = queue.Queue()
        self.answer = 200
        self.hold = threading.Event()
        self.hold.set()
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://user:{SECRET}@127.0.0.1:{self.server_address[1]}/{SECRET}"


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.hold.wait(20)
        if self.server.answer == 200:
            self.server.taken.put(json.loads(body))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    yield server
    server.hold.set()
    server.shutdown()
    server.server_close()


class Said:
    """What was said on stderr."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()

    def __call__(self, line: str) -> None:
        with self._news:
            self.lines.append(line)
            self._news.notify_all()

    def until(self, part: str, times: int = 1) -> None:
        with self._news:
            found = self._news.wait_for(lambda: sum(part in line for line in self.lines) >= times, LATE_S)
        assert found, self.lines


def critical(text: str = "sandbox cannot be asked", key: str = "emergency") -> Alert:
    return Alert(level="CRITICAL", title="NOT FLAT", text=text, key=key)


def test_a_web_hook_and_a_mailbox_hear_of_it(hook: Hook) -> None:
    class Box:
        mails: queue.Queue[str] = queue.Queue()

        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
            self.mails.put(envelope.content.decode())
            return "250 OK"

    box, said = Box(), Said()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mailbox = Controller(box, hostname="127.0.0.1", port=port)
    mailbox.start()
    mail = f"mailto://127.0.0.1:{port}?smtp=127.0.0.1&mode=insecure&from=keel@example.net&to=me@example.net"
    try:
        with Alerts([hook.url, mail], said, link=f"https://keel.example.net/e/{SECRET}") as told:
            began = time.monotonic()
            told.put(critical())
            heard, read = hook.taken.get(timeout=LATE_S), box.mails.get(timeout=LATE_S)
            print(f"\nhook and mailbox heard after {time.monotonic() - began:.2f} s")
    finally:
        mailbox.stop()
    assert heard["title"] == "Keel: NOT FLAT" and heard["type"] == "failure"
    assert "sandbox cannot be asked" in heard["message"] and f"/e/{SECRET}" in heard["message"]
    assert "Subject: Keel: NOT FLAT" in read and "To: me@example.net" in read
    assert said.lines == ["alert CRITICAL: NOT FLAT: sandbox cannot be asked"], "no link, no address"


def test_neither_a_dead_nor_a_slow_channel_keeps_it_from_the_others(hook: Hook) -> None:
    said, slow = Said(), Hook()
    slow.hold.clear()
    with socket.create_server(("127.0.0.1", 0)) as free:
        dead = f"json://{SECRET}@127.0.0.1:{free.getsockname()[1]}"
    try:
        with Alerts([dead, slow.url, hook.url], said) as told:
            began = time.monotonic()
            for number in range(5_000):
                told.put(Alert(level="INFO", title=f"number {number}", text="x" * 10_000))
            told.put(critical("in the midst of it", key="now"))
            for number in range(5_000):
                told.put(Alert(level="INFO", title=f"number {number}", text="x" * 10_000))
            assert time.monotonic() - began < 10.0, "put never waits"
            while not hook.taken.get(timeout=LATE_S)["message"].startswith("in the midst of it"):
                pass
            said.until("channel 1 (json) does not deliver")
            for channel in told._channels:
                assert len(channel._waiting) <= alerts.ROOM
            assert len(told._news) <= alerts.ROOM
            told.put(critical())
            while hook.taken.get(timeout=LATE_S)["title"] != "Keel: NOT FLAT":
                pass
            assert slow.taken.empty()
    finally:
        slow.hold.set()
        slow.shutdown()
        slow.server_close()
    assert not any(SECRET in line for line in said.lines)


def test_it_is_said_again_until_somebody_ends_it(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "REPEATS_S", (0.2, 0.4, 0.6))
    monkeypatch.setattr(alerts, "EVERY_S", 0.2)
    said = Said()
    with Alerts([hook.url], said) as told:
        told.put(critical("first"))
        assert hook.taken.get(timeout=LATE_S)["message"].startswith("first")
        told.put(critical("second"))
        told.put(critical("third"))
        again = [hook.taken.get(timeout=LATE_S) for _ in range(4)]
        assert again[0]["title"].startswith("Keel: NOT FLAT (reminder 1, for 0 s now")
        assert all(one["message"].startswith("third") for one in again), "the newest words, at their time"
        told.put(Alert(level="WARNING", title="FLAT", text="proved", key="emergency"))
        while hook.taken.get(timeout=LATE_S)["title"] != "Keel: FLAT":
            pass
        told.put(critical("another", key="other"))
        while not hook.taken.get(timeout=LATE_S)["message"].startswith("another"):
            pass
        told.acknowledge("other")
        told.put(Alert(level="INFO", title="mark", text="after it"))
        while (title := hook.taken.get(timeout=LATE_S)["title"]) != "Keel: mark":
            assert "NOT FLAT" in title
        with pytest.raises(queue.Empty):
            hook.taken.get(timeout=1.0)
    assert not any("does not deliver" in line for line in said.lines)


def test_a_channel_that_fails_is_told_once_and_gets_it_in_the_end(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "TRIES_S", (0.05,))
    said = Said()
    hook.answer = 500
    with Alerts([hook.url], said) as told:
        told.put(Alert(level="WARNING", title="stop missing", text="closed at the market"))
        said.until("channel 1 (json) does not deliver (it says no); trying again")
        hook.answer = 200
        assert hook.taken.get(timeout=LATE_S)["title"] == "Keel: stop missing"
        said.until("channel 1 (json) delivers again")
    assert sum("does not deliver" in line for line in said.lines) == 1
    assert not any(SECRET in line for line in said.lines)


def test_without_channels_it_is_said_on_stderr_alone() -> None:
    said = Said()
    with Alerts([], said) as told:
        told.put(critical())
    assert said.lines == ["alert CRITICAL: NOT FLAT: sandbox cannot be asked"]


def urls_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "alerts"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_addresses_are_read_a_line_each(tmp_path: Path) -> None:
    assert read_urls(None) == []
    file = urls_file(tmp_path, "# mine\n\njson://127.0.0.1:1\n  mailto://u:p@example.net \n")
    assert read_urls(file) == ["json://127.0.0.1:1", "mailto://u:p@example.net"]


@pytest.mark.parametrize(("text", "mode", "kind", "said"), [
    (f"json://{SECRET}@h", 0o644, Refused, "chmod 600"),
    (f"json://h\nnosuchservice://{SECRET}", 0o600, BadInput, "line 2: an address of the kind nosuchservice"),
    (f"{SECRET}", 0o600, BadInput, "line 1: an address of the kind no URL"),
    ("json://h\n" * 33, 0o600, BadInput, "more than 32"),
])  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_without_its_secrets(
    tmp_path: Path, text: str, mode: int, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as refused:
        read_urls(urls_file(tmp_path, text, mode))
    assert SECRET not in str(refused.value)
    with pytest.raises(BadInput, match="cannot be read"):
        read_urls(tmp_path / "nowhere")
