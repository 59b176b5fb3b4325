from __future__ import annotations

import os
from pathlib import Path

import pytest

from whimbrel_aggregator.journal.errors import JournalInUseError
from whimbrel_aggregator.journal.lock import JournalLock


def test_a_second_holder_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    lock = JournalLock(tmp_path / "journal.db")
    with pytest.raises(JournalInUseError, match=f"in use by process {os.getpid()}:"):
        JournalLock(tmp_path / "journal.db")
    lock.release()
    lock.release()
    JournalLock(tmp_path / "journal.db").release()


def test_the_next_holder_knows_whether_the_machine_ran_on(tmp_path: Path) -> None:
    first = JournalLock(tmp_path / "journal.db")
    assert not first.same_boot
    first.release()
    second = JournalLock(tmp_path / "journal.db")
    assert second.same_boot
    second.release()
    (tmp_path / "journal.db.lock").write_text("77 another-boot\n")
    third = JournalLock(tmp_path / "journal.db")
    assert not third.same_boot
    third.release()
