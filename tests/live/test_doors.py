"""The HTTP doors of an emergency, over real sockets: who may pass, what a GET may not do, what a page shows."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import ClientSession

from engine.contracts.errors import BadInput, Refused, Retryable
from engine.runtime.doorplan import DoorsPlan
from engine.runtime.doors import listening, open_doors, phone_link, token_of
from engine.store import emergency_file
from engine.store.emergency_file import Progress, VenueProgress

pytestmark = pytest.mark.asyncio(loop_scope="function")
PUBLIC = "https://keel.example.net"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest_asyncio.fixture
async def session(home: Path) -> AsyncIterator[ClientSession]:
    async with listening(home, 0, PUBLIC) as address, ClientSession(address) as opened:
        yield opened


def allowed(home: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_of(home)}"}


def told(request: str, flat: bool | None, words: str) -> Progress:
    phase = {True: "FLAT", False: "NOT FLAT", None: "closing"}[flat]
    venues = (VenueProgress(venue="sandbox", flat=flat),)
    return Progress(
        request=request, phase=phase, flat=flat, by="engine", seconds=1.0, ts_ns=time.time_ns(), venues=venues,
        words=words,
    )  # fmt: skip


async def test_the_token_is_made_once_for_its_owner_alone(home: Path) -> None:
    token = token_of(home)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token) and token_of(home) == token
    assert (home / "doors").stat().st_mode & 0o777 == 0o600
    (home / "doors").chmod(0o644)
    with pytest.raises(Refused, match="read by others") as refused:
        token_of(home)
    assert token not in str(refused.value)
    (home / "doors").write_text("short\n")
    (home / "doors").chmod(0o600)
    with pytest.raises(BadInput, match="holds no token"):
        token_of(home)


async def test_the_link_needs_a_public_address(home: Path) -> None:
    assert phone_link(home, DoorsPlan()) == ""
    assert phone_link(home, DoorsPlan(public_url=f"{PUBLIC}/keel/")) == f"{PUBLIC}/keel/e/{token_of(home)}"
    for bad in ("http://keel.example.net", "keel.example.net", "https://u:p@keel.example.net", f"{PUBLIC}?a=1"):
        with pytest.raises(BadInput, match="public_url"):
            DoorsPlan(public_url=bad)


@pytest.mark.parametrize(("body", "why"), [
    (b'{"why": "key may be stolen"}', "key may be stolen"), (b"", "emergency over HTTP"),
    (b"{not json", "emergency over HTTP"), (b'{"why": 7}', "emergency over HTTP"), (b'["why"]', "emergency over HTTP"),
    (b'{"why": "a\\u0000\\nb"}', "a  b"), (b"\xff" * 100, "emergency over HTTP"),
])  # fmt: skip
async def test_the_endpoint_asks_whatever_the_body_holds(
    home: Path, session: ClientSession, body: bytes, why: str
) -> None:
    async with session.post("/api/v1/emergency", data=body, headers=allowed(home)) as answer:
        assert answer.status == 202
        made = (await answer.json())["id"]
    standing = emergency_file.pending(home)
    assert standing is not None and (standing.id, standing.who, standing.why) == (made, "http", why)
    async with session.post("/api/v1/emergency", data=body, headers=allowed(home)) as answer:
        assert (await answer.json())["id"] == made, "asking again joins it"


async def test_where_it_stands_is_shown_to_the_token_alone(home: Path, session: ClientSession) -> None:
    async with session.get("/api/v1/emergency", headers=allowed(home)) as answer:
        assert await answer.json() == {"pending": None, "progress": None}
    request = emergency_file.request(home, "cli:me", "a test")
    emergency_file.report(home, told(request.id, False, "NOT FLAT after 3 s: sandbox cannot be asked"))
    async with session.get("/api/v1/emergency", headers=allowed(home)) as answer:
        found = await answer.json()
    assert found["pending"]["who"] == "cli:me" and found["progress"]["phase"] == "NOT FLAT"
    async with session.get("/api/v1/emergency") as answer:
        assert answer.status == 403 and "sandbox" not in await answer.text()
    async with session.get("/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"ok": True})


async def test_a_wrong_token_opens_nothing_and_soon_is_not_looked_at(home: Path, session: ClientSession) -> None:
    token = token_of(home)
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    found = []
    for path, method in [(f"/e/{wrong}", "GET"), (f"/e/{wrong}", "POST"), ("/api/v1/emergency", "POST")] * 3:
        async with session.request(method, path, headers={"Authorization": f"Bearer {wrong}"}) as answer:
            found.append(answer.status)
            assert answer.headers["Cache-Control"] == "no-store" and token not in await answer.text()
    assert found == [403] * 5 + [429] * 4
    assert emergency_file.pending(home) is None
    async with session.post("/api/v1/emergency", headers=allowed(home)) as answer:
        assert answer.status == 202, "the right one always passes"


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example.net"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://127.0.0.1:1"},
], ids=str)  # fmt: skip
async def test_another_sites_page_cannot_press_the_button(
    home: Path, session: ClientSession, headers: dict[str, str]
) -> None:
    async with session.post(f"/e/{token_of(home)}", headers=headers, allow_redirects=False) as answer:
        assert answer.status == 403
    assert emergency_file.pending(home) is None


async def test_looking_does_nothing_and_the_button_asks(home: Path, session: ClientSession) -> None:
    link = f"/e/{token_of(home)}"
    for method in ("GET", "HEAD"):
        async with session.request(method, link) as answer:
            assert answer.status == 200
    assert emergency_file.pending(home) is None
    async with session.post(link, headers={"Origin": PUBLIC}, allow_redirects=False) as answer:
        assert answer.status == 303
    standing = emergency_file.pending(home)
    assert standing is not None and standing.who == "phone"


async def test_the_page_shows_where_it_stands_and_nothing_can_be_put_into_it(
    home: Path, session: ClientSession
) -> None:
    link = f"/e/{token_of(home)}"
    async with session.get(link) as answer:
        page, headers = await answer.text(), answer.headers
    assert "CLOSE EVERYTHING" in page and "refresh" not in page and "<script" not in page
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy and "unsafe" not in policy
    assert headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    request = emergency_file.request(home, "cli", "a test")
    async with session.get(link) as answer:
        assert "nobody has said yet" in await answer.text()
    emergency_file.report(home, told(request.id, False, "NOT FLAT: <img src=x onerror=alert(1)> order"))
    async with session.get(link) as answer:
        page = await answer.text()
    assert ">NOT FLAT</h1>" in page and "&lt;img" in page and "<img" not in page and 'http-equiv="refresh"' in page
    emergency_file.report(home, told(request.id, True, "FLAT after 0.04 s"))
    async with session.get(link) as answer:
        page = await answer.text()
    assert ">FLAT</h1>" in page and "refresh" not in page


async def test_it_listens_here_alone_and_a_taken_port_is_named(home: Path) -> None:
    async with listening(home, 0) as address:
        assert address.startswith("http://127.0.0.1:")
        port = int(address.rpartition(":")[2])
        with pytest.raises(Retryable, match=f"doors.port = {port} cannot be opened"):
            async with open_doors(home, DoorsPlan(port=port)):
                pass
        async with open_doors(home, DoorsPlan(port=0)) as nothing:
            assert nothing == ""
    with pytest.raises(aiohttp.ClientConnectorError):
        async with ClientSession(address) as gone, gone.get("/healthz"):
            pass
