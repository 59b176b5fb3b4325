"""Recomputing everything that a journal claims: nothing is taken on trust but the public keys.

Per frame: the row's checksum, the digest, the signature by an enrolled key, the header against
the row, the columns. Per stream: its checksum, kept frames do not overlap and lie within the
settled ranges, index and frames name each other. Per partition: its checksum, offsets without
a hole. At last SQLite's own structure. Memory stays flat: everything is streamed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from whimbrel_aggregator.reading import UnreadableFrameError
from whimbrel_protocol import cose
from whimbrel_protocol.dictionaries import dictionary_name
from whimbrel_protocol.epoch import fork_epoch, ordinal_of
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.keys import PUBLIC_KEY_BYTES, BadSignatureError, PublicKey
from whimbrel_protocol.lanes import GapReason
from whimbrel_protocol.sequences import RangeSet

from .dictionaries import decode_stored
from .errors import JournalError
from .identities import DeviceRow, Identities
from .reading import Wanted, list_partitions, read_page
from .rows import check_row, unpack_ranges
from .schema import OFFSET_BITS, check_before_opening, connect
from .values import DeviceKey, FrameRecord, PartitionState
from .writing import read_partition

MAX_PROBLEMS: Final = 1_000
"""Problems listed; all are counted."""

_PAGE_FRAMES: Final = 64
Progress = Callable[[int, int], None]
"""Called with frames checked and frames in all."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was written, and where."""

    where: str
    what: str


@dataclass(slots=True)
class VerifyReport:
    """What verification found. ``unsigned`` frames are by keys no longer enrolled."""

    generation: str = ""
    partitions: int = 0
    streams: int = 0
    frames: int = 0
    events: int = 0
    gapped: int = 0
    forks: int = 0
    unsigned: int = 0
    problems_found: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return self.problems_found == 0

    def add(self, where: str, what: str) -> None:
        """Take a problem in."""
        self.problems_found += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(where, what))


def verify_journal(path: Path, *, progress: Progress | None = None) -> VerifyReport:
    """Verify a journal file, in use or not, in one snapshot.

    Raises:
        JournalError: it cannot be opened at all.
    """
    check_before_opening(path)
    if not path.exists():
        raise JournalError(f"journal {path} does not exist")
    report = VerifyReport()
    connection = connect(path, readonly=True)
    try:
        connection.execute("BEGIN")
        _Verifier(connection, report, progress).run()
    except sqlite3.DatabaseError as error:
        report.add("file", f"cannot be read on: {error}")
    finally:
        connection.close()
    return report


