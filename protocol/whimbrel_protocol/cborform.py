"""The one way this protocol reads and writes CBOR of signed messages (RFC 8949).

Writing is deterministic (section 4.2). Reading refuses indefinite lengths, duplicate keys,
deep nesting and every tag, so that only plain values come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import cbor2

from .errors import RemoteProtocolError
from .limits import MAX_DEPTH

_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
_KEYS: Final = frozenset({int, str})


def dump(value: object) -> bytes:
    """Return the deterministic encoding of ``value``."""
    return cbor2.dumps(value, canonical=True)


def load(data: bytes, what: str) -> Any:
    """Decode one CBOR item that fills ``data``.

    Args:
        data: the bytes.
        what: names the message in errors.

    Raises:
        RemoteProtocolError: the bytes are not one plain CBOR item in the allowed form.
    """
    try:
        value = cbor2.loads(
            data, max_depth=MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False
        )
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RemoteProtocolError(f"{what} of {len(data)} bytes is not CBOR: {error}") from error
    _check_plain(value, what, MAX_DEPTH)
    return value


def _check_plain(value: object, what: str, depth: int) -> None:
    kind = type(value)
    if kind in _SCALARS:
        return
    if depth == 0:
        raise RemoteProtocolError(f"{what} is nested deeper than {MAX_DEPTH}")
    if kind is list:
        for item in value:  # type: ignore[attr-defined]
            if type(item) not in _SCALARS:
                _check_plain(item, what, depth - 1)
    elif kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) not in _KEYS:
                raise RemoteProtocolError(f"{what} has a key of type {type(key).__name__}")
            if type(item) not in _SCALARS:
                _check_plain(item, what, depth - 1)
    else:
        raise RemoteProtocolError(f"{what} holds a tagged value ({kind.__name__})")


class Reader:
    """Takes typed fields out of a decoded CBOR map with integer keys.

    What is not taken remains in :attr:`rest`: unknown fields survive.
    """

    __slots__ = ("_what", "rest")

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, Mapping) or not all(type(key) is int for key in value):
            raise RemoteProtocolError(f"{what} is not a map with integer keys")
        self.rest: dict[int, Any] = dict(value)
        self._what = what

    def _bad(self, key: int, name: str, value: object, rule: str) -> RemoteProtocolError:
        shown = repr(value)[:60]
        return RemoteProtocolError(f"{self._what}: {name} (key {key}) is {shown}, must be {rule}")

    def integer(
        self, key: int, name: str, *, low: int, high: int, default: int | None = None
    ) -> int:
        """Take an integer within ``low..high``."""
        value = self.rest.pop(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self._bad(key, name, value, f"an integer in {low}..{high}")
        return value

    def text(self, key: int, name: str) -> str:
        """Take a text string."""
        value = self.rest.pop(key, None)
        if type(value) is not str:
            raise self._bad(key, name, value, "text")
        return value

    def octets(self, key: int, name: str, *, size: int, default: bytes | None = None) -> bytes:
        """Take a byte string of exactly ``size`` bytes."""
        value = self.rest.pop(key, default)
        if type(value) is not bytes or (len(value) != size and value != default):
            raise self._bad(key, name, value, f"{size} bytes")
        return value

    def items(self, key: int, name: str, *, most: int) -> list[Any]:
        """Take a list of at most ``most`` items; absent means empty."""
        value = self.rest.pop(key, [])
        if type(value) is not list or len(value) > most:
            raise self._bad(key, name, value, f"a list of at most {most} items")
        return value
