"""Opening a buffer: lock, look before SQLite does, upgrade, check, salvage, number anew.

Every opening walks the log and reads every page once (SQLite's integrity check) and every
small row; frames' bytes are checked when they are read. Measured: see ``decisions.md``.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whimbrel_agent.buffer.companions import LOCK_BYTES, Companions
from whimbrel_agent.buffer.database import (
    FULL_CODES,
    PAGE_BYTES,
    SQL_ERRORS,
    Database,
    DiskFullError,
    Limits,
    is_full,
    limits_of,
)
from whimbrel_agent.buffer.epochs import open_epoch
from whimbrel_agent.buffer.lock import FileLock
from whimbrel_agent.buffer.numbers import (
    MAX_NUMBERS_BYTES,
    NumbersFile,
    make_folder,
    sync_directory,
)
from whimbrel_agent.buffer.pagesize import page_bytes_of
from whimbrel_agent.buffer.reserve import ReserveFile
from whimbrel_agent.buffer.schema import LANE_SHIFT, upgrade
from whimbrel_agent.buffer.staging import MAGIC, DamagedRowError, claim_of, read_row
from whimbrel_agent.buffer.state import BufferState, StagedSlot
from whimbrel_agent.buffer.unsynced import account_unsynced
from whimbrel_agent.buffer.values import BufferBrokenError, BufferConfig, DamageReport
from whimbrel_agent.buffer.verifying import Verifier
from whimbrel_agent.buffer.wal import committed_frames, scan_wal
from whimbrel_agent.ports import Clock, Random
from whimbrel_protocol.epoch import ordinal_of
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.names import Address
from whimbrel_protocol.sqlitewal import WalScan

_NOT_DAMAGE: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_NOMEM,
    }
)


@dataclass(slots=True)
class Opening:
    """One opening: what it was given, and the files it holds."""

    config: BufferConfig
    address: Address
    key: PrivateKey
    clock: Clock
    random: Random
    files: Companions
    numbers: NumbersFile
    reserve: ReserveFile

    def state_on(self, path: Path, *, aside_bytes: int = 0, page_bytes: int) -> BufferState:
        """Open a database file and bring its schema up to date."""
        limits = limits_for(self.config, aside_bytes=aside_bytes, page_bytes=page_bytes)
        database = Database(path, limits, page_bytes=page_bytes)
        try:
            upgrade(database.connection, path.name)
        except BaseException:
            database.close(clean=False)
            raise
        return BufferState(
            database,
            self.config,
            self.address,
            self.key,
            clock=self.clock,
            random=self.random,
            numbers=self.numbers,
            reserve=self.reserve,
        )


def limits_for(
    config: BufferConfig, *, aside_bytes: int = 0, page_bytes: int = PAGE_BYTES
) -> Limits:
    """Divide the cap, given what lies beside the file."""
    fixed_bytes = MAX_NUMBERS_BYTES + LOCK_BYTES
    return limits_of(config.max_bytes, aside_bytes, fixed_bytes, page_bytes=page_bytes)


def open_state(
    config: BufferConfig,
    address: Address,
    key: PrivateKey,
    *,
    clock: Clock,
    random: Random,
) -> tuple[BufferState, FileLock]:
    """Open the file and bring it into a state in which events can be accepted.

    Raises:
        BufferLockedError, BufferVersionError: the file was not touched.
        BufferBrokenError: it is damaged and could not be salvaged (it is still there).
    """
    make_folder(config.path.parent)
    files = Companions(config.path)
    lock = FileLock(files.lock)
    state: BufferState | None = None
    try:
        numbers = NumbersFile(files.numbers)
        os.close(os.open(config.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        reserve = ReserveFile(files.reserve, limits_for(config).reserve_bytes)
        opening = Opening(config, address, key, clock, random, files, numbers, reserve)
        try:
            state = _open_checked(opening)
        except DiskFullError:
            if not reserve.give_up():
                raise
            state = _open_checked(opening)  # receipts must be able to free space
        # What a dead process left behind the last commit is cut off: the next crash's rest would
        # stand in front of it, and the two together look like damage.
        state.database.checkpoint("TRUNCATE")
        account_unsynced(state)
        newest = max(state.epochs, default=0)
        open_epoch(state, max(numbers.before.last_ordinal, ordinal_of(newest)) + 1)
        # SQLite has done this for its log, and passes over it when it fails
        sync_directory(config.path.parent)
    except BaseException as error:
        if state is not None:
            state.database.close(clean=False)
            state.numbers.abandon()
        lock.release()
        if isinstance(error, OSError):
            raise _disk_error(config.path.name, error) from error
        raise
    return state, lock


def _disk_error(name: str, error: Exception) -> DiskFullError | BufferBrokenError:
    """Say what is the disk's or the system's trouble in the buffer's words."""
    full = is_full(error) if isinstance(error, OSError) else _code_of(error) in FULL_CODES
    if full:
        return DiskFullError(f"no room to open buffer {name}: free some space beside it")
    return BufferBrokenError(
        f"buffer {name} cannot be opened ({error}); check its folder, rights and disk"
    )


