"""Whether one frame may go now, and why not: a pure function of printable inputs.

====================  ======  ========  ==========
bound                 urgent  ordinary  background
====================  ======  ========  ==========
the region's credit   yes     yes       yes
a second of the rate  yes     3/4 of it 3/4 of it
frames                yes     15/16     15/16
loss window           no      yes       yes
the link's cap        charged yes       yes
the cap of replay     charged yes       yes
the month's budget    charged yes       yes
delay window, pacing  no      no        where polite
====================  ======  ========  ==========

Urgent is what ``critical`` and ``high`` lanes send. Background is the rest of what may wait: ``bulk``, and
all that travels as ``replay``. What is in flight is never more than a second of the measured rate (or
one and a half least round trips where those are longer: a satellite's link would close itself), so that
an urgent frame never waits behind more than that; a single frame may always go. Without credit one frame
at a time probes, at growing intervals. The cap of replay is for frames that travel as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

__all__ = ["FREE", "Held", "HoldInputs", "InFlight", "Limits", "Traffic", "holds", "sooner"]

UNURGENT_PART: Final = 0.75
"""Of the second for what is not urgent: an urgent frame finds room without waiting."""

UNURGENT_FRAMES: Final = 16  # one frame in so many is kept free for urgent ones

URGENT_EXTRA_BYTES: Final = 128 * 1024
"""What urgent frames may have in flight beyond the configured most, within credit and second."""

BUDGET_LOOK_S: Final = 300.0
"""A used budget is looked at again so often: a new month may have begun."""


class Traffic(Enum):
    """How much a frame may ask of the link."""

    URGENT = auto()
    ORDINARY = auto()
    BACKGROUND = auto()


@dataclass(frozen=True, slots=True)
class InFlight:
    """What is on its way.

    Attributes:
        frames: frames that wait for a receipt.
        size_bytes: their bytes.
        fresh_frames: of these, the ones that may still be in the network: sent within a time-out. One
            that is waited for longer, since it was sent many times in vain, holds up no other.
        fresh_bytes: their bytes.
    """

    frames: int
    size_bytes: int
    fresh_frames: int
    fresh_bytes: int


@dataclass(frozen=True, slots=True)
class Held:
    """Why a frame may not go now.

    Attributes:
        reason: in words.
        until_s: monotonic second at which it may; None when only a receipt changes it.
        for_all: frames of other lanes do not pass it, or small ones would for ever.
        backlog: only because it travels as replay; a new one of its lane may go.
    """

    reason: str
    until_s: float | None = None
    for_all: bool = False
    backlog: bool = False


FREE: Final = Held("may go")
"""Stands for no hold where a decision is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the link's rules say at one moment; see :mod:`.limits`.

    Attributes:
        name: of the class of links.
        cap_bytes_per_s: the cap in force; None: none.
        cap_reason: where it comes from.
        cap_ready_s: from when it lets the next frame go.
        replay_bytes_per_s: the cap of replay; None: none.
        replay_ready_s: from when that does.
        budget_left_bytes: what is left of the month; None: no budget.
    """

    name: str
    cap_bytes_per_s: float | None = None
    cap_reason: str = ""
    cap_ready_s: float = 0.0
    replay_bytes_per_s: float | None = None
    replay_ready_s: float = 0.0
    budget_left_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldInputs:
    """What the decision is made from; seconds are of the monotonic clock.

    Attributes:
        now_s: now.
        size_bytes: of the frame.
        traffic: what it counts as.
        replay: it travels as such.
        flying: what is in flight.
        probing: why only single frames may go; empty when they need not.
        probe_at_s: from when the next one may.
        credit_bytes: what the region lets be in flight.
        frames: how many frames may be in flight.
        second_bytes: what may be in flight by the measured rate.
        max_bytes: what may be in flight by the configuration.
        loss_bytes: the window that losses make smaller.
        background_bytes: the window that queueing makes smaller.
        pace_ready_s: from when background traffic's pace lets the next frame go.
        limits: the link's rules.
    """

    now_s: float
    size_bytes: int
    traffic: Traffic
    replay: bool
    flying: InFlight
    probing: str
    probe_at_s: float
    credit_bytes: int
    frames: int
    second_bytes: float
    max_bytes: float
    loss_bytes: float
    background_bytes: float
    pace_ready_s: float
    limits: Limits


def holds(inputs: HoldInputs) -> Held | None:
    """Say why a frame may not go now; None when it may."""
    flying, now_s = inputs.flying, inputs.now_s
    if inputs.probing:
        if not flying.frames and now_s >= inputs.probe_at_s:
            return None
        return Held(inputs.probing, None if flying.frames else inputs.probe_at_s, for_all=True)
    if inputs.traffic is not Traffic.URGENT:
        held = _by_limits(inputs.limits, now_s, replay=inputs.replay)
        if held is not None:
            return held
    return _by_flight(inputs) or _by_pace(inputs)


def _by_limits(limits: Limits, now_s: float, *, replay: bool) -> Held | None:
    rate = limits.cap_bytes_per_s
    if rate is not None and now_s < limits.cap_ready_s:
        return Held(f"{rate * 8 / 1000:g} kbit/s, {limits.cap_reason}", limits.cap_ready_s)
    if limits.budget_left_bytes is not None and limits.budget_left_bytes <= 0:
        why = f"the month's bytes of {limits.name} are used: urgent frames only"
        return Held(why, now_s + BUDGET_LOOK_S)
    rate = limits.replay_bytes_per_s
    if replay and rate is not None and now_s < limits.replay_ready_s:
        why = f"{rate * 8 / 1000:g} kbit/s, the replay limit of {limits.name}"
        return Held(why, limits.replay_ready_s, backlog=True)
    return None


def _by_flight(inputs: HoldInputs) -> Held | None:
    """Say which bound on what is in flight holds a frame; a single one may always go."""
    flying, size_bytes = inputs.flying, inputs.size_bytes
    if flying.frames and flying.size_bytes + size_bytes > inputs.credit_bytes:
        return Held("the region's credit is used", for_all=True)
    if not flying.fresh_frames:
        return None
    after = flying.fresh_bytes + size_bytes
    urgent = inputs.traffic is Traffic.URGENT
    if flying.fresh_frames >= inputs.frames - (0 if urgent else inputs.frames // UNURGENT_FRAMES):
        return Held("enough frames wait for receipts", for_all=True)
    if after > inputs.second_bytes * (1.0 if urgent else UNURGENT_PART):
        return Held("a second of the measured rate is in flight", for_all=True)
    if after > inputs.max_bytes + (URGENT_EXTRA_BYTES if urgent else 0):
        return Held("the most that may be in flight is", for_all=True)
    if urgent:
        return None
    if flying.fresh_bytes >= inputs.loss_bytes:
        return Held("the window is full", for_all=True)
    if inputs.traffic is Traffic.BACKGROUND and flying.fresh_bytes >= inputs.background_bytes:
        return Held("background traffic gives way: its window is full")
    return None


def _by_pace(inputs: HoldInputs) -> Held | None:
    if inputs.traffic is not Traffic.BACKGROUND or inputs.now_s >= inputs.pace_ready_s:
        return None
    return Held("background traffic is paced", inputs.pace_ready_s)


def sooner(one: Held | None, other: Held) -> Held:
    """Keep the first reason, the sooner moment, and whether anybody may pass."""
    if one is None:
        return other
    moments = [held.until_s for held in (one, other) if held.until_s is not None]
    return Held(one.reason, min(moments, default=None), one.for_all or other.for_all)
