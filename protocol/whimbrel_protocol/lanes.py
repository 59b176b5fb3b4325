"""Lanes, their order modes, and the reasons a sequence may end as a gap."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

LANES: Final = ("critical", "high", "normal", "bulk")
"""Urgency classes, most urgent first; the index is the number on the wire."""

LANE_NUMBERS: Final = {name: number for number, name in enumerate(LANES)}


class Order(IntEnum):
    """How a lane's frames reach the journal."""

    IN_ORDER = 0
    """Committed in sequence order only."""
    LIVE_FIRST = 1
    """New frames may be committed before older ones that still wait."""


class GapReason(IntEnum):
    """Why a sequence will never be delivered. Numbers are on the wire: never renumber."""

    EVICTED = 1
    """Dropped by the lane's overflow policy, since the buffer was full."""
    THINNED = 2
    """Left out by a thinning policy; a summary may stand for it."""
    DAMAGED = 3
    """The device's storage lost or corrupted it; the count may be an upper bound."""
    REFUSED = 4
    """The region refused the frame (limits or versions) and stored bytes and gap."""
    QUARANTINED = 5
    """The frame failed its own check on the device and is kept aside."""
    LOST_AFTER_RECEIPT = 6
    """The region lost it after its receipt, and the device no longer has it."""
    UNSYNCED = 7
    """Accepted inside a lane's stated durability window and lost with the power."""
    DISCARDED = 8
    """Dropped by an operator's explicit act."""
    UNREADABLE = 9
    """Committed, but its columns could not be decoded by consumers."""
    FORKED = 10
    """Committed in a fork, since a copy of the device had taken a part of its frame's range."""


class ClockQuality(IntEnum):
    """What the device knew about its wall clock when a frame's events were accepted."""

    UNKNOWN = 0
    UNSYNCED = 1
    """Running since boot without any outside time."""
    SAVED = 2
    """Continued from a time saved before the last stop."""
    RTC = 3
    SYNCED = 4
    """Disciplined by NTP, PTP or the region's time."""