def _open_checked(opening: Opening) -> BufferState:
    """Open the file if it is sound, else salvage it and open what came of it."""
    files, keep_bytes = opening.files, _keep_bytes(opening.config)
    for rest in (files.image, files.doubtful, files.building):
        rest.unlink(missing_ok=True)
    if files.rebuilt.exists():
        from whimbrel_agent.buffer.salvage import install  # noqa: PLC0415  see _salvage

        install(files, keep_bytes=keep_bytes, wall_ns=opening.clock.wall_ns())
    page_bytes = page_bytes_of(files.path, files.wal)
    scan = scan_wal(files.wal, page_bytes=page_bytes)
    torn = _may_be_torn(opening, scan)
    bounds = _tail_bounds(opening, scan) if torn or scan.has_bad_end else {}
    found = _look_at_log(opening, scan, bounds, torn=torn)
    if not found:
        opened = _try(opening, page_bytes)
        if isinstance(opened, BufferState):
            return opened
        found = opened
        scan = scan_wal(files.wal, page_bytes=page_bytes)  # closing has copied a sound log
        torn = False
    damage = _salvage(opening, scan, bounds, found, page_bytes=page_bytes, torn=torn)
    result = _try(opening, PAGE_BYTES)
    if not isinstance(result, BufferState):
        raise BufferBrokenError(
            f"buffer {files.path.name} is damaged ({found}) and what was salvaged is not sound "
            f"({result}); keep the files and report this"
        )
    result.damage = damage
    return result


def _keep_bytes(config: BufferConfig) -> int:
    return int(config.max_bytes * config.quarantine_share)


def _try(opening: Opening, page_bytes: int) -> BufferState | str:
    """Open and audit the file; returns what is wrong with it."""
    aside = opening.files.kept_aside_bytes()
    try:
        state = opening.state_on(opening.files.path, aside_bytes=aside, page_bytes=page_bytes)
    except SQL_ERRORS as error:
        _raise_unless_damage(opening, error)
        return f"sqlite: {error}"
    try:
        problems = [*state.load(), *load_staged(state)]
        if not problems:
            problems += Verifier(state, bodies=False).run().problems
    except (*SQL_ERRORS, BufferBrokenError, ValueError, TypeError) as error:
        problems = [str(error)]
        cause = error.__cause__ or error
        if isinstance(cause, sqlite3.Error):
            state.database.close(clean=False)
            _raise_unless_damage(opening, cause)
            return problems[0]
    if problems:
        state.database.close(clean=False)
        return "; ".join(problems)
    return state


def _raise_unless_damage(opening: Opening, error: Exception) -> None:
    """Raise what is the disk's or the system's trouble: a sound file must not be rebuilt."""
    code = _code_of(error)
    if code in FULL_CODES or code & 0xFF in _NOT_DAMAGE:
        raise _disk_error(opening.files.path.name, error) from error


