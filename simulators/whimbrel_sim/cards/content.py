"""What a file holds, by sectors, and what of its unsynced changes a power cut may leave.

The model of a drive: a sector is written whole or not at all, in any order, and what reaches it
is what the page cache held at some moment. So each sector ends as it was after some number of
the changes that touch it, no fewer than a sync has made sure. The size changes in order (it is
journalled); a change that a lost truncation would have to come before is lost with it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

SECTOR_BYTES: Final = 512
_ZEROS: Final = bytes(SECTOR_BYTES)


@dataclass(slots=True)
class Content:
    """The bytes of a file; sectors that are missing are zeros."""

    size: int = 0
    sectors: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Return the content of a file that is there."""
        content = cls(len(data))
        for number, at in enumerate(range(0, len(data), SECTOR_BYTES)):
            sector = data[at : at + SECTOR_BYTES].ljust(SECTOR_BYTES, b"\0")
            if sector != _ZEROS:
                content.sectors[number] = sector
        return content

    def copy(self) -> Content:
        """Return the same, to be changed."""
        return Content(self.size, dict(self.sectors))

    def write(self, offset: int, data: bytes) -> None:
        """Write at an offset; the size grows as needed."""
        for number in _touched(offset, len(data)):
            self.sectors[number] = _over(self.sectors.get(number), number, offset, data)
        self.size = max(self.size, offset + len(data))

    def resize(self, size: int) -> None:
        """Cut off what is behind, or add zeros."""
        if size < self.size:
            last = size // SECTOR_BYTES
            for number in [n for n in self.sectors if n > last]:
                del self.sectors[number]
            if last in self.sectors:
                kept = self.sectors[last][: size % SECTOR_BYTES]
                self.sectors[last] = kept.ljust(SECTOR_BYTES, b"\0")
        self.size = size

    def data(self) -> bytes:
        """Return all of it."""
        whole = bytearray(-(-self.size // SECTOR_BYTES) * SECTOR_BYTES)
        for number, sector in self.sectors.items():
            at = number * SECTOR_BYTES
            if at < len(whole):
                whole[at : at + SECTOR_BYTES] = sector
        del whole[self.size :]
        return bytes(whole)


def _touched(offset: int, size: int) -> range:
    return range(offset // SECTOR_BYTES, -(-(offset + size) // SECTOR_BYTES)) if size else range(0)


def _over(sector: bytes | None, number: int, offset: int, data: bytes) -> bytes:
    """Return a sector with its part of a write laid over it."""
    begin = number * SECTOR_BYTES - offset
    if begin >= 0 and begin + SECTOR_BYTES <= len(data):
        return data[begin : begin + SECTOR_BYTES]
    old = sector or _ZEROS
    new = data[max(begin, 0) : begin + SECTOR_BYTES]
    at = max(-begin, 0)
    return old[:at] + new + old[at + len(new) :]


@dataclass(slots=True)
class Change:
    """One unsynced change: a write, or (``data`` is None) a new size.

    Attributes:
        offset: of a write, in bytes.
        size: of the file right after the change.
        data: what was written.
        cut_to: for a truncation that shortens: from which byte on there are zeros.
        doomed: a failed sync covered it: the page counts as clean, and no later sync brings it.
        sure: a later sync has made it durable, although an earlier one is doomed.
    """

    offset: int
    size: int
    data: bytes | None = None
    cut_to: int | None = None
    doomed: bool = False
    sure: bool = False

    def apply(self, content: Content) -> None:
        """Change a content."""
        if self.data is not None:
            content.write(self.offset, self.data)
        content.resize(self.size)

    def over(self, sector: bytes | None, number: int) -> bytes:
        """Return a sector after this change."""
        if self.data is not None:
            return _over(sector, number, self.offset, self.data)
        assert self.cut_to is not None
        kept = max(0, self.cut_to - number * SECTOR_BYTES)
        return (sector or b"")[:kept].ljust(SECTOR_BYTES, b"\0")


class Survival(Enum):
    """Which changes of a file a power cut leaves."""

    NOTHING = auto()
    EVERYTHING = auto()
    FIRST = auto()
    """The first ones, the last of them torn."""
    LAST = auto()
    """The last ones, and none before: the drive has reordered."""
    ANY = auto()
    """Each sector by itself."""
    ALL_BUT_ONE = auto()
    """One sector is missing."""


_SURVIVALS: Final = (*Survival, Survival.FIRST, Survival.ANY, Survival.ALL_BUT_ONE)


class File:
    """One file (an inode): what is durable, and the changes since."""

    def __init__(self, content: Content | None = None) -> None:
        self.durable = content or Content()
        self.changes: list[Change] = []
        self.index_head = b""  # of a log's index: what was last seen of it

    @property
    def size(self) -> int:
        """How long the file is to its programs."""
        return self.changes[-1].size if self.changes else self.durable.size

    def write(self, offset: int, data: bytes) -> None:
        """Take in a write."""
        self.changes.append(Change(offset, max(self.size, offset + len(data)), data))

    def resize(self, size: int) -> None:
        """Take in a new size."""
        self.changes.append(Change(0, size, cut_to=size if size < self.size else None))

    def sync(self) -> None:
        """Make every change durable that no failed sync has doomed."""
        if not any(change.doomed for change in self.changes):
            for change in self.changes:
                change.apply(self.durable)
            self.changes = []
        for change in self.changes:
            change.sure = not change.doomed

    def fail_sync(self) -> None:
        """Doom the changes that were to become durable."""
        for change in self.changes:
            change.doomed = not change.sure

    def newest(self) -> Content:
        """Return what programs read."""
        if not self.changes:
            return self.durable
        content = self.durable.copy()
        for change in self.changes:
            change.apply(content)
        return content

    def draw(self, chance: random.Random) -> Content:
        """Return what a power cut may leave."""
        return _Draw(self, chance).content() if self.changes else self.durable


class _Draw:
    """One drawing of one file."""

    def __init__(self, file: File, chance: random.Random) -> None:
        self._durable = file.durable
        self._changes = file.changes
        self._chance = chance
        self._survival = chance.choice(_SURVIVALS)
        self._from = chance.randrange(len(self._changes) + 1)
        self._share = chance.choice((0.1, 0.5, 0.9))
        self._garbage = chance.random() < 0.1
        self._sizes = self._drawn_sizes()

    def _drawn_sizes(self) -> int:
        """Draw up to which change the size is the new one (a count of changes)."""
        changes = self._changes
        least = max((n + 1 for n, change in enumerate(changes) if change.sure), default=0)
        wanted = {
            Survival.NOTHING: 0,
            Survival.EVERYTHING: len(changes),
            Survival.FIRST: self._from,
            Survival.LAST: len(changes),
            Survival.ALL_BUT_ONE: len(changes),
        }.get(self._survival, self._chance.randint(0, len(changes)))
        return max(least, wanted)

    def content(self) -> Content:
        versions = self._versions()
        result = self._durable.copy()
        taken = {number: self._taken(found) for number, found in versions.items()}
        if self._survival is Survival.ALL_BUT_ONE and versions:
            number = self._chance.choice(list(versions))
            taken[number] = self._clamped(versions[number], 0)
        size = self._changes[self._sizes - 1].size if self._sizes else self._durable.size
        for number, found in versions.items():
            for at in found[: taken[number]]:
                old = result.sectors.get(number)
                result.sectors[number] = self._changes[at].over(old, number)
            if self._garbage and not taken[number] and number * SECTOR_BYTES >= self._durable.size:
                result.sectors[number] = self._chance.randbytes(SECTOR_BYTES)
        result.size = max(result.size, size) + SECTOR_BYTES  # so that what is behind is cut off
        result.resize(size)
        return result

    def _versions(self) -> dict[int, list[int]]:
        """Return, for each sector, which changes touch it."""
        versions: dict[int, list[int]] = {}
        for at, change in enumerate(self._changes):
            if change.data is not None:
                touched = list(_touched(change.offset, len(change.data)))
            elif change.cut_to is not None:
                first = change.cut_to // SECTOR_BYTES
                touched = [n for n in {*versions, *self._durable.sectors} if n >= first]
            else:
                continue
            for number in touched:
                versions.setdefault(number, []).append(at)
        return versions

    def _clamped(self, found: list[int], wanted: int) -> int:
        """Return how many of a sector's changes are there: the wanted number, where it may be."""
        least, most = 0, len(found)
        for place, at in enumerate(found):
            change = self._changes[at]
            if change.sure or (change.cut_to is not None and at < self._sizes):
                least = place + 1
            elif change.cut_to is not None and place < most:
                most = place
        return max(least, min(most, wanted))

    def _taken(self, found: list[int]) -> int:
        chance, count = self._chance, len(found)
        match self._survival:
            case Survival.NOTHING:
                wanted = 0
            case Survival.FIRST:
                wanted = sum(at < self._from for at in found)
                wanted += self._from in found and chance.random() < 0.5
            case Survival.LAST:
                wanted = count if found[-1] >= self._from else 0
            case Survival.ANY:
                wanted = sum(chance.random() < self._share for _ in found)
            case _:
                wanted = count
        return self._clamped(found, wanted)
