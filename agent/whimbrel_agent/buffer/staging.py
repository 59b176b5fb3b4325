"""Staged rows: what was accepted and is not sealed yet, as checksummed bytes.

One row holds a run of events of one (epoch, lane). It says itself what it is, so that it can be
found and checked in the ruins of a database:

======  ====  =====================================================================
offset  size  field (big-endian)
======  ====  =====================================================================
0       4     ``WSR1``
4       1     packing: 0 as it is, 1 zstd
5       1     lane number
6       1     quality of the wall clock at acceptance
7       1     zero
8       8     epoch
16      8     first sequence
24      4     events
28      4     size of the rows before packing, bytes
32      8     monotonic nanoseconds at acceptance
40      8     wall clock nanoseconds at acceptance, signed
48      4     size of the packed rows, bytes
52      4     CRC-32 of everything else
56      ...   the events' rows (see ``whimbrel_protocol.rows``), packed
======  ====  =====================================================================
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import zstandard

from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import LANES, ClockQuality
from whimbrel_protocol.limits import MAX_EVENT_BYTES
from whimbrel_protocol.packing import array_head
from whimbrel_protocol.rows import pack_events, unpack_events

MAGIC: Final = b"WSR1"
MAX_ROW_EVENTS: Final = 250
"""A frame is cut at rows: four of these make the most that is sealed at once."""

MAX_ROW_BYTES: Final = 64 * 1024
"""Rows of events before packing; a single event may be a little more with its array head."""

_HEAD: Final = struct.Struct(">4sBBBxQQIIQqI")
_SUM: Final = struct.Struct(">I")
HEAD_BYTES: Final = _HEAD.size + _SUM.size
_CLAIM: Final = struct.Struct(">4sBBBxQQI")
CLAIM_BYTES: Final = _CLAIM.size
"""The part of the head that is always in one piece: in pages of 512 bytes SQLite leaves at least
34 bytes of a row where it begins, and moves the others to further pages."""

_RAW_LIMIT: Final = MAX_ROW_BYTES + MAX_EVENT_BYTES
_LEVEL: Final = 1
"""Higher levels gain under two per cent on groups of 100 events."""

_WORTH_PACKING_BYTES: Final = 128

_local = threading.local()
"""Compressors are not safe in two threads at once; making one costs more than using it."""


class DamagedRowError(Exception):
    """A staged row's bytes are not what was written."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """When, by which clocks, a group was accepted."""

    mono_ns: int
    wall_ns: int
    quality: ClockQuality


@dataclass(frozen=True, slots=True)
class StagedRow:
    """One row, opened and checked; ``packed`` is still packed."""

    epoch: int
    lane: int
    first: int
    count: int
    stamp: Stamp
    raw_bytes: int
    packing: int
    packed: bytes

    @property
    def last(self) -> int:
        """The last sequence in the row."""
        return self.first + self.count - 1

    def raw(self) -> bytes:
        """Return the rows of events, unpacked.

        Raises:
            RemoteProtocolError, ZstdError: the bytes do not unpack to the size they claim.
        """
        return _unpack(self.packing, self.packed, self.raw_bytes)

    def events(self) -> list[Event]:
        """Unpack the events.

        Raises:
            DamagedRowError: they do not unpack to the number the row claims.
        """
        try:
            # packed by us and under a checksum; sealing checks every limit again, by columns
            events = unpack_events(self.raw(), trusted=True)
        except (RemoteProtocolError, zstandard.ZstdError) as error:
            raise DamagedRowError(f"staged row {self.first} does not unpack: {error}") from error
        if len(events) != self.count or any(e.lane != LANES[self.lane] for e in events):
            raise DamagedRowError(f"staged row {self.first} holds other events than it says")
        return events


@dataclass(frozen=True, slots=True)
class Pack:
    """Events of one lane, validated and packed, waiting for their sequences."""

    lane: int
    events: tuple[Event, ...]
    rows: bytes

    @property
    def count(self) -> int:
        """How many events."""
        return len(self.events)


def pack_lane(lane: int, events: Sequence[Event]) -> list[Pack]:
    """Pack events of one lane into runs that fit a row each.

    Raises:
        FieldError: an event breaks a limit.
    """
    if len(events) > MAX_ROW_EVENTS:
        middle = MAX_ROW_EVENTS
        return pack_lane(lane, events[:middle]) + pack_lane(lane, events[middle:])
    rows = pack_events(events)
    if len(rows) > MAX_ROW_BYTES and len(events) > 1:
        middle = len(events) // 2
        return pack_lane(lane, events[:middle]) + pack_lane(lane, events[middle:])
    return [Pack(lane, tuple(events), rows)]


