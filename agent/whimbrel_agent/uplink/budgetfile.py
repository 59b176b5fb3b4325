"""The budgets file: what was sent this month on metered links, beside the buffer.

A header and one record for each class of links, written anew as a whole and put in place in one step:

======  ====  =====================================================================
offset  size  field (big-endian)
======  ====  =====================================================================
0       4     mark ``WBB1``
4       4     CRC-32 of all that follows
8       1     length n of the first record's name
9       n     the class's name, UTF-8
9+n     4     month, counted in months
13+n    8     bytes sent, or may have been; the next record follows
======  ====  =====================================================================

A file that does not hold to this is put aside under ``.damaged`` and counting begins at zero; the log
says so. It takes 200 bytes at most for a class, and one sync for each block of :mod:`.budget`.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from whimbrel_agent.uplink.budget import Spent

BUDGETS_NAME: Final = "budgets"
"""The file's name."""

MAX_FILE_BYTES: Final = 16 * 1024

_MARK: Final = b"WBB1"
_CHECK: Final = struct.Struct(">I")
_RECORD: Final = struct.Struct(">IQ")

_log: Final = logging.getLogger(__name__)


class DamagedBudgetsError(ValueError):
    """The bytes are not a budgets file."""


def pack(spent: Mapping[str, Spent]) -> bytes:
    """Return the file's bytes."""
    parts = []
    for one in spent.values():
        name = one.name.encode()
        parts += [bytes([len(name)]), name, _RECORD.pack(one.period, one.size_bytes)]
    body = b"".join(parts)
    return _MARK + _CHECK.pack(zlib.crc32(body)) + body


def unpack(data: bytes) -> dict[str, Spent]:
    """Read the file's bytes.

    Raises:
        DamagedBudgetsError: they are not one, or changed since.
    """
    head = len(_MARK) + _CHECK.size
    body = data[head:]
    if not data.startswith(_MARK) or data[len(_MARK) : head] != _CHECK.pack(zlib.crc32(body)):
        raise DamagedBudgetsError
    found = {}
    while body:
        size = 1 + body[0]
        name = body[1:size].decode()
        period, size_bytes = _RECORD.unpack_from(body, size)
        found[name] = Spent(name, period, size_bytes)
        body = body[size + _RECORD.size :]
    return found


class BudgetFile:
    """The file of one agent; ``before`` is what it said when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.before = self._read()
        self._spent = dict(self.before)

    def store(self, spent: Spent) -> None:
        """Make one budget's count durable.

        Raises:
            OSError: it is not, for instance for want of room.
        """
        data = pack({**self._spent, spent.name: spent})
        fresh = self._path.with_name(self._path.name + ".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        fresh.rename(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._spent[spent.name] = spent

    def _read(self) -> dict[str, Spent]:
        try:
            with self._path.open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES)
        except FileNotFoundError:
            return {}
        try:
            return unpack(data)
        except (DamagedBudgetsError, UnicodeDecodeError, struct.error, IndexError):
            aside = self._path.with_name(self._path.name + ".damaged")
            self._path.replace(aside)
            _log.warning(
                "the budgets file was damaged and is kept as %s: this month's bytes count from zero",
                aside,
            )
            return {}
