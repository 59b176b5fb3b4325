"""The window and the pace of background traffic: it gives way before anybody else notices. Pure.

LEDBAT (RFC 6817 section 2.4.2): the window grows while frames wait less than a target in queues, by
less the nearer they come to it, and shrinks when they wait longer. A till's card payment, which does
not know of us, then finds a short queue, and a competitor that fills the queue has the link. Different
from the RFC, with the reason:

* a step is a part of the bytes that the target stands for at the measured rate, once a round trip, in
  place of a segment for each acknowledgement: there are few frames in flight, and four reactions to
  one queue would empty it; at most a frame up and half the window down;
* it begins with doubling, until frames wait three quarters of the target (LEDBAT++,
  draft-irtf-iccrg-ledbat-plus-plus section 4.2): a frame a round trip would take a minute; and it doubles
  again where it is less than the empty way holds and nothing waits longer than the target;
* frames leave a little slower than the measured rate, and faster for one round trip in eight to find
  out whether the link bears more, then slower for one (the cycle of BBR,
  draft-cardwell-iccrg-bbr-congestion-control section 4.3.4.3): on a slow link a frame more in flight is
  65 ms of queue, which no window of whole frames can steer;
* the least window is half a frame, by pacing: two frames a round trip, the RFC's least, are a third of
  a slow link.
"""

from __future__ import annotations

from typing import Final

from whimbrel_protocol.limits import TARGET_FRAME_BYTES

WAIT_S: Final = 0.09
"""What somebody else's packet may wait for us: RFC 6817's 100 ms at most, less a tenth. A frame on its
way is part of it, the rest is the target of the queue."""

MIN_TARGET_S: Final = 0.02
"""The target where frames take longer than that: less is lost in the timers of both ends."""

FRAME_PART: Final = 0.25
"""Of a frame's own time the target is at least, up to RFC 6817's 100 ms: who waits half a second for a frame
on its way gains little from a short queue, and jitter of 40 ms left 35 of 100 of such a link unused."""

MOST_TARGET_S: Final = 0.1

MAX_TARGET_S: Final = 0.05

GAIN: Final = 0.5
"""Of what is missing to the target is made up for in a round trip (RFC 6817: at most 1)."""

FIRST_BYTES: Final = 2 * TARGET_FRAME_BYTES
"""RFC 6817's INIT_CWND of two segments."""

LEAST_BYTES: Final = TARGET_FRAME_BYTES // 2
"""So much a round trip always goes: a backlog drains also beside a competitor that never rests."""

PACE: Final = 1.25
"""Frames leave at most this much faster than the window a round trip, so that a receipt for many frames
does not bring as many at once (RFC 9002 section 7.7 has the same factor)."""

PACE_WHILE_DOUBLING: Final = 2.0

PROBE: Final = 1.25
DRAIN: Final = 0.75
CRUISE: Final = 0.95
"""Parts of the measured rate: in the model of a 2 Mbit/s link 96 % of it are used, and 95 of 100 pings wait
less than 90 ms; with 0.9 it is 91 %, with 1.0 a queue stays."""

PHASES: Final = 8
"""Round trips of one cycle: one probes, the next one drains, the others cruise."""

RETURNS: Final = 0.75
"""Of what is on an empty way at the measured rate: below that the window doubles again (RFC 5681's slow
start to a threshold, LEDBAT++ section 4.2). Our own urgent frames make a queue too, and from the least window
in steps a slow link took half a minute to be full again. With 1.0 a 2 Mbit/s link with
40 ms of jitter had pings wait up to a quarter longer."""

_LEAVES_DOUBLING: Final = 0.75


class BackgroundWindow:
    """Bytes that background traffic may have in flight, and how fast it leaves.

    Attributes:
        size_bytes: the window.
        doubling: it has not yet found the link's limit.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.linked()

    def linked(self) -> None:
        """Begin on a new link."""
        self.size_bytes = float(min(FIRST_BYTES, self._max_bytes))
        self.doubling = True
        self._moved_s = float("-inf")
        self._phase = 1
        self._phase_since_s = float("-inf")

    def settled(
        self,
        size_bytes: int,
        frame_bytes: int,
        *,
        sent_s: float,
        now_s: float,
        queueing_s: float,
        rate_per_s: float,
        full: bool,
    ) -> None:
        """Note a receipt and the present queueing.

        Args:
            size_bytes: all that the receipt named.
            frame_bytes: of the newest frame among it.
            sent_s: when that was sent.
            now_s: monotonic now.
            queueing_s: how long frames wait now.
            rate_per_s: the measured rate.
            full: the window held us back, so it may grow.
        """
        target_s = _target_s(frame_bytes / rate_per_s)
        if self.doubling and queueing_s >= _LEAVES_DOUBLING * target_s:
            self.doubling = False
            self._moved_s = now_s
            pipe_s = now_s - sent_s - queueing_s + target_s
            self._set(min(self.size_bytes, rate_per_s * pipe_s))
        elif self.doubling:
            if full:
                self._set(self.size_bytes + size_bytes)
        elif sent_s >= self._moved_s:  # else it tells of the window before the last move
            step = GAIN * (target_s - queueing_s) * rate_per_s
            if step < 0 or full:
                self._moved_s = now_s
                if step > 0:
                    way_bytes = rate_per_s * (now_s - sent_s - queueing_s)
                    back = min(float(size_bytes), RETURNS * way_bytes - self.size_bytes)
                    step = max(step, back)
                step = max(-self.size_bytes / 2, min(step, TARGET_FRAME_BYTES))
                self._set(self.size_bytes + step)

    def lost(self, *, silent: bool) -> None:
        """Halve it (RFC 6817 section 2.4.2, as RFC 5681), or close it where nothing came back."""
        self.doubling = False
        self._set(0.0 if silent else self.size_bytes / 2)

    def pace_per_s(self, round_trip_s: float, rate_per_s: float, now_s: float) -> float:
        """Return at how many bytes a second frames leave."""
        if self.doubling:
            return PACE_WHILE_DOUBLING * self.size_bytes / round_trip_s
        if now_s - self._phase_since_s >= round_trip_s:
            self._phase = (self._phase + 1) % PHASES
            self._phase_since_s = now_s
        part = {0: PROBE, 1: DRAIN}.get(self._phase, CRUISE)
        return min(PACE * self.size_bytes / round_trip_s, part * rate_per_s)

    def _set(self, size_bytes: float) -> None:
        self.size_bytes = max(float(LEAST_BYTES), min(float(self._max_bytes), size_bytes))


def _target_s(frame_s: float) -> float:
    """Return how long frames may wait that take so long themselves."""
    least_s = max(MIN_TARGET_S, min(MOST_TARGET_S, FRAME_PART * frame_s))
    return max(least_s, min(MAX_TARGET_S, WAIT_S - frame_s))
