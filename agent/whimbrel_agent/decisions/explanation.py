"""What waits for what, and the last decisions: a value and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whimbrel_agent.buffer.sealing import Unsealed
from whimbrel_agent.buffer.values import BufferStats, LaneStats
from whimbrel_agent.decisions.journal import Decided
from whimbrel_agent.plain import plain
from whimbrel_agent.power.figures import PowerFigures
from whimbrel_agent.uplink.figures import SessionFigures
from whimbrel_agent.uplink.lanewaits import LaneWaiting

__all__ = ["Explanation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything at one moment.

    Attributes:
        wall_ns: now, by the device's clock.
        mono_s: now, on the monotonic clock.
        buffer: the buffer's figures.
        unsealed: what waits to be sealed, by lane.
        sealing: when sealing is looked after next, and why.
        uplink: the session's figures.
        power: mode, reason and reading.
        decisions: the last changes of mind, oldest first.
    """

    wall_ns: int
    mono_s: float
    buffer: BufferStats
    unsealed: Sequence[Unsealed]
    sealing: str
    uplink: SessionFigures
    power: PowerFigures
    decisions: Sequence[Decided]

    def to_json(self) -> dict[str, Any]:
        """Give the machine-readable form."""
        uplink = self.uplink
        waiting = {one.lane: one for one in uplink.lanes}
        unsealed = {one.lane: one for one in self.unsealed}
        return {
            "wall_ns": self.wall_ns,
            "power": {
                "mode": plain(self.power.mode),
                "reason": self.power.reason,
                "settings": plain(self.power.settings),
            },
            "radio": {"doing": uplink.radio, "plan": plain(uplink.plan)},
            "uplink": {
                "link": plain(uplink.link),
                "resume": plain(uplink.resume),
                "doing": uplink.doing,
                "blocked": uplink.blocked,
                "window": plain(uplink.window),
            },
            "outlook": {
                "outage_left_s": self.buffer.outage_left_s,
                "drain_left_s": self.buffer.drain_left_s,
                "sealed_bytes_per_s": self.buffer.sealed_bytes_per_s,
                "settled_bytes_per_s": self.buffer.settled_bytes_per_s,
            },
            "sealing": self.sealing,
            "lanes": [
                self._lane(lane, unsealed.get(lane.lane), waiting.get(lane.lane))
                for lane in self.buffer.lanes
            ],
            "decisions": [self._decision(one) for one in self.decisions],
        }

    def _lane(
        self, stats: LaneStats, unsealed: Unsealed | None, waiting: LaneWaiting | None
    ) -> Mapping[str, Any]:
        share = None if waiting is None else waiting.share
        until_s = None if waiting is None else waiting.until_s
        return {
            "lane": stats.lane,
            "share": share,
            "unsealed_events": 0 if unsealed is None else unsealed.events,
            "batch_events": None if unsealed is None else unsealed.batch_events,
            "linger_s": None if unsealed is None else unsealed.linger_s,
            "sealed_in_s": None
            if unsealed is None
            else max(0.0, unsealed.deadline_ns / 1e9 - self.mono_s),
            "frames": stats.pending_frames,
            "frame_bytes": stats.pending_bytes,
            "in_flight_frames": 0 if waiting is None else waiting.in_flight_frames,
            "in_flight_bytes": 0 if waiting is None else waiting.in_flight_bytes,
            "why": self._why(stats, waiting),
            "goes_in_s": None if until_s is None else max(0.0, until_s - self.mono_s),
        }

    def _why(self, stats: LaneStats, waiting: LaneWaiting | None) -> str:
        """Say what the lane's next frame waits for; empty when it has none."""
        if not stats.pending_frames:
            return ""
        if self.uplink.blocked or waiting is None:
            return self.uplink.blocked
        return waiting.why or "is being read from the buffer"

    def _decision(self, one: Decided) -> Mapping[str, Any]:
        return {
            "wall_ns": self.wall_ns - round((self.mono_s - one.mono_s) * 1e9),
            "ago_s": self.mono_s - one.mono_s,
            "by": one.by,
            "decision": plain(one.decision),
            "reason": one.decision.reason,
            "inputs": plain(one.inputs),
        }
