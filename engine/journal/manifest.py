"""``manifest.json``: what a run was, beside its journal. Written as a whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.contracts.errors import BadInput, Fatal
from engine.contracts.runs import Manifest, Source
from engine.core import state
from engine.journal import atomic

FILE: Final = "manifest.json"


def write(directory: Path, manifest: Manifest) -> Path:
    """Write (or replace) the manifest of the run folder `directory`.

    Raises BadInput for values JSON cannot hold (NaN, infinity), Fatal where the disk refuses.
    """
    path = directory / FILE
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    cannot = f"the manifest of run {manifest.run_id} cannot be written"
    try:
        same = _decode(text) == manifest
    except msgspec.ValidationError as error:
        raise BadInput(f"{cannot}: {error}; use finite numbers") from error
    if not same:
        raise BadInput(f"{cannot}: it does not survive JSON; use finite numbers and plain text")
    atomic.replace_file(path, [text, b"\n"])
    return path


def run_digest(entries_digest: str, core: state.Core) -> str:
    """The digest of a run: of everything journalled and of the final state."""
    return hashlib.blake2b(f"{entries_digest}:{state.digest(core)}".encode(), digest_size=16).hexdigest()


def read(directory: Path) -> Manifest:
    """The manifest of the run folder `directory`. Raises Fatal when it is missing, damaged or of another version."""
    path = directory / FILE
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError as error:
        raise Fatal(f"{path} is missing; {directory} is not a run folder, or its run never started") from error
    except OSError as error:
        raise Fatal(f"cannot read {path}: {error.strerror or error}; fix access and try again") from error
    except (msgspec.DecodeError, UnicodeDecodeError, BadInput) as error:  # ValidationError is a DecodeError
        raise Fatal(f"{path} cannot be used: {error}; restore it from a copy, or run it again") from error


def _decode(text: bytes) -> Manifest:
    document = msgspec.json.decode(text)
    manifest = msgspec.convert(document, Manifest)
    _refuse_unknown(document, Manifest, "the manifest")
    for number, source in enumerate(document["sources"]):
        _refuse_unknown(source, Source, f"sources[{number}]")
    return manifest


def _refuse_unknown(document: dict[str, Any], struct: type[msgspec.Struct], where: str) -> None:
    known = {field.encode_name for field in msgspec.structs.fields(struct)}
    if unknown := sorted(document.keys() - known):
        raise msgspec.ValidationError(f"{where} has the unknown field {unknown[0]!r} (a newer program wrote it?)")
