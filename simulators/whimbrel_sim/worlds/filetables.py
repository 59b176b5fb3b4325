"""More open files in one world than one process may have.

A device holds six, and a process may often have no more than 20,000. Under Linux a thread can have a
table of open files of its own (``unshare(2)``, CLONE_FILES), and the limit is of each table. Whatever
opens, uses or closes a device's files is handed to the thread of its table and waited for, so that
still one thing happens after the other and time stays virtual.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import cycle
from typing import Final, TypeVar

from .device import Device

T = TypeVar("T")

DEVICE_FILES: Final = 7
"""A device's open files: database, log, its index (twice), numbers, lock, and one for a moment."""

OTHER_FILES: Final = 1_000
"""Left to everything else: a thread's table begins as a copy of what the process had open."""

_CLONE_FILES: Final = 0x400


class FileTable:
    """A thread with a table of open files of its own.

    Raises:
        OSError: the system has no such thing.
    """

    def __init__(self, number: int) -> None:
        self._thread = ThreadPoolExecutor(1, f"files-{number}")
        self._thread.submit(_unshare).result()

    def do(self, work: Callable[[], T]) -> T:
        """Do work in the thread, and wait for it."""
        return self._thread.submit(copy_context().run, work).result()

    def close(self) -> None:
        """End the thread, and with it its table."""
        self._thread.shutdown()


def tables_for(devices: int, limit: int | None = None) -> int:
    """Return how many tables hold the files of so many devices; 0 where the process's own does.

    Args:
        devices: of the world.
        limit: open files in a table; None for what this process may have.
    """
    if limit is None:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    each = max(1, (limit - OTHER_FILES) // DEVICE_FILES)
    return 0 if devices <= each else -(-devices // each)


@contextmanager
def file_tables(devices: Sequence[Device], count: int) -> Iterator[None]:
    """Spread the files of devices over so many tables while the block lasts."""
    tables = [FileTable(number) for number in range(count)]
    try:
        for device, table in zip(devices, cycle(tables), strict=False):
            device.do_work = table.do
        yield
    finally:
        for table in tables:
            table.close()


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_FILES) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"no thread can have open files of its own: {os.strerror(code)}")
