"""Accepted and committed, on one clock."""

from contextlib import closing
from pathlib import Path

from servers.waiting import wait_until
from whimbrel_aggregator.journal.schema import connect
from whimbrel_sim.ledger import Ledger, Place
from whimbrel_sim.trials.watching import CommitWatch, TimedLedger

FRAME = "INSERT INTO frames VALUES (?, 1, ?, ?, ?, 0, 0, 0, 0, 0, '', x'', 0, x'aabb')"


def journal(path: Path) -> None:
    """A journal's tables as far as the watch reads them."""
    with closing(connect(path)) as connection:
        connection.executescript(
            """
            CREATE TABLE partitions (id INTEGER PRIMARY KEY);
            CREATE TABLE devices (id INTEGER PRIMARY KEY, tenant TEXT);
            CREATE TABLE streams (id INTEGER PRIMARY KEY, device INTEGER, epoch INTEGER, lane INTEGER);
            CREATE TABLE frames (id INTEGER PRIMARY KEY, stream, first, span, count, reason, fork,
                received_ns, time_min_ns, time_max_ns, zones, digest, crc, data BLOB);
            INSERT INTO partitions VALUES (1), (2);
            INSERT INTO devices VALUES (1, 'acme');
            INSERT INTO streams VALUES (1, 1, 77, 0);
            """
        )


def commit(path: Path, rowid: int, first: int, span: int) -> None:
    with closing(connect(path)) as connection:
        connection.execute(FRAME, (rowid, first, span, span))


def test_each_frame_of_each_partition_is_seen_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal(path)
    with CommitWatch(path) as watch:
        for offset in range(3):
            for partition in (1, 2):
                commit(path, partition << 40 | offset, 10 * offset + 100 * partition, 10)
        wait_until(lambda: len(watch.frames) >= 6, timeout_s=30, what="six frames")
    assert sorted(frame.first for frame in watch.frames) == [100, 110, 120, 200, 210, 220]
    assert {(frame.tenant, frame.events, frame.size_bytes) for frame in watch.frames} == {
        ("acme", 10, 2)
    }
    assert len(watch.times()) == 60


def test_a_delay_is_from_the_answer_to_the_commit(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal(path)
    ledger = TimedLedger()
    entries = [ledger.post("till", "critical") for _ in range(2)]
    lane = "critical"
    ledger.accept(entries, [Place(77, lane, 1), Place(77, lane, 2)])
    with CommitWatch(path) as watch:
        commit(path, 1 << 40, 1, 1)
        wait_until(lambda: bool(watch.frames), timeout_s=30, what="a frame")
    found = ledger.accepted(lane)
    assert found == entries
    (frame,) = watch.frames
    (delay,) = watch.delays(ledger, found)  # the other one is not committed
    assert delay == max(0.0, frame.seen_s - ledger.accepted_s[entries[0].event_id])
    assert ledger.accepted("bulk") == []


def test_a_repeated_answer_keeps_the_first_time() -> None:
    ledger = TimedLedger()
    assert isinstance(ledger, Ledger)
    entries = [ledger.post("till", "normal")]
    ledger.accept(entries, [Place(1, "normal", 1)])
    first = dict(ledger.accepted_s)
    ledger.accept(entries, [Place(1, "normal", 1)])
    assert ledger.accepted_s == first
