"""The numbers file: what numbering may have been used, kept apart from the database.

After damage it says how many starts there were and up to which sequence events may have been
accepted, so that nothing is numbered twice and what was lost has an upper bound. It is a log
of checksummed records, compacted when its room is used up:

======  ====  =====================================================================
offset  size  field (big-endian)
======  ====  =====================================================================
0       1     kind: 1 start, 2 reserved, 3 clean stop, 4 a durability window is in force
1       1     lane number (reserved, window), else 0
2       2     zero
4       8     epoch
12      8     reserved through this sequence (reserved); bits of the boot id (start)
20      4     CRC-32 of bytes 0..19
======  ====  =====================================================================

A record with a wrong checksum is passed over: it is the last one after a torn write, or a
damaged one whose neighbours still bound it. The file's room is taken in advance, so that a
full disk does not stop a reservation; its unused rest is zero.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from whimbrel_protocol.epoch import ordinal_of
from whimbrel_protocol.header import BOOT_ID_BYTES

_RECORD: Final = struct.Struct(">BBHQQ")
_CHECK: Final = struct.Struct(">I")
RECORD_BYTES: Final = _RECORD.size + _CHECK.size
_START, _RESERVED, _CLEAN, _WINDOWED = 1, 2, 3, 4

MAX_NUMBERS_BYTES: Final = 64 * 1024
"""The file is rewritten past this size."""

MAX_KEPT_STREAMS: Final = 1_024
"""Streams whose bounds are kept: 256 starts with four lanes."""

MIN_BLOCK: Final = 256
MAX_BLOCK: Final = 16_384
"""Sequences reserved at once: doubling from the least to the most, so that a quiet lane's
upper bound stays tight and a busy one costs a sync per 16,384 events."""

MIN_WINDOW_BLOCK: Final = 64
MAX_WINDOW_BLOCK: Final = 1_024
"""The same in a lane with a durability window: all that is reserved and is not on the disk after an
unclean stop counts as lost. A sync per 1,024 events is 4 bytes an event by the kernel's count."""

_WINDOW_FLUSHES: Final = 16
"""Such a lane reserves for so many writings ahead: a sixteenth more syncs at most."""


class NotSyncedError(OSError):
    """A sync failed: what it was to bring may never come, and asking again would say it had."""


@dataclass(slots=True)
class NumbersState:
    """What the file says.

    Attributes:
        epochs: every start still known, oldest first.
        reserved: (epoch, lane number) -> highest sequence that may have been given out.
        windowed: those of them in which answered events may have been in memory only.
        clean: whether the last start ended in an orderly stop.
        boot_id: boot of the last start, empty when unknown.
        damaged_records: records passed over.
    """

    epochs: list[int] = field(default_factory=list)
    reserved: dict[tuple[int, int], int] = field(default_factory=dict)
    windowed: set[tuple[int, int]] = field(default_factory=set)
    clean: bool = True
    boot_id: bytes = b""
    damaged_records: int = 0

    @property
    def last_ordinal(self) -> int:
        """The highest start count seen."""
        return max((ordinal_of(epoch) for epoch in self.epochs), default=0)


def read_numbers(data: bytes) -> NumbersState:
    """Read the records of a numbers file."""
    state = NumbersState()
    for at in range(0, len(data), RECORD_BYTES):
        record = data[at : at + RECORD_BYTES]
        if not any(record):
            continue
        if len(record) < RECORD_BYTES or zlib.crc32(record[:-4]) != _CHECK.unpack(record[-4:])[0]:
            state.damaged_records += 1
            continue
        kind, lane, _, epoch, number = _RECORD.unpack(record[:-4])
        if kind == _START:
            state.epochs.append(epoch)
            state.clean = False
            state.boot_id = number.to_bytes(8, "big")[-BOOT_ID_BYTES:]
        elif kind == _RESERVED:
            key = (epoch, lane)
            state.reserved[key] = max(number, state.reserved.get(key, 0))
        elif kind == _WINDOWED:
            state.windowed.add((epoch, lane))
        elif kind == _CLEAN:
            state.clean = True
    return state


