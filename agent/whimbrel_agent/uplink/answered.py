"""What the outbox says about receipts: what they named, and what they did not name in time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.uplink.lanequeue import Flight
from whimbrel_agent.uplink.values import RecheckFrame
from whimbrel_protocol.messages import Status

STATUS_COUNTERS: Final[Mapping[Status, str]] = {
    Status.COMMITTED: "frames_committed",
    Status.GAPPED: "frames_gapped",
    Status.COMMITTED_UNKNOWN: "frames_unknown",
}


@dataclass(frozen=True, slots=True)
class Answered:
    """What a receipt was about: frames of ours it named, and the newest first send among them."""

    matched: int
    newest: Flight | None


@dataclass(frozen=True, slots=True)
class Overdue:
    """What time-outs led to: frames to recheck, and whether the region was silent all along."""

    rechecks: tuple[RecheckFrame, ...]
    silent: bool
