"""A small world around the session machine: a buffer and a region as models, and a bad network.

No tasks, no sockets, no clock: an agenda of things to happen, one seed, one run.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from whimbrel_agent.buffer.values import FrameRef
from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.ports import Delivery, LinkFailure
from whimbrel_agent.uplink.session import Session
from whimbrel_agent.uplink.values import (
    ApplyResume,
    Arrived,
    Connect,
    Disconnect,
    FramesGone,
    FramesLoaded,
    FramesSealed,
    Input,
    LinkLost,
    LinkMade,
    LoadFrames,
    Now,
    ReceiptsSettled,
    RecheckFrame,
    ResumeApplied,
    ResumeNotApplied,
    SendFrames,
    Sending,
    SendResume,
    Settle,
    TakeAlong,
)
from whimbrel_agent.uplink.window import Window
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import LANES, Order
from whimbrel_protocol.messages import (
    Credit,
    DictionaryAnswer,
    Hold,
    Message,
    Receipt,
    ReceiptEntry,
    ResumeAnswer,
    Status,
    StreamState,
    Want,
)
from whimbrel_protocol.names import Address
from whimbrel_protocol.sequences import RangeSet
from whimbrel_protocol.topics import down_topic

ADDRESS = Address(tenant="acme", region="eu-1", store="store-1", device="till-1")
REGION_KEY = PrivateKey(b"r" * 32)
OTHER_KEY = PrivateKey(b"o" * 32)
ALL_IN_ORDER = dict.fromkeys(LANES, Order.IN_ORDER)
EPOCH = 7 << 40
KINDS: dict[type[Message], str] = {
    Receipt: "receipt",
    ResumeAnswer: "resume",
    Want: "want",
    Hold: "hold",
    DictionaryAnswer: "dictionary",
}


def down(message: Message, *, key: PrivateKey = REGION_KEY, retained: bool = False) -> Delivery:
    """A message as it comes in from the broker."""
    address = message.address
    kind = KINDS[type(message)]
    topic = down_topic(address.tenant, address.store, address.device, kind)
    return Delivery(topic, seal_message(message, key), retained)


def entry_for(frame: FrameRef, status: Status = Status.COMMITTED) -> ReceiptEntry:
    return ReceiptEntry(frame.epoch, frame.lane, frame.first, frame.span, frame.digest, status)


class ModelBuffer:
    """Pending frames by lane, oldest first; ids rise over all lanes."""

    def __init__(self, lanes: Mapping[str, Order]) -> None:
        self.lanes = lanes
        self.frames: dict[int, FrameRef] = {}
        self.freed: list[FrameRef] = []
        self._ids = itertools.count(1)
        self._next = dict.fromkeys(LANES, 1)

    def seal(self, lane: str, *, span: int = 10, size_bytes: int = 8_000) -> FrameRef:
        number = next(self._ids)
        frame = FrameRef(
            id=number,
            address=ADDRESS,
            epoch=EPOCH,
            lane=lane,
            first=self._next[lane],
            span=span,
            count=span,
            digest=number.to_bytes(8, "big"),
            size_bytes=size_bytes,
            order=self.lanes[lane],
            published=False,
        )
        self._next[lane] += span
        self.frames[number] = frame
        return frame

    def pending(self, lane: str, after_id: int, limit: int) -> tuple[FrameRef, ...]:
        found = (f for f in self.frames.values() if f.lane == lane and f.id > after_id)
        return tuple(itertools.islice(found, limit))

    def newest(self) -> dict[str, int]:
        newest = dict.fromkeys(LANES, 0)
        for frame in self.frames.values():
            newest[frame.lane] = frame.id
        return newest

    def settle(self, receipt: Receipt) -> None:
        for entry in receipt.entries:
            for frame in list(self.frames.values()):
                if replace(entry, status=Status.COMMITTED, reason=0) == entry_for(frame):
                    self.freed.append(self.frames.pop(frame.id))

    def published(self, sendings: Iterable[Sending]) -> None:
        for sending in sendings:
            if sending.frame.id in self.frames:
                frame = self.frames[sending.frame.id]
                self.frames[frame.id] = replace(frame, published=True)

    def evict(self, frame_id: int) -> None:
        """Drop a frame by policy; a gap frame takes its place and its id."""
        frame = self.frames[frame_id]
        gap = bytes([255]) + frame.digest[1:]
        self.frames[frame_id] = replace(frame, count=0, digest=gap, size_bytes=300)

    def take_back(self) -> None:
        """Make every freed frame pending again, as after a lost generation."""
        self.frames = {
            f.id: f for f in sorted([*self.frames.values(), *self.freed], key=lambda f: f.id)
        }
        self.freed.clear()


@dataclass
class ModelRegion:
    """Commits frames by the contract's rules and answers with signed messages."""

    generation: bytes = b"gen-0001"
    credit: Credit = field(default_factory=lambda: Credit(4_000_000, 3600))
    settled: dict[tuple[int, str], RangeSet] = field(default_factory=dict)
    index: dict[tuple[int, str, int], FrameRef] = field(default_factory=dict)
    commits: list[FrameRef] = field(default_factory=list)
    duplicates: int = 0
    clock_ns: int = 1_000_000_000

    def frame(self, frame: FrameRef) -> Message:
        self.clock_ns += 1
        ranges = self.settled.setdefault((frame.epoch, frame.lane), RangeSet())
        last = frame.first + frame.span - 1
        if not ranges.overlaps(frame.first, last):
            if frame.order is Order.IN_ORDER and frame.first != ranges.high_water + 1:
                state = StreamState(frame.epoch, frame.lane, tuple(ranges))
                return Want(ADDRESS, self.generation, (state,))
            ranges.add(frame.first, last)
            self.index[frame.epoch, frame.lane, frame.first] = frame
            self.commits.append(frame)
        else:
            self.duplicates += 1
        return self.receipt([entry_for(frame)])

    def receipt(self, entries: Iterable[ReceiptEntry]) -> Receipt:
        self.clock_ns += 1
        return Receipt(
            ADDRESS, self.generation, tuple(entries), self.clock_ns, self.clock_ns, self.credit
        )

    def resume(self, nonce: bytes, sent_ns: int) -> Message:
        self.clock_ns += 1
        states = tuple(StreamState(e, lane, tuple(r)) for (e, lane), r in self.settled.items())
        return ResumeAnswer(
            ADDRESS, nonce, self.generation, 1, 0, states, sent_ns,
            self.clock_ns, self.clock_ns, self.credit,
        )  # fmt: skip

    def forget_everything(self) -> None:
        """Restore an empty backup: another generation that knows nothing."""
        self.generation = b"gen-%04d" % (int(self.generation[4:]) + 1)
        self.settled.clear()
        self.index.clear()
        self.commits.clear()


