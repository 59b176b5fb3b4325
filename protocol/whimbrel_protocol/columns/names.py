"""Names in the head of a body: types, sources, zones and keys, each spelt out once.

A *name reference* is one varint. Even: a name that has not come yet, of ``r / 2`` bytes, which
come next in the text region; names are numbered from 0 as they come. Odd: the name with number
``(r - 1) / 2``. 0 is no name (no event has an empty one).
"""

from __future__ import annotations

from typing import Final

from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_KEY_BYTES

__all__ = ["NameReader", "NameWriter"]

_MAX_NAMES: Final = 400_000
"""More than ``MAX_FRAME_VALUES`` lets a writer have: a shape has columns of its own only for
three events or more, or in frames of few shapes."""


class NameWriter:
    """Writes name references into one body."""

    __slots__ = ("_numbers", "_out")

    def __init__(self, out: BodyWriter) -> None:
        self._out = out
        self._numbers: dict[str, int] = {}

    def put(self, name: str | None) -> None:
        """Append a reference to a checked name, or to none."""
        if name is None:
            self._out.head.append(0)
            return
        number = self._numbers.get(name)
        if number is not None:
            put_varint(self._out.head, number * 2 + 1)
            return
        self._numbers[name] = len(self._numbers)
        piece = name.encode()
        put_varint(self._out.head, len(piece) * 2)
        self._out.text += piece


class NameReader:
    """Reads the name references of one body."""

    __slots__ = ("_body", "_names")

    def __init__(self, body: BodyReader) -> None:
        self._body = body
        self._names: list[str] = []

    def name(self) -> str:
        """Give the next name.

        Raises:
            RemoteProtocolError: malformed, or no name.
        """
        name = self.name_or_none()
        if name is None:
            raise RemoteProtocolError("a name reference is 0: a name is needed here")
        return name

    def name_or_none(self) -> str | None:
        """Give the next name, or that there is none.

        Raises:
            RemoteProtocolError: malformed.
        """
        reference = self._body.head.varint(2 * _MAX_NAMES, "name reference")
        if reference == 0:
            return None
        if reference & 1:
            return self._known(reference >> 1)
        if reference > 2 * MAX_KEY_BYTES or len(self._names) >= _MAX_NAMES:
            raise RemoteProtocolError(
                f"name length is {reference // 2}: must be at most {MAX_KEY_BYTES},"
                f" and names at most {_MAX_NAMES}"
            )
        name = self._spell(reference >> 1)
        self._names.append(name)
        return name

    def _known(self, number: int) -> str:
        if number >= len(self._names):
            raise RemoteProtocolError(
                f"name number is {number}: {len(self._names)} names are known"
            )
        return self._names[number]

    def _spell(self, size: int) -> str:
        try:
            return str(self._body.text.take(size), "utf-8")
        except UnicodeDecodeError as exc:
            raise RemoteProtocolError(f"a name is not utf-8: {exc}") from exc
