"""A folder of NDJSON files that grows by whole, synced groups of lines. Blocking; no asyncio.

::

    current.<generation>.<window>.ndjson     being written; window: Unix time of its start
    20261122T100000Z-00000007.ndjson         finished, never touched again
    positions.json                           where each partition stood when the last one finished
    .lock                                    held by the writer

Every line carries its own place (``tenant``, ``store``, ``position``). So after a crash the
folder itself says how far each partition is: what ``positions.json`` says, then the lines of
the current file. A torn tail (a part of a line, or blocks that were allocated but never
written) is cut off; those lines were never counted as settled, so they are written again.
Order while finishing: sync, ``positions.json``, rename; each step may be repeated.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from whimbrel_aggregator.forward.port import SinkConfigError, SinkError
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.reading import Position
from whimbrel_protocol.errors import FieldError

NS_PER_S: Final = 1_000_000_000
_CURRENT: Final = re.compile(r"current\.([0-9a-f]{1,64})\.(-?\d{1,12})\.ndjson", re.ASCII)
_FINISHED: Final = re.compile(r"\d{8}T\d{6}Z-(\d{8})\.ndjson", re.ASCII)

_log = logging.getLogger("whimbrel.forward")


class NdjsonFolder:
    """The folder, opened by one writer. After an error: :meth:`close`, then :meth:`open`."""

    def __init__(self, folder: Path, *, rotate_bytes: int, rotate_s: int) -> None:
        self._folder = folder
        self._rotate_bytes = rotate_bytes
        self._rotate_ns = rotate_s * NS_PER_S
        self._generation = ""
        self._lock: int | None = None
        self._file: BinaryIO | None = None
        self._path = Path()
        self._window = 0
        self._size_bytes = 0
        self._number = 0
        self.positions: dict[PartitionKey, Position] = {}

    def open(self, generation: bytes) -> None:
        """Take the lock, repair what a crash left and read back all positions.

        Raises:
            SinkConfigError: the folder cannot be used, or another writer has it.
            OSError: the disk failed.
        """
        self._generation = generation.hex()
        self._take_lock()
        self.positions = self._load_positions()
        finished = (_FINISHED.fullmatch(path.name) for path in self._folder.iterdir())
        self._number = max((int(match[1]) for match in finished if match), default=0)
        for path in sorted(self._folder.glob("current.*.ndjson"), key=_window_of):
            match = _CURRENT.fullmatch(path.name)
            if match is None:
                continue
            self._repair(path, ours=match[1] == self._generation)
            if path.stat().st_size == 0:
                path.unlink()
                continue
            self._adopt(path, int(match[2]))
            if match[1] != self._generation:
                self._finish(save_positions=False)
        self._sync_folder()

    def append(
        self, lines: Sequence[tuple[Position, str]], partition: PartitionKey, *, now_ns: int
    ) -> None:
        """Write lines of one partition, each with the position after it, and sync them.

        Raises:
            OSError: the disk failed or is full; close and open to find out what is there.
        """
        group: list[bytes] = []
        group_bytes = 0
        for after, text in lines:
            line = f"{text}\n".encode()
            if group and self._size_bytes + group_bytes + len(line) > self._rotate_bytes:
                self._write(group, now_ns)
                group, group_bytes = [], 0
            if not group:
                self.rotate(now_ns, coming_bytes=len(line))
            group.append(line)
            group_bytes += len(line)
            self.positions[partition] = after
        self._write(group, now_ns)

    def _write(self, group: Sequence[bytes], now_ns: int) -> None:
        if self._file is None:
            window = now_ns // self._rotate_ns * self._rotate_ns // NS_PER_S
            path = self._folder / f"current.{self._generation}.{window}.ndjson"
            self._adopt(path, window)
            self._sync_folder()
        file = self._need_file()
        data = b"".join(group)
        file.write(data)
        os.fdatasync(file.fileno())
        self._size_bytes += len(data)

    def rotate(self, now_ns: int, *, coming_bytes: int = 0) -> None:
        """Finish the current file when its time is over or what comes would not fit."""
        if self._file is None:
            return
        over = now_ns // self._rotate_ns * self._rotate_ns // NS_PER_S != self._window
        if over or self._size_bytes + coming_bytes > self._rotate_bytes:
            self._finish(save_positions=True)

    def close(self) -> None:
        """Let go of file and lock; nothing is written."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(
                self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SinkError(
                f"folder {self._folder} is being written by another process: "
                "give each forwarder its own"
            ) from error
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise SinkConfigError(
                f"folder {self._folder} cannot be used: {error.strerror}; make it writable"
            ) from error

    def _need_file(self) -> BinaryIO:
        if self._file is None:
            raise AssertionError("no current file")
        return self._file

    def _adopt(self, path: Path, window: int) -> None:
        self._path = path
        self._window = window
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._size_bytes = os.fstat(descriptor).st_size

    def _finish(self, *, save_positions: bool) -> None:
        file = self._need_file()
        os.fdatasync(file.fileno())
        if save_positions:
            self._save_positions()
        file.close()
        self._file = None
        self._size_bytes = 0
        self._number += 1
        start = datetime.fromtimestamp(self._window, UTC).strftime("%Y%m%dT%H%M%SZ")
        self._path.rename(self._folder / f"{start}-{self._number:08d}.ndjson")
        self._sync_folder()

    def _repair(self, path: Path, *, ours: bool) -> None:
        """Cut the torn tail off and learn from the whole lines how far each partition is."""
        good_bytes = at = damaged = damaged_inside = 0
        with path.open("r+b") as file:
            for line in file:
                at += len(line)
                place = _place_of(line)
                if place is None:
                    damaged += 1
                    continue
                good_bytes, damaged_inside = at, damaged
                partition, position = place
                if ours:
                    self.positions[partition] = Position(position.offset, position.place + 1)
            if good_bytes < at:
                _log.warning("%s: cut a torn tail of %d bytes off", path, at - good_bytes)
                file.truncate(good_bytes)
            os.fsync(file.fileno())
        if damaged_inside:
            _log.error("%s: %d damaged lines between whole ones", path, damaged_inside)

    def _load_positions(self) -> dict[PartitionKey, Position]:
        path = self._folder / "positions.json"
        try:
            saved = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise SinkConfigError(
                f"{path} is damaged ({error}): move it away to go on from the journal's cursor"
            ) from error
        if saved["generation"] != self._generation:
            return {}
        return {
            PartitionKey(*name.split("/")): Position.from_text(name, text)
            for name, text in saved["positions"].items()
        }

    def _save_positions(self) -> None:
        saved: Mapping[str, Any] = {
            "generation": self._generation,
            "positions": {str(key): str(place) for key, place in sorted(self.positions.items())},
        }
        fresh = self._folder / "positions.json.new"
        with fresh.open("wb") as file:
            file.write(json.dumps(saved, indent=1).encode())
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self._folder / "positions.json")
        self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _window_of(path: Path) -> int:
    match = _CURRENT.fullmatch(path.name)
    return int(match[2]) if match else 0


def _place_of(line: bytes) -> tuple[PartitionKey, Position] | None:
    """Return a line's partition and position, None for a line that is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        fields = json.loads(line)
        return (
            PartitionKey(fields["tenant"], fields["store"]),
            Position.from_text("position", fields["position"]),
        )
    except (ValueError, KeyError, TypeError, FieldError):
        return None
