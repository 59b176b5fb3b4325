"""The SQLite file under the journal: connections, transactions, room, checkpoints, failures.

Everything here blocks; :mod:`.sqlite` runs it in threads. ``write`` is for one thread,
``read`` for another. SQLite's errors become the journal's:

==========================  ==============================================================
SQLite says                 raised
==========================  ==============================================================
full (or no room left)      ``JournalFullError``: rolled back, nothing was committed
corrupt, not a database     ``JournalDamagedError``
anything else               ``JournalFailedError``: whether a commit took place is not
                            known; all connections are closed, and the next call opens
                            them again, which makes SQLite recover its log
==========================  ==============================================================
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from whimbrel_protocol.sqlitewal import WalScan, committed_frames, scan_log

from . import consumers
from .errors import JournalDamagedError, JournalError, JournalFailedError, JournalFullError
from .folders import make_folder, sync
from .identities import Identities
from .lock import JournalLock
from .retention import used_bytes
from .rows import REMEDY
from .schema import (
    PAGE_SIZE_BYTES,
    check_before_opening,
    connect,
    forget_unborn,
    has_its_tables,
    prepare,
)  # fmt: skip
from .values import JournalSize

_log = logging.getLogger("whimbrel.journal")

T = TypeVar("T")
Work = Callable[[sqlite3.Connection, Identities], T]

MAX_WAL_BYTES: Final = 16 * 1024 * 1024
"""The write-ahead log is brought into the file beyond this: a restart replays no more, and a
checkpoint stays under a quarter of a second."""

SALVAGED: Final = ".salvaged"
"""Ending of a salvaged journal that is whole and not in its place yet."""

_CHECKED_TABLES: Final = ("meta", "partitions", "devices", "device_keys", "streams", "cursors")
"""Tables whose tree and indexes are checked at every opening: what decides whether an event is
new must be found where it is. They are small (200 bytes a stream); ``frames`` is not, and each
row of it is checked when it is read."""

_OVERHEAD: Final = 1.3
"""Pages, index and log an append takes beyond its frames' bytes, at most (measured 1.1)."""


