"""What a running agent does without, arranged before the libraries are imported.

Four things cost a small device megabytes, and many agents never use them:

* OpenSSL (4.5 MB) where no broker is reached through TLS. asyncio and paho import ``ssl``
  all the same, and ``hashlib`` takes OpenSSL's hashes when it finds them (they are quicker by
  up to 0.1 ms for 8 KiB, more than a frame of 500 events usually has).
* ``urllib.request`` with its HTTP client and mail parser (1.4 MB), which paho wants for proxies.
* A second class for each frozen value (1.4 MB), which its own methods keep alive.
* glibc's second heap for the database thread, and freed memory that it keeps.

Nothing is replaced by something that does less: a postponed module is loaded when the first name
is asked of it, so that a wrong guess costs memory and never a function. Python falls back to its
own hashes where it was built without OpenSSL's; only where it has all of them are they used here.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

__all__ = ["all_is_loaded", "keep_small", "postpone"]

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


_DATACLASS: Final[Any] = dataclasses.dataclass


class _NeverRaisedError(Exception):
    """Stands for the errors of a module that is not loaded: nobody can have raised them."""


def keep_small(config_file: Path) -> None:
    """Arrange everything. Does nothing about libraries that are imported already.

    Args:
        config_file: says whether some broker is reached through TLS; one that cannot be read is
            reported by whoever reads its settings.
    """
    _set_allocator()
    _share_refusals()
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


def all_is_loaded() -> None:
    """Say that the imports are done: what is loaded by now is left out of later collections."""
    dataclasses.dataclass = _DATACLASS
    gc.collect()
    gc.freeze()


def _share_refusals() -> None:
    """Let the class of each frozen value of ours be in memory once.

    ``dataclass(frozen=True, slots=True)`` makes its class a second time, with slots, and both
    classes have methods that refuse to set and to delete, bound to the first one: 7 KB for each of
    two hundred classes. All get the same two methods, which refuse in the same words.
    """

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        if cls is None:
            return lambda cls: _slim(_DATACLASS(**options)(cls))
        return _slim(_DATACLASS(cls, **options))

    dataclasses.dataclass = dataclass


def _slim(cls: type) -> type:
    frozen = vars(cls)["__dataclass_params__"].frozen
    if frozen and cls.__dictoffset__ == 0 and cls.__module__.startswith("whimbrel_"):
        type.__setattr__(cls, "__setattr__", _refuse_to_set)
        type.__setattr__(cls, "__delattr__", _refuse_to_delete)
    return cls


def _refuse_to_set(_: object, name: str, __: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


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
