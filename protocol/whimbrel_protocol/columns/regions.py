"""The regions of a column body, and bounded reading from them.

A body is ``varint(len head) varint(len text) varint(len planes)`` and then the four regions:
head (structure, small numbers), text (strings), planes (structured bytes), noise (bytes that
no codec shrinks). Keeping like bytes together lets the codec use one entropy table per kind. Where
the dictionary has histograms ``varint(len noise)`` comes fourth, and a fifth region is *coded* (see
``rans``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whimbrel_protocol.columns.budget import Budget
from whimbrel_protocol.columns.coder import Coder
from whimbrel_protocol.columns.histograms import NO_HISTOGRAMS, Histograms
from whimbrel_protocol.columns.numbers import unzigzag, zigzag
from whimbrel_protocol.columns.rans import ShareReader
from whimbrel_protocol.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["BodyReader", "BodyWriter", "Region", "put_varint", "put_zigzag", "read_varint"]

_MAX_VARINT_BYTES = 10


class BodyWriter:
    """Collects the regions of one body, within its budget.

    Args:
        light: streams of integers are planned with less work; see ``planning``.

    Attributes:
        following: a column in it refers to the dictionary's tables.
        coder: where the dictionary has histograms.
    """

    __slots__ = ("budget", "coder", "following", "head", "light", "noise", "planes", "text")

    def __init__(self, *, light: bool = False, coder: Coder | None = None) -> None:
        self.light = light
        self.coder = coder
        self.following = False
        self.head = bytearray()
        self.text = bytearray()
        self.planes = bytearray()
        self.noise = bytearray()
        self.budget = Budget(LocalProtocolError)

    def finish(self) -> tuple[bytes, list[int]]:
        """Give the body and the offsets at which a region other than the first starts."""
        lead = bytearray()
        regions = [self.head, self.text, self.planes, self.noise]
        coded = b"" if self.coder is None else self.coder.finish()
        for region in regions if self.coder is not None else regions[:-1]:
            put_varint(lead, len(region))
        lead += self.head
        cuts = [len(lead)]
        cuts.append(cuts[-1] + len(self.text))
        cuts.append(cuts[-1] + len(self.planes))
        return bytes(lead + self.text + self.planes + self.noise + coded), cuts


class Region:
    """Reads one region from front to back; never past its end."""

    __slots__ = ("_data", "_place")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def take(self, size_bytes: int) -> bytes:
        """Give the next bytes.

        Raises:
            RemoteProtocolError: fewer are left.
        """
        start = self._place
        end = start + size_bytes
        if end > len(self._data):
            raise RemoteProtocolError(
                f"columns end early: {size_bytes} bytes wanted, {len(self._data) - start} are left"
            )
        self._place = end
        return self._data[start:end]

    def left(self) -> int:
        """Give how many bytes are left."""
        return len(self._data) - self._place

    def until(self, mark: bytes, count: int) -> list[bytes]:
        """Give the next ``count`` pieces, each ended by ``mark`` (one byte, not given)."""
        data, place = self._data, self._place
        if count > len(data) - place:
            raise RemoteProtocolError(f"columns end early: {count} texts wanted")
        pieces = data[place:].split(mark, count)
        if len(pieces) <= count:
            raise RemoteProtocolError(f"columns end early: {count} texts wanted")
        self._place = len(data) - len(pieces[count])
        return pieces[:count]

    def byte(self) -> int:
        """Give the next byte as a number."""
        place = self._place
        if place >= len(self._data):
            raise RemoteProtocolError("columns end early: a byte wanted, none is left")
        self._place = place + 1
        return self._data[place]

    def varint(self, limit: int, what: str) -> int:
        """Give the next varint.

        Raises:
            RemoteProtocolError: it is cut, too long, or above ``limit``.
        """
        value, self._place = read_varint(self._data, self._place)
        if value > limit:
            raise RemoteProtocolError(f"{what} is {value}: must be at most {limit}")
        return value

    def zigzag(self) -> int:
        """Give the next signed 64-bit number."""
        return unzigzag(self.varint(2**64 - 1, "number"))


class BodyReader:
    """The regions of one body, opened for reading within a budget.

    Args:
        body: the bytes.
        rows: of each table of the dictionary the rows, by their known values.
        histograms: of the dictionary.
    """

    __slots__ = (
        *("_coded", "_histograms", "_rows", "_texts"),
        *("budget", "head", "noise", "planes", "text"),
    )

    def __init__(
        self,
        body: bytes,
        rows: Sequence[Mapping[Any, Any]] = (),
        histograms: Histograms = NO_HISTOGRAMS,
    ) -> None:
        self._rows = rows
        self._texts: dict[int, list[Any]] = {}
        self._histograms = histograms
        lead = Region(body)
        names = ("head", "text", "planes", "noise") if histograms else ("head", "text", "planes")
        sizes = [lead.varint(len(body), f"size of {name}") for name in names]
        self.head = Region(lead.take(sizes[0]))
        self.text = Region(lead.take(sizes[1]))
        self.planes = Region(lead.take(sizes[2]))
        self.noise = Region(lead.take(sizes[3] if histograms else lead.left()))
        self._coded = ShareReader(lead.take(lead.left()))
        self.budget = Budget(RemoteProtocolError)

    @property
    def has_histograms(self) -> bool:
        """Whether the dictionary has histograms."""
        return bool(self._histograms)

    def coded(self, number: int, count: int) -> list[int]:
        """Give back ``count`` values of signed 64 bits, by the histogram of this number.

        Raises:
            RemoteProtocolError: malformed, or there is no such histogram.
        """
        if number >= len(self._histograms.all):
            raise RemoteProtocolError(
                f"numbers are coded by histogram {number}: there are {len(self._histograms.all)}"
            )
        return self._histograms.all[number].read(self._coded, count)

    def known_texts(self) -> list[Any]:
        """Read the number of a table from the head, and give the texts that it knows, by row.

        Raises:
            RemoteProtocolError: there is no such table, or it knows no texts.
        """
        if not self._rows:
            raise RemoteProtocolError("texts stand in a table, and there are no tables")
        number = self.head.varint(len(self._rows) - 1, "number of a table")
        if number not in self._texts:
            self._texts[number] = list(self._rows[number])
        if type(self._texts[number][0]) is not str:
            raise RemoteProtocolError(f"texts stand in table {number}, which knows no texts")
        return self._texts[number]

    def close(self) -> None:
        """Check that every region was read to its end.

        Raises:
            RemoteProtocolError: bytes are left over.
        """
        left = sum(r.left() for r in (self.head, self.text, self.planes, self.noise))
        if left:
            raise RemoteProtocolError(f"{left} bytes are left over after the last column")
        self._coded.close()


def put_varint(out: bytearray, value: int) -> None:
    """Append an unsigned LEB128 number."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def put_zigzag(out: bytearray, value: int) -> None:
    """Append a signed 64-bit number: zigzag, then LEB128."""
    put_varint(out, zigzag(value))


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number of at most ten bytes; give it and the place after it.

    Raises:
        RemoteProtocolError: cut off, longer than needed, or beyond 64 bits.
    """
    value = 0
    for shift in range(0, 7 * _MAX_VARINT_BYTES, 7):
        if place >= len(data):
            raise RemoteProtocolError("columns end early: inside a number")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 2**64 or (byte == 0 and shift):
                break
            return value, place
    raise RemoteProtocolError("number is not a shortest varint of at most 64 bits")