class Storage:
    """An open journal file, locked against other processes.

    Args:
        path: the file; made if it does not exist.
        max_bytes: the byte cap, log included.
        min_free_bytes: what must stay free on the file system.
        new_generation: eight random bytes, used when the file is new or a restored backup.
        boot_id: of the Clock port; None means this machine's.

    Raises:
        JournalError: it is in use, newer than this program, damaged or not a journal.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        min_free_bytes: int,
        new_generation: bytes,
        boot_id: str | None = None,
    ) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._max_wal_bytes = min(MAX_WAL_BYTES, max_bytes // 8)
        self._reading = threading.Lock()  # held while the reading connection is used
        self._full = ""
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        make_folder(path.parent)
        self._lock = JournalLock(path, boot_id)
        try:
            self._refuse_half_salvaged()
            check_before_opening(path)
            doubtful = self._look_at_log()
            self._open(new_generation)
            self._check_small_tables()
            self._settle_log()
            if doubtful:
                self._begin_generation(new_generation)
        except BaseException:
            self.close()
            raise

    def _open(self, new_generation: bytes) -> sqlite3.Connection:
        try:
            forget_unborn(self.path)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.close(descriptor)
            self._writer = connect(self.path)
            prepare(self._writer, self.path, new_generation)
            self._writer.execute(f"PRAGMA journal_size_limit = {self._max_wal_bytes}")
            self._reader = connect(self.path, readonly=True)
            row = self._reader.execute("SELECT value FROM meta WHERE key='generation'").fetchone()
            sync(self.path.parent)  # SQLite does it for its log, and passes over it when it fails
        except (sqlite3.Error, OSError) as error:
            raise self._translated(error) from error
        if row is None or type(row[0]) is not bytes or len(row[0]) != 8:
            raise JournalDamagedError(f"{self.path} has no readable generation; {REMEDY}")
        self.generation = row[0]
        self._writer_ids = Identities(self._writer)
        self._reader_ids = Identities(self._reader)
        return self._writer

    def _refuse_half_salvaged(self) -> None:
        whole = self.path.with_name(self.path.name + SALVAGED)
        if whole.exists():
            raise JournalDamagedError(
                f"a salvage of {self.path} was stopped before its end: run whimbrel-aggregator "
                f"salvage {self.path} --replace again"
            )

    def _look_at_log(self) -> bool:
        """Walk the log before SQLite cuts it off silently; say whether its end is in doubt.

        Raises:
            JournalDamagedError: commits are certainly damaged; nothing was changed.
        """
        log = self.path.with_name(self.path.name + "-wal")
        if not log.exists():
            return False
        data = log.read_bytes()
        scan = scan_log(data, page_bytes=PAGE_SIZE_BYTES)
        bad = 0 if not scan.header_good else scan.first_bad
        if not scan.frames or bad is None:
            return False
        committed = self._committed(data)
        damaged = scan.commits_behind >= 2 if committed is None else committed > bad
        if damaged:
            raise JournalDamagedError(
                f"the write-ahead log of {self.path} is damaged at frame {bad} of "
                f"{len(scan.frames)}: commits behind it would be lost; {REMEDY}"
            )
        return committed is None and self._is_in_doubt(scan)

    def _committed(self, log: bytes) -> int | None:
        """Return how many frames were committed, if the log's index tells: within one boot.

        Where it does, what lies behind was left by a process that was killed, or by a power cut
        before the one that was killed while it recovered.
        """
        index = self.path.with_name(self.path.name + "-shm")
        if not self._lock.same_boot or not index.exists():
            return None
        return committed_frames(index.read_bytes(), log)

    def _is_in_doubt(self, scan: WalScan) -> bool:
        """Say that the last commit may have been confirmed: torn and damaged look alike."""
        _log.warning(
            "the write-ahead log ends in a bad frame (%s of %d): the last commit was torn by a "
            "power cut or is damaged; the journal goes on without it as a new generation, and "
            "devices send again what they still have",
            scan.first_bad,
            len(scan.frames),
        )
        return True

    def _check_small_tables(self) -> None:
        """Check the trees and indexes of what decides.

        Raises:
            JournalDamagedError: an index and its table do not agree.
        """
        assert self._reader is not None
        try:
            if not has_its_tables(self._reader):
                raise JournalDamagedError(
                    f"{self.path} is damaged (its tables are not as they were made); {REMEDY}"
                )
            for table in _CHECKED_TABLES:
                (found,) = self._reader.execute(f"PRAGMA integrity_check({table})").fetchone()
                if found != "ok":
                    raise JournalDamagedError(f"{self.path}: table {table}: {found}; {REMEDY}")
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _settle_log(self) -> None:
        """Make durable what was recovered from the log, and begin the log anew.

        A process that was killed may have written a commit and not synced it: it counts from now
        on, so what is answered about it must outlive the machine. And what was left behind the
        last commit goes: together with the rest of another crash it would look like damage.
        """
        log = self.path.with_name(self.path.name + "-wal")
        assert self._writer is not None
        try:
            if log.exists():
                sync(log)
            self._checkpoint(self._writer, "TRUNCATE")
        except (sqlite3.Error, OSError) as error:
            raise self._translated(error) from error

    def _begin_generation(self, generation: bytes) -> None:
        """Begin a new generation over a state that is older, but as it once was.

        Cursors lie in the same file and are as old as the rest, so they stay good.
        """

        def change(connection: sqlite3.Connection, _: Identities) -> None:
            connection.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (generation,))
            for name in consumers.names(connection):
                consumers.rebind(connection, name, None, generation, 0)

        self.write(change)
        self.generation = generation

    def _reopen(self) -> tuple[sqlite3.Connection, Identities]:
        """Open again after a failure; the log is recovered, then brought home and synced."""
        if self._writer is not None:
            return self._writer, self._writer_ids
        with self._reading:
            self._close_connections()
            writer = self._open(self.generation)
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return writer, self._writer_ids

    # ---- transactions

    def write(self, work: Work[T], *, grows_bytes: int = 0) -> T:
        """Run ``work`` in one durable transaction.

        Args:
            work: gets the connection and its identities.
            grows_bytes: bytes that it adds; 0 for what may run when the journal is full.

        Raises:
            JournalError: see the module.
        """
        try:
            connection, identities = self._reopen()
            if grows_bytes:
                self._check_room(int(grows_bytes * _OVERHEAD))
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection, identities)
                connection.execute("COMMIT")
            except BaseException:
                identities.forget()
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            size = self._wal_bytes()
            if size > self._max_wal_bytes:
                kind = "TRUNCATE" if size > 2 * self._max_wal_bytes else "PASSIVE"
                self._checkpoint(connection, kind)
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error
        else:
            if grows_bytes:
                self._full = ""
            return result

    def read(self, work: Work[T]) -> T:
        """Run ``work`` on the read-only connection, in one snapshot.

        Raises:
            JournalError: see the module.
        """
        with self._reading:
            if self._reader is None:
                raise JournalFailedError(f"{self.path} is being opened again after a failure")
            try:
                self._reader.execute("BEGIN")
                try:
                    return work(self._reader, self._reader_ids)
                finally:
                    if self._reader.in_transaction:
                        self._reader.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise self._translated(error) from error

    # ---- room

    def _wal_bytes(self) -> int:
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def _free_bytes(self) -> int:
        state = os.statvfs(self.path.parent)
        return max(0, state.f_bavail * state.f_frsize - self._min_free_bytes)

    def _used(self, connection: sqlite3.Connection) -> int:
        return used_bytes(connection) + self._wal_bytes()

    def _check_room(self, needed: int) -> None:
        assert self._writer is not None
        used = self._used(self._writer)
        if used + needed > self._max_bytes and self._wal_bytes():
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            used = self._used(self._writer)
        if used + needed > self._max_bytes:
            self._full = (
                f"journal is full: {used} of {self._max_bytes} bytes are used and {needed} more "
                "are needed; raise max_bytes, shorten retention, or detach a dead consumer"
            )
            raise JournalFullError(self._full)
        free = self._free_bytes()
        if free < needed:
            self._full = (
                f"the disk under {self.path} is full: {free} bytes are free above the reserve of "
                f"{self._min_free_bytes}, {needed} are needed; free some space"
            )
            raise JournalFullError(self._full)

    def size(self) -> JournalSize:
        """Return how full the journal is (on the reading thread)."""
        used = self.read(lambda connection, _: used_bytes(connection)) + self._wal_bytes()
        free = self._free_bytes()
        return JournalSize(
            used_bytes=used,
            file_bytes=self.path.stat().st_size + self._wal_bytes(),
            max_bytes=self._max_bytes,
            disk_free_bytes=free,
            full=self._full if used >= self._max_bytes or not free else "",
        )

    @staticmethod
    def _checkpoint(connection: sqlite3.Connection, kind: str) -> None:
        """Bring the log home. A full disk only postpones it: the log itself is durable."""
        try:
            connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
        except sqlite3.OperationalError as error:
            if not _is_full(error):
                raise

    def checkpoint(self) -> None:
        """Bring all of the write-ahead log into the file and empty it (on the writing thread)."""
        try:
            connection, _ = self._reopen()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error

    # ---- failures and the end

    def _translated(self, error: Exception) -> JournalError:
        if isinstance(error, sqlite3.Error) and _is_full(error):
            self._full = f"the disk under {self.path} is full ({error}); free some space"
            return JournalFullError(self._full)
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return JournalDamagedError(f"{self.path} is damaged ({error}); {REMEDY}")
        return JournalFailedError(f"{self.path}: {error}; check the disk and the kernel's log")

    def _failed(self, error: Exception) -> JournalError:
        """Translate an error of the writing side, and let go of a connection it broke."""
        translated = self._translated(error)
        if isinstance(translated, JournalFailedError):
            with self._reading:
                self._close_connections()
        return translated

    def _close_connections(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def close(self) -> None:
        """Close the file and let go of the lock; harmless when repeated."""
        with self._reading:
            self._close_connections()
        self._lock.release()


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
