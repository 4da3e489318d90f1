"""The exchange keys of a home: one file, ``home/keys``, encrypted as a whole and authenticated.

``KEELKEY1``, the cost of the passphrase (1 byte: log2 of scrypt's N), salt (16), nonce (12), then AES-256-GCM of the
entries as JSON, with everything before as associated data: no byte can be changed, no entry swapped, added or removed
without the passphrase. What is secret is a SecretStr from the moment it is read; the few functions that see the plain
text never raise, so that no traceback, however talkative, shows it. `engine.contracts.redaction` learns it there too.

A key that is to replace another lies beside it, *proposed*, until the venue and the running engine took it up: the old
one is in force until then, whoever is killed meanwhile. Its entry is the name after a ``~``, which no name begins with.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import SecretStr

from engine.contracts.errors import BadData, BadInput, Refused
from engine.contracts.redaction import learn
from engine.journal.atomic import replace_file

FILE: Final = "keys"
NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
SHORTEST_PASSPHRASE: Final = 8
SEALED: Final = b"KEELKEY"  # how an encrypted key file begins, whatever its format
_MAGIC: Final = b"KEELKEY1"
_OTHER_FORMAT: Final = re.compile(rb"KEELKEY([0-9]{1,3})")
_PROPOSED: Final = "~"
_COST: Final = 17  # N = 2**17, r = 8, p = 1: 128 MiB
_COSTS: Final = range(14, 21)  # read only; a larger one would be an attack on our memory
_SALT, _NONCE = 16, 12
_HEADER: Final = len(_MAGIC) + 1 + _SALT + _NONCE


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """One API key. `password` is a third part some exchanges have. `created_ns`: when it was stored."""

    name: str
    exchange: str
    key: SecretStr
    secret: SecretStr
    password: SecretStr | None = None
    created_ns: int

    @property
    def hint(self) -> str:
        """The last four characters of the public part: enough to tell two keys apart."""
        return "..." + self.key.get_secret_value()[-4:]


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """An entry inside the box. Never leaves the functions that seal and open."""

    exchange: str
    key: str
    secret: str
    password: str | None
    created_ns: int


class KeyFile:
    """The keys of a home, under one passphrase. Reads and writes the file at every call; two writers at once may lose
    one entry, never the file. `cost` is for tests: every step halves the work of guessing the passphrase."""

    def __init__(self, home: Path, passphrase: SecretStr, cost: int = _COST) -> None:
        if not _is_text(passphrase):
            raise BadInput("the passphrase holds something that is no text (UTF-8); choose another")
        learn(passphrase.get_secret_value())
        self.path = home / FILE
        self._passphrase = passphrase
        self._cost = cost

    def read(self) -> dict[str, StoredKey]:
        """All keys in force by name. Raises Refused for a wrong passphrase or a changed file, BadData for another
        file, or one of a newer format."""
        return {name: key for name, key in self._entries().items() if not name.startswith(_PROPOSED)}

    def _entries(self) -> dict[str, StoredKey]:
        blob = _bytes_of(self.path)
        if blob is None:
            return {}
        if not blob.startswith(_MAGIC) and (newer := _OTHER_FORMAT.match(blob)):
            raise BadData(
                f"{self.path} has the key file format {int(newer[1])}, which this version of Keel does not know (it "
                "knows 1): update Keel, or restore the file from an older copy"
            )
        if len(blob) < _HEADER + 16 or not blob.startswith(_MAGIC) or blob[len(_MAGIC)] not in _COSTS:
            raise BadData(
                f"{self.path} is not a key file, or its beginning is damaged; "
                "restore it from a copy, or delete it and add the keys again"
            )
        found = _opened(blob, self._passphrase)
        if found is None:
            raise Refused(
                f"{self.path} does not open: the passphrase is wrong, or the file was changed. Try the passphrase "
                "again; if it is right, restore the file from a copy, or delete it and add the keys again"
            )
        return found

    def get(self, name: str) -> StoredKey:
        """One key. Raises BadInput naming the keys there are."""
        every = self.read()
        if name not in every:
            raise BadInput(
                f"no key {name!r} is stored (there are: {', '.join(every) or 'none'}); trading-cli keys add {name}"
            )
        return every[name]

    def add(self, name: str, exchange: str, key: SecretStr, secret: SecretStr, password: SecretStr | None) -> StoredKey:
        """Store one more key. Raises BadInput for a bad name or one in use, or a passphrase that is too short."""
        if not NAME.fullmatch(name):
            raise BadInput("the name of a key is 1 to 64 letters, digits, dots, dashes or underscores")
        made = _made(name, exchange, key, secret, password)
        every = self._entries()
        if name in every:
            raise BadInput(f"a key named {name!r} is stored already; choose another name, or remove it first")
        if not every and len(self._passphrase.get_secret_value()) < SHORTEST_PASSPHRASE:
            raise BadInput(
                f"the passphrase needs at least {SHORTEST_PASSPHRASE} characters: it is all that protects the keys"
            )
        self._write({**every, name: made})
        return made

    def remove(self, name: str) -> None:
        """Forget one key, and what was proposed in its place. Raises BadInput where there is none of that name."""
        self.get(name)
        gone = (name, _PROPOSED + name)
        self._write({other: key for other, key in self._entries().items() if other not in gone})

    # --- replacing one --------------------------------------------------------------------------------

    def propose(self, name: str, key: SecretStr, secret: SecretStr, password: SecretStr | None) -> StoredKey:
        """Lay a key beside the one of that name, which stays in force. Raises BadInput where there is none."""
        made = _made(name, self.get(name).exchange, key, secret, password)
        self._write({**self._entries(), _PROPOSED + name: made})
        return made

    def proposed(self, name: str) -> StoredKey | None:
        """What is to replace the key of that name, where there is something."""
        return self._entries().get(_PROPOSED + name)

    def settle(self, name: str, accept: bool) -> None:
        """Put what was proposed in force, or forget it; nothing where nothing was proposed."""
        every = self._entries()
        found = every.pop(_PROPOSED + name, None)
        if found is not None:
            self._write({**every, name: found} if accept else every)

    def _write(self, keys: Mapping[str, StoredKey]) -> None:
        before = os.umask(0o077)  # the temporary file too is for our eyes only
        try:
            replace_file(self.path, [_sealed(keys, self._passphrase, self._cost)])
        finally:
            os.umask(before)


def _made(
    name: str, exchange: str, key: SecretStr, secret: SecretStr, password: SecretStr | None
) -> StoredKey:
    if not all(_is_text(part) for part in (key, secret, password or key)):
        raise BadInput(f"the key {name!r} holds something that is no text (UTF-8); copy it again")
    _learn(key, secret, password)
    return StoredKey(
        name=name, exchange=exchange, key=key, secret=secret, password=password, created_ns=time.time_ns()
    )


def _learn(*parts: SecretStr | None) -> None:
    for part in parts:
        learn(part.get_secret_value() if part else None)


def _is_text(secret: SecretStr) -> bool:
    """It can be written as UTF-8. Never raises."""
    try:
        return bool(secret.get_secret_value().encode())
    except UnicodeEncodeError:
        return False


def _bytes_of(path: Path) -> bytes | None:
    """The file's content, None where there is none. Raises Refused where others may touch it."""
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise Refused(f"{path} may be read or changed by others (mode {mode:04o}): chmod 600 {path}")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadData(
            f"{path} cannot be read: {error.strerror}; correct its permissions or remove what is there"
        ) from None


