"""What becomes of a lane's waiting events, and when: a pure rule over linger and durability window.

A lane without a window is sealed as ``sealing`` says. In a lane with one, events wait in memory
until a batch is full, the lane's linger is over or the window ends, and are sealed then: they never
were on the disk before. Where the window ends long before the linger, or nothing can leave and
linger serves nobody, a frame at every window's end would make thousands of small ones: what is too
little for a good frame is then written as a staged row and waits there for company.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from whimbrel_agent.buffer.sealing import Waiting, deadline_ns, is_full
from whimbrel_agent.buffer.values import LaneConfig
from whimbrel_protocol.limits import TARGET_FRAME_BYTES

_NS: Final = 1_000_000_000

MAX_HEAD_START_NS: Final = 1 * _NS
_HEAD_START_SHARE: Final = 0.2
"""Writing begins before a window's end, by this share of it and a second at most: the window is over
when the events are durable, and a slow card takes its time."""

GOOD_SHARE: Final = 0.5
"""A frame of half a batch is a good one: it takes some 15 % more bytes an event than a whole one,
less than writing its events as a row first."""

OFFLINE_LOOK_NS: Final = 30 * _NS
"""What is on the disk and waits for the uplink is looked at so often, should nothing else tell."""


class Act(Enum):
    """What is to be done with a lane."""

    WAIT = "wait"
    SEAL = "seal"
    WRITE = "write"
    """Write what is in memory as staged rows."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done, why, and when to look again if nothing more is accepted."""

    act: Act
    look_ns: int
    reason: str


def next_step(
    waiting: Waiting,
    lane: LaneConfig,
    *,
    now_mono_ns: int,
    ratio: float,
    pressing: bool,
    sending: bool,
) -> Step:
    """Say what becomes of a lane in which something waits.

    Args:
        waiting: at least one event.
        lane: its settings.
        now_mono_ns: now.
        ratio: expected frame bytes per packed byte.
        pressing: room is short.
        sending: frames can leave now, as far as is known.
    """
    if pressing:
        return Step(Act.SEAL, now_mono_ns, "room is short, and frames take less of it")
    if is_full(waiting, lane, ratio=ratio):
        return Step(Act.SEAL, now_mono_ns, "a full frame waits")
    if sending or not lane.durability_s:
        return _online(waiting, lane, now_mono_ns, ratio)
    return _offline(waiting, lane, now_mono_ns, ratio)


def write_by_ns(held_since_ns: int, lane: LaneConfig) -> int:
    """Return when writing what was accepted then must begin, to be durable at its window's end."""
    window_ns = int(lane.durability_s * _NS)
    return held_since_ns + window_ns - min(MAX_HEAD_START_NS, int(_HEAD_START_SHARE * window_ns))


def is_overdue(held_since_ns: int, lane: LaneConfig, now_mono_ns: int) -> bool:
    """Say whether what waits in memory should be on the disk: nothing may join it there then."""
    return now_mono_ns >= held_since_ns + int(lane.durability_s * _NS)


def _online(waiting: Waiting, lane: LaneConfig, now_ns: int, ratio: float) -> Step:
    linger_ns = deadline_ns(waiting, lane)
    if waiting.held_since_ns is not None:
        end_ns = write_by_ns(waiting.held_since_ns, lane)
        if end_ns < linger_ns:
            # in pages a frame costs twice what a row does: one row more is no loss, many are
            soon = linger_ns - end_ns <= int(lane.durability_s * _NS)
            return _at_window_end(waiting, lane, now_ns, ratio, seal_anyway=soon)
    return _at(linger_ns, now_ns, Act.SEAL, "the oldest event has waited long enough")


def _offline(waiting: Waiting, lane: LaneConfig, now_ns: int, ratio: float) -> Step:
    if waiting.held_since_ns is None:
        look_ns = now_ns + OFFLINE_LOOK_NS
        return Step(Act.WAIT, look_ns, "nothing can leave: what is on the disk waits for company")
    return _at_window_end(waiting, lane, now_ns, ratio, seal_anyway=False)


def _at_window_end(
    waiting: Waiting, lane: LaneConfig, now_ns: int, ratio: float, *, seal_anyway: bool
) -> Step:
    assert waiting.held_since_ns is not None
    end_ns = write_by_ns(waiting.held_since_ns, lane)
    good = (
        waiting.events >= GOOD_SHARE * lane.batch_events
        or waiting.size_bytes * ratio >= GOOD_SHARE * TARGET_FRAME_BYTES
    )
    told = f"the durability window ends, and {waiting.events} events"
    if good:
        return _at(end_ns, now_ns, Act.SEAL, f"{told} make a good frame")
    if seal_anyway:
        return _at(end_ns, now_ns, Act.SEAL, f"{told} would soon be sealed anyway")
    return _at(end_ns, now_ns, Act.WRITE, f"{told} would make a small frame")


def _at(due_ns: int, now_ns: int, act: Act, reason: str) -> Step:
    if now_ns >= due_ns:
        return Step(act, now_ns, reason)
    return Step(Act.WAIT, due_ns, "neither a full frame nor the end of linger or window")
