"""A real journal with a sender's events in it, for tests of those who check a world's journal."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from committed.journal import Committer, address, event, open_journal
from whimbrel_protocol.event import Event
from whimbrel_sim.worlds.books import Books, Sender
from whimbrel_sim.worlds.invariants.violation import Invariant

WHERE = "acme/store-1/till-1"
SOURCE = "store-1/till-1/1"
ADDRESS = address()


def numbered(numbers: Iterable[int], source: str = SOURCE, **fields: object) -> list[Event]:
    """Events as a world's producer makes them."""
    return [event(number, source=source, data={"n": number}, **fields) for number in numbers]


@asynccontextmanager
async def committer(path: Path) -> AsyncIterator[Committer]:
    """Commit into a new journal; it is closed after the block."""
    journal = await open_journal(path)
    try:
        yield Committer(journal)
    finally:
        await journal.close()


def change(path: Path, statement: str) -> None:
    """Change a closed journal's file by hand."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


def accepted(books: Books, count: int, source: str = SOURCE) -> Sender:
    """A sender whose first events were accepted."""
    sender = books.open(source, WHERE, "normal")
    sender.accept(sender.offer(count, 0.0), [])
    return sender


class Reports:
    """Takes the place of a world's audit."""

    def __init__(self) -> None:
        self.found: list[tuple[Invariant, str]] = []

    def __call__(self, invariant: Invariant, text: str) -> None:
        self.found.append((invariant, text))

    @property
    def invariants(self) -> list[Invariant]:
        return [invariant for invariant, _ in self.found]
