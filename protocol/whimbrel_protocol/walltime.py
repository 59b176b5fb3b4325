"""What wall clocks say of machines that have lost their time.

Boards without a battery-backed clock begin in 1970 and jump when they are told the time; servers
do after a dead battery. A stamp from before this program was written says nothing about age.
"""

from __future__ import annotations

from typing import Final

EARLIEST_NS: Final = 1_672_531_200_000_000_000
"""2023-01-01T00:00:00Z in Unix nanoseconds: no clock that is right says an earlier time."""


def is_dated(wall_ns: int) -> bool:
    """Say whether a stamp in Unix nanoseconds can be right, so that an age may be taken from it."""
    return wall_ns >= EARLIEST_NS
