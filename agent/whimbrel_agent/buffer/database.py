"""The one writing connection: settings, transactions, checkpoints and sizes.

Used from one thread at a time (see ``runner``). Write-ahead log, ``synchronous=FULL``: a
commit is on the disk when it returns. Checkpoints are our own, since SQLite's automatic ones
would run inside whichever commit crosses its threshold, and since the log's size counts
against the cap. An error that leaves the fate of a write unknown breaks the connection for
good: the file is opened, checked and salvaged anew rather than written further.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whimbrel_agent.buffer.numbers import NotSyncedError
from whimbrel_agent.buffer.values import BufferBrokenError, BufferFullError

PAGE_BYTES: Final = 512
"""Of new files; chosen by measurement, see ``decisions.md``."""

KNOWN_PAGE_BYTES: Final = (PAGE_BYTES, 1024)
"""What files may have: those made before 2026-11-25 keep their 1,024."""

SHM_BYTES: Final = 32 * 1024
"""One segment of the log's index; it serves 4,062 pages, more than the log may hold."""

CACHE_KIB: Final = 256
"""The kernel caches the files already; more than the tables' upper pages only costs memory."""

CACHED_STATEMENTS: Final = 32
"""Prepared ones that are kept, some 5 KB each: a steady agent uses 19."""

MAX_ESTIMATES: Final = 64
"""So many transactions may go by their estimates before the pages are counted again: should an
estimate ever be too low, the error stays far below the headroom."""

_BLOCK_BYTES: Final = 4096
"""Zeros are written so many at a time: what is written at once, newer kernels keep, and count as
written, as one piece (46 bytes an event more on 6.18)."""

_MX_FRAME_OFFSET: Final = 16
SQL_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises: a damaged name in an error message does not even decode."""

FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when there is no room."""

FULL_CODES: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})


def is_full(error: OSError) -> bool:
    """Say whether there is no room. A sync that failed is worse: asked again, it would succeed."""
    return error.errno in FULL_ERRNOS and not isinstance(error, NotSyncedError)


class DiskFullError(BufferFullError):
    """The disk, or the room given to the database, has no place for a transaction."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How a cap in bytes is divided.

    Attributes:
        max_bytes: the cap.
        wal_bytes: the log is checkpointed past this.
        group_bytes: packed events in one transaction.
        reserve_bytes: a file that can be given up so that receipts still free space.
        max_pages: pages the database may have.
        headroom_pages: pages that accepts leave free for sealing and receipts.
    """

    max_bytes: int
    wal_bytes: int
    group_bytes: int
    reserve_bytes: int
    max_pages: int
    headroom_pages: int


