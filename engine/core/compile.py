"""`@kernel`: the same function compiled by numba or run as plain Python.

Rules
-----
* Kernels are nopython, without fastmath, so compiled and uncompiled give the same bytes.
* Only entry points (`@kernel(entry=True)`) are written to disk; what they call is compiled into them.
* The cache folder's name is a hash of *every* source file that can end up in machine code, plus the
  versions of numba, numpy and Python and the CPU: numba's own cache does not notice an edited callee.
* ``NUMBA_DISABLE_JIT=1`` runs everything uncompiled (numba reads it; Keel's code does not differ).
"""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, overload

import llvmlite
import numba
import numba.core.event
import numpy as np

_ENGINE: Final = Path(__file__).resolve().parent.parent
_COMPILED: Final = ("contracts/**/*.py", "core/**/*.py", "simulation/**/*.py", "markets/**/*.py", "journal/walking.py")
_KEPT_CACHES: Final = 4
_CACHE_BYTES: Final = 64 << 20  # an entry point takes a few MB; leave some room besides

i64: Any = np.int64
"""Widen a narrow field (kind, side, bits) before arithmetic: the same in machine code and in plain Python."""

F = TypeVar("F", bound=Callable[..., Any])


def source_digest() -> str:
    """Hex digest of every source file that can end up in compiled code: the build's identity."""
    digest = hashlib.blake2b(digest_size=16)
    for pattern in _COMPILED:
        for path in sorted(_ENGINE.glob(pattern)):
            digest.update(path.relative_to(_ENGINE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _cache_key() -> str:
    versions = (numba.__version__, np.__version__, llvmlite.__version__, platform.python_version())
    host = (platform.machine(), str(llvmlite.binding.get_host_cpu_name()), str(_ENGINE))
    return hashlib.blake2b(repr((source_digest(), versions, host)).encode(), digest_size=12).hexdigest()


def cache_folder() -> Path:
    """Where this build's machine code lives (one folder per build)."""
    return Path.home() / ".cache" / "keel" / "compiled" / _cache_key()


def is_compiled_before(entry: str) -> bool:
    """True where this build's entry point of that name is on disk already, so that no first compile is due."""
    return any(cache_folder().glob(f"**/*.{entry}-*.nbi"))


def _prepare_cache() -> bool:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < _CACHE_BYTES:
            return False  # a full disk must not stop the engine: compile in memory
        older = sorted((p for p in folder.parent.iterdir() if p != folder), key=lambda p: p.stat().st_mtime)
        for stale in older[: -_KEPT_CACHES or None]:
            shutil.rmtree(stale, ignore_errors=True)
    except OSError:
        return False  # read-only home: compile in memory, every start pays for it
    numba.config.CACHE_DIR = str(folder)
    return True


CACHING: Final = _prepare_cache()


@overload
def kernel(function: F) -> F: ...
@overload
def kernel(*, entry: bool = False, hot: bool = False) -> Callable[[F], F]: ...
def kernel(function: F | None = None, *, entry: bool = False, hot: bool = False) -> F | Callable[[F], F]:
    """Compile a function of the core; `entry=True` marks one that is called from Python and cached, `hot=True` one
    that almost every event passes: its code is put where it is called, though the caller is large."""

    def compiled(plain: F) -> F:
        inner = not entry  # inner kernels are only ever linked into an entry: no wrappers needed
        made: F = numba.njit(
            plain, cache=entry and CACHING, error_model="numpy", no_cpython_wrapper=inner, no_cfunc_wrapper=inner,
            forceinline=hot,
        )  # fmt: skip
        return made

    return compiled if function is None else compiled(function)


class _Counter(numba.core.event.Listener):  # type: ignore[misc]
    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._count = 0

    def on_start(self, event: Any) -> None:
        self._count += 1
        self._tell(self._count)

    def on_end(self, event: Any) -> None:
        pass


@contextmanager
def watch_compilation(tell: Callable[[int], None]) -> Iterator[None]:
    """Call `tell` with the number of functions compiled so far, so that a first compile shows progress."""
    with numba.core.event.install_listener("numba:compile", _Counter(tell)):
        yield


DISABLED: Final = bool(numba.config.DISABLE_JIT)
