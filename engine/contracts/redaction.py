"""What must never be said: the secrets in use, and how every text that leaves the process is rid of them.

Rules
-----
* A secret is learnt where it is read (key file, passphrase, URL); `clean` stands where something is said (terminal,
  log, notice, answer, traceback). Between them nobody has to think of it.
* A secret is known in the forms it travels in: as it is, percent-encoded, in JSON, in HTML, in a repr, in hexadecimal,
  in Base64 at every alignment (an Authorization header, a token). Of a PEM key every line of its body is known.
* Sixteen characters in a row of any form are enough: texts are cut short on their way.
* What nobody can have learnt goes by its shape: signatures, listen keys, bearer tokens, JWTs, passwords in URLs, PEM
  bodies.
* What stands in a secret's place shares no character with any of them but inside its brackets, so that what is left
  and right of it never makes a secret again.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from typing import Final

SHORTEST: Final = 8  # characters; what is shorter is a word like any other
WINDOW: Final = 16
_LINE: Final = 12  # the last line of a PEM body may be shorter: too little to be worth anything
_BRACKETS: Final = ("[]", "<>", "{}", "\u00ab\u00bb", "\u2039\u203a", "\u27e6\u27e7", "\u2983\u2984")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

_PEM: Final = re.compile(r"(?s)-----BEGIN [A-Z ]+-----\s.{32,}\s-----END ")

_HOST: Final = re.compile(r"(?i)(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+)(?::[0-9]+)?")

SHAPES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"""(?i)\b(?:signature|listenkey|x-mbx-apikey|apikey|access_token|jwt)\\?["']?\s*[=:]\s*\\?["']?"""
        r"([A-Za-z0-9%+/=_.-]{16,})",
        r"(?i)\bbearer\s+([\w.~+/=-]{16,})",
        r"\b(eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,})",
        r"://[^\s/@:]*:((?!password@|\*+@)[^\s/@]+)@",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----((?:[A-Za-z0-9+/=\s]|\\+[nr]){32,})",
    )
)
"""Group 1 is what is secret."""


class Redactor:
    """Learns secrets and takes them out of texts. Forgets none: a key replaced a minute ago still opens something."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._short: frozenset[str] = frozenset()
        self._windows: frozenset[str] = frozenset()
        self._mark = "[hidden]"

    def learn(self, text: str | None) -> None:
        """A secret in use. What has fewer than `SHORTEST` characters cannot be told from other words: left out."""
        if text is None or len(text) < SHORTEST or text in self._texts:
            return
        self._texts.add(text)
        forms = {form for piece in _pieces(text) for form in _forms(piece) if len(form) >= SHORTEST}
        self._short |= {form for form in forms if len(form) < WINDOW}
        self._windows |= {
            form[i : i + WINDOW] for form in forms if len(form) >= WINDOW for i in range(len(form) - WINDOW + 1)
        }
        used = {letter for form in (*self._short, *self._windows) for letter in form}
        self._mark = _mark(used)

    def learn_address(self, url: str) -> None:
        """A URL with secrets in it, wherever they stand (user, password, path, query): not its scheme, and not a host
        or port, which are in other texts too."""
        for part in re.split(r"[/?&=@#]+", url.partition("://")[2]):
            if not _HOST.fullmatch(part):
                self.learn(part)

    def clean(self, text: str) -> str:
        """The text with every secret replaced; the same text where there is none."""
        spans = sorted(self._found(text))
        if not spans:
            return text
        parts, done = [], 0
        for start, end in _merged(spans):
            parts += [text[done:start], self._mark]
            done = end
        return "".join((*parts, text[done:]))

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        windows = self._windows
        if windows:
            for i in range(len(text) - WINDOW + 1):
                if text[i : i + WINDOW] in windows:
                    yield i, i + WINDOW
        for form in self._short:
            at = text.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = text.find(form, at + 1)
        for shape in SHAPES:
            for match in shape.finditer(text):
                yield match.span(1)


def _merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted spans as few that neither overlap nor touch."""
    start, end = spans[0]
    for first, last in spans[1:]:
        if first > end:
            yield start, end
            start, end = first, last
        end = max(end, last)
    yield start, end


def _mark(used: set[str]) -> str:
    for left, right in _BRACKETS:
        if left not in used and right not in used:
            return f"{left}hidden{right}"
    free = (letter for letter in map(chr, range(0xE000, 0xF8FF)) if letter not in used)
    return f"{next(free)}hidden{next(free)}"


def _pieces(text: str) -> Iterator[str]:
    """What of a secret is secret: the whole, or the lines of a PEM key's body, and all of them as one."""
    plain = text.replace("\\n", "\n").replace("\r", "")
    if not _PEM.search(plain):
        yield text
        if len(text.strip()) >= SHORTEST:
            yield text.strip()
        return
    body = [line.strip() for line in plain.splitlines() if line.strip() and "-----" not in line]
    yield from (line for line in body if len(line) >= _LINE)
    yield "".join(body)


def _forms(text: str) -> Iterator[str]:
    """One piece, as it may be written somewhere."""
    raw = text.encode("utf-8", "surrogatepass")
    yield text
    for safe in ("", "/"):
        percent = _percent(raw, safe)
        yield from (percent, _lower(percent), percent.replace("%20", "+"))
    for escaped in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield from (escaped, escaped.replace("/", "\\/"), json.dumps(escaped)[1:-1])
    yield from (repr(text)[1:-1], repr(raw)[2:-1], html.escape(text), raw.hex(), raw.hex().upper())
    for inner in (raw, json.dumps(text)[1:-1].encode()):
        for core in (_base64(inner, lead) for lead in range(3)):
            yield from (core, core.replace("+", "-").replace("/", "_"), _percent(core.encode(), ""))


def _percent(raw: bytes, safe: str) -> str:
    kept = _UNRESERVED | frozenset(safe.encode())
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in raw)


def _lower(percent: str) -> str:
    """With the escapes in lower case, as some write them."""
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), percent)


def _base64(raw: bytes, lead: int) -> str:
    """The characters of Base64 that only `raw` decides, where `lead` bytes of something else precede it."""
    written = base64.b64encode(b"\0" * lead + raw).decode().rstrip("=")
    first = (lead * 8 + 5) // 6
    last = (lead + len(raw)) * 8 // 6
    return written[first:last]


KNOWN: Final = Redactor()
"""What this process has read."""
learn: Final = KNOWN.learn
learn_address: Final = KNOWN.learn_address
clean: Final = KNOWN.clean