def _sealed(keys: Mapping[str, StoredKey], passphrase: SecretStr, cost: int) -> bytes:
    header = _MAGIC + bytes([cost]) + secrets.token_bytes(_SALT + _NONCE)
    return header + _cipher(header, passphrase).encrypt(header[-_NONCE:], _plain(keys), header)


def _opened(blob: bytes, passphrase: SecretStr) -> dict[str, StoredKey] | None:
    """The entries; None where the box does not open. Never raises: it sees the plain text."""
    header = blob[:_HEADER]
    try:
        plain = msgspec.json.decode(
            _cipher(header, passphrase).decrypt(header[-_NONCE:], blob[_HEADER:], header), type=dict[str, _Plain]
        )
    except (InvalidTag, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return {name: _hidden(name.removeprefix(_PROPOSED), entry) for name, entry in sorted(plain.items())}


def _cipher(header: bytes, passphrase: SecretStr) -> AESGCM:
    cost, salt = header[len(_MAGIC)], header[len(_MAGIC) + 1 : -_NONCE]
    return AESGCM(Scrypt(salt, length=32, n=1 << cost, r=8, p=1).derive(passphrase.get_secret_value().encode()))


def _plain(keys: Mapping[str, StoredKey]) -> bytes:
    return msgspec.json.encode(
        {
            name: _Plain(
                one.exchange, one.key.get_secret_value(), one.secret.get_secret_value(),
                one.password.get_secret_value() if one.password else None, one.created_ns,
            )
            for name, one in keys.items()
        }
    )  # fmt: skip


def _hidden(name: str, entry: _Plain) -> StoredKey:
    """Never raises: it sees the plain text."""
    made = StoredKey(
        name=name, exchange=entry.exchange, key=SecretStr(entry.key), secret=SecretStr(entry.secret),
        password=SecretStr(entry.password) if entry.password else None, created_ns=entry.created_ns,
    )  # fmt: skip
    _learn(made.key, made.secret, made.password)
    return made