def _code_of(error: Exception) -> int:
    """Return SQLite's code; what has none is damage that Python found."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code


@contextmanager
def _making_new(name: str) -> Iterator[None]:
    """Take SQLite's errors inside the block for the disk's: new files have no damage."""
    try:
        yield
    except SQL_ERRORS as error:
        raise _disk_error(name, error) from error


def _committed_frames(opening: Opening) -> int | None:
    """Return how many frames of the log were committed, if its index tells: within one boot."""
    if opening.numbers.before.boot_id != opening.clock.boot_id:
        return None
    return committed_frames(opening.files.shm, opening.files.wal)


def _may_be_torn(opening: Opening, scan: WalScan) -> bool:
    """Whether a power cut can have left the log so.

    Pages of a transaction reach the disk in any order, so good frames may follow a bad one. But
    each transaction is synced before the next begins: only the last one can be in pieces.
    """
    bad = scan.header_good and scan.first_bad is not None
    return bad and scan.commits_behind <= 1 and _committed_frames(opening) is None


def _look_at_log(
    opening: Opening, scan: WalScan, bounds: dict[tuple[int, int], int], *, torn: bool
) -> str:
    """Return what is wrong with the log, empty when SQLite may read it."""
    if torn:
        # A torn end and a damaged one look alike. Where it held accepted events it is taken as
        # damage: what can be read is kept, the rest is accounted for.
        return "the end of the write-ahead log is torn or damaged" if bounds else ""
    if not (scan.is_damaged or scan.has_bad_end):
        return ""
    committed = _committed_frames(opening) if scan.header_good else None
    if committed is None:
        return "good frames follow a bad one in the write-ahead log, or its header is bad"
    # What lies behind, good or bad, was never committed: a process was killed while it wrote
    # it, and the next one has begun to write over it.
    whole = committed <= (scan.first_bad or 0)
    return "" if whole else "committed frames of the write-ahead log are damaged"


def _tail_bounds(opening: Opening, scan: WalScan) -> dict[tuple[int, int], int]:
    """Return how far the last process may have numbered in a bad end of the log."""
    before = opening.numbers.before
    newest = max(before.epochs, default=0)
    data = opening.files.wal.read_bytes()
    mark = newest.to_bytes(8, "big")
    claims: dict[tuple[int, int], int] = {}
    mentioned = False
    for frame in scan.frames[scan.certain :]:
        page = data[frame.offset : frame.offset + scan.page_bytes]
        mentioned = mentioned or mark in page
        at = page.find(MAGIC)
        while at >= 0:
            claim = claim_of(page[at:])
            if claim is not None and claim.epoch == newest:
                key = (newest, claim.lane)
                last = claim.first + claim.count - 1
                if last <= before.reserved.get(key, 0):
                    claims[key] = max(last, claims.get(key, 0))
            at = page.find(MAGIC, at + 1)
    if claims or not mentioned:
        return claims
    # what a window may have lost is accounted for as such, see ``unsynced``
    return {
        key: last
        for key, last in before.reserved.items()
        if key[0] == newest and key not in before.windowed
    }


def _salvage(
    opening: Opening,
    scan: WalScan,
    bounds: dict[tuple[int, int], int],
    found: str,
    *,
    page_bytes: int,
    torn: bool,
) -> DamageReport:
    """Build a new file beside the damaged one and put it in its place."""
    # Half a megabyte of code that a sound buffer never needs.
    from whimbrel_agent.buffer.salvage import install, report_of, salvage  # noqa: PLC0415

    files = opening.files
    with _making_new(files.path.name):
        fresh = opening.state_on(files.building, page_bytes=PAGE_BYTES)
        clean = False
        try:
            fresh.load()
            builder = salvage(files, fresh, scan, bounds, page_bytes=page_bytes, torn=torn)
            clean = True
        finally:
            fresh.database.close(clean=clean)
    files.building.rename(files.rebuilt)
    kept_as = install(
        files, keep_bytes=_keep_bytes(opening.config), wall_ns=opening.clock.wall_ns()
    )
    return report_of(found, kept_as, builder)


def load_staged(state: BufferState) -> list[str]:
    """Read where the staged rows lie; return what is wrong with them."""
    problems: list[str] = []
    with state.database.reading() as connection:
        for row_id, body in connection.execute(
            "SELECT id, CAST(body AS BLOB) FROM staged ORDER BY id"
        ):
            try:
                row = read_row(body or b"")
            except DamagedRowError as error:
                problems.append(str(error))
                continue
            stream = state.streams.get(row.epoch, row.lane)
            slots = state.staged[row.lane].slots
            if slots and slots[-1].epoch == row.epoch:
                expected = slots[-1].first + slots[-1].events
            else:
                expected = 1 + (stream.sealed_through if stream else 0)
            if row.first != expected or row.lane != row_id >> LANE_SHIFT:
                problems.append(
                    f"staged row {row_id} begins at {row.first}, {expected} was expected"
                )
            state.staged[row.lane].push(
                StagedSlot(
                    row_id, row.epoch, row.first, row.count, row.raw_bytes, row.stamp.mono_ns
                )
            )
            state.next_staged[row.lane] = (row_id & ((1 << LANE_SHIFT) - 1)) + 1
    return problems