def join_packs(packs: Sequence[Pack]) -> list[Pack]:
    """Join neighbours of one lane while they fit one row: many small accepts, few rows."""
    if len(packs) == 1:
        return list(packs)
    joined: list[Pack] = []
    run: list[Pack] = []
    events = size = 0
    for pack in packs:
        if run and (events + pack.count > MAX_ROW_EVENTS or size + len(pack.rows) > MAX_ROW_BYTES):
            joined.append(_join(run))
            run, events, size = [], 0, 0
        run.append(pack)
        events += pack.count
        size += len(pack.rows)
    joined.append(_join(run))
    return joined


def _join(run: Sequence[Pack]) -> Pack:
    if len(run) == 1:
        return run[0]
    events = tuple(chain.from_iterable(pack.events for pack in run))
    bodies = [pack.rows[len(array_head(pack.count)) :] for pack in run]
    return Pack(run[0].lane, events, array_head(len(events)) + b"".join(bodies))


def write_row(pack: Pack, *, epoch: int, first: int, stamp: Stamp) -> bytes:
    """Return the bytes of a staged row."""
    packing, packed = _pack(pack.rows)
    head = _HEAD.pack(
        MAGIC,
        packing,
        pack.lane,
        stamp.quality,
        epoch,
        first,
        pack.count,
        len(pack.rows),
        stamp.mono_ns,
        stamp.wall_ns,
        len(packed),
    )
    return b"".join((head, _SUM.pack(zlib.crc32(packed, zlib.crc32(head))), packed))


def read_row(data: bytes) -> StagedRow:
    """Open a staged row and check it.

    Raises:
        DamagedRowError: the bytes are not what was written.
    """
    head, packed = data[: _HEAD.size], data[HEAD_BYTES:]
    if len(data) < HEAD_BYTES or data[_HEAD.size : HEAD_BYTES] != _SUM.pack(
        zlib.crc32(packed, zlib.crc32(head))
    ):
        raise DamagedRowError(f"staged row of {len(data)} bytes has another checksum")
    magic, packing, lane, quality, epoch, first, count, raw, mono_ns, wall_ns, _ = _HEAD.unpack(
        head
    )
    if magic != MAGIC or lane >= len(LANES) or packing > 1 or not 1 <= count <= MAX_ROW_EVENTS:
        raise DamagedRowError(f"staged row of {len(data)} bytes is of no known form")
    stamp = Stamp(mono_ns, wall_ns, ClockQuality(quality))
    return StagedRow(epoch, lane, first, count, stamp, raw, packing, packed)


@dataclass(frozen=True, slots=True)
class RowClaim:
    """What a staged row says of itself, unchecked: good for finding it, not for trusting it."""

    epoch: int
    lane: int
    first: int
    count: int


def claim_of(begin: bytes) -> RowClaim | None:
    """Read the first ``CLAIM_BYTES`` of what may be a staged row; None when it cannot be one."""
    if len(begin) < CLAIM_BYTES or not begin.startswith(MAGIC):
        return None
    _, _, lane, _, epoch, first, count = _CLAIM.unpack_from(begin)
    if lane >= len(LANES) or not 1 <= count <= MAX_ROW_EVENTS:
        return None
    return RowClaim(epoch, lane, first, count)


def size_claimed(head: bytes) -> int | None:
    """Return how many bytes a row with this head has, unchecked; None when it cannot be."""
    packed: int = _HEAD.unpack_from(head)[-1]
    return HEAD_BYTES + packed if packed <= 2 * _RAW_LIMIT else None


def _pack(rows: bytes) -> tuple[int, bytes]:
    if len(rows) < _WORTH_PACKING_BYTES:
        return 0, rows
    try:
        compressor = _local.compressor
    except AttributeError:
        compressor = _local.compressor = zstandard.ZstdCompressor(
            level=_LEVEL, write_content_size=False, write_checksum=False
        )
    packed: bytes = compressor.compress(rows)
    return (1, packed) if len(packed) < len(rows) else (0, rows)


def _unpack(packing: int, packed: bytes, raw_bytes: int) -> bytes:
    if packing == 0:
        return packed
    if raw_bytes > _RAW_LIMIT:
        raise RemoteProtocolError(f"staged row claims {raw_bytes} bytes, at most {_RAW_LIMIT}")
    stream = zstandard.ZstdDecompressor().stream_reader(packed)
    raw = stream.read(raw_bytes + 1)
    if len(raw) != raw_bytes:
        raise RemoteProtocolError(f"staged row unpacks to {len(raw)} bytes, not {raw_bytes}")
    return raw