class _Verifier:
    def __init__(
        self, connection: sqlite3.Connection, report: VerifyReport, progress: Progress | None
    ) -> None:
        self._connection = connection
        self._report = report
        self._progress = progress
        self._identities = Identities(connection)
        self._keys: dict[DeviceKey, dict[bytes, PublicKey]] = {}

    def run(self) -> None:
        steps = (self._generation, self._devices, self._streams, self._small_tables, self._frames)
        for step in (*steps, self._index, self._structure):
            try:
                step()
            except (JournalError, sqlite3.DatabaseError) as error:
                self._report.add(step.__name__.strip("_"), str(error))

    def _generation(self) -> None:
        row = self._connection.execute("SELECT value FROM meta WHERE key='generation'").fetchone()
        self._report.generation = row[0].hex() if row else ""

    def _devices(self) -> None:
        for row in self._each("SELECT * FROM devices"):
            try:
                device = DeviceRow.read(row)
            except JournalError as error:
                self._report.add(f"device row {row[0]}", str(error))
                continue
            self._keys[device.key] = {}
            for _, raw, crc in self._connection.execute(
                "SELECT * FROM device_keys WHERE device = ?", (device.id,)
            ):
                where = f"public key of {device.key}"
                self._checked(where, check_row, where, crc, device.id, raw)
                if type(raw) is bytes and len(raw) == PUBLIC_KEY_BYTES:
                    key = PublicKey(raw)
                    self._keys[device.key][key.key_id] = key

    def _streams(self) -> None:
        for row in self._each("SELECT device, epoch, lane, ranges FROM streams"):
            self._report.streams += 1
            self._checked(f"stream {row[:3]}", unpack_ranges, row[:3], row[3])

    def _small_tables(self) -> None:
        for row in self._each("SELECT * FROM cursors"):
            self._checked("cursors", check_row, f"cursor of {row[0]!r}", row[-1], *row[:-1])
        for row in self._each("SELECT * FROM parked"):
            self._checked("parked", check_row, f"parked record {row[0]}", row[-1], *row[1:-1])
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > 1:  # a file of an older program is verified as it is
            self._dictionaries()

    def _dictionaries(self) -> None:
        for row in self._each("SELECT device, name, content, crc FROM dictionaries"):
            where = f"dictionary {row[1]!r} of device row {row[0]}"
            self._checked("dictionaries", check_row, where, row[3], *row[:3])
            if type(row[2]) is not bytes or dictionary_name(row[2]) != row[1]:
                self._report.add("dictionaries", f"{where} has another content than its name says")

    def _checked(self, where: str, check: Callable[..., object], *values: object) -> None:
        try:
            check(*values)
        except JournalError as error:
            self._report.add(where, str(error))

    def _each(self, statement: str) -> Iterator[Any]:
        return iter(self._connection.execute(statement).fetchall())

    # ---- frames

    def _frames(self) -> None:
        states = []
        for (partition,) in self._each("SELECT id FROM partitions"):
            self._checked(f"partition row {partition}", read_partition, self._connection, partition)
        states = list_partitions(self._connection)
        self._report.partitions = len(states)
        total = sum(state.head - state.oldest + 1 for state in states)
        for state in states:
            self._partition(state, total)

    def _partition(self, state: PartitionState, total: int) -> None:
        offset = state.oldest
        while offset <= state.head:
            wanted = Wanted(offset, _PAGE_FRAMES, 2**40)
            page = read_page(self._connection, self._identities, state.key, wanted)
            for lost in page.damaged:
                self._report.frames += 1
                self._report.add(f"{state.key} offset {lost.offset}", lost.why)
            for record in page.frames:
                self._report.frames += 1
                self._record(record)
            offset = page.next_offset
            if self._progress is not None:
                self._progress(self._report.frames, total)

    def _record(self, record: FrameRecord) -> None:
        where = f"{record.partition} offset {record.offset}"
        report = self._report
        report.events += record.count
        report.gapped += record.span - record.count
        report.forks += record.fork
        try:
            self._signature(record)
            if record.reason != GapReason.REFUSED or record.count:
                _compare(record)
                decode_stored(self._connection, self._identities, record)
        except (ProtocolError, UnreadableFrameError) as error:
            report.add(where, str(error))

    def _signature(self, record: FrameRecord) -> None:
        signed = cose.parse(record.data)
        key = self._keys.get(record.key.device_key, {}).get(signed.key_id)
        if key is None:
            self._report.unsigned += 1
            return
        try:
            signed.verify(key)
        except BadSignatureError as error:
            self._report.add(f"{record.partition} offset {record.offset}", str(error))

    # ---- index and structure

    def _index(self) -> None:
        """Index and frames name each other, and a stream's frames lie apart in its ranges."""
        rows = self._connection.execute(
            "SELECT i.stream, i.first, f.stream, f.first, f.span, s.device, s.epoch, s.lane, "
            "s.ranges FROM frame_index i LEFT JOIN streams s ON s.id = i.stream "
            "LEFT JOIN devices d ON d.id = s.device "
            "LEFT JOIN frames f ON f.id = (d.partition << ?) | i.position "
            "ORDER BY i.stream, i.first",
            (OFFSET_BITS,),
        )
        stream, end, ranges, entries = None, 0, RangeSet(), 0
        for row in rows:
            entries += 1
            where = f"stream row {row[0]} sequence {row[1]}"
            if row[2] != row[0] or row[3] != row[1]:
                self._report.add(where, "the index names a frame that is not there")
                continue
            if row[0] != stream:
                stream, end, ranges = row[0], 0, RangeSet()
                try:
                    ranges = unpack_ranges(row[5:8], row[8])
                except JournalError:
                    continue  # listed with the streams
            if row[1] <= end:
                self._report.add(where, f"overlaps the frame before it, which ends at {end}")
            end = row[1] + row[4] - 1
            if not ranges.covers(row[1], end):
                self._report.add(where, f"{row[1]}..{end} is kept, but not settled")
        (frames,) = self._connection.execute("SELECT count(*) FROM frames").fetchone()
        if frames != entries:
            self._report.add("frame index", f"has {entries} entries for {frames} frames")

    def _structure(self) -> None:
        for (text,) in self._each("PRAGMA integrity_check(100)"):
            if text != "ok":
                self._report.add("file", text)


def _compare(record: FrameRecord) -> None:
    """Compare a row with the header that the device signed.

    Raises:
        ProtocolError: they differ.
    """
    header = open_frame(record.data).header
    epoch = header.epoch
    if record.fork:
        epoch = fork_epoch(record.digest, ordinal_of(header.epoch))
    key = record.key
    signed = (
        *(header.address.tenant, header.address.store, header.address.device),
        *(epoch, header.lane, header.first, header.span, header.count),
        *(header.time_min_ns, header.time_max_ns, header.zones),
    )
    stored = (
        *(key.tenant, key.store, key.device),
        *(key.epoch, key.lane, record.first, record.span, record.count),
        *(record.time_min_ns, record.time_max_ns, record.zones),
    )
    if signed != stored:
        raise UnreadableFrameError("the row says something else than the signed header")
