"""What an operator and the region's credit see of a forwarder: values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from whimbrel_protocol.messages import Detail

from .breaker import BreakerState
from .ladder import Rung
from .port import Guarantee


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a forwarder has not handled yet, of the partitions that it selects.

    Attributes:
        frames: so many frames.
        size_bytes: about so many bytes in the journal: frames by the mean size of those that
            were read last, partition by partition.
        age_s: how long ago the region got the oldest of them, in seconds; 0 without any.
    """

    frames: int = 0
    size_bytes: int = 0
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwarderStatus:
    """What an operator sees of a forwarder.

    Attributes:
        name: as configured; also its consumer name in the journal.
        guarantee: what its sink promises.
        state: ``starting``, ``running``, ``retrying`` or ``stopped``.
        reason: why it retries or stopped; empty when it runs.
        delivered: events delivered since the start.
        parked: events parked since the start.
        retries: deliveries that must be repeated, since the start.
        backlog: what is not handled yet.
        breaker: whether deliveries pass to the sink.
        breaker_opened: how often the breaker opened since the start.
        retry_in_s: how long an open breaker waits before its next probe.
        rung: where the route stands on its ladder.
        rung_reason: why not on the top; empty when it does.
        asked: the detail that it asks of devices.
        skipped_frames: frames passed without forwarding all of them, since the start.
        skipped_events: the events in these frames.
    """

    name: str
    guarantee: Guarantee
    state: str = "starting"
    reason: str = ""
    delivered: int = 0
    parked: int = 0
    retries: int = 0
    backlog: Backlog = Backlog()
    breaker: BreakerState = BreakerState.CLOSED
    breaker_opened: int = 0
    retry_in_s: float = 0.0
    rung: Rung = Rung.FULL
    rung_reason: str = ""
    asked: Detail = Detail.FULL
    skipped_frames: int = 0
    skipped_events: int = 0

    @property
    def lag_frames(self) -> int:
        """Frames of selected partitions that are not handled yet."""
        return self.backlog.frames
