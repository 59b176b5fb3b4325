"""A folder as the file system has it: names, files, and what of both a power cut may take.

Names become durable when their directory is synced. What is not yet durable may survive in two
ways, drawn per image: as ext4's journal does (in order, and never less than any sync has
committed), or as POSIX allows (any of it, except that of changes of one name a later one never
survives an earlier one). Renames are never half done in either.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .content import Content, File
from .oplog import Flag, Kind, Operation

INDEX_ENDING: Final = "-shm"
"""SQLite's index of a log: shared memory, of which only the head is recorded."""

INDEX_BYTES: Final = 32 * 1024

_NAMING: Final = frozenset({Kind.RENAME, Kind.UNLINK, Kind.MKDIR, Kind.RMDIR, Kind.LINK})

Names = dict[str, File | None]
"""Path inside the folder -> file; None is a directory."""


class ModelError(Exception):
    """The log holds something that the model has no rules for."""


@dataclass(slots=True)
class NameChange:
    """A change of a directory that may not be durable yet; ``sure`` when its directory was synced."""

    kind: Kind
    path: str
    target: str
    file: File | None
    sure: bool = False

    @property
    def names(self) -> set[str]:
        """What it depends on: its names and the directory they lie in."""
        return {name for name in (self.path, self.target) if name} | self.directories

    @property
    def directories(self) -> set[str]:
        """Where its names lie."""
        return {name.rpartition("/")[0] for name in (self.path, self.target) if name} - {""}

    def lies_in(self, directory: str) -> bool:
        """Say whether a sync of that directory brings it."""
        return any(
            name.rpartition("/")[0] == directory for name in (self.path, self.target) if name
        )

    def apply(self, names: Names) -> None:
        """Change the names."""
        match self.kind:
            case Kind.OPEN | Kind.MKDIR:
                names[self.path] = self.file
            case Kind.UNLINK | Kind.RMDIR:
                names.pop(self.path, None)
            case Kind.RENAME:
                names.pop(self.path, None)
                names[self.target] = self.file
            case Kind.LINK:
                names[self.target] = self.file


