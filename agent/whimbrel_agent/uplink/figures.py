"""The session's state as values, for status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from whimbrel_agent.uplink.lanewaits import LaneWaiting
from whimbrel_agent.uplink.offset import OffsetSample
from whimbrel_agent.uplink.radio import RadioPlan
from whimbrel_agent.uplink.window import WindowFigures
from whimbrel_protocol.names import Address


class LinkState(Enum):
    """Where the connection to a broker stands."""

    DOWN = "down"
    CONNECTING = "connecting"
    UP = "up"


class ResumeState(Enum):
    """Where the agreement with the region about our streams stands."""

    NEEDED = "needed"
    ASKED = "asked"
    APPLYING = "applying"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class SessionFigures:
    """The session for status. ``doing`` says in words what it waits for and why.

    ``radio`` is the decision whether frames may go now, by ``plan``; ``lanes`` is what each waits for,
    and ``blocked`` why no frame of any may go, empty when they may.
    """

    link: LinkState
    resume: ResumeState
    broker: int
    last_failure: str
    generation: bytes
    in_flight_frames: int
    in_flight_bytes: int
    window: WindowFigures
    clock: OffsetSample | None
    counts: Mapping[str, int]
    doing: str
    radio: str = "the radio is always on"
    plan: RadioPlan = field(default_factory=RadioPlan)
    lanes: tuple[LaneWaiting, ...] = ()
    blocked: str = ""


@dataclass(frozen=True, slots=True)
class FormerFigures:
    """One address in a region that the device has left.

    Attributes:
        address: it.
        waiting: frames and unsealed rows.
        doing: what its uplink does, or why there is none.
    """

    address: Address
    waiting: int
    doing: str
