from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from whimbrel_aggregator.flow.sidefile import SideFileError
from whimbrel_aggregator.forward import skipped
from whimbrel_aggregator.forward.skipped import Skipped, SkippedFile, run_of
from whimbrel_aggregator.journal.values import PartitionKey

RUN = Skipped(
    forwarder="hook",
    partition=PartitionKey("acme", "store-1"),
    rung="sampled",
    first=10,
    last=19,
    frames=7,
    events=700,
    min_ns=1_000,
    max_ns=2_000,
)
LATER = replace(RUN, first=25, last=30, frames=2, events=5, min_ns=900, max_ns=1_500)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SkippedFile]:
    opened = SkippedFile(tmp_path / "skipped")
    yield opened
    opened.close()


def test_a_run_that_goes_on_is_one_row(file: SkippedFile) -> None:
    file.add(RUN, goes_on=False)
    file.add(LATER, goes_on=True)
    [row] = file.rows()
    assert row == replace(RUN, last=30, frames=9, events=705, min_ns=900, id=row.id)


def test_another_rung_or_episode_or_store_is_another_row(file: SkippedFile) -> None:
    file.add(RUN, goes_on=False)
    file.add(LATER, goes_on=False)
    file.add(replace(LATER, rung="store-only"), goes_on=True)
    file.add(replace(LATER, partition=PartitionKey("acme", "store-2")), goes_on=True)
    assert [row.rung for row in file.rows()] == ["sampled", "sampled", "store-only", "sampled"]
    assert [row.id for row in file.rows("hook", after_id=2)] == [3, 4]
    assert file.rows("other") == []


def test_runs_survive_a_restart_and_go_on_there(tmp_path: Path) -> None:
    first = SkippedFile(tmp_path / "skipped")
    first.add(RUN, goes_on=False)
    first.close()
    again = SkippedFile(tmp_path / "skipped")
    again.add(LATER, goes_on=True)
    assert [row.last for row in again.rows()] == [30]
    again.close()


def test_a_dropped_run_is_gone_and_not_lengthened(file: SkippedFile) -> None:
    file.add(RUN, goes_on=False)
    [row] = file.rows()
    assert file.drop(row.id)
    assert not file.drop(row.id)
    file.add(LATER, goes_on=True)
    assert [(row.first, row.last) for row in file.rows()] == [(25, 30)]


def test_when_no_more_fit_nothing_is_skipped_any_more(
    file: SkippedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skipped, "MAX_ROWS", 2)
    file.add(RUN, goes_on=False)
    file.add(RUN, goes_on=False)
    with pytest.raises(SideFileError, match="the most there may be: replay or drop some"):
        file.add(RUN, goes_on=False)
    file.add(LATER, goes_on=True)
    file.drop(1)
    file.add(RUN, goes_on=False)
    assert len(file.rows()) == 2


def test_a_damaged_row_is_not_shown(file: SkippedFile, tmp_path: Path) -> None:
    file.add(RUN, goes_on=False)
    with sqlite3.connect(tmp_path / "skipped") as connection:
        connection.execute("UPDATE skipped SET last = 99")
    connection.close()
    assert file.rows() == []


def test_frames_without_events_are_no_run() -> None:
    assert run_of("hook", RUN.partition, "sampled", []) is None