class Disk:
    """What operations have made of a folder."""

    def __init__(self, names: Names | None = None) -> None:
        self.names: Names = dict(names or {})
        self._durable: Names = dict(self.names)
        self._changes: list[NameChange] = []
        self._journalled = 0  # changes of names that any sync has committed, as ext4 does
        self._files: dict[int, File] = {}

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """Take a folder as it is, all of it durable."""
        names: Names = {}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_dir():
                names[name] = None
            elif path.is_file():
                names[name] = File(Content.of(path.read_bytes()))
        return cls(names)

    def apply_all(self, operations: Iterable[Operation]) -> None:
        """Take operations in."""
        for operation in operations:
            self.apply(operation)

    def apply(self, operation: Operation) -> None:
        """Take one operation in.

        Raises:
            ModelError: there are no rules for it.
        """
        kind = operation.kind
        if kind is Kind.OPEN:
            self._open(operation)
        elif kind in _NAMING:
            self._rename(operation)
        elif kind is Kind.SYNC_DIR:
            if not operation.flags:
                self._sync_directory(operation.path)
        elif kind is Kind.TRUNCATE and operation.path:
            self._named(operation.path).resize(operation.length)
        elif (file := self._files.get(operation.file)) is not None:
            self._change(file, operation)

    def _open(self, operation: Operation) -> None:
        if operation.flags & Flag.CREATED:
            self._change_names(NameChange(Kind.OPEN, operation.path, "", File()))
        file = self._named(operation.path)
        if operation.flags & Flag.EMPTIED:
            file.resize(0)
        self._files[operation.file] = file

    def _named(self, path: str) -> File:
        file = self.names.get(path)
        if file is None:
            raise ModelError(f"{path!r} is no file that is known")
        return file

    def _change(self, file: File, operation: Operation) -> None:
        match operation.kind:
            case Kind.WRITE:
                file.write(operation.offset, operation.data)
            case Kind.TRUNCATE:
                file.resize(operation.length)
            case Kind.ALLOCATE:
                file.resize(max(file.size, operation.offset + operation.length))
            case Kind.INDEX:
                file.index_head = operation.data
            case Kind.SYNC if operation.flags & Flag.FAILED:
                file.fail_sync()
            case Kind.SYNC if not operation.flags:
                file.sync()
                self._journalled = len(self._changes)

    def _rename(self, operation: Operation) -> None:
        kind, path = operation.kind, operation.path
        if kind in (Kind.MKDIR, Kind.RMDIR):
            self._change_names(NameChange(kind, path, "", None))
            return
        if self.names.get(path) is None and kind is not Kind.UNLINK:
            raise ModelError(f"{path!r} is a directory, or not known: only files are renamed")
        self._change_names(NameChange(kind, path, operation.target, self.names.get(path)))

    def _change_names(self, change: NameChange) -> None:
        change.apply(self.names)
        self._changes.append(change)

    def _sync_directory(self, directory: str) -> None:
        wanted: set[str] = set()
        for change in reversed(self._changes):
            if change.lies_in(directory) or change.names & wanted:
                change.sure = True
                wanted |= {name for name in (change.path, change.target) if name}
        self._journalled = len(self._changes)
        done = 0
        while done < len(self._changes) and self._changes[done].sure:
            self._changes[done].apply(self._durable)
            done += 1
        del self._changes[:done]
        self._journalled -= done

    def forget_gone(self) -> None:
        """Forget files that no name can lead to any more."""
        named = {id(file) for names in (self.names, self._durable) for file in names.values()}
        named |= {id(change.file) for change in self._changes}
        self._files = {n: file for n, file in self._files.items() if id(file) in named}

    # ---- what a crash leaves

    def after_kill(self) -> dict[str, bytes | None]:
        """Return what is there after ``kill -9``: everything that was written."""
        return {
            name: None if file is None else self._killed(name, file)
            for name, file in self.names.items()
        }

    def _killed(self, name: str, file: File) -> bytes:
        if name.endswith(INDEX_ENDING) and file.index_head:
            return file.index_head.ljust(INDEX_BYTES, b"\0")
        return file.newest().data()

    def after_power_cut(self, chance: random.Random) -> dict[str, bytes | None]:
        """Return what may be there after a power cut."""
        names = self._drawn_names(chance)
        drawn: dict[int, bytes] = {}
        left: dict[str, bytes | None] = {}
        for name in sorted(names):
            file = names[name]
            parent = name.rpartition("/")[0]
            if parent and left.get(parent, b"") is not None:
                continue  # its directory was lost
            if file is None:
                left[name] = None
            elif name.endswith(INDEX_ENDING):
                left |= _drawn_index(name, file, chance)
            else:
                if id(file) not in drawn:
                    drawn[id(file)] = file.draw(chance).data()
                left[name] = drawn[id(file)]
        return left

    def _drawn_names(self, chance: random.Random) -> Names:
        changes = self._changes
        names = dict(self._durable)
        if not changes:
            return names
        count = len(changes)
        if chance.random() < 0.5:
            upto = chance.randint(self._journalled, count)
            kept = [at < upto for at in range(count)]
        else:
            share = chance.choice((0.0, 0.5, 0.9, 1.0))
            kept = [chance.random() < share for _ in changes]
        needed: set[str] = set()
        for at in range(count - 1, -1, -1):
            change = changes[at]
            own = {name for name in (change.path, change.target) if name}
            if kept[at] or change.sure or own & needed:
                kept[at] = True
                needed |= own  # a directory that is lost takes along what lies in it
        for keep, change in zip(kept, changes, strict=True):
            if keep:
                change.apply(names)
        return names


def _drawn_index(name: str, file: File, chance: random.Random) -> dict[str, bytes | None]:
    """Draw what a log's index is after a power cut: nobody ever synced it."""
    stale = file.index_head.ljust(INDEX_BYTES, b"\0")
    rubbish = chance.randbytes(1024).ljust(INDEX_BYTES, b"\0")
    drawn = chance.choice((None, None, b"", bytes(INDEX_BYTES), stale, rubbish))
    return {} if drawn is None else {name: drawn}
