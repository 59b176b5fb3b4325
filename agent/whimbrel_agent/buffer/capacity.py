"""Room under the cap: how much there is, and frames that may go without a word.

Those are receipted frames, kept for a region that is restored. What else gives way, and in which
order, is ``overflow``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from whimbrel_agent.buffer.database import DiskFullError
from whimbrel_agent.buffer.frames import drop_receipted, walk
from whimbrel_agent.buffer.state import LANE_COUNT, BufferState

BATCH: Final = 16
"""Frames dropped in one transaction: bounds how far it grows the log."""


def room(state: BufferState) -> int:
    """Return the pages that new rows may take before something must give way.

    Without the reserve the file may not grow: only pages free inside it count.
    """
    return _room(state, *state.database.pages())


def _room(state: BufferState, count: int, free: int) -> int:
    limits = state.database.limits
    usable = free if not state.reserve.present else limits.max_pages - count + free
    return int(usable) - limits.headroom_pages


def has_room(state: BufferState, pages: int) -> bool:
    """Whether so many pages are free; they are counted only where an estimate cannot tell."""
    return _room(state, *state.database.pages_at_worst()) >= pages or room(state) >= pages


def is_pressing(state: BufferState) -> bool:
    """Whether room is so short that staged events should be sealed at once."""
    held_pages = state.held.pages(state.database.page_bytes)
    return not has_room(state, state.database.limits.headroom_pages + held_pages)


def free_what_is_kept(state: BufferState) -> None:
    """After a full disk: drop receipted frames and copy the log, so that pages are free."""
    trim_receipted(state, 4 * state.database.limits.headroom_pages)
    state.database.checkpoint()


def trim_receipted(state: BufferState, pages: int) -> int:
    """Drop some of the oldest receipted frames; returns how many."""
    dropped = 0
    need = pages * state.database.page_bytes

    def work() -> None:
        nonlocal dropped
        dropped = freed = 0
        with state.change() as connection:
            for lane in reversed(range(LANE_COUNT)):
                if freed < need and state.totals[lane].receipted_frames:
                    for row in list(walk(state, connection, "receipted", lane, limit=BATCH)):
                        drop_receipted(state, connection, row)
                        dropped += 1
                        freed += row.size
                        if freed >= need:
                            break

    if any(totals.receipted_frames for totals in state.totals):
        freeing(state, work)
    return dropped


def trim_to_share(state: BufferState) -> None:
    """Keep receipted frames within their share of the cap."""
    share = int(state.config.max_bytes * state.config.retain_share)
    while (over := sum(totals.receipted_bytes for totals in state.totals) - share) > 0:
        if not trim_receipted(state, over // state.database.page_bytes + 1):
            return


def freeing(state: BufferState, work: Callable[[], None]) -> None:
    """Do what must also work on a full disk: there, the reserve makes it possible.

    Raises:
        DiskFullError: not even with the reserve given up.
    """
    try:
        work()
    except DiskFullError:
        with state.database.beside():
            given_up = state.reserve.give_up()
        if not given_up:
            raise
        state.counters["reserve_used"] += 1
        state.database.checkpoint()
        work()
