"""WINDOW: a crash takes what was answered in the last window, in lanes that have one."""

from __future__ import annotations

from pathlib import Path

import pytest

from committed.journal import EPOCH
from whimbrel_protocol.header import InnerGap
from whimbrel_protocol.lanes import GapReason
from whimbrel_sim.worlds.books import Books, Told
from whimbrel_sim.worlds.invariants.accounts import Accounts
from whimbrel_sim.worlds.invariants.journal import JournalAudit
from whimbrel_sim.worlds.invariants.violation import Invariant
from whimbrel_sim.worlds.invariants.windows import check_windows
from worlds.committed import SOURCE, WHERE, Reports, committer, numbered

OFFERED_S = 100.0


@pytest.mark.parametrize(
    ("reason", "window_s", "broke_off_s", "lost", "broken"),
    [
        (GapReason.UNSYNCED, 5.0, [20.0, 104.0], 1, False),
        (GapReason.UNSYNCED, 5.0, [99.0, 110.0], 1, True),
        (GapReason.UNSYNCED, 5.0, [], 1, True),
        (GapReason.UNSYNCED, 0.0, [100.5], 1, True),
        (GapReason.EVICTED, 5.0, [], 0, False),
    ],
)
async def test_only_a_crash_within_the_window_excuses_a_loss(
    tmp_path: Path,
    reason: GapReason,
    window_s: float,
    broke_off_s: list[float],
    lost: int,
    *,
    broken: bool,
) -> None:
    books, reports = Books(), Reports()
    journal = JournalAudit(books, reports)
    accounts = Accounts(books, journal, reports)
    sender = books.open(SOURCE, WHERE, "normal")
    sender.accept(sender.offer(3, OFFERED_S), [Told(1, WHERE, EPOCH, "normal", 1, 3)])
    async with committer(tmp_path / "journal.db") as commits:
        await commits.commit([numbered([1, 2])], gaps=(InnerGap(2, 1, reason),))
    journal.look("eu-1", tmp_path / "journal.db")
    journal.close()
    assert check_windows(sender, broke_off_s, window_s, accounts, reports) == lost
    assert [invariant for invariant, _ in reports.found] == [Invariant.WINDOW] * broken
