"""Doors to an emergency over HTTP: an API endpoint and a page with one button for a telephone.

Rules
-----
* A door does one thing: it asks (`engine.store.emergency_file`), exactly as the command and the file do.
* Whoever holds the token may ask: 32 random bytes, made at first use, in ``HOME/doors`` (mode 600). It is compared
  in constant time; five wrong ones a minute, and the next wrong ones are not looked at. The right one always passes.
* GET does nothing: programs that preview links follow them. POST from another site's page is refused.
* It listens on 127.0.0.1. Who wants it on a telephone puts a proxy with TLS in front and names it in [doors].
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import os
import secrets
import stat
import time
from base64 import b64encode, urlsafe_b64encode
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from engine.contracts.errors import BadInput, KeelError, Refused, Retryable
from engine.contracts.redaction import learn
from engine.journal.atomic import write_failure
from engine.runtime.doorplan import DoorsPlan
from engine.store import emergency_file

TOKEN_FILE: Final = "doors"
TOKEN_BYTES: Final = 32
WRONG_MOST: Final = 5
WRONG_S: Final = 60.0
BODY_MOST: Final = 16_384
DEFAULT_WHY: Final = "emergency over HTTP"
PHONE_WHY: Final = "the button of the phone link"
REFRESH_S: Final = 1
STYLE: Final = (
    "body{font:18px/1.5 system-ui,sans-serif;margin:0;padding:24px;max-width:640px;background:#fff;color:#111}"
    "button{width:100%;min-height:40vh;font-size:40px;font-weight:700;border:0;border-radius:16px;background:#b00020;"
    "color:#fff}h1{font-size:28px}.flat{color:#06612a}.open{color:#b00020}"
)
_STYLE_HASH: Final = "sha256-" + b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src '{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # no-referrer would make the browser hide the origin of our own form
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "interest-cohort=()",
    "Cache-Control": "no-store",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def token_of(home: Path) -> str:
    """The token of this home, made where there is none. Raises Refused where others may read it, Fatal where it cannot
    be written."""
    path = home / TOKEN_FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(urlsafe_b64encode(secrets.token_bytes(TOKEN_BYTES)).rstrip(b"=") + b"\n")
        with open(path, "rb") as file:
            mode, found = stat.S_IMODE(os.fstat(file.fileno()).st_mode), file.read(200).strip()
    except OSError as error:
        raise write_failure(path, error) from error
    if mode & 0o077:
        raise Refused(f"{path} can be read by others (mode {mode:04o}): delete it, a new token is made")
    if len(found) < TOKEN_BYTES or not found.isascii():
        raise BadInput(f"{path} holds no token: delete it, a new one is made")
    learn(found.decode())
    return found.decode()


def phone_link(home: Path, plan: DoorsPlan) -> str:
    """The link for a telephone; empty where no public address is set. As good as a key."""
    return f"{plan.public_url.rstrip('/')}/e/{token_of(home)}" if plan.public_url else ""


class _Gate:
    """Who may pass."""

    def __init__(self, token: str, origins: frozenset[str]) -> None:
        self._token = token.encode()
        self._origins = origins
        self._wrong: deque[float] = deque(maxlen=WRONG_MOST)

    def check(self, given: str) -> None:
        """Raises an HTTP error for a wrong token."""
        if hmac.compare_digest(given.encode("utf-8", "replace"), self._token):
            return
        now_s = time.monotonic()
        while self._wrong and now_s - self._wrong[0] > WRONG_S:
            self._wrong.popleft()
        if len(self._wrong) == WRONG_MOST:
            raise web.HTTPTooManyRequests(text="too many wrong tokens\n", headers=HEADERS | {"Retry-After": "60"})
        self._wrong.append(now_s)
        raise web.HTTPForbidden(text="not allowed\n", headers=HEADERS)

    def check_origin(self, request: web.Request) -> None:
        """Raises an HTTP error where another site's page asks."""
        origin = request.headers.get("Origin")
        if origin is None:
            if request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin"):
                return
        elif urlsplit(origin).netloc == request.host or origin in self._origins:
            return
        raise web.HTTPForbidden(text="not from this page\n", headers=HEADERS)


def add_routes(app: web.Application, home: Path, token: str, public_url: str | None = None) -> None:
    """Mount the doors of `home`. They need nothing else of `app`."""
    parts = urlsplit(public_url or "")
    gate = _Gate(token, frozenset({f"{parts.scheme}://{parts.netloc}"} if public_url else ()))
    doors = _Doors(home, gate)
    app.add_routes(
        [
            web.get("/healthz", doors.health),
            web.post("/api/v1/emergency", doors.ask),
            web.get("/api/v1/emergency", doors.look),
            web.get("/e/{token}", doors.page),
            web.post("/e/{token}", doors.press),
        ]
    )


