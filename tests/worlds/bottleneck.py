"""A slow link as a model: a queue that drops its tail, TCP flows through it, frames over one of them.

Virtual time, one seed. The link is the slowest part of the way up; the way down is never full. TCP is
Reno (RFC 5681) with losses found a round trip later: slow start, halving once a round trip, in-order
delivery. The region commits in groups and stamps by a clock of its own.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from whimbrel_agent.buffer.values import FrameRef
from whimbrel_agent.uplink.limits import LinkRules
from whimbrel_agent.uplink.session import Session
from whimbrel_agent.uplink.values import Arrived, Sending
from whimbrel_agent.uplink.window import LONG_WAY, Window
from whimbrel_protocol.messages import Receipt, ReceiptEntry
from worlds.uplink import ADDRESS, REGION_KEY, World, down

HEADER_BYTES = 52  # IPv4, TCP, time stamps
PAYLOAD_BYTES = 1448
FRAME_HEAD_BYTES = 80  # topic and MQTT header
REGION_AHEAD_NS = 3_600_000_000_000
PING_S = 0.01


class Bottleneck:
    """The queue in front of the slow link."""

    def __init__(self, world: World, rate_bit_s: float, latency_s: float, buffer_s: float) -> None:
        self.rate = rate_bit_s / 8
        self.latency_s = latency_s
        self.buffer_s = buffer_s
        self.drops = 0
        self._world = world
        self._free_s = 0.0

    @property
    def queueing_s(self) -> float:
        """How long a packet that comes now waits."""
        return max(0.0, self._free_s - self._world.now_s)

    def arrival_s(self, size_bytes: int) -> float | None:
        """Take one packet; return when it is through, None when it was dropped."""
        if self.queueing_s + size_bytes / self.rate > self.buffer_s:
            self.drops += 1
            return None
        self._free_s = max(self._free_s, self._world.now_s) + size_bytes / self.rate
        return self._free_s + self.latency_s


class TcpFlow:
    """One connection's way up; greedy ones always have something to send."""

    def __init__(self, world: World, link: Bottleneck, *, greedy: bool = False) -> None:
        self.delivered = 0  # segments, in order
        self.delivered_bytes = 0  # with headers
        self._world, self._link, self._greedy = world, link, greedy
        self._window, self._threshold = 10.0, math.inf
        self._next = self._flying = self._written = 0
        self._last_bytes: dict[int, int] = {}  # of segments that are not full
        self._again: deque[int] = deque()
        self._got: set[int] = set()
        self._cut_s = -math.inf
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def write(self, size_bytes: int, arrived: Callable[[], None]) -> None:
        """Send bytes; ``arrived`` is called when the last of them are there."""
        self._written += math.ceil(size_bytes / PAYLOAD_BYTES)
        self._last_bytes[self._written - 1] = (size_bytes - 1) % PAYLOAD_BYTES + 1
        self._waiting.append((self._written, arrived))
        self.push()

    def stop(self) -> None:
        """Send no more of one's own."""
        self._greedy = False

    def push(self) -> None:
        """Send what the window lets go."""
        while self._flying < int(self._window):
            if self._again:
                segment = self._again.popleft()
            elif self._greedy or self._next < self._written:
                segment, self._next = self._next, self._next + 1
            else:
                return
            self._flying += 1
            through_s = self._link.arrival_s(self._size_of(segment))
            if through_s is None:
                round_trip_s = self._link.queueing_s + 2 * self._link.latency_s
                self._world.later(round_trip_s, self._lost(segment))
            else:
                delay_s = through_s - self._world.now_s
                self._world.later(delay_s, self._arrived(segment))
                self._world.later(delay_s + self._link.latency_s, self._acknowledged)

    def _size_of(self, segment: int) -> int:
        return self._last_bytes.get(segment, PAYLOAD_BYTES) + HEADER_BYTES

    def _arrived(self, segment: int) -> Callable[[], None]:
        def arrive() -> None:
            self._got.add(segment)
            while self.delivered in self._got:
                self._got.discard(self.delivered)
                self.delivered_bytes += self._size_of(self.delivered)
                self.delivered += 1
            while self._waiting and self._waiting[0][0] <= self.delivered:
                self._waiting.popleft()[1]()

        return arrive

    def _acknowledged(self) -> None:
        if self._flying >= int(self._window):  # only a full window grows
            self._window += 1 if self._window < self._threshold else 1 / self._window
        self._flying -= 1
        self.push()

    def _lost(self, segment: int) -> Callable[[], None]:
        def lose() -> None:
            self._flying -= 1
            self._again.append(segment)
            now_s = self._world.now_s
            if now_s - self._cut_s > self._link.queueing_s + 2 * self._link.latency_s:
                self._cut_s = now_s
                self._window = self._threshold = max(2.0, self._window / 2)
            self.push()

        return lose