@dataclass
class Weather:
    """What the network does to messages, each way."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: tuple[float, float] = (0.03, 0.03)


class World:
    """One device, one region, one network."""

    def __init__(
        self,
        seed: int = 1,
        *,
        lanes: Mapping[str, Order] | None = None,
        brokers: int = 1,
        max_bytes: int = 1_000_000,
        max_frames: int = 64,
        weather: Weather | None = None,
        journal: DecisionJournal | None = None,
    ) -> None:
        self.journal = journal or DecisionJournal()
        self.random = random.Random(seed)
        self.lanes = dict(lanes or ALL_IN_ORDER)
        self.buffer = ModelBuffer(self.lanes)
        self.region = ModelRegion()
        self.weather = weather or Weather()
        self.window = Window(max_bytes=max_bytes, max_frames=max_frames)
        self.max_bytes, self.max_frames = max_bytes, max_frames
        self.brokers = brokers
        self.now_s = 100.0
        self.network_up = True
        self.region_up = True
        self.linked = False
        self.sent: list[Sending] = []
        self.rechecked: list[RecheckFrame] = []
        self.taken_along = 0
        self.connects: list[tuple[float, int]] = []
        self.resumed = False
        self.asked: list[tuple[float, bool]] = []
        self.answers_rest = True
        self.unasked = 0
        self.full = False
        self.on_down: Callable[[Message], None] | None = None
        self._link = 0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._tickets = itertools.count()
        self.start_session()

    # ------------------------------------------------------------------ the run

    @property
    def now(self) -> Now:
        return Now(self.now_s, int(self.now_s * 1e9))

    def start_session(self) -> None:
        """A new process: the machine is new, the buffer stays."""
        self._link += 1
        self.linked = self.resumed = False
        self.window = Window(
            max_bytes=self.max_bytes, max_frames=self.max_frames, journal=self.journal
        )
        self.session = Session(
            addresses=[ADDRESS],
            region_key=REGION_KEY.public,
            brokers=self.brokers,
            lanes=self.lanes,
            window=self.window,
            random=self.random,
            journal=self.journal,
        )

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now_s + delay_s, next(self._tickets), action))

    def run(self, duration_s: float) -> None:
        """Let that much time pass."""
        until_s = self.now_s + duration_s
        self._carry_out(self.session.poll(self.now))
        while True:
            happens_s = self._agenda[0][0] if self._agenda else float("inf")
            due_s = self.session.next_deadline(self.now)
            next_s = max(self.now_s, min(happens_s, float("inf") if due_s is None else due_s))
            if next_s > until_s:
                break
            self.now_s = next_s
            if happens_s <= next_s:
                heapq.heappop(self._agenda)[2]()
            else:
                self._carry_out(self.session.poll(self.now))
        self.now_s = until_s

    def give(self, event: Input) -> None:
        self._carry_out(self.session.receive(event, self.now))

    def deliver(self, message: Message, **how: object) -> None:
        """Have the session receive a message right now, as true as it is."""
        self.give(Arrived(down(message, **how)))  # type: ignore[arg-type]

    # ------------------------------------------------------------------ what people do

    def seal(self, lane: str = "normal", *, count: int = 1, size_bytes: int = 8_000) -> None:
        for _ in range(count):
            self.buffer.seal(lane, size_bytes=size_bytes)
        self.give(FramesSealed(urgent=lane == "critical"))

    def cut(self, failure: LinkFailure = LinkFailure.NO_LINK) -> None:
        self._link += 1
        self.linked = False
        self.give(LinkLost(failure, "cut"))

    # ------------------------------------------------------------------ effects

    def _carry_out(self, effects: Iterable[object]) -> None:
        for effect in effects:
            match effect:
                case Connect(broker):
                    self.connects.append((self.now_s, broker))
                    self._link += 1
                    self.later(0.05, self._connected(self._link))
                case Disconnect():
                    self._link += 1
                    self.linked = False
                case SendResume(nonce, rest):
                    self.asked.append((self.now_s, rest))
                    if self.answers_rest or not rest:
                        self._up(partial(self.region.resume, nonce, self.now.wall_ns))
                case LoadFrames(lane, _, _, after_id, limit):
                    frames = self.buffer.pending(lane, after_id, limit)
                    self.later(0.0, self._input(FramesLoaded(effect, frames)))
                case SendFrames(sendings):
                    self._publish(sendings)
                case Settle(receipt):
                    self.buffer.settle(receipt)
                    self.later(0.0, self._input(ReceiptsSettled()))
                case ApplyResume(answer):
                    self.later(0.0, self._input(self._applied(answer)))
                case RecheckFrame():
                    self.rechecked.append(effect)
                case TakeAlong():
                    self.taken_along += 1
                case _:
                    raise AssertionError(effect)

    def _applied(self, answer: ResumeAnswer) -> ResumeApplied | ResumeNotApplied:
        if self.full:
            return ResumeNotApplied()
        if answer.generation != b"gen-0001":
            self.buffer.take_back()
        self.resumed = True
        return ResumeApplied(self.buffer.newest(), self.unasked)

    def _publish(self, sendings: tuple[Sending, ...]) -> None:
        assert self.linked, "frames were sent without a link"
        assert self.resumed, "frames were sent before a resume was answered"
        gone = []
        for sending in sendings:
            held = self.buffer.frames.get(sending.frame.id)
            if held is None or held.digest != sending.frame.digest:
                gone.append(sending.frame)
                continue
            self.sent.append(sending)
            self._up(partial(self.region.frame, sending.frame))
        self.buffer.published(sendings)
        if gone:
            self.later(0.0, self._input(FramesGone(tuple(gone))))

    def _input(self, event: Input) -> Callable[[], None]:
        session = self.session
        return lambda: self.give(event) if session is self.session else None

    def _connected(self, link: int) -> Callable[[], None]:
        def connected() -> None:
            if link != self._link:
                return
            if self.network_up:
                self.linked = True
                self.give(LinkMade(self.buffer.newest()))
            else:
                self.give(LinkLost(LinkFailure.NO_LINK, "no route"))

        return connected

    # ------------------------------------------------------------------ the network

    def _up(self, answer: Callable[[], Message]) -> None:
        """A message on its way to the region, and the region's answer on its way back."""
        for delay_s in self._fates():
            self.later(delay_s, lambda: self._at_region(answer))

    def _at_region(self, answer: Callable[[], Message]) -> None:
        if not self.region_up:
            return
        message = answer()
        if self.on_down is not None:
            self.on_down(message)
        delivery = down(message)
        link = self._link
        for delay_s in self._fates():
            self.later(delay_s, lambda: self._at_device(delivery, link))

    def _at_device(self, delivery: Delivery, link: int) -> None:
        if self.linked and link == self._link:
            self.give(Arrived(delivery))

    def _fates(self) -> list[float]:
        if self.random.random() < self.weather.loss:
            return []
        copies = 2 if self.random.random() < self.weather.duplication else 1
        return [self.random.uniform(*self.weather.delay_s) for _ in range(copies)]
