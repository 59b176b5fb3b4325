"""What a running agent does without, arranged before the libraries are imported.

Three things cost a small device megabytes, and many agents never use them:

* OpenSSL (4.5 MB) where no broker is reached through TLS. asyncio and paho import ``ssl``
  all the same, and ``hashlib`` takes OpenSSL's hashes when it finds them (they are quicker by
  up to 0.1 ms for 8 KiB, more than a frame of 500 events usually has).
* ``urllib.request`` with its HTTP client and mail parser (1.4 MB), which paho wants for proxies.
* glibc's second heap for the database thread, and freed memory that it keeps.

Nothing is replaced by something that does less: a postponed module is loaded when the first name
is asked of it, so that a wrong guess costs memory and never a function. Python falls back to its
own hashes where it was built without OpenSSL's; only where it has all of them are they used here.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

__all__ = ["keep_small", "postpone"]

_TLS_SCHEMES: Final = (b"mqtts:", b"wss:")

_TLS_ERRORS: Final = frozenset({"SSLError", "SSLWantReadError", "SSLWantWriteError"})
"""Named in except clauses of paho, and where the uplink sorts failures."""

_OWN_HASHES: Final = {"_md5", "_sha1", "_sha3", "_blake2"} | (
    {"_sha2"} if sys.version_info >= (3, 12) else {"_sha256", "_sha512"}
)
"""Python's own implementations; some distributions leave them out."""

_MALLOPT: Final = (
    (-8, 1),  # M_ARENA_MAX: the loop and the database thread share one heap
    (-1, 128 * 1024),  # M_TRIM_THRESHOLD: what is free at the heap's end goes back
    (-3, 256 * 1024),  # M_MMAP_THRESHOLD: large blocks go back when freed; no longer grows
)
"""Parameters of mallopt(3) and their values."""


class _NeverRaisedError(Exception):
    """Stands for the errors of a module that is not loaded: nobody can have raised them."""


def keep_small(config_file: Path) -> None:
    """Arrange everything. Does nothing about libraries that are imported already.

    Args:
        config_file: says whether some broker is reached through TLS; one that cannot be read is
            reported by whoever reads its settings.
    """
    _set_allocator()
    postpone("urllib.request")
    try:
        text = config_file.read_bytes().lower()
    except OSError:
        return
    if not any(scheme in text for scheme in _TLS_SCHEMES):
        _postpone_openssl()


def postpone(name: str, errors: frozenset[str] = frozenset()) -> None:
    """Let ``import name`` succeed at once, and load the module when a name is asked of it.

    Args:
        name: of a module; when it is imported already nothing changes.
        errors: exceptions of it that may be named before it is loaded.
    """
    if name in sys.modules:
        return
    stand_in = ModuleType(name, f"Stands for {name} until a name is asked of it.")

    def look_up(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)  # the import system asks for these
        if sys.modules.get(name) is stand_in:
            if attribute in errors:
                return _NeverRaisedError
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    stand_in.__getattr__ = look_up  # type: ignore[method-assign]
    package, _, last = name.rpartition(".")
    if package:
        setattr(importlib.import_module(package), last, stand_in)
    sys.modules[name] = stand_in


def _postpone_openssl() -> None:
    if {"asyncio", "hashlib", "ssl"} & sys.modules.keys():
        return
    _import_without("ssl", "asyncio")
    postpone("ssl", _TLS_ERRORS)
    if all(find_spec(name) for name in _OWN_HASHES):
        _import_without("_hashlib", "hashlib", "hmac")


def _import_without(hidden: str, *names: str) -> None:
    """Import modules that manage without another, as if Python had been built without it."""
    sys.modules[hidden] = None  # type: ignore[assignment]  # importing it raises, by definition
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        del sys.modules[hidden]


def _set_allocator() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return  # musl has one heap and no such settings
    for parameter, value in _MALLOPT:
        mallopt(parameter, value)
