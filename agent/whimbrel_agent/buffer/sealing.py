"""When staged events are sealed, and how many at once: a pure rule.

The same staged rows give the same cuts, so that two lives of one buffer file make the same
frames out of what an ended process left behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from whimbrel_agent.buffer.values import LaneConfig
from whimbrel_protocol.limits import MAX_SEAL_EVENTS, TARGET_FRAME_BYTES

CLOSED_EPOCH_EVENTS: Final = 500
"""Frame size for what an ended process left: a constant, since clones of a file may have
different settings and must still cut alike."""

FIRST_RATIO: Final = 0.15
"""Frame bytes per packed byte before a lane has sealed anything (measured: 0.08 to 0.2)."""

MAX_SEAL_BYTES: Final = 1024 * 1024
"""Packed bytes sealed at once; bounds memory when events are big."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in a lane: events, their packed bytes, when the oldest was accepted.

    ``held_since_ns`` says the same of the oldest that is in memory only; None without any.
    """

    events: int
    size_bytes: int
    oldest_mono_ns: int
    held_since_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsealed:
    """What waits in a lane, and for what: for whoever plans by it.

    Attributes:
        lane: its name.
        events: how many wait.
        batch_events: so many make a batch full.
        linger_s: how long an event waits for company.
        deadline_ns: when the oldest has waited so long, monotonic.
    """

    lane: str
    events: int
    batch_events: int
    linger_s: float
    deadline_ns: int


class Made(NamedTuple):
    """Frames that were sealed in one turn, and in which lane."""

    lane: int
    frames: int


@dataclass(frozen=True, slots=True)
class SealResult:
    """What a call of ``seal_due`` did: frames made, and when to call again (monotonic ns).

    ``urgent``: frames of the most urgent lane are among them. ``unsealed``: what waits on, by lane.
    """

    frames: int
    next_deadline_ns: int | None
    urgent: bool = False
    unsealed: tuple[Unsealed, ...] = ()


def is_due(
    waiting: Waiting, lane: LaneConfig, *, now_mono_ns: int, ratio: float, pressing: bool
) -> bool:
    """Say whether a lane's staged events are to be sealed now."""
    return waiting.events > 0 and (
        pressing or is_full(waiting, lane, ratio=ratio) or now_mono_ns >= deadline_ns(waiting, lane)
    )


def is_full(waiting: Waiting, lane: LaneConfig, *, ratio: float) -> bool:
    """Say whether a whole frame waits, by events or by expected bytes."""
    return waiting.events >= lane.batch_events or waiting.size_bytes * ratio >= TARGET_FRAME_BYTES


def deadline_ns(waiting: Waiting, lane: LaneConfig) -> int:
    """Return when the oldest staged event has waited long enough."""
    return waiting.oldest_mono_ns + int(lane.linger_s * 1e9)


def rows_to_seal(rows: Iterable[tuple[int, int]], *, batch_events: int, ratio: float) -> int:
    """Return how many of the oldest rows go into the next frame, at least one.

    Args:
        rows: (events, packed bytes) of each row, oldest first.
        batch_events: enough for a frame.
        ratio: expected frame bytes per packed byte.
    """
    taken = events = size = 0
    for row_events, row_bytes in rows:
        if taken and (
            events + row_events > MAX_SEAL_EVENTS
            or (size + row_bytes) * ratio > TARGET_FRAME_BYTES
            or size + row_bytes > MAX_SEAL_BYTES
        ):
            break
        taken += 1
        events += row_events
        size += row_bytes
        if events >= batch_events:
            break
    return taken


def next_ratio(ratio: float, *, frame_bytes: int, packed_bytes: int) -> float:
    """Return the expected frame bytes per packed byte after one more frame."""
    return 0.75 * ratio + 0.25 * frame_bytes / max(1, packed_bytes)
