from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from committed.journal import KEY, Committer, address, events, open_journal
from whimbrel_aggregator.journal.port import DeviceKey, EnrolledDevice, JournalError
from whimbrel_aggregator.journal.verify import VerifyReport, verify_journal
from whimbrel_protocol.header import InnerGap

Tamper = Callable[[str], VerifyReport]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A journal with frames as devices seal them, closed."""
    place = tmp_path / "verified.db"
    journal = await open_journal(place)
    await journal.enrol(
        EnrolledDevice(
            key=DeviceKey("acme", "store-1", "till-1"),
            region="eu-1",
            public_keys=(KEY.public.raw,),
            enrolled_ns=1,
        )
    )
    committer = Committer(journal)
    await committer.commit([events(0, 20), events(20, 20), events(40, 20)])
    await committer.commit([events(0, 5)], address(device="till-2"))
    await committer.commit([[]], gaps=(InnerGap(0, 7, 1),))
    await journal.close()
    return place


@pytest.fixture
def tampered(path: Path) -> Tamper:
    def change(statement: str) -> VerifyReport:
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()
        return verify_journal(path)

    return change


def test_a_sound_journal_is_counted_through(path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = verify_journal(path, progress=lambda done, total: seen.append((done, total)))
    assert report.sound, report.problems
    assert (report.partitions, report.streams, report.frames) == (1, 2, 5)
    assert (report.events, report.gapped, report.forks) == (65, 7, 0)
    assert report.unsigned == 1  # till-2 is not enrolled
    assert seen[-1] == (5, 5)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE frames SET count = 19 WHERE id & 255 = 1", "checksum"),
        ("UPDATE frames SET data = zeroblob(9) WHERE id & 255 = 2", "digest"),
        ("UPDATE streams SET ranges = x'0013aabbccdd' WHERE id = 1", "checksum"),
        ("UPDATE partitions SET head = 4", "checksum"),
        ("UPDATE devices SET epoch_floor = 9 WHERE id = 1", "checksum"),
        ("DELETE FROM frames WHERE id & 255 = 3", "cannot be read"),
        ("DELETE FROM frame_index WHERE first = 21", "entries for 5 frames"),
        ("UPDATE frame_index SET position = 2 WHERE first = 1", "not there"),
    ],
)
def test_a_change_behind_the_journals_back_is_found(
    tampered: Tamper, statement: str, said: str
) -> None:
    report = tampered(statement)
    assert not report.sound
    assert any(said in problem.what for problem in report.problems), report.problems


def test_a_frame_that_its_enrolled_key_did_not_sign_is_found(path: Path, tampered: Tamper) -> None:
    connection = sqlite3.connect(path)
    rowid, data = connection.execute("SELECT id, data FROM frames LIMIT 1").fetchone()
    connection.close()
    report = tampered(
        f"UPDATE frames SET data = x'{(data[:-1] + bytes([data[-1] ^ 1])).hex()}' WHERE id = {rowid}"
    )
    assert any("digest" in problem.what for problem in report.problems)
    assert any(
        "till-1" in problem.where or "offset" in problem.where for problem in report.problems
    )


def test_a_journal_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="does not exist"):
        verify_journal(tmp_path / "nothing.db")