def _record(kind: int, lane: int, epoch: int, number: int) -> bytes:
    body = _RECORD.pack(kind, lane, 0, epoch, number)
    return body + _CHECK.pack(zlib.crc32(body))


class NumbersFile:
    """The open file of one process. ``before`` is what it said when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1
        self._size = 0
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        self.before = read_numbers(data)
        self._state = self.before
        used = len(data.rstrip(b"\0"))
        self._size = -(-used // RECORD_BYTES) * RECORD_BYTES
        if len(data) == MAX_NUMBERS_BYTES:  # else it is new, or not whole: written at the start
            self._handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def start(self, epoch: int, boot_id: bytes) -> None:
        """Make a new start durable; takes no new disk space while the file has room."""
        state = self._state
        kept = [*state.epochs, epoch][-MAX_KEPT_STREAMS:]
        reserved = dict(sorted(state.reserved.items())[-MAX_KEPT_STREAMS:])
        # what the last start lost in a window is accounted before: nobody asks for it any more
        self._state = NumbersState(kept, reserved, clean=False, boot_id=boot_id)
        self._append(_record(_START, 0, epoch, int.from_bytes(boot_id, "big")))

    def reserve(self, lane: int, epoch: int, through: int, *, windowed: bool = False) -> None:
        """Make durable that sequences up to ``through`` may be given out.

        With ``windowed`` also that what has them may be lost in an unclean stop.

        Raises:
            NotSyncedError: it is not known whether it is; this object must not be used again.
            OSError: it is not, for instance for want of room.
        """
        records = _record(_RESERVED, lane, epoch, through)
        told = not windowed or (epoch, lane) in self._state.windowed
        self._append(records if told else _record(_WINDOWED, lane, epoch, 0) + records)
        self._state.reserved[epoch, lane] = through
        if windowed:
            self._state.windowed.add((epoch, lane))

    def stop(self) -> None:
        """Make durable that the database was closed in order."""
        if self._handle >= 0:
            self._append(_record(_CLEAN, 0, 0, 0))
            self.abandon()

    def abandon(self) -> None:
        """Close the file without calling the stop clean."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _append(self, records: bytes) -> None:
        if self._handle < 0 or self._size + len(records) > MAX_NUMBERS_BYTES:
            self._rewrite()
        _write_all(self._handle, records, self._size)
        with _syncing(self._path):
            os.fdatasync(self._handle)
        self._size += len(records)

    def _rewrite(self) -> None:
        """Write a fresh file and put it in place in one step."""
        state = self._state
        boot = int.from_bytes(state.boot_id, "big")
        records = [_record(_RESERVED, lane, e, n) for (e, lane), n in state.reserved.items()]
        records += [_record(_WINDOWED, lane, e, 0) for e, lane in sorted(state.windowed)]
        records += [_record(_START, 0, e, boot) for e in state.epochs]
        data = b"".join(records)
        fresh = self._path.with_name(self._path.name + ".new")
        handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, MAX_NUMBERS_BYTES)
            _write_all(handle, data, 0)
            os.fsync(handle)
            fresh.rename(self._path)
            with _syncing(self._path):
                sync_directory(self._path.parent)
        except BaseException:
            os.close(handle)
            raise
        self.abandon()
        self._handle, self._size = handle, len(data)


def _write_all(handle: int, data: bytes, offset: int) -> None:
    """Write all of it: a disk that is nearly full takes a part and says so."""
    while data:
        done = os.pwrite(handle, data, offset)
        data, offset = data[done:], offset + done


@contextmanager
def _syncing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotSyncedError(error.errno, error.strerror, str(path)) from error


def next_block(given_out: int) -> int:
    """Return how many sequences to reserve ahead after ``given_out`` were used."""
    return max(MIN_BLOCK, min(MAX_BLOCK, given_out))


def window_block(written_at_once: int) -> int:
    """Return the same for a lane with a durability window, which writes so many events at once."""
    return max(MIN_WINDOW_BLOCK, min(MAX_WINDOW_BLOCK, _WINDOW_FLUSHES * written_at_once))


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, so that a power cut does not take it with its files.

    A file is durable with its folder's entry for it; the folder's own entry lies one further up.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_directory(made.parent)


def sync_directory(path: Path) -> None:
    """Make renames and new names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
