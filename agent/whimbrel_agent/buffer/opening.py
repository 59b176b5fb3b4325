"""Opening a buffer: lock, look before SQLite does, upgrade, check, salvage, number anew."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whimbrel_agent.buffer.database import Database, Limits, limits_of
from whimbrel_agent.buffer.lock import FileLock
from whimbrel_agent.buffer.numbers import MAX_NUMBERS_BYTES, NumbersFile
from whimbrel_agent.buffer.reserve import ReserveFile
from whimbrel_agent.buffer.schema import LANE_SHIFT, upgrade
from whimbrel_agent.buffer.staging import DamagedRowError, read_row
from whimbrel_agent.buffer.state import BufferState, StagedSlot
from whimbrel_agent.buffer.values import BufferConfig
from whimbrel_agent.ports import Clock, Random
from whimbrel_protocol.epoch import ordinal_of
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.names import Address

LOCK_BYTES: Final = 4096
"""A file system block for the lock file."""


@dataclass(frozen=True, slots=True)
class Companions:
    """The files beside a buffer file."""

    path: Path

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.beside(".lock")

    @property
    def numbers(self) -> Path:
        """The numbers file."""
        return self.beside(".numbers")

    @property
    def reserve(self) -> Path:
        """The reserve file."""
        return self.beside(".reserve")

    @property
    def wal(self) -> Path:
        """SQLite's write-ahead log."""
        return self.beside("-wal")

    @property
    def shm(self) -> Path:
        """SQLite's index of the log."""
        return self.beside("-shm")

    def beside(self, ending: str) -> Path:
        """Return the file with the buffer's name and an ending."""
        return self.path.with_name(self.path.name + ending)

    def kept_aside(self) -> list[Path]:
        """Return damaged files kept from earlier salvages, oldest first."""
        return sorted(self.path.parent.glob(f"{self.path.name}.damaged-*"))

    def kept_aside_bytes(self) -> int:
        """Return what they take."""
        return sum(path.stat().st_size for path in self.kept_aside())


def limits_for(config: BufferConfig) -> Limits:
    """Divide the cap, given what lies beside the file now."""
    aside = Companions(config.path).kept_aside_bytes()
    return limits_of(config.max_bytes, aside, MAX_NUMBERS_BYTES + LOCK_BYTES)


def open_state(
    config: BufferConfig,
    address: Address,
    key: PrivateKey,
    *,
    clock: Clock,
    random: Random,
) -> tuple[BufferState, FileLock]:
    """Open the file and bring it into a state in which events can be accepted."""
    config.path.parent.mkdir(parents=True, exist_ok=True)
    files = Companions(config.path)
    lock = FileLock(files.lock)
    try:
        numbers = NumbersFile(files.numbers)
        os.close(os.open(config.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        limits = limits_for(config)
        reserve = ReserveFile(files.reserve, limits.reserve_bytes)
        database = Database(config.path, limits)
        upgrade(database.connection, config.path.name)
        state = BufferState(
            database,
            config,
            address,
            key,
            clock=clock,
            random=random,
            numbers=numbers,
            reserve=reserve,
        )
        state.load()
        load_staged(state)
        newest = max(state.epochs, default=0)
        state.open_epoch(max(numbers.before.last_ordinal, ordinal_of(newest)) + 1)
    except BaseException:
        lock.release()
        raise
    return state, lock


def load_staged(state: BufferState) -> list[str]:
    """Read where the staged rows lie; return what is wrong with them."""
    problems: list[str] = []
    with state.database.reading() as connection:
        for row_id, body in connection.execute("SELECT id, body FROM staged ORDER BY id"):
            try:
                row = read_row(body)
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
