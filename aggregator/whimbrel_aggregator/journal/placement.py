"""Where everything that was found of a damaged journal goes in the new one. Pure.

Frames keep their order: by the offset in their row, or else in the index; a frame that neither
places goes before the next frame of its stream, or to the end. Offsets are given anew, without holes.

What was settled stays settled, so that nothing is committed twice, with one exception: a frame
that the journal should have and has not (its row or its index entry names it) is taken out of
the settled ranges. Its device then sends it again if it still has it, or accounts for it by a
gap. What retention deleted was settled for good and stays so.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from whimbrel_protocol.epoch import fork_epoch, ordinal_of
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.sequences import RangeSet

from .carving import Carved, Found
from .remains import Remains
from .rows import frame_id, offset_of, partition_of_row
from .values import DeviceKey, PartitionKey, StreamKey

AT_END: Final = float("inf")


class Placed(NamedTuple):
    """A frame with its place: its old offset, just before one (n - 0.5), or the end."""

    anchor: float
    found: Found


class Loss(NamedTuple):
    """Sequences whose frame is gone; the device is asked for them again."""

    key: StreamKey
    first: int
    last: int


@dataclass(slots=True)
class Placement:
    """The plan of the new journal.

    Attributes:
        frames: of each partition, in their order.
        settled: of each stream.
        losses: known exactly.
        lost_unknown: offsets that held a frame of which nothing is known any more.
        past_retention: frames found in free pages, deleted by retention in their time.
        conflicts: frames that cover what another one covers already; left out.
        nameless_streams: streams whose device is not known any more.
        without_dictionary: frames whose dictionary was not found, counted as they are written.
    """

    frames: dict[PartitionKey, list[Placed]] = field(default_factory=dict)
    settled: dict[StreamKey, RangeSet] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    lost_unknown: int = 0
    past_retention: int = 0
    conflicts: int = 0
    nameless_streams: int = 0
    without_dictionary: int = 0

    def new_offset(self, partition: PartitionKey, old: int) -> int:
        """Return the offset of the first frame at or behind an old offset."""
        frames = self.frames.get(partition, [])
        return bisect_left(frames, float(old), key=_anchor_of) + 1

    def offset_of_kept(self, partition: PartitionKey, old: int) -> int | None:
        """Return the new offset of the frame that had an old offset, if it was kept."""
        at = self.new_offset(partition, old) - 1
        frames = self.frames.get(partition, [])
        return at + 1 if at < len(frames) and frames[at].anchor == old else None


class Planner:
    """Places what was carved; call :meth:`plan` once."""

    def __init__(self, carved: Carved, remains: Remains) -> None:
        self._carved = carved
        self._remains = remains
        self._plan = Placement()
        self._taken: dict[StreamKey, RangeSet] = {}
        self._stream_keys: dict[int, StreamKey] = {}
        self._stream_ids: dict[StreamKey, int] = {}
        self._kept: dict[PartitionKey, list[Placed]] = {}
        self._digests: set[bytes] = set()
        self._places: set[tuple[PartitionKey, int]] = set()
        self._anchors: dict[StreamKey, list[tuple[int, float]]] = {}
        self._partition_ids: dict[int, PartitionKey] = {
            number: row.key for number, row in remains.partitions.items()
        }

    def plan(self) -> Placement:
        """Return where everything goes."""
        self._name_streams()
        self._settle()
        for rowid in sorted(self._carved.rows):
            self._place_row(rowid, self._carved.rows[rowid])
        for anchors in self._anchors.values():
            anchors.sort()
        loose = sorted(
            self._carved.loose.values(), key=lambda one: (one.frame.key, one.frame.first)
        )
        for found in loose:
            self._place_loose(found)
        self._find_losses()
        for partition, placed in self._kept.items():
            placed.sort(key=lambda one: (one.anchor, one.found.frame.key, one.found.frame.first))
            self._plan.frames[partition] = placed
        for key, ranges in self._taken.items():
            settled = self._plan.settled.setdefault(key, RangeSet())
            for first, last in ranges:
                settled.add(first, last)
        return self._plan

    # ---- names and ranges

    def _name_streams(self) -> None:
        """Learn which stream a row id stands for: from its frames, or from its rows."""
        names = {number: row.key for number, row in self._remains.devices.items()}
        for rowid, found in self._carved.rows.items():
            key = found.frame.key
            if key.epoch:
                self._stream_keys[found.stream] = key
                self._partition_ids.setdefault(partition_of_row(rowid), key.partition)
                identity = self._carved.stream_rows.get(found.stream)
                if identity is not None:
                    names.setdefault(identity[0], key.device_key)
        for number, (device, epoch, lane) in self._carved.stream_rows.items():
            if device in names:
                self._stream_keys.setdefault(number, _stream(names[device], epoch, lane))
        self._stream_ids = {key: number for number, key in self._stream_keys.items()}
        self._device_names = names

    def _settle(self) -> None:
        floors = {number: row.epoch_floor for number, row in self._remains.devices.items()}
        alive = {found.frame.key for found in self._carved.rows.values()}
        for (device, epoch, lane), ranges in self._carved.ranges.items():
            if device not in self._device_names:
                self._plan.nameless_streams += 1
                continue
            key = _stream(self._device_names[device], epoch, lane)
            if epoch < floors.get(device, 0) and key not in alive:
                continue  # folded: an older version of its row lay in a free page
            self._plan.settled[key] = ranges.copy()

    # ---- frames

    def _place_row(self, rowid: int, found: Found) -> None:
        state = self._remains.partitions.get(partition_of_row(rowid))
        if state is not None and offset_of(rowid) < state.oldest:
            self._plan.past_retention += 1
            return
        key = found.frame.key if found.frame.key.epoch else self._stream_keys.get(found.stream)
        if key is None:
            self._plan.lost_unknown += 1
            return
        offset = offset_of(rowid)
        if self._keep(found._replace(frame=replace(found.frame, key=key)), offset):
            self._digests.add(found.frame.digest)
            self._places.add((key.partition, offset))
            self._anchors.setdefault(key, []).append((found.frame.first, offset))

    def _place_loose(self, found: Found) -> None:
        frame = found.frame
        if frame.digest in self._digests:
            return  # another copy of a frame that has its row
        derived = replace(frame.key, epoch=fork_epoch(frame.digest, ordinal_of(frame.key.epoch)))
        taken = self._taken.get(frame.key, RangeSet())
        last = frame.first + frame.span - 1
        if derived in self._plan.settled or taken.overlaps(frame.first, last):
            frame = replace(frame, key=derived, fork=True)
        if self._is_past_retention(frame.key, frame.first, last):
            self._plan.past_retention += 1
            return
        self._keep(found._replace(frame=frame), self._anchor(frame.key, frame.first))

    def _is_past_retention(self, key: StreamKey, first: int, last: int) -> bool:
        settled = self._plan.settled.get(key)
        return (
            settled is not None
            and settled.covers(first, last)
            and self._remains.index_whole
            and (self._stream_ids.get(key, 0), first) not in self._remains.index
        )

    def _anchor(self, key: StreamKey, first: int) -> float:
        """Return where the index has a frame, else before the next of its stream, or the end."""
        position = self._remains.index.get((self._stream_ids.get(key, 0), first))
        if position is not None and (key.partition, position) not in self._places:
            return position
        anchors = self._anchors.get(key, [])
        at = bisect_left(anchors, (first + 1, 0.0))
        return anchors[at][1] - 0.5 if at < len(anchors) else AT_END

    def _keep(self, found: Found, anchor: float) -> bool:
        frame = found.frame
        taken = self._taken.setdefault(frame.key, RangeSet())
        last = frame.first + frame.span - 1
        if taken.overlaps(frame.first, last):
            self._plan.conflicts += 1
            return False
        taken.add(frame.first, last)
        self._kept.setdefault(frame.key.partition, []).append(Placed(anchor, found))
        return True

    # ---- what is gone

    def _find_losses(self) -> None:
        offsets = {
            partition: {one.anchor for one in placed} for partition, placed in self._kept.items()
        }
        missing = 0
        named = dict(self._missing_by_index(offsets))
        for lost in self._carved.lost.values():
            key = self._stream_keys.get(lost.stream)
            state = self._remains.partitions.get(partition_of_row(lost.rowid))
            if state is not None and offset_of(lost.rowid) < state.oldest:
                continue
            if key is not None:
                named[lost.rowid] = Loss(key, lost.first, lost.first + lost.span - 1)
        for number, state in self._remains.partitions.items():
            places = offsets.get(state.key, set())
            present = sum(1 for one in places if one >= state.oldest and one % 1 == 0)
            known = sum(partition_of_row(one) == number for one in named)
            loose = sum(one % 1 != 0 or one == AT_END for one in places)
            missing += max(0, state.head - state.oldest + 1 - present - max(known, loose))
        for loss in named.values():
            self._lose(loss)
        self._plan.lost_unknown += missing

    def _missing_by_index(
        self, offsets: dict[PartitionKey, set[float]]
    ) -> Iterator[tuple[int, Loss]]:
        """Yield, by row id, frames that the index names and nobody found."""
        ids = {key: number for number, key in self._partition_ids.items()}
        ordered = sorted(self._remains.index)
        for at, (stream, first) in enumerate(ordered):
            key = self._stream_keys.get(stream)
            position = self._remains.index[stream, first]
            if key is None or position in offsets.get(key.partition, ()):
                continue
            settled = self._plan.settled.get(key, RangeSet())
            end = next((last for start, last in settled if start <= first <= last), 0)
            if at + 1 < len(ordered) and ordered[at + 1][0] == stream:
                end = min(end, ordered[at + 1][1] - 1)
            if end >= first and key.partition in ids:
                yield frame_id(ids[key.partition], position), Loss(key, first, end)

    def _lose(self, loss: Loss) -> None:
        taken = self._taken.get(loss.key, RangeSet())
        settled = self._plan.settled.get(loss.key)
        if taken.overlaps(loss.first, loss.last):
            return  # found after all, by its mark
        self._plan.losses.append(loss)
        if settled is not None:
            settled.remove(loss.first, loss.last)


def _anchor_of(placed: Placed) -> float:
    return placed.anchor


def _stream(device: DeviceKey, epoch: int, lane: int) -> StreamKey:
    return StreamKey(device.tenant, device.store, device.device, epoch, LANES[lane])
