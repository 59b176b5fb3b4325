"""What each lane has on its way, and what its next frame waits for. Pure; for ``explain``."""

from __future__ import annotations

from dataclasses import dataclass

from whimbrel_agent.uplink.holding import HoldInputs, holds
from whimbrel_agent.uplink.lanequeue import LaneQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneWaiting:
    """What one lane has on its way, and what its next frame waits for.

    Attributes:
        lane: its name.
        share: of a full link, in proportion to the shares of other busy lanes.
        read_frames: frames read ahead; the buffer may have more.
        in_flight_frames, in_flight_bytes: what waits for receipts.
        why: what the next frame waits for; empty when there is none.
        until_s: monotonic second at which that ends; None when it is not known.
    """

    lane: str
    share: int
    read_frames: int
    in_flight_frames: int
    in_flight_bytes: int
    why: str
    until_s: float | None = None


def lane_waiting(queue: LaneQueue, asked: HoldInputs | None, share: int) -> LaneWaiting:
    """Return a lane's state.

    Args:
        queue: the lane's.
        asked: what is asked about its next frame; None when it has none.
        share: the lane's.
    """
    held = None if asked is None else holds(asked)
    why = "goes when its turn comes" if held is None else held.reason
    if asked is None:
        why = "frames wait for receipts" if queue.flights else ""
    return LaneWaiting(
        lane=queue.lane,
        share=share,
        read_frames=queue.ready_frames,
        in_flight_frames=len(queue.flights),
        in_flight_bytes=sum(flight.frame.size_bytes for flight in queue.flights.values()),
        why=why,
        until_s=None if held is None else held.until_s,
    )
