"""A real journal on a real file for every test below that asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from committed.journal import Committer, open_journal, reader_of
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.reading import EventReader


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    opened = await open_journal(tmp_path / "journal.db")
    yield opened
    await opened.close()


@pytest.fixture
async def runner() -> AsyncIterator[ThreadRunner]:
    made = ThreadRunner("decode")
    yield made
    await made.close()


@pytest.fixture
def reader(journal: SqliteJournal, runner: ThreadRunner) -> EventReader:
    return reader_of(journal, runner)


@pytest.fixture
def committer(journal: SqliteJournal) -> Committer:
    return Committer(journal)
