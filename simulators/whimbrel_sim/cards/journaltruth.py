"""What a journal must hold after a crash, said by the marks alone; and the judgement of one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from whimbrel_aggregator.journal.port import (
    Committed,
    Conflict,
    DeviceKey,
    FrameRecord,
    PartitionKey,
    StreamKey,
)
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.journal.verify import verify_journal
from whimbrel_protocol.epoch import ordinal_of
from whimbrel_protocol.sequences import RangeSet

from .journalwork import CONSUMER, Mark, frame_of, key_of
from .till import BrokenPromiseError

Place = tuple[StreamKey, int, int]
"""Stream, first and span of a frame: its bytes follow from them."""

QUIET: Final = frozenset({"opening", "failed"})


@dataclass(slots=True)
class Operation:
    """An append that was handed in."""

    store: str
    op_id: bytes
    head: int
    frames: list[Place]

    @property
    def new_head(self) -> int:
        """The head right after it."""
        return self.head + len(self.frames)


@dataclass(slots=True)
class JournalTruth:
    """What the marks say so far.

    Attributes:
        frames: per store, the committed frames in order; offset 1 is the first.
        doubtful: appends without an answer: all of them happened, or none.
        last: per store, the newest answered operation.
        oldest: per store, the oldest offset that must be there; ``retaining`` while that moves.
        cursors: per store, what was answered and what may be there.
        labels: per device, the label that was answered and those that may be there.
        enrolled: devices whose enrolment was answered.
        floors: per device, the epoch floor that was answered; ``folding`` those that may move.
        backups: name -> heads at the time.
        generations: the generations seen, newest last.
    """

    frames: dict[str, list[Place]] = field(default_factory=dict)
    doubtful: list[Operation] = field(default_factory=list)
    last: dict[str, Operation] = field(default_factory=dict)
    oldest: dict[str, int] = field(default_factory=dict)
    retaining: bool = False
    cursors: dict[str, list[int]] = field(default_factory=dict)
    labels: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    enrolled: set[tuple[str, str]] = field(default_factory=set)
    floors: dict[tuple[str, str], int] = field(default_factory=dict)
    folding: set[tuple[str, str]] = field(default_factory=set)
    backups: dict[str, dict[str, int]] = field(default_factory=dict)
    generations: list[str] = field(default_factory=list)
    attached: bool = False
    flipped: bool = False

    def copy(self) -> JournalTruth:
        """Return the same, to be led on."""
        return replace(
            self,
            frames={store: list(frames) for store, frames in self.frames.items()},
            doubtful=list(self.doubtful),
            last=dict(self.last),
            oldest=dict(self.oldest),
            cursors={store: list(offsets) for store, offsets in self.cursors.items()},
            labels={device: list(labels) for device, labels in self.labels.items()},
            enrolled=set(self.enrolled),
            floors=dict(self.floors),
            folding=set(self.folding),
            backups=dict(self.backups),
            generations=list(self.generations),
        )

    @property
    def ordinal(self) -> int:
        """The newest start of a device."""
        streams = [place[0] for places in self.frames.values() for place in places]
        streams += [place[0] for operation in self.doubtful for place in operation.frames]
        return max((ordinal_of(stream.epoch) for stream in streams), default=1)

    def take(self, mark: list[Any]) -> None:
        """Take a mark in."""
        word, *values = mark
        if word not in QUIET:
            getattr(self, f"take_{word}")(*values)

    def take_opened(self, generation: str) -> None:
        """The journal is open, in this generation."""
        self.generations.append(generation)

    def take_attached(self) -> None:
        """The consumer is attached."""
        self.attached = True

    def take_append(self, appends: list[list[Any]]) -> None:
        """A group is about to be appended."""
        for store, op_id, head, frames in appends:
            places = [
                (StreamKey("acme", store, device, epoch, lane), first, span)
                for device, epoch, lane, first, span in frames
            ]
            self.doubtful.append(Operation(store, bytes.fromhex(op_id), head, places))

    def take_committed(self) -> None:
        """The group was answered."""
        for operation in self.doubtful:
            self.frames.setdefault(operation.store, []).extend(operation.frames)
            self.last[operation.store] = operation
        self.doubtful.clear()

    def take_undone(self) -> None:
        """The group was read back, and had not happened."""
        self.doubtful.clear()

    def take_flipped(self) -> None:
        """Something was read wrong, and may have been copied: it may be told of, never served."""
        self.flipped = True

    def take_full(self) -> None:
        """The group was refused."""
        self.doubtful.clear()

    def take_cursor(self, store: str, offset: int) -> None:
        """A cursor is about to move."""
        self.cursors.setdefault(store, [1]).append(offset)

    def take_moved(self, store: str, offset: int) -> None:
        """It has moved."""
        self.cursors[store] = [offset]

    def take_retaining(self) -> None:
        """Frames are about to be deleted."""
        self.retaining = True

    def take_retained(self, states: list[tuple[str, int]]) -> None:
        """They have been."""
        self.retaining = False
        self.oldest.update(dict(states))

    def take_fold(self, device: list[str]) -> None:
        """A device's epochs are about to be folded."""
        self.folding.add((device[0], device[1]))

    def take_folded(self, device: list[str], floor: int) -> None:
        """They have been."""
        self.folding.discard((device[0], device[1]))
        self.floors[device[0], device[1]] = floor

    def take_enrol(self, device: list[str], label: str) -> None:
        """A device is about to be enrolled."""
        self.labels.setdefault((device[0], device[1]), []).append(label)

    def take_enrolled(self, device: list[str], label: str) -> None:
        """It has been."""
        self.labels[device[0], device[1]] = [label]
        self.enrolled.add((device[0], device[1]))

    def take_backup(self, name: str) -> None:
        """A backup is about to be written; nothing is owed yet."""

    def take_backed(self, name: str) -> None:
        """It is there."""
        self.backups[name] = {store: len(frames) for store, frames in self.frames.items()}