def limits_of(
    max_bytes: int, aside_bytes: int, fixed_bytes: int, *, page_bytes: int = PAGE_BYTES
) -> Limits:
    """Divide a cap; it comes to the same bytes for every page size.

    Args:
        max_bytes: the cap.
        aside_bytes: what damaged files kept aside take now.
        fixed_bytes: what the other companion files take.
        page_bytes: the database's page size.
    """
    wal_bytes = min(1024 * 1024, max(96 * 1024, max_bytes // 32))
    reserve_bytes = wal_bytes + 64 * 1024  # a full log can be copied, and a receipt written
    # one transaction may begin just below the log's limit and add a group and its checkpoint
    outside = 2 * wal_bytes + SHM_BYTES + reserve_bytes + fixed_bytes + aside_bytes
    database_bytes = max(128 * 1024, max_bytes - outside)
    headroom_bytes = max(48 * 1024, min(512 * 1024, database_bytes // 32))
    return Limits(
        max_bytes=max_bytes,
        wal_bytes=wal_bytes,
        group_bytes=wal_bytes * 3 // 4,
        reserve_bytes=reserve_bytes,
        max_pages=database_bytes // page_bytes,
        headroom_pages=headroom_bytes // page_bytes,
    )


def connect(path: Path, *, page_bytes: int = PAGE_BYTES) -> sqlite3.Connection:
    """Open a buffer file with the settings it is always used with."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=CACHED_STATEMENTS
    )
    try:
        _set_up(connection, page_bytes)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, page_bytes: int) -> None:
    for setting in (
        f"page_size = {page_bytes}",
        "auto_vacuum = NONE",  # freed pages are reused: the file's size is bounded anyway
        "journal_mode = WAL",
        "synchronous = FULL",
        "wal_autocheckpoint = 0",
        "secure_delete = OFF",  # some builds overwrite freed pages: twice the wear
        "temp_store = MEMORY",
        "trusted_schema = OFF",
        f"cache_size = -{CACHE_KIB}",
        "cache_spill = OFF",  # a page that is changed twice in a group goes to the log once
    ):
        connection.execute(f"PRAGMA {setting}")
    # Where its first write fails, SQLite keeps the mode that was, and says so only here. A commit
    # in that mode is undone by a power cut right after it.
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        error = sqlite3.OperationalError(f"the write-ahead log cannot be used (mode is {mode})")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error


class Database:
    """The connection and what is known of its files.

    Attributes:
        commits: transactions since it was opened; each is one sync of the log.
    """

    def __init__(self, path: Path, limits: Limits, *, page_bytes: int = PAGE_BYTES) -> None:
        self.path = path
        self.limits = limits
        self.page_bytes = page_bytes
        self.broken: BufferBrokenError | None = None
        self.connection = connect(path, page_bytes=page_bytes)
        self.connection.execute(f"PRAGMA journal_size_limit = {limits.wal_bytes}")
        self.connection.execute(f"PRAGMA max_page_count = {limits.max_pages}")
        self.commits = 0
        self._index = -1
        self._counted: tuple[int, int] | None = None
        self._estimates = self._taken = 0

    def check(self) -> None:
        """Raise what the next transaction would raise because the connection is broken or closed."""
        if self.broken is not None:
            raise self.broken

    @contextmanager
    def transaction(self, takes: int | None = None) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction, durable when the block has been left.

        Args:
            takes: the most pages that the block may take, where that is known: the pages need
                not be counted anew after it.

        Raises:
            DiskFullError: no room; nothing was changed.
            BufferBrokenError: damage, or an input/output error: open the buffer again.
        """
        if self.broken is not None:
            raise self.broken
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            self._expect(takes)
            connection.execute("COMMIT")
            self.commits += 1
        except SQL_ERRORS as error:
            self._roll_back()
            raise self.translate(error) from error
        except BaseException:
            self._roll_back()
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Run reads outside of a transaction, with the same errors."""
        if self.broken is not None:
            raise self.broken
        try:
            yield self.connection
        except SQL_ERRORS as error:
            raise self.translate(error) from error

    def translate(self, error: Exception) -> BufferFullError | BufferBrokenError:
        """Turn SQLite's error into ours; all but a full disk break the connection."""
        code = getattr(error, "sqlite_errorcode", None)
        if code in FULL_CODES:
            return DiskFullError(
                f"no room for a transaction in {self.path.name}: the disk is full, or the "
                f"buffer's {self.limits.max_bytes} bytes are"
            )
        self.broken = BufferBrokenError(
            f"buffer {self.path.name} failed ({error}); open it again to check and salvage it"
        )
        return self.broken

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Use a companion file inside the block, with the same errors as for the database."""
        try:
            yield
        except OSError as error:
            if is_full(error):
                raise DiskFullError(
                    f"no room beside {self.path.name}: the disk is full ({error})"
                ) from error
            raise self.translate(error) from error

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            try:
                self.connection.execute("ROLLBACK")
            except SQL_ERRORS as error:
                self.translate(error)

    def checkpoint_if_due(self) -> bool:
        """Copy the log into the database when it is past its limit."""
        if self.wal_frames() * (self.page_bytes + 24) < self.limits.wal_bytes:
            return False
        self.checkpoint()
        return True

    def checkpoint(self, mode: str = "PASSIVE") -> None:
        """Copy the log into the database; the next commit then starts the log over."""
        try:
            self.connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except SQL_ERRORS as error:
            if not isinstance(self.translate(error), DiskFullError):
                raise self.translate(error) from error
            # a full disk stops the copy; the log keeps everything until there is room

    def wal_frames(self) -> int:
        """Return how many pages the log holds (from its shared index)."""
        try:
            if self._index < 0:
                # Held until the connection is closed: closing any descriptor of a file drops
                # all of the process's POSIX locks on it.
                self._index = os.open(f"{self.path}-shm", os.O_RDONLY | os.O_CLOEXEC)
            return int.from_bytes(os.pread(self._index, 4, _MX_FRAME_OFFSET), sys.byteorder)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self.translate(error) from error

    def take_log_room(self) -> bool:
        """Write zeros where the log will grow to, if the disk has that and as much again.

        A commit that makes a file longer also makes the file system write down its new length: a
        fifth of an accept's time, until the log has been full once. Zeros are no frames to anybody.
        """
        path = f"{self.path}-wal"
        try:
            with self.beside():
                # SQLite locks other files, not this
                handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    return self._fill_log(handle)
                finally:
                    os.close(handle)
        except DiskFullError:
            return False

    def _fill_log(self, handle: int) -> bool:
        size = os.fstat(handle).st_size
        missing = self.limits.wal_bytes - size
        room = os.fstatvfs(handle)
        if missing > 0 and room.f_bavail * room.f_frsize >= 2 * missing:
            for at in range(size, self.limits.wal_bytes, _BLOCK_BYTES):
                os.pwrite(handle, bytes(min(_BLOCK_BYTES, self.limits.wal_bytes - at)), at)
            os.fdatasync(handle)
        return missing <= 0 or os.fstat(handle).st_size >= self.limits.wal_bytes

    def _expect(self, takes: int | None) -> None:
        """Keep the count of pages a lower bound of what is free, or forget it."""
        self._estimates += 1
        if takes is None or self._estimates > MAX_ESTIMATES:
            self._counted = None
        else:
            self._taken += takes

    def pages(self) -> tuple[int, int]:
        """Return pages in the file, and how many of them are free."""
        with self.reading() as connection:
            count = connection.execute("PRAGMA page_count").fetchone()[0]
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
        self._counted, self._estimates, self._taken = (count, free), 0, 0
        return count, free

    def pages_at_worst(self) -> tuple[int, int]:
        """Return the same without asking SQLite where estimates do: no fewer may be free.

        Two questions are two read transactions, a tenth of a commit's own work.
        """
        if self._counted is None:
            return self.pages()
        count, free = self._counted
        return count, free - self._taken

    def free_pages(self) -> int:
        """Return how many pages new rows may still take."""
        count, free = self.pages()
        return int(self.limits.max_pages - count + free)

    def close(self, *, clean: bool) -> None:
        """Close the connection; a clean close leaves no log behind."""
        if clean and self.broken is None:
            self.checkpoint("TRUNCATE")
        self.connection.close()
        if self.broken is None:  # whoever comes too late is told so, and not by SQLite
            self.broken = BufferBrokenError(f"buffer {self.path.name} is closed: the agent stops")
        if self._index >= 0:
            os.close(self._index)
            self._index = -1
