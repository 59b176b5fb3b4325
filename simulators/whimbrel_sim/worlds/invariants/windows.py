"""What a durability window may cost: events answered in the last window before a crash, no others."""

from __future__ import annotations

from collections.abc import Sequence

from whimbrel_protocol.lanes import GapReason
from whimbrel_sim.worlds.books import Sender
from whimbrel_sim.worlds.invariants.accounts import Accounts
from whimbrel_sim.worlds.invariants.journal import Report
from whimbrel_sim.worlds.invariants.violation import Invariant

SLACK_S = 1.0
"""Between an event being offered and its answer, at most: the books know when it was offered."""


def check_windows(
    sender: Sender,
    broke_off_s: Sequence[float],
    window_s: float,
    accounts: Accounts,
    report: Report,
) -> int:
    """Judge what a sender has lost that way, when everything has drained; returns how much.

    Args:
        sender: whose events.
        broke_off_s: when its device's processes ended without being told to.
        window_s: of its lane; 0 for none.
        accounts: say what is missing, and for which reason.
        report: takes a breach.
    """
    lost = [n for n in sender.missing() if accounts.reason_of(sender, n) == GapReason.UNSYNCED]
    early = [n for n in lost if not _in_window(sender.offered_s(n), broke_off_s, window_s)]
    if early:
        report(
            Invariant.WINDOW,
            f"{len(early)} accepted events of {sender.name} are lost, and no crash came within "
            f"{window_s:g} s of them ({early[0]})",
        )
    return len(lost)


def _in_window(offered_s: float, broke_off_s: Sequence[float], window_s: float) -> bool:
    if not window_s:
        return False
    return any(0 <= at_s - offered_s <= window_s + SLACK_S for at_s in broke_off_s)