async def judge_journal(
    journal: SqliteJournal, truth: JournalTruth, mark: Mark, *, torn: bool, thorough: bool
) -> tuple[object, ...]:
    """Judge an open journal; returns what must be the same when the image is opened again.

    What it answers of appends in doubt is marked, and the mark goes into the truth.

    Args:
        journal: the open journal.
        truth: the marks up to the crash.
        mark: takes marks, for the truth too.
        torn: whether the crash was a power cut: then a new generation may have begun.
        thorough: whether everything is verified too, the newest backup included.

    Raises:
        BrokenPromiseError: a promise is broken.
    """
    if len(set(truth.generations[-2:])) > 1 and not torn:
        raise BrokenPromiseError("a kill has begun a new generation")
    await _settle_doubt(journal, truth, mark)
    held = [await _judge_frames(journal, truth, store) for store in sorted(truth.frames)]
    await _judge_streams(journal, truth)
    await _judge_devices(journal, truth)
    if truth.attached:
        await _judge_cursors(journal, truth)
    for name in truth.backups:
        if not journal.path.with_name(name).exists():
            raise BrokenPromiseError(f"backup {name} is gone")
    if thorough:
        _judge_structure(journal.path, truth)
    return tuple(held)


async def _settle_doubt(journal: SqliteJournal, truth: JournalTruth, mark: Mark) -> None:
    happened = []
    for operation in truth.doubtful:
        outcome = await journal.outcome(PartitionKey("acme", operation.store), operation.op_id)
        match outcome:
            case Committed(head) if head == operation.new_head:
                happened.append(True)
            case Conflict(head) if head == operation.head:
                happened.append(False)
            case _:
                raise BrokenPromiseError(f"{operation} has the outcome {outcome}")
    if len(set(happened)) > 1:
        raise BrokenPromiseError(f"of one group only a part was committed: {truth.doubtful}")
    if happened:  # an answer that may be followed by a receipt, so it binds
        mark(["committed" if all(happened) else "undone"])
    for store, operation in truth.last.items():
        outcome = await journal.outcome(PartitionKey("acme", store), operation.op_id)
        if outcome != Committed(operation.new_head):
            raise BrokenPromiseError(f"answered {operation} has the outcome {outcome}")


