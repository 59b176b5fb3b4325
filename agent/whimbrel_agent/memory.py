"""Keeps the long-running process small, by two measures that change nothing it does.

Measured with every intake on, Python 3.11, glibc: an HTTP client that nobody uses 1.2 MB, a second
malloc arena 0.5 MB.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
import types
import urllib
from typing import Any, Final

_M_ARENA_MAX: Final = -8
"""mallopt(3); a device's two busy threads seldom allocate at the same moment."""

_UNUSED: Final = "urllib.request"
"""paho imports it, and with it HTTP and e-mail, to look for a proxy of WebSocket connections."""


class _Later(types.ModuleType):
    """Stands for a module until something of it is used; then the module takes its place."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system looks for
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def keep_small() -> None:
    """Take the measures; to be called before an MQTT client is imported."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has neither it nor arenas
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
    if _UNUSED not in sys.modules:
        stand_in = _Later(_UNUSED)
        sys.modules[_UNUSED] = stand_in
        urllib.request = stand_in  # type: ignore[attr-defined]
