"""The senders' ledger on disk: what a fleet posted and what it was told, line by line.

::

    whimbrel-ledger 1
    P <sender> <lane> <first number> <count> <sources>           before the bytes leave
    A <sender> <first number> <count> <epoch> <first sequence>   an answer that accepted them
    R <sender> <first number> <count>                            an answer that refused them

``sources`` are those of the events, percent-encoded, with commas between; one stands for all when
they are the same. The product knows an event again by its id within its source, so both are needed
to ask again about a post of a life before.

One file has one writer. A line is handed to the kernel in one piece before its post leaves, so
the file survives the death of its writer (``kill -9``), though not a power cut: the fleet is the
witness here, not the accused. A last line without its end was never acted on and is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from whimbrel_sim.ledger import Ledger, Outcome, Place, event_id

HEAD: Final = "whimbrel-ledger 1\n"


class LedgerFileError(Exception):
    """A file is no ledger, or a line of it has no meaning; the text names file and line."""


@dataclass(frozen=True, slots=True)
class Post:
    """Neighbouring events of one sender and lane that are posted together."""

    sender: str
    lane: str
    first: int
    sources: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self.sources)

    def event_ids(self) -> list[str]:
        """The ids of the events, in order."""
        return [event_id(self.sender, self.first + place) for place in range(self.count)]


@dataclass(frozen=True, slots=True)
class PlaceRun:
    """Where an answer says that neighbours went: ``first`` is a sequence."""

    epoch: int
    lane: str
    first: int
    count: int


class LedgerFile:
    """Appends to one file; opened again it goes on where its last writer was killed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists() or path.stat().st_size == 0
        self._unsure: dict[str, list[Post]] = {}
        self._last: dict[str, int] = {}
        if not fresh:
            self._look_back(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if fresh:
            os.write(self._file, HEAD.encode())

    def unsure(self, sender: str) -> list[Post]:
        """Give the posts of a sender that its last life got no answer to, oldest first."""
        return self._unsure.pop(sender, [])

    def begin(self, sender: str, lane: str, sources: Sequence[str]) -> Post:
        """Enter the next events of a sender, by their sources; call before they leave."""
        post = Post(sender, lane, self._last.get(sender, 0) + 1, tuple(sources))
        self._last[sender] = post.first + post.count - 1
        shown = dict.fromkeys(sources) if len(set(sources)) == 1 else sources
        encoded = ",".join(quote(source, safe="") for source in shown)
        self._write(f"P {sender} {lane} {post.first} {post.count} {encoded}\n")
        return post

    def accept(self, post: Post, runs: Iterable[PlaceRun]) -> None:
        """Enter the answer that accepted a post, in the order of its events.

        Raises:
            LedgerFileError: the answer is about another number of events, or another lane.
        """
        lines, number = [], post.first
        for run in runs:
            if run.lane != post.lane:
                raise LedgerFileError(f"answer about lane {run.lane} for a post of {post.lane}")
            lines.append(f"A {post.sender} {number} {run.count} {run.epoch} {run.first}\n")
            number += run.count
        if number != post.first + post.count:
            raise LedgerFileError(
                f"answer about {number - post.first} events of {post.sender}, posted {post.count}"
            )
        self._write("".join(lines))

    def refuse(self, post: Post) -> None:
        """Enter the answer that refused a post."""
        self._write(f"R {post.sender} {post.first} {post.count}\n")

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _write(self, text: str) -> None:
        os.write(self._file, text.encode())

    def _look_back(self, path: Path) -> None:
        posts: dict[str, list[Post]] = {}
        for kind, sender, *rest in _lines(path):
            if kind == "P":
                sources = [unquote(source) for source in rest[3].split(",")]
                if len(sources) == 1:
                    sources *= int(rest[2])
                post = Post(sender, rest[0], int(rest[1]), tuple(sources))
                posts.setdefault(sender, []).append(post)
                self._last[sender] = post.first + post.count - 1
            else:
                first, count = int(rest[0]), int(rest[1])
                posts[sender] = [
                    post
                    for post in posts[sender]
                    if not first <= post.first + post.count - 1 < first + count
                ]
        self._unsure = {sender: found for sender, found in posts.items() if found}
        with path.open("rb+") as file:
            file.truncate(_whole_bytes(path))


def read_ledger(folder: Path) -> Ledger:
    """Read all ledger files of a fleet's folder into one ledger.

    Raises:
        LedgerFileError: there is none, or a line has no meaning.
        whimbrel_sim.ledger.LedgerError: two answers about one event contradict each other.
    """
    files = sorted(folder.glob("*.ledger"))
    if not files:
        raise LedgerFileError(f"{folder}: holds no *.ledger file; name the folder of a fleet")
    ledger = Ledger()
    for file in files:
        _read_into(ledger, file)
    return ledger


def _read_into(ledger: Ledger, path: Path) -> None:
    for kind, sender, *rest in _lines(path):
        if kind == "P":
            lane, first, count = rest[0], int(rest[1]), int(rest[2])
            if first != ledger.last_number(sender) + 1:
                raise LedgerFileError(f"{path}: {sender} posted {first} twice, or left some out")
            for _ in range(count):
                ledger.post(sender, lane)
            continue
        first, count = int(rest[0]), int(rest[1])
        entries = []
        for number in range(first, first + count):
            entry = ledger.find(event_id(sender, number))
            if entry is None:
                raise LedgerFileError(f"{path}: an answer about {sender} {number}, never posted")
            entries.append(entry)
        if kind == "R":
            ledger.refuse(entries)
        else:
            epoch, sequence = int(rest[2]), int(rest[3])
            places = [Place(epoch, one.lane, sequence + at) for at, one in enumerate(entries)]
            ledger.accept(entries, places)


_FIELDS: Final = {"P": 6, "A": 6, "R": 4}


def _lines(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="ascii", newline="\n") as file:
        if file.readline() != HEAD:
            raise LedgerFileError(f"{path}: does not begin with {HEAD.strip()!r}; not a ledger")
        for number, line in enumerate(file, 2):
            if not line.endswith("\n"):
                return  # torn by a kill: it was never acted on
            words = line.split()
            if not words or len(words) != _FIELDS.get(words[0]):
                raise LedgerFileError(f"{path}: line {number} is {line.strip()!r:.60}, no entry")
            yield words


def _whole_bytes(path: Path) -> int:
    data = path.read_bytes()
    return data.rfind(b"\n") + 1


def counts(ledger: Ledger) -> dict[str, int]:
    """Return how many events have each outcome."""
    return {outcome.value: ledger.count(outcome) for outcome in Outcome}
