"""One lane's frames on their way: read ahead from the buffer, in flight, settled.

An in-order lane has one track, from the oldest pending frame on. A live-first lane has two: what
was sealed since the link came up, and the backlog before it; every fourth frame is backlog.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from whimbrel_agent.buffer.values import FrameRef
from whimbrel_agent.uplink.deliveryrate import Mark
from whimbrel_agent.uplink.values import LoadFrames
from whimbrel_protocol.lanes import Order
from whimbrel_protocol.messages import ReceiptEntry

READ_AHEAD_FRAMES: Final = 256
"""References read at once; about 100 kB of memory a lane, and one query a megabyte."""

LOW_FRAMES: Final = 96
"""Read on when fewer are left: the next query is done before these are sent."""

BACKLOG_EVERY: Final = 4
"""In a live-first lane every fourth frame is backlog, so that it drains under any load."""

FrameKey = tuple[int, int, int, bytes]
"""What names a frame in receipts within its lane: epoch, first, span, digest."""


def key_of(frame: FrameRef | ReceiptEntry) -> FrameKey:
    """Return what a frame or a receipt's entry is matched by."""
    return (frame.epoch, frame.first, frame.span, frame.digest)


@dataclass(slots=True)
class Flight:
    """A frame that was sent and has no receipt yet."""

    frame: FrameRef
    sent_s: float
    sent_wall_ns: int
    deadline_s: float
    sends: int
    mark: Mark


@dataclass(slots=True)
class _Track:
    cursor: int
    until: int | None = None
    exhausted: bool = False
    loading: bool = False
    ready: dict[FrameKey, FrameRef] = field(default_factory=dict)


class LaneQueue:
    """The frames of one lane between buffer and receipt. Pure."""

    def __init__(self, lane: str, order: Order) -> None:
        self.lane = lane
        self.order = order
        self.flights: dict[FrameKey, Flight] = {}
        self._round = 0
        self._backlog_until = 0
        self._newest_seen = 0
        self._since_backlog = 0
        self._oldest_first = False
        self._tracks = [_Track(0, exhausted=True)]

    # ------------------------------------------------------------------ reading from the buffer

    def restart(self, newest: int) -> None:
        """Forget everything read and sent, and read from the start; ``newest`` ends the backlog."""
        self.flights.clear()
        self._backlog_until = newest
        self._newest_seen = newest
        self._oldest_first = False
        self.reload()

    def reload(self) -> None:
        """Read again from the start; what is in flight stays there."""
        self._round += 1
        if self.order is Order.LIVE_FIRST:
            self._tracks = [_Track(self._backlog_until), _Track(0, until=self._backlog_until)]
        else:
            self._tracks = [_Track(0)]

    def refill(self) -> None:
        """Go back to the oldest frame and send in order until what was seen so far is through."""
        self.flights.clear()
        self._backlog_until = max(self._backlog_until, self._newest_seen)
        self._oldest_first = True
        self.reload()

    def sealed(self) -> None:
        """Note that the buffer may have more."""
        self._tracks[0].exhausted = False

    def next_load(self) -> LoadFrames | None:
        """Return what to read now, marking it as being read."""
        for index, track in enumerate(self._tracks):
            if not track.exhausted and not track.loading and len(track.ready) < LOW_FRAMES:
                track.loading = True
                return LoadFrames(self.lane, index, self._round, track.cursor, READ_AHEAD_FRAMES)
        return None

    def loaded(self, asked: LoadFrames, frames: Iterable[FrameRef]) -> list[FrameRef]:
        """Take what was read; return it, or nothing when it was asked before a restart."""
        if asked.round != self._round:
            return []
        track = self._tracks[asked.track]
        track.loading = False
        taken = list(frames)
        track.exhausted = len(taken) < asked.limit
        for frame in taken:
            if track.until is not None and frame.id > track.until:
                track.exhausted = True
                break
            track.cursor = frame.id
            self._newest_seen = max(self._newest_seen, frame.id)
            if key_of(frame) not in self.flights:
                track.ready[key_of(frame)] = frame
        return taken

    # ------------------------------------------------------------------ sending

    def head(self, *, new_only: bool = False) -> FrameRef | None:
        """Return the frame to send next, None when none is known; or the next that is no backlog."""
        track = self._next_track(new_only=new_only)
        return None if track is None else next(iter(track.ready.values()))

    def take(self, *, new_only: bool = False) -> FrameRef:
        """Remove and return the head."""
        track = self._next_track(new_only=new_only)
        assert track is not None
        backlog = len(self._tracks) == 1 or track is self._tracks[1]
        self._since_backlog = 0 if backlog else self._since_backlog + 1
        return track.ready.pop(next(iter(track.ready)))

    def is_backlog(self, frame: FrameRef) -> bool:
        """Say whether the frame was there before the link came up."""
        return frame.id <= self._backlog_until

    def _next_track(self, *, new_only: bool = False) -> _Track | None:
        if new_only:
            passes = len(self._tracks) > 1 and not self._oldest_first
            return self._tracks[0] if passes and self._tracks[0].ready else None
        if len(self._tracks) == 1:
            return self._tracks[0] if self._tracks[0].ready else None
        live, backlog = self._tracks
        if self._oldest_first:
            if backlog.ready or not backlog.exhausted:
                return backlog if backlog.ready else None
            self._oldest_first = False
        if live.ready and (self._since_backlog < BACKLOG_EVERY - 1 or not backlog.ready):
            return live
        return backlog if backlog.ready else None

    # ------------------------------------------------------------------ what became of frames

    def settled(self, entry: ReceiptEntry) -> tuple[FrameRef | None, Flight | None]:
        """Remove what a receipt's entry names; return it, and how it was in flight if it was."""
        key = key_of(entry)
        flight = self.flights.pop(key, None)
        if flight is not None:
            return flight.frame, flight
        for track in self._tracks:
            if key in track.ready:
                return track.ready.pop(key), None
        return None, None

    def gone(self, frame: FrameRef) -> None:
        """Remove a frame that the buffer no longer has; a gap frame may stand in its place."""
        self.flights.pop(key_of(frame), None)
        for track in self._tracks:
            track.ready.pop(key_of(frame), None)

    def give_back(self, flights: Iterable[Flight]) -> None:
        """Put frames in flight back in front, in their order: they will be sent again."""
        back: list[dict[FrameKey, FrameRef]] = [{} for _ in self._tracks]
        for flight in flights:
            key = key_of(flight.frame)
            del self.flights[key]
            index = 1 if len(back) > 1 and self.is_backlog(flight.frame) else 0
            back[index][key] = flight.frame
        for track, returned in zip(self._tracks, back, strict=True):
            if returned:
                in_order = dict(sorted(returned.items(), key=lambda item: item[1].id))
                track.ready = in_order | track.ready

    @property
    def idle(self) -> bool:
        """Whether nothing is known to be left to send or in flight."""
        return not self.flights and all(not track.ready for track in self._tracks)

    @property
    def empty(self) -> bool:
        """Whether the buffer is known to have nothing more, either."""
        return self.idle and all(track.exhausted and not track.loading for track in self._tracks)

    @property
    def ready_frames(self) -> int:
        """How many frames are read ahead."""
        return sum(len(track.ready) for track in self._tracks)

    def oldest_ready(self, epoch: int) -> int | None:
        """Return the least first sequence of an epoch that is read and not in flight."""
        firsts = [
            f.first for track in self._tracks for f in track.ready.values() if f.epoch == epoch
        ]
        return min(firsts, default=None)
