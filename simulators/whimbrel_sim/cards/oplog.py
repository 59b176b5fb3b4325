"""The log of a watched folder, read into values.

A log is a run of records; see :data:`_HEAD` and README.md. Reading stops before a record that is
not whole: the process was killed while it wrote it, so its operation's caller never saw an answer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("<IHHIIQQQQ")
"""Bytes of the whole record; kind; flags; bytes of the path; errno; sequence; file; offset; length."""


class Kind(IntEnum):
    """What was done. ``READ`` is never recorded: faults name it."""

    OPEN = 1
    WRITE = 2
    TRUNCATE = 3
    ALLOCATE = 4
    SYNC = 5
    SYNC_DIR = 6
    RENAME = 7
    UNLINK = 8
    MKDIR = 9
    RMDIR = 10
    LINK = 11
    MARK = 12
    INDEX = 13
    READ = 14


class Flag(IntFlag):
    """How it went: an open made or emptied the file; a sync failed, or lied."""

    CREATED = 1
    EMPTIED = 2
    FAILED = 4
    LIED = 8


@dataclass(frozen=True, slots=True)
class Operation:
    """One record.

    Attributes:
        kind: what was done.
        flags: how it went.
        sequence: from 1, in the order in which the calls returned.
        file: the file, by a number that an ``OPEN`` ties to a path; 0 where there is a path.
        offset: of a write or an allocation, in bytes.
        length: of an allocation, or the new size of a file; in bytes.
        path: inside the folder; empty where ``file`` says it.
        target: the other path of a rename or a link.
        data: what was written, the mark, or the head of a log's index.
        error: errno of a failed sync.
    """

    kind: Kind
    flags: Flag
    sequence: int
    file: int
    offset: int
    length: int
    path: str
    target: str
    data: bytes
    error: int


def read_log(path: Path) -> list[Operation]:
    """Return every whole record of a log."""
    return [operation for operation, _ in parse(path.read_bytes())]


def parse(log: bytes) -> Iterator[tuple[Operation, int]]:
    """Yield each whole record and where it ends."""
    at = 0
    while at + _HEAD.size <= len(log):
        head = _HEAD.unpack_from(log, at)
        size, kind, flags, path_bytes, error, sequence, file, offset, length = head
        if at + size > len(log):
            return
        names = at + _HEAD.size
        data = names + path_bytes
        path, _, target = log[names:data].decode("utf-8", "surrogateescape").partition("\0")
        at += size
        yield (
            Operation(
                Kind(kind), Flag(flags), sequence, file, offset, length, path, target,
                log[data:at], error,
            ),
            at,
        )  # fmt: skip