class LinkWorld(World):
    """A device behind a bottleneck.

    Args:
        rate_bit_s: of the link.
        latency_s: one way.
        jitter_s: further delay of each receipt, at most.
        buffer_s: what fits into its queue.
        commit_s: shortest and longest time that the region gathers a group.
        rules: of the device's link.
        seed: of everything random.
    """

    def __init__(
        self,
        *,
        rate_bit_s: float = 2e6,
        latency_s: float = 0.02,
        jitter_s: float = 0.0,
        buffer_s: float = 0.4,
        commit_s: tuple[float, float] = (0.005, 0.03),
        rules: LinkRules | None = None,
        seed: int = 1,
    ) -> None:
        self.rules = rules or LinkRules()
        super().__init__(seed, max_bytes=2_000_000, max_frames=256)
        self.link = Bottleneck(self, rate_bit_s, latency_s, buffer_s)
        self.ours = TcpFlow(self, self.link)
        self.others: list[TcpFlow] = []
        self.pings: list[float] = []
        self.most_over = 0.0  # bytes in flight over what a second of the measured rate allows
        self.sent_at: list[tuple[float, Sending]] = []
        self.committed_at: dict[int, float] = {}
        self._commit_s = commit_s
        self._jitter_s = jitter_s
        self._group: list[tuple[FrameRef, float]] = []
        self.later(PING_S, self._ping)

    def start_session(self) -> None:
        super().start_session()
        self.window = Window(
            max_bytes=self.max_bytes, max_frames=self.max_frames, classes=(self.rules,)
        )
        self.session = Session(
            addresses=[ADDRESS], region_key=REGION_KEY.public, brokers=1, lanes=self.lanes,
            window=self.window, random=self.random,
        )  # fmt: skip

    def compete(self, flows: int = 1) -> None:
        """Let somebody else on the same link begin to send all they can."""
        for _ in range(flows):
            self.others.append(TcpFlow(self, self.link, greedy=True))
            self.others[-1].push()

    def _ping(self) -> None:
        self.pings.append(self.link.queueing_s)
        self.later(PING_S, self._ping)

    def _publish(self, sendings: tuple[Sending, ...]) -> None:
        self.buffer.published(sendings)
        figures = self.session.figures(self.now)
        rate = figures.window.rate_bytes_per_s
        least_s = self.window._trips.least_s
        if rate is not None and least_s is not None and figures.in_flight_frames > 1:
            allowed = rate * max(1.0, LONG_WAY * least_s)
            self.most_over = max(self.most_over, figures.in_flight_bytes / allowed)
        for sending in sendings:
            self.sent.append(sending)
            self.sent_at.append((self.now_s, sending))
            self.ours.write(sending.frame.size_bytes + FRAME_HEAD_BYTES, self._received(sending))

    def _received(self, sending: Sending) -> Callable[[], None]:
        def receive() -> None:
            if not self._group:
                self.later(self.random.uniform(*self._commit_s), self._commit)
            self._group.append((sending.frame, self.now_s))

        return receive

    def _commit(self) -> None:
        group, self._group = self._group, []
        entries: list[ReceiptEntry] = []
        for frame, _ in group:
            message = self.region.frame(frame)
            assert isinstance(message, Receipt)
            entries += message.entries
            self.committed_at.setdefault(frame.id, self.now_s)
        receipt = replace(
            self.region.receipt(entries),
            received_ns=_stamp(max(at_s for _, at_s in group)),
            sent_ns=_stamp(self.now_s),
        )
        delay_s = self.link.latency_s + self.random.uniform(0.0, self._jitter_s)
        self.later(delay_s, lambda: self.give(Arrived(down(receipt))))


def _stamp(now_s: float) -> int:
    return int(now_s * 1e9) + REGION_AHEAD_NS