class _Doors:
    """The handlers."""

    def __init__(self, home: Path, gate: _Gate) -> None:
        self._home = home
        self._gate = gate

    async def health(self, _request: web.Request) -> web.Response:
        """The door is open; says nothing about the engine."""
        return web.json_response({"ok": True}, headers=HEADERS)

    async def ask(self, request: web.Request) -> web.Response:
        """202 with the request's id. A body that cannot be read does not stop an emergency."""
        self._gate.check(_bearer(request))
        self._gate.check_origin(request)
        why = DEFAULT_WHY
        try:
            body = msgspec.json.decode(await request.content.read(BODY_MOST))
            if isinstance(body, dict) and isinstance(body.get("why"), str):
                why = body["why"] or why
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        try:
            made = await asyncio.to_thread(self._request, "http", why)
        except KeelError as error:
            return web.json_response({"error": str(error)}, status=503, headers=HEADERS)
        return web.json_response({"id": made.id, "progress": "/api/v1/emergency"}, status=202, headers=HEADERS)

    async def look(self, request: web.Request) -> web.Response:
        """Where it stands."""
        self._gate.check(_bearer(request))
        standing, told = self._state()
        body = {"pending": msgspec.to_builtins(standing), "progress": msgspec.to_builtins(told)}
        return web.json_response(body, headers=HEADERS)

    async def page(self, request: web.Request) -> web.Response:
        """The button, and where an emergency stands; changes nothing."""
        self._gate.check(request.match_info["token"])
        standing, told = self._state()
        text = page_of(standing is not None, told)
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=HEADERS)

    async def press(self, request: web.Request) -> web.Response:
        """The button was pressed: back to the page, which shows where it stands."""
        self._gate.check(request.match_info["token"])
        self._gate.check_origin(request)
        try:
            await asyncio.to_thread(self._request, "phone", PHONE_WHY)
        except KeelError as error:
            raise web.HTTPServiceUnavailable(text=f"NOT DONE: {error}\n", headers=HEADERS) from None
        raise web.HTTPSeeOther(request.match_info["token"], headers=HEADERS)

    def _request(self, who: str, why: str) -> emergency_file.Request:
        made = emergency_file.request(self._home, who, why)
        emergency_file.wake(self._home)
        return made

    def _state(self) -> tuple[emergency_file.Request | None, emergency_file.Progress | None]:
        try:
            standing = emergency_file.pending(self._home)
        except Retryable:
            return None, None
        told = emergency_file.progress(self._home)
        return standing, told if standing is not None and told is not None and told.answers(standing) else None


def page_of(is_pending: bool, told: emergency_file.Progress | None) -> str:
    """The telephone's page: no script; while something is open it loads itself anew."""
    head, kind, again, label = "Emergency", "open", "", "CLOSE EVERYTHING"
    words = "The button cancels every order and closes every position. Nothing opens until a person resumes."
    if is_pending:
        head, label = "closing", "CLOSE EVERYTHING AGAIN"
        words = "asked for; nobody has said yet where it stands"
        again = f'<meta http-equiv="refresh" content="{REFRESH_S}">'
    if told is not None:
        head, words = told.phase, told.words
    if told is not None and told.flat:
        kind, again, label = "flat", "", "LOOK AGAIN"
    state = f'<h1 id="state" class="{kind}">{html.escape(head)}</h1><p id="words">{html.escape(words)}</p>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">{again}<title>Keel: emergency</title>'
        f'<style>{STYLE}</style></head><body>{state}<form method="post"><button>{label}</button></form></body></html>'
    )


def _bearer(request: web.Request) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


@asynccontextmanager
async def open_doors(home: Path, plan: DoorsPlan) -> AsyncIterator[str]:
    """Serve the doors of `home` on 127.0.0.1; yields their address, empty where `plan` wants none. Raises Retryable
    where the port is taken, and what `token_of` raises."""
    if plan.port == 0:
        yield ""
        return
    async with listening(home, plan.port, plan.public_url) as address:
        yield address


@asynccontextmanager
async def listening(home: Path, port: int, public_url: str | None = None) -> AsyncIterator[str]:
    """The same at a port, 0: a free one."""
    app = web.Application(client_max_size=BODY_MOST)
    add_routes(app, home, token_of(home), public_url)
    runner = web.AppRunner(app, access_log=None)  # its lines would hold the token
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise Retryable(f"doors.port = {port} cannot be opened: {error.strerror}; name another one") from None
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
