"""Sets of 64-bit sequence numbers, kept as sorted, disjoint, inclusive ranges.

The region's dedup state and the agent's record of what is settled are both of this kind: a
few ranges a stream, whatever the number of events.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from .errors import LocalProtocolError, RemoteProtocolError

MAX_SEQUENCE: Final = 2**63 - 1
"""The largest sequence: SQLite integers are signed 64-bit."""

_MAX_VARINT_BYTES: Final = 9


class RangeSet:
    """A set of positive integers held as inclusive ranges.

    ``bool(ranges)`` says whether it is non-empty, ``len(ranges)`` how many ranges it has,
    iteration yields ``(first, last)`` in rising order.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        return len(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"

    @property
    def total(self) -> int:
        """How many integers are in the set."""
        return sum(last - first + 1 for first, last in self)

    @property
    def high_water(self) -> int:
        """The largest n such that 1..n are all in the set; 0 when 1 is missing."""
        return self._lasts[0] if self._firsts and self._firsts[0] == 1 else 0

    @property
    def last(self) -> int:
        """The largest integer in the set; 0 when it is empty."""
        return self._lasts[-1] if self._lasts else 0

    def copy(self) -> RangeSet:
        """Return an independent copy."""
        twin = RangeSet()
        twin._firsts = self._firsts.copy()
        twin._lasts = self._lasts.copy()
        return twin

    def add(self, first: int, last: int) -> None:
        """Add ``first..last``, joining ranges that touch.

        Raises:
            LocalProtocolError: ``1 <= first <= last <= MAX_SEQUENCE`` does not hold.
        """
        if not 1 <= first <= last <= MAX_SEQUENCE:
            raise LocalProtocolError(
                f"sequence range {first}..{last} is not within 1..{MAX_SEQUENCE}"
            )
        firsts, lasts = self._firsts, self._lasts
        if lasts and first == lasts[-1] + 1:  # the usual case: the stream goes on
            lasts[-1] = last
            return
        low = bisect_right(lasts, first - 2)  # first range that ends at first-1 or later
        high = bisect_right(firsts, last + 1)  # first range that starts after last+1
        if low < high:
            first = min(first, firsts[low])
            last = max(last, lasts[high - 1])
        firsts[low:high] = [first]
        lasts[low:high] = [last]

    def remove(self, first: int, last: int) -> None:
        """Take ``first..last`` out of the set, whatever of it was in."""
        kept = []
        for start, end in self:
            if end < first or start > last:
                kept.append((start, end))
                continue
            if start < first:
                kept.append((start, first - 1))
            if end > last:
                kept.append((last + 1, end))
        self._firsts = [start for start, _ in kept]
        self._lasts = [end for _, end in kept]

    def covers(self, first: int, last: int) -> bool:
        """Say whether all of ``first..last`` is in the set."""
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and self._lasts[at] >= last

    def overlaps(self, first: int, last: int) -> bool:
        """Say whether any of ``first..last`` is in the set."""
        at = bisect_right(self._firsts, last) - 1
        return at >= 0 and self._lasts[at] >= first

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the parts of ``first..last`` that are not in the set, rising."""
        holes = []
        at = first
        for start, end in self:
            if end < at:
                continue
            if start > last:
                break
            if start > at:
                holes.append((at, start - 1))
            at = end + 1
        if at <= last:
            holes.append((at, last))
        return holes

    def to_bytes(self) -> bytes:
        """Pack the ranges as LEB128 numbers: distance from the last end, then length - 1."""
        out = bytearray()
        before = 0
        for first, last in self:
            _put_varint(out, first - before)
            _put_varint(out, last - first)
            before = last
        return bytes(out)

    @classmethod
    def from_bytes(cls, data: bytes) -> RangeSet:
        """Unpack what :meth:`to_bytes` made.

        Raises:
            RemoteProtocolError: the bytes are cut short or leave the allowed range.
        """
        ranges = cls()
        numbers = list(_varints(data))
        if len(numbers) % 2:
            raise RemoteProtocolError(f"range set of {len(data)} bytes is cut short")
        before = 0
        for distance, extra in zip(numbers[::2], numbers[1::2], strict=True):
            first, last = before + distance, before + distance + extra
            if distance < 1 or last > MAX_SEQUENCE:
                raise RemoteProtocolError(f"range set holds {first}..{last}, which is not rising")
            ranges.add(first, last)
            before = last
        return ranges


def _put_varint(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _varints(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
        elif shift >= 7 * _MAX_VARINT_BYTES:
            raise RemoteProtocolError("number in a range set is longer than 63 bits")
    if shift:
        raise RemoteProtocolError(f"range set of {len(data)} bytes is cut short")
