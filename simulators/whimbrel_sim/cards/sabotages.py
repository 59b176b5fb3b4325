"""Faults planted in the stores on purpose, to prove that the sweep finds them.

See :mod:`whimbrel_sim.sabotage`. They are put into the process whose operations are recorded;
what judges its images is the shipped code. ``within`` says in how many images of the part each
is found at least once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from whimbrel_agent.buffer import database, holding, numbers, opening, sending, windows
from whimbrel_aggregator.journal import schema, storage
from whimbrel_aggregator.journal.port import JournalError
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.journal.storage import Storage
from whimbrel_sim.patching import put


@dataclass(frozen=True, slots=True)
class CardSabotage:
    """One planted fault.

    Attributes:
        part: whose workload it goes into.
        apply: replaces the place.
        within: it is found within so many images (or faults, of the part "errors").
        breaks: the promise it breaks, in words.
    """

    part: str
    apply: Callable[[], None]
    within: int
    breaks: str


def _buffer_synchronous(level: str) -> Callable[[], None]:
    def apply() -> None:
        set_up = database._set_up  # noqa: SLF001

        def set_up_weakly(connection: sqlite3.Connection, page_bytes: int) -> None:
            set_up(connection, page_bytes)
            connection.execute(f"PRAGMA synchronous = {level}")

        put(database, "_set_up", set_up_weakly)

    return apply


def _journal_synchronous_off() -> None:
    connect = schema.connect

    def connect_weakly(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
        connection = connect(path, readonly=readonly)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    put(storage, "connect", connect_weakly)


def _journal_answers_before_commit() -> None:
    """Let each transaction be committed by the next one."""
    write = Storage.write

    def write_late(store: Storage, work: Any, *, grows_bytes: int = 0) -> Any:
        connection, identities = store._reopen()  # noqa: SLF001
        if not grows_bytes:
            if connection.in_transaction:
                connection.execute("COMMIT")
            return write(store, work)
        if connection.in_transaction:
            connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        return work(connection, identities)

    def read_own(store: Storage, work: Any) -> Any:
        connection, identities = store._reopen()  # noqa: SLF001
        return work(connection, identities)

    checkpoint, close = Storage.checkpoint, Storage.close

    def after_commit(then: Callable[[Storage], None]) -> Callable[[Storage], None]:
        def run(store: Storage) -> None:
            connection = store._writer  # noqa: SLF001
            if connection is not None and connection.in_transaction:
                connection.execute("COMMIT")
            then(store)

        return run

    put(Storage, "write", write_late)
    put(Storage, "read", read_own)
    put(Storage, "checkpoint", after_commit(checkpoint))
    put(Storage, "close", after_commit(close))

    async def no_backup(_journal: SqliteJournal, _target: str) -> None:
        """Refuse: the copy would wait for the open transaction."""
        raise JournalError("no backup in a sabotaged journal")

    put(SqliteJournal, "backup", no_backup)


class _Deaf:
    """The ``os`` of a module, with syncs that do nothing."""

    def __init__(self, deaf: Sequence[str]) -> None:
        self._deaf = deaf

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: None) if name in self._deaf else getattr(os, name)


def _numbers_not_synced() -> None:
    put(numbers, "os", _Deaf(("fsync", "fdatasync")))


def _folder_not_synced() -> None:
    def make_folder(path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    put(opening, "make_folder", make_folder)


def _published_not_durable() -> None:
    """Mark frames as perhaps published in memory only."""

    def reserve(state: Any, up_to_id: int) -> None:
        state.published_through[up_to_id >> 56] = up_to_id

    put(sending, "reserve_published", reserve)


def _window_not_told() -> None:
    """Reserve numbers in a lane with a durability window as if it had none."""
    reserve = numbers.NumbersFile.reserve

    def reserve_only(file: Any, lane: int, epoch: int, through: int, **_: bool) -> None:
        reserve(file, lane, epoch, through)

    put(numbers.NumbersFile, "reserve", reserve_only)


def _window_never_ends() -> None:
    """Keep in memory what should be on the disk."""
    put(holding, "is_overdue", lambda *_: False)
    put(windows, "write_by_ns", lambda *_: 2**62)
    put(windows, "deadline_ns", lambda *_: 2**62)


SABOTAGES: Final[dict[str, CardSabotage]] = {
    "buffer-synchronous-off": CardSabotage(
        "buffer", _buffer_synchronous("OFF"), 50, "what was answered survives a power cut"
    ),
    "buffer-synchronous-normal": CardSabotage(
        "buffer", _buffer_synchronous("NORMAL"), 50, "what was answered survives a power cut"
    ),
    "published-not-durable": CardSabotage(
        "buffer", _published_not_durable, 100, "what may have been sent is known as such"
    ),
    "folder-not-synced": CardSabotage(
        "buffer", _folder_not_synced, 100, "a new buffer's folder survives a power cut"
    ),
    "numbers-not-synced": CardSabotage(
        "buffer", _numbers_not_synced, 100, "numbers are reserved durably before their use"
    ),
    "window-not-told": CardSabotage(
        "buffer", _window_not_told, 100, "what a window takes is accounted for"
    ),
    "window-never-ends": CardSabotage(
        "buffer", _window_never_ends, 100, "what was answered is durable when its window is over"
    ),
    "journal-synchronous-off": CardSabotage(
        "journal", _journal_synchronous_off, 50, "a receipt follows the durable commit"
    ),
    "journal-answers-before-commit": CardSabotage(
        "journal", _journal_answers_before_commit, 50, "a receipt follows the durable commit"
    ),
}
