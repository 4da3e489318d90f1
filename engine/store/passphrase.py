"""Where the passphrase of the key file comes from: a mounted file, the system's keyring, or a person.

Never from the command line or the environment itself: both are shown to every process of the machine's user.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from engine.contracts.errors import BadInput, Refused
from engine.contracts.redaction import learn

SERVICE: Final = "keel"
_LONGEST: Final = 4_096  # bytes
_FORBIDDEN: Final = 0o037  # the group may read (that is how secrets are mounted), nobody else anything

Ask = Callable[[], SecretStr]


def find_passphrase(file: Path | None, home: Path, ask: Ask | None = None) -> SecretStr:
    """The passphrase for the keys of `home`: of `file` where one is named, else of the system's keyring where the
    package keyring is installed and knows it (service ``keel``, user: the absolute home), else what a person answers.

    Raises BadInput or Refused naming the fault where the file is unusable, or where nobody can be asked.
    """
    found = _of_file(file) if file is not None else _of_keyring(home)
    if found is None and ask is not None:
        found = ask()
    if found is None:
        raise BadInput(
            "the passphrase of the key file is needed and there is nobody to ask: write it to a file only you can read "
            "(chmod 600) and set KEEL_PASSPHRASE_FILE to that file"
        )
    learn(found.get_secret_value())
    return found


def _of_file(file: Path) -> SecretStr:
    try:
        with open(file, "rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode & _FORBIDDEN:
                raise Refused(
                    f"passphrase_file = {file} may be read or changed by others (mode {mode:04o}): chmod 600 {file}"
                )
            found = _text(opened.read(_LONGEST + 1))
    except OSError as error:
        raise BadInput(f"passphrase_file = {file} cannot be read: {error.strerror}") from None
    if found is None:
        raise BadInput(f"passphrase_file = {file} must hold one line of text, the passphrase")
    return found


def _text(raw: bytes) -> SecretStr | None:
    """One line of UTF-8, its line break taken off. Never raises: it sees the passphrase."""
    try:
        line = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return None
    return SecretStr(line) if 0 < len(raw) <= _LONGEST and line and "\n" not in line else None


def _of_keyring(home: Path) -> SecretStr | None:
    if find_spec("keyring") is None:
        return None
    keyring: Any = import_module("keyring")
    errors: Any = import_module("keyring.errors")
    try:
        found = keyring.get_password(SERVICE, str(home.resolve()))
    except (errors.KeyringError, errors.InitError):
        return None  # locked, or there is none on this machine
    return SecretStr(found) if found else None
