"""How fast the region receives what we send: bytes that receipts named, over time. Pure.

A sample is what receipts named from the last receipt before a frame was sent until the frame's own,
over that time, which is its round trip at least: so receipts that come all at once after a pause do not
make a fast link ("Delivery Rate Estimation", draft-cheng-iccrg-delivery-rate-estimation, section 2). The
time between two frames is taken from the region's stamps in the receipts: when a receipt comes says more
about the region's commits. The rate is the greatest sample of the last periods. Where we had nothing more to send, a sample says
nothing against the rate and counts only when it is greater; so do those of the frames that follow, until
what was in flight then is through. Where a frame was alone in flight the link was idle while its receipt
was on its way, so that much is not held against the rate: without that, a link on which no two frames fit
into a second of the rate would seem slower than it is, and keep them from ever fitting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PERIOD_S: Final = 3.0
"""The greatest sample of this period and the one before counts: a link that became slow is known as
such within 6 s of sending, and one poor second does not close it."""

_CLOCK_STEPPED: Final = 0.5
"""Where the region's time and ours differ by more than this factor one of the clocks was set."""

_MOST_WAY_PART: Final = 0.5
"""Of a lone frame's time that may be called idle: the rate is at most twice what was seen lately."""

_LEAST_S: Final = 0.001  # a clock's step: what came and went within is not divided by nothing


@dataclass(frozen=True, slots=True)
class Mark:
    """What was delivered when a frame was sent, and whether there was always more to send."""

    delivered_bytes: int
    at_s: float
    busy: bool
    sent_s: float
    size_bytes: int
    region_ns: int
    alone: bool


class DeliveryRate:
    """The measured rate of one link.

    Attributes:
        per_s: bytes a second; None before the first receipt.
    """

    def __init__(self) -> None:
        self.per_s: float | None = None
        self._delivered = 0
        self._at_s = 0.0
        self._older = self._newer = 0.0
        self._since_s = 0.0
        self._idle_until_bytes = 0
        self._region_ns = 0

    def linked(self) -> None:
        """Begin on a new link, which may be a slower one."""
        self.per_s = None
        self._older = self._newer = 0.0

    def sent(self, size_bytes: int, now_s: float, flying_bytes: int, *, busy: bool) -> Mark:
        """Return the mark of a frame that is sent now.

        Args:
            size_bytes: of the frame.
            now_s: monotonic now.
            flying_bytes: in flight before it.
            busy: more waits to be sent.
        """
        if not flying_bytes:
            self._at_s, self._region_ns = now_s, 0  # an idle time before it is not the link's
        if not busy:
            self._idle_until_bytes = self._delivered + flying_bytes + 1
        return Mark(
            self._delivered, self._at_s, self._delivered >= self._idle_until_bytes,
            now_s, size_bytes, self._region_ns, not flying_bytes,
        )  # fmt: skip

    def delivered(
        self, size_bytes: int, mark: Mark | None, now_s: float, received_ns: int, way_s: float = 0.0
    ) -> None:
        """Take what a receipt named.

        Args:
            size_bytes: of what was in flight.
            mark: of the newest first send among it; None when there is none.
            now_s: monotonic now.
            received_ns: when that one came in, by the region's clock.
            way_s: there and back for the smallest frame, as far as is known.
        """
        self._delivered += size_bytes
        self._at_s = now_s
        self._region_ns = received_ns if mark is not None else self._region_ns
        if mark is None:
            return
        spent_s = max(_LEAST_S, now_s - mark.at_s)
        if mark.region_ns:
            region_s = (received_ns - mark.region_ns) / 1e9
            if _CLOCK_STEPPED < region_s / spent_s < 1 / _CLOCK_STEPPED:
                spent_s = region_s
        sample = (self._delivered - mark.delivered_bytes) / spent_s
        if mark.alone and self.per_s is not None:
            link_s = spent_s - min(way_s, _MOST_WAY_PART * spent_s)
            sample = max(sample, min(self.per_s, sample * spent_s / link_s))
        if mark.busy and now_s - self._since_s >= PERIOD_S:
            self._older, self._newer = self._newer, sample
            self._since_s = now_s
        else:
            self._newer = (
                max(self._newer, sample) if mark.busy or sample > self._older else self._newer
            )
        self.per_s = max(self._older, self._newer)
