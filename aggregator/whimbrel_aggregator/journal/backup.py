"""Consistent copies of a running journal, and putting one back as a new generation."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from .errors import JournalError, JournalVersionError
from .folders import make_folder, sync
from .lock import JournalLock
from .schema import APPLICATION_ID, check_before_opening, connect

STEP_PAGES: Final = 512
"""Pages copied between two looks at the source: 2 MiB."""


def write_backup(source: Path, target: Path) -> None:
    """Copy a journal, in use or not, into a new file (through SQLite's backup interface).

    The copy is marked: opened as a journal it becomes a new generation, since receipts given
    after the copy was made name frames that it does not have.

    Raises:
        JournalError: the target exists or cannot be written.
    """
    if target.exists():
        raise JournalError(f"backup target {target} exists; name a file that does not")
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        origin = connect(source, readonly=True)
        copy = sqlite3.connect(partial, isolation_level=None)
        try:
            # one snapshot for the whole copy: writers go on, and nothing is copied twice
            origin.execute("BEGIN")
            origin.execute("SELECT 1 FROM meta").fetchone()
            origin.backup(copy, pages=STEP_PAGES, sleep=0)
            copy.execute("PRAGMA journal_mode = DELETE")
            copy.execute("PRAGMA synchronous = FULL")
            copy.execute("INSERT OR REPLACE INTO meta VALUES ('backup', x'01')")
        finally:
            copy.close()
            origin.close()
        sync(partial)
        partial.rename(target)
        sync(target.parent)
    except (sqlite3.Error, OSError) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise JournalError(f"backup of {source} to {target}: {error}") from error


def restore_backup(backup: Path, journal: Path, *, replace: bool = False) -> None:
    """Put a backup in a journal's place; it becomes a new generation when it is opened.

    Args:
        backup: what :func:`write_backup` made.
        journal: where the journal shall be; no process may have it open.
        replace: keep an existing journal aside (``.replaced``) instead of refusing.

    Raises:
        JournalError: the backup is none, the journal is in use, or exists.
    """
    if not backup.exists():
        raise JournalError(f"backup {backup} does not exist")
    check_before_opening(backup)
    _check_backup(backup)
    make_folder(journal.parent)
    lock = JournalLock(journal)
    try:
        _set_aside(journal, replace=replace)
        partial = journal.with_name(journal.name + ".partial")
        shutil.copyfile(backup, partial)
        partial.chmod(0o600)
        connection = sqlite3.connect(partial, isolation_level=None)
        try:
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('backup', x'01')")
        finally:
            connection.close()
        sync(partial)
        partial.rename(journal)
        sync(journal.parent)
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"restore of {backup} to {journal}: {error}") from error
    finally:
        lock.release()


def _check_backup(backup: Path) -> None:
    connection = sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise JournalError(f"backup {backup} cannot be read: {error}") from error
    finally:
        connection.close()
    if application != APPLICATION_ID:
        raise JournalVersionError(f"{backup} is no backup of a journal")
    if problem != "ok":
        raise JournalError(f"backup {backup} is damaged: {problem}; use another one")


def _set_aside(journal: Path, *, replace: bool) -> None:
    if not journal.exists():
        return
    if not replace:
        raise JournalError(f"journal {journal} exists; restore with --replace to keep it aside")
    for suffix in ("", "-wal", "-shm"):
        part = journal.with_name(journal.name + suffix)
        if part.exists():
            part.replace(journal.with_name(f"{journal.name}.replaced{suffix}"))
