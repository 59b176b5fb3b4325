"""Idempotency keys: a producer that repeats itself gets the first answer.

Keys are remembered by a 16-byte hash, in the transaction that accepts their events, with a
fingerprint of what came under them: a key that comes again with other content is a mistake of
the producer's, and an answer for the first content would lose the second silently. On disk
there is one row per commit, appended (a table in hash order would touch a page per key); for
look-ups SQLite holds a table in memory, at about 50 bytes a key. Both are bounded:
``idempotency_keys`` (or an eighth of the buffer's cap, whichever is less) and
``idempotency_age_s`` by the wall clock; the oldest go first. Keys from before the clock was first
right are as old as the first ones after it; a clock that loses its time again stays where it was.

One row's bytes, big-endian: ``WIK2``, wall clock ns (8, signed), epoch (8), then per key the
hash (16), lane number (1), sequence (8) and fingerprint (8; 0: not compared), then CRC-32 of
all before (4).
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.buffer.values import Accepted, BufferConfig, KeyReusedError
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.walltime import is_dated

MAGIC: Final = b"WIK2"
_HEAD: Final = struct.Struct(">4sqQ")
_ENTRY: Final = struct.Struct(">16sBQQ")
KEY_BYTES: Final = 72
"""What a key takes on disk at most, alone in its row."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key's hash, the place of its event, and the fingerprint of what it stood for."""

    hash: bytes
    lane: int
    sequence: int
    fingerprint: int = 0


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """The keys of one commit."""

    wall_ns: int
    epoch: int
    entries: tuple[KeyEntry, ...]

    def to_bytes(self) -> bytes:
        """Return the row's bytes."""
        parts = [_HEAD.pack(MAGIC, self.wall_ns, self.epoch)]
        parts += [_ENTRY.pack(e.hash, e.lane, e.sequence, e.fingerprint) for e in self.entries]
        body = b"".join(parts)
        return body + zlib.crc32(body).to_bytes(4, "big")


def read_key_group(data: bytes) -> KeyGroup | None:
    """Read a row; None when its bytes are not what was written."""
    body = data[:-4]
    if (
        len(body) < _HEAD.size
        or (len(body) - _HEAD.size) % _ENTRY.size
        or zlib.crc32(body).to_bytes(4, "big") != data[-4:]
        or not body.startswith(MAGIC)
    ):
        return None
    _, wall_ns, epoch = _HEAD.unpack_from(body)
    entries = tuple(KeyEntry(*entry) for entry in _ENTRY.iter_unpack(body[_HEAD.size :]))
    return KeyGroup(wall_ns, epoch, entries)


def hash_key(key: bytes) -> bytes:
    """Return the 16 bytes by which a key is remembered."""
    return hashlib.blake2b(key, digest_size=16).digest()


def check_same(index: int, fingerprint: int, first: int) -> None:
    """See to it that a repeated key stands for what it stood for; 0 is not compared.

    Raises:
        KeyReusedError: naming the event's place in its group.
    """
    if fingerprint and first and fingerprint != first:
        raise KeyReusedError(index)


class KeyStore:
    """The remembered keys of one open buffer; used inside the caller's transactions."""

    def __init__(self, connection: sqlite3.Connection, config: BufferConfig) -> None:
        self._limit = max(16, min(config.idempotency_keys, config.max_bytes // 8 // KEY_BYTES))
        self._age_ns = int(config.idempotency_age_s * 1e9)
        self.damaged_rows = 0
        self._first_dated_ns: int | None = None
        self._last_dated_ns: int | None = None
        connection.execute(
            "CREATE TEMP TABLE known (head INTEGER PRIMARY KEY, tail INTEGER, epoch INTEGER,"
            " lane INTEGER, sequence INTEGER, fingerprint INTEGER)"
        )
        for group in self._groups(connection):
            self._remember(connection, group)

    def _groups(self, connection: sqlite3.Connection) -> Iterator[KeyGroup]:
        for (body,) in connection.execute("SELECT CAST(body AS BLOB) FROM keys ORDER BY id"):
            group = read_key_group(body or b"")
            if group is None:
                self.damaged_rows += 1  # its producers' repeats would count as new: rare, told
            else:
                yield group

    def count(self, connection: sqlite3.Connection) -> int:
        """Return how many keys are remembered."""
        return int(connection.execute("SELECT count(*) FROM temp.known").fetchone()[0])

    def find(self, connection: sqlite3.Connection, key_hash: bytes) -> tuple[Accepted, int] | None:
        """Return the first answer to a key and its fingerprint, if it is remembered."""
        head, tail = _halves(key_hash)
        found = connection.execute(
            "SELECT tail, epoch, lane, sequence, fingerprint FROM temp.known WHERE head = ?",
            (head,),
        ).fetchone()
        if found is None or found[0] != tail:
            return None
        return Accepted(found[1], LANES[found[2]], found[3], True), found[4]

    def add(
        self, connection: sqlite3.Connection, wall_ns: int, epoch: int, entries: Iterable[KeyEntry]
    ) -> None:
        """Remember the keys of one commit."""
        if not is_dated(wall_ns) and self._last_dated_ns is not None:
            wall_ns = self._last_dated_ns
        group = KeyGroup(wall_ns, epoch, tuple(entries))
        connection.execute("INSERT INTO keys (body) VALUES (?)", (group.to_bytes(),))
        self._remember(connection, group)

    def trim(self, connection: sqlite3.Connection, wall_ns: int) -> None:
        """Forget what is over the count or over the age, oldest first."""
        held = self.count(connection)
        while True:
            found = connection.execute(
                "SELECT id, CAST(body AS BLOB) FROM keys ORDER BY id LIMIT 1"
            ).fetchone()
            if found is None:
                return
            group = read_key_group(found[1] or b"")
            if group is not None:
                if held <= self._limit and self._age_of(group, wall_ns) <= self._age_ns:
                    return
                for entry in group.entries:
                    connection.execute(
                        "DELETE FROM temp.known WHERE head = ? AND epoch = ? AND sequence = ?",
                        (_halves(entry.hash)[0], group.epoch, entry.sequence),
                    )
                held -= len(group.entries)
            connection.execute("DELETE FROM keys WHERE id = ?", (found[0],))

    def _age_of(self, group: KeyGroup, wall_ns: int) -> int:
        """Return how old keys are by the wall clock, as far as stamps tell."""
        since_ns = group.wall_ns if is_dated(group.wall_ns) else self._first_dated_ns
        return 0 if since_ns is None else wall_ns - since_ns

    def _remember(self, connection: sqlite3.Connection, group: KeyGroup) -> None:
        if is_dated(group.wall_ns):
            self._last_dated_ns = group.wall_ns
            if self._first_dated_ns is None:
                self._first_dated_ns = group.wall_ns
        connection.executemany(
            "INSERT OR REPLACE INTO temp.known VALUES (?, ?, ?, ?, ?, ?)",
            [
                (*_halves(e.hash), group.epoch, e.lane, e.sequence, e.fingerprint)
                for e in group.entries
            ],
        )


def _halves(key_hash: bytes) -> tuple[int, int]:
    return (
        int.from_bytes(key_hash[:8], "big", signed=True),
        int.from_bytes(key_hash[8:], "big", signed=True),
    )
