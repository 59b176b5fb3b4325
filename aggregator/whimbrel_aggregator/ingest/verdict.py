"""The verdict on a frame: pure rules over what is settled of its stream.

Each (device, epoch, lane, sequence) is committed or gapped once. Rules, first match wins, for a
frame that covers ``first..last``:

=========================================================  ================================
the stream's settled ranges and kept frames                verdict
=========================================================  ================================
no such stream, epoch below the device's floor             BELOW_FLOOR, committed-unknown
no such stream, device has its most streams                fold first; else TOO_MANY_STREAMS
no overlap, lane in order, first is not the next           OUT_OF_ORDER, want
no overlap, too many ranges after it                       TOO_MANY_RANGES, want
no overlap                                                 COMMIT
same first and span kept, same digest                      DUPLICATE, as it was settled
same first and span kept: a gap, both without events       DUPLICATE, gapped
same first and span kept: events, this is a gap            GAP_VOID, committed
same first and span kept: a gap, this has events           LATE_AFTER_GAP, gapped
wholly settled, none of it kept any more                   UNKNOWN_DIGEST, committed-unknown
anything else: overlapping other content                   FORK, under a derived epoch
=========================================================  ================================

What would be committed and names a dictionary that is not kept is NO_DICTIONARY instead: not
taken, and the device is told what is wanted.

What a rule needs and the view does not have yet is asked for with :class:`Lookup`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from whimbrel_aggregator.journal.values import DeviceKey, DeviceState, IndexEntry, StreamKey
from whimbrel_protocol.epoch import fork_epoch, ordinal_of
from whimbrel_protocol.lanes import Order
from whimbrel_protocol.limits import MAX_RANGES_PER_STREAM, MAX_STREAMS_PER_DEVICE
from whimbrel_protocol.messages import Status
from whimbrel_protocol.sequences import RangeSet

FOLD_TO_STREAMS: Final = MAX_STREAMS_PER_DEVICE * 7 // 8
"""Folding makes room for a while, so that it does not happen with every new stream."""


class Verdict(Enum):
    """What a frame came to; the value is its counter."""

    COMMIT = "frames_committed"
    COMMIT_GAP = "gaps_committed"
    REFUSED = "frames_refused"
    DUPLICATE = "frames_duplicate"
    GAP_VOID = "frames_gap_void"
    LATE_AFTER_GAP = "frames_late_after_gap"
    FORK = "frames_forked"
    UNKNOWN_DIGEST = "frames_unknown_digest"
    BELOW_FLOOR = "frames_below_floor"
    OUT_OF_ORDER = "frames_out_of_order"
    TOO_MANY_RANGES = "frames_too_many_ranges"
    TOO_MANY_STREAMS = "held_streams"
    NO_DICTIONARY = "frames_no_dictionary"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the rules look at of a frame that passed admission.

    ``refused``: well signed, but beyond limits or versions; its sequences become a gap.
    ``dictionary``: the name of the one that its columns need, or empty.
    """

    key: StreamKey
    order: Order
    first: int
    span: int
    count: int
    digest: bytes
    reason: int
    refused: bool = False
    dictionary: bytes = b""

    @property
    def last(self) -> int:
        """The last sequence covered."""
        return self.first + self.span - 1


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, with what the device is told; ``key`` is the stream it is settled under.

    ``status`` is None when the frame is not receipted: the device keeps it.
    """

    verdict: Verdict
    key: StreamKey
    status: Status | None
    reason: int = 0
    commits: bool = False


@dataclass(frozen=True, slots=True)
class Lookup:
    """What must be known before a verdict: put it into the view and ask again."""

    stream: StreamKey | None = None
    device: DeviceKey | None = None
    kept: tuple[StreamKey, int, int] | None = None
    fold: DeviceKey | None = None
    dictionary: tuple[DeviceKey, bytes] | None = None


@dataclass(slots=True)
class View:
    """What is known of the journal for one group, and what the group itself adds.

    Ranges in ``streams`` belong to the view: they are copied when they are put in.
    """

    streams: dict[StreamKey, RangeSet | None] = field(default_factory=dict)
    devices: dict[DeviceKey, DeviceState] = field(default_factory=dict)
    kept: dict[tuple[StreamKey, int, int], IndexEntry | None] = field(default_factory=dict)
    folded: set[DeviceKey] = field(default_factory=set)
    dictionaries: dict[tuple[DeviceKey, bytes], bool] = field(default_factory=dict)
    opened: dict[DeviceKey, int] = field(default_factory=dict)
    changed: dict[StreamKey, RangeSet] = field(default_factory=dict)
    added: dict[StreamKey, list[IndexEntry]] = field(default_factory=dict)

    def know_streams(self, known: Iterable[tuple[StreamKey, RangeSet | None]]) -> None:
        """Put in what the journal has of some streams; the ranges are not copied yet."""
        for key, ranges in known:
            self.streams.setdefault(key, ranges)

    def commit(self, candidate: Candidate, decision: Decision) -> None:
        """Take a committed frame in, so that the rest of the group is judged upon it."""
        key = decision.key
        ranges = self.changed.get(key)
        if ranges is None:
            known = self.streams.get(key)
            if known is None:
                ranges = RangeSet()
                self.opened[key.device_key] = self.opened.get(key.device_key, 0) + 1
            else:
                ranges = known.copy()
            self.changed[key] = self.streams[key] = ranges
        ranges.add(candidate.first, candidate.last)
        self.added.setdefault(key, []).append(
            IndexEntry(
                0,
                candidate.first,
                candidate.span,
                candidate.count,
                candidate.digest,
                candidate.reason,
            )
        )

    def overlapping(self, key: StreamKey, candidate: Candidate) -> IndexEntry | Lookup | None:
        """Return a kept frame that shares a sequence with the candidate, if it is known."""
        for entry in self.added.get(key, ()):
            if entry.first <= candidate.last and entry.first + entry.span > candidate.first:
                return entry
        wanted = (key, candidate.first, candidate.last)
        return self.kept[wanted] if wanted in self.kept else Lookup(kept=wanted)


def decide(candidate: Candidate, view: View) -> Decision | Lookup:
    """Return the verdict on a frame, or what must be looked up first."""
    decision = _decide(candidate, view)
    if not (isinstance(decision, Decision) and decision.commits and candidate.dictionary):
        return decision
    named = (candidate.key.device_key, candidate.dictionary)
    if named not in view.dictionaries:
        return Lookup(dictionary=named)
    if not view.dictionaries[named]:
        return Decision(Verdict.NO_DICTIONARY, candidate.key, None)
    return decision


def _decide(candidate: Candidate, view: View) -> Decision | Lookup:
    key = candidate.key
    if key not in view.streams:
        return Lookup(stream=key)
    ranges = view.streams[key]
    if ranges is None:
        refusal = _new_stream(key, candidate, view)
        if refusal is not None:
            return refusal
        ranges = RangeSet()
    if not ranges.overlaps(candidate.first, candidate.last):
        return _unsettled(candidate, ranges)
    return _settled(candidate, ranges, view)


def _new_stream(key: StreamKey, candidate: Candidate, view: View) -> Decision | Lookup | None:
    """Return why a stream cannot be opened, or None when it can."""
    device = key.device_key
    if device not in view.devices:
        return Lookup(device=device)
    state = view.devices[device]
    if ordinal_of(key.epoch) < ordinal_of(state.epoch_floor):
        return Decision(Verdict.BELOW_FLOOR, candidate.key, Status.COMMITTED_UNKNOWN)
    if state.streams + view.opened.get(device, 0) >= MAX_STREAMS_PER_DEVICE:
        if device not in view.folded:
            return Lookup(fold=device)
        return Decision(Verdict.TOO_MANY_STREAMS, candidate.key, None)
    return None


def _unsettled(candidate: Candidate, ranges: RangeSet) -> Decision:
    key = candidate.key
    if candidate.order is Order.IN_ORDER and candidate.first != ranges.high_water + 1:
        return Decision(Verdict.OUT_OF_ORDER, key, None)
    if len(ranges) >= MAX_RANGES_PER_STREAM:
        after = ranges.copy()
        after.add(candidate.first, candidate.last)
        if len(after) > MAX_RANGES_PER_STREAM:
            return Decision(Verdict.TOO_MANY_RANGES, key, None)
    return _commit(candidate, key)


def _commit(candidate: Candidate, key: StreamKey) -> Decision:
    if candidate.refused:
        return Decision(Verdict.REFUSED, key, Status.GAPPED, candidate.reason, commits=True)
    if candidate.count == 0:
        return Decision(Verdict.COMMIT_GAP, key, Status.GAPPED, candidate.reason, commits=True)
    return Decision(Verdict.COMMIT, key, Status.COMMITTED, commits=True)


def _settled(candidate: Candidate, ranges: RangeSet, view: View) -> Decision | Lookup:
    key = candidate.key
    entry = view.overlapping(key, candidate)
    if isinstance(entry, Lookup):
        return entry
    if entry is None:
        if ranges.covers(candidate.first, candidate.last):
            return Decision(Verdict.UNKNOWN_DIGEST, key, Status.COMMITTED_UNKNOWN)
        return _fork(candidate, view)
    if entry.first != candidate.first or entry.span != candidate.span:
        return _fork(candidate, view)
    if entry.digest == candidate.digest or entry.count == candidate.count == 0:
        return _as_settled(Verdict.DUPLICATE, key, entry)
    if candidate.count == 0:
        return Decision(Verdict.GAP_VOID, key, Status.COMMITTED)
    if entry.count == 0:
        return Decision(Verdict.LATE_AFTER_GAP, key, Status.GAPPED, entry.reason)
    return _fork(candidate, view)


def _as_settled(verdict: Verdict, key: StreamKey, entry: IndexEntry) -> Decision:
    if entry.count == 0:
        return Decision(verdict, key, Status.GAPPED, entry.reason)
    return Decision(verdict, key, Status.COMMITTED)


def _fork(candidate: Candidate, view: View) -> Decision | Lookup:
    """Commit other content for a taken range under an epoch derived from the frame's digest."""
    epoch = fork_epoch(candidate.digest, ordinal_of(candidate.key.epoch))
    key = replace(candidate.key, epoch=epoch)
    if key not in view.streams:
        return Lookup(stream=key)
    ranges = view.streams[key]
    if ranges is not None and ranges.overlaps(candidate.first, candidate.last):
        entry = view.overlapping(key, candidate)
        if isinstance(entry, Lookup):
            return entry
        if entry is None:
            return Decision(Verdict.UNKNOWN_DIGEST, key, Status.COMMITTED_UNKNOWN)
        return _as_settled(Verdict.DUPLICATE, key, entry)
    if ranges is None:
        refusal = _new_stream(key, candidate, view)
        if refusal is not None:
            return refusal
    committed = _commit(candidate, key)
    return replace(committed, verdict=Verdict.FORK)