async def _judge_frames(
    journal: SqliteJournal, truth: JournalTruth, store: str
) -> tuple[FrameRecord, ...]:
    partition, expected = PartitionKey("acme", store), truth.frames[store]
    (head,) = await journal.heads([partition])
    if head != len(expected):
        raise BrokenPromiseError(f"head of {store} is {head}, answered was {len(expected)}")
    page = await journal.read(partition, 1, limit_frames=100_000, limit_bytes=2**40)
    if page.damaged and not truth.flipped:
        raise BrokenPromiseError(f"{page.damaged[0]} is damaged")
    offsets = sorted([one.offset for one in page.frames] + [one.offset for one in page.damaged])
    oldest = offsets[0] if offsets else head + 1
    if oldest > truth.oldest.get(store, 1) and not truth.retaining:
        raise BrokenPromiseError(f"{store} begins at {oldest}, {truth.oldest.get(store)} is owed")
    if offsets != list(range(oldest, head + 1)):
        raise BrokenPromiseError(f"{store} has the offsets {offsets}")
    for frame in page.frames:
        stream, first, span = expected[frame.offset - 1]
        if (frame.key, frame.first, frame.span) != (stream, first, span):
            raise BrokenPromiseError(f"{store} has {frame.key} {frame.first} at {frame.offset}")
        if frame.data != frame_of(stream, first, span).data:
            raise BrokenPromiseError(f"{store}: frame {frame.offset} has other bytes")
    truth.oldest[store] = oldest
    return page.frames


async def _judge_streams(journal: SqliteJournal, truth: JournalTruth) -> None:
    settled: dict[StreamKey, RangeSet] = {}
    for places in truth.frames.values():
        for stream, first, span in places:
            ranges = settled.setdefault(stream, RangeSet())
            if ranges.overlaps(first, first + span - 1):
                raise BrokenPromiseError(f"{stream} {first} was committed twice")
            ranges.add(first, first + span - 1)
    keys = list(settled)
    for key, record in zip(keys, await journal.streams(keys), strict=True):
        device = key.store, key.device
        folded = device in truth.folding or key.epoch < truth.floors.get(device, 0)
        if record is None and folded:
            continue
        if record is None or record.ranges != settled[key]:
            raise BrokenPromiseError(f"{key} is settled through {record}, not {settled[key]}")


async def _judge_devices(journal: SqliteJournal, truth: JournalTruth) -> None:
    for (store, name), labels in truth.labels.items():
        key = DeviceKey("acme", store, name)
        device = await journal.device(key)
        if device is None:
            if (store, name) in truth.enrolled or (store, name) in truth.floors:
                raise BrokenPromiseError(f"{key} is not enrolled any more")
            continue
        if device.label not in labels or device.public_keys != (key_of(key).public.raw,):
            raise BrokenPromiseError(f"{key} is enrolled as {device}, answered was {labels}")
        floor = truth.floors.get((store, name), 0)
        if device.state.epoch_floor < floor:
            raise BrokenPromiseError(f"{key} has floor {device.state.epoch_floor}, not {floor}")


async def _judge_cursors(journal: SqliteJournal, truth: JournalTruth) -> None:
    for store, offsets in truth.cursors.items():
        cursor = await journal.cursor(CONSUMER, PartitionKey("acme", store))
        if cursor.offset not in offsets:
            raise BrokenPromiseError(f"cursor in {store} is at {cursor.offset}, not {offsets}")


def _judge_structure(journal: Path, truth: JournalTruth) -> None:
    report = verify_journal(journal)
    if not report.sound and not truth.flipped:
        raise BrokenPromiseError(f"verify finds {report.problems[:3]}")
    for name, heads in list(truth.backups.items())[-1:]:
        report = verify_journal(journal.with_name(name))
        if not report.sound or report.partitions < len(heads):
            raise BrokenPromiseError(f"backup {name}: {report}")
