"""The judgement of an opened buffer: whether the promises are kept that the marks tell of."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import FrameRef
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import LANES, GapReason
from whimbrel_protocol.sequences import RangeSet

from .buffertruth import BufferTruth, Stream
from .bufferwork import WINDOWED
from .till import BrokenPromiseError, sale

_ALL: Final = 1_000_000


@dataclass(slots=True)
class Held:
    """What a buffer gives out: events by place, frames, and gaps with their reasons."""

    events: dict[Stream, dict[int, int]] = field(default_factory=dict)
    refs: list[FrameRef] = field(default_factory=list)
    gaps: list[tuple[Stream, int, int, int]] = field(default_factory=list)

    def facts(self) -> tuple[object, ...]:
        """Return what must be the same when the same image is opened again."""
        return self.events, self.gaps, [(r.epoch, r.lane, r.first, r.span, r.digest, r.published)
                                        for r in self.refs]  # fmt: skip


async def look(buffer: Buffer) -> Held:
    """Read everything that a buffer gives out.

    Raises:
        BrokenPromiseError: an event is there that was never given, twice, or in another order.
    """
    held = Held()
    seen: set[int] = set()
    last: dict[Stream, int] = {}
    async for one in buffer.export():
        number = one.event.data.get("number")
        if type(number) is not int or one.event != sale(number, one.lane):
            raise BrokenPromiseError(f"{one} was never given")
        if number in seen:
            raise BrokenPromiseError(f"event {number} is there twice")
        seen.add(number)
        stream = one.epoch, one.lane
        held.events.setdefault(stream, {})[one.sequence] = number
        last[stream] = one.sequence
    for lane in LANES:
        for ref, data in await _loaded(buffer, lane):
            held.refs.append(ref)
            _look_into(ref, data, held)
    return held


async def _loaded(buffer: Buffer, lane: str) -> list[tuple[FrameRef, bytes]]:
    """Load what is pending; what is found damaged then becomes a gap, which is loaded in turn."""
    for _ in range(2):
        refs = await buffer.pending(lane, 0, _ALL)
        data = await buffer.load_many(refs)
        whole = [(ref, one) for ref, one in zip(refs, data, strict=True) if one is not None]
        if len(whole) == len(refs):
            return whole
    raise BrokenPromiseError(f"the bytes of pending frames of {lane} are gone")


def _look_into(ref: FrameRef, data: bytes, held: Held) -> None:
    frame = open_frame(data)  # its signature is checked by `verify`
    if frame.digest != ref.digest:
        raise BrokenPromiseError(f"{ref} has other bytes")
    for gap in frame.header.gaps:
        first = ref.first + gap.offset
        held.gaps.append(((ref.epoch, ref.lane), first, first + gap.count - 1, gap.reason))


class Judge:
    """Compares what a buffer holds with the truth.

    Args:
        truth: the marks up to the crash.
        held: what the buffer gives out.
        torn: whether the crash was a power cut: then what was never answered may be booked as
            damaged (an upper bound).
        salvaged: whether the file was: then a group that was never answered may be there in part.
    """

    def __init__(
        self, truth: BufferTruth, held: Held, *, torn: bool, salvaged: bool = False
    ) -> None:
        self._truth = truth
        self._held = held
        self._torn = torn
        self._salvaged = salvaged
        self._gaps: defaultdict[Stream, RangeSet] = defaultdict(RangeSet)
        self._damaged: defaultdict[Stream, RangeSet] = defaultdict(RangeSet)
        self._unsynced: defaultdict[Stream, RangeSet] = defaultdict(RangeSet)
        special = {GapReason.DAMAGED: self._damaged, GapReason.UNSYNCED: self._unsynced}
        for stream, first, end, reason in held.gaps:
            special.get(GapReason(reason), self._gaps)[stream].add(first, end)

    def judge(self) -> None:
        """Judge all of it.

        Raises:
            BrokenPromiseError: says which promise, and where.
        """
        for stream, places in self._truth.places.items():
            self._judge_answered(stream, places)
        self._judge_others()
        self._judge_damage()
        self._judge_windows()
        for ref in self._held.refs:
            self._judge_settled(ref)
        self._judge_published()

    def _judge_answered(self, stream: Stream, places: dict[int, int]) -> None:
        there = self._held.events.get(stream, {})
        released, spoilt = self._truth.released[stream], self._truth.spoilt[stream]
        for sequence, number in places.items():
            found = there.get(sequence)
            if found == number:
                continue
            where = f"{stream[0]}/{stream[1]}/{sequence}"
            if found is not None:
                raise BrokenPromiseError(f"{where} was event {number} and is {found} now")
            if released.covers(sequence, sequence) or self._gaps[stream].covers(sequence, sequence):
                continue
            if spoilt.covers(sequence, sequence) and self._damaged[stream].covers(
                sequence, sequence
            ):
                continue
            if self._unsynced[stream].covers(sequence, sequence):
                continue  # judged as a whole
            if (
                self._torn  # it was being written, with what had to be durable at once
                and stream[1] == WINDOWED
                and sequence > self._truth.safe.get(stream, 0)
                and self._damaged[stream].covers(sequence, sequence)
            ):
                continue
            gap = " (a gap: damaged)" if self._damaged[stream].covers(sequence, sequence) else ""
            raise BrokenPromiseError(f"answered event {number} at {where} is lost{gap}")

    def _judge_others(self) -> None:
        """Judge events that were never answered: offered, and a last group not in part."""
        others = {
            number
            for stream, there in self._held.events.items()
            for sequence, number in there.items()
            if self._truth.places.get(stream, {}).get(sequence) != number
        }
        for offer in self._truth.offers:
            here = others.intersection(offer.numbers)
            others -= here
            strict = set(offer.numbers).difference(offer.loose)
            in_part = bool(here & strict) and not here >= strict
            if in_part and not self._salvaged and offer is self._truth.offers[-1]:
                raise BrokenPromiseError(f"of group {offer.numbers} only {sorted(here)} are there")
        if self._salvaged:
            others -= self._truth.refused
        if others:
            raise BrokenPromiseError(f"events {sorted(others)[:10]} are there and were not given")

    def _judge_damage(self) -> None:
        for stream, ranges in self._damaged.items():
            for first, last in ranges:
                if not self._torn and not self._truth.spoilt[stream].covers(first, last):
                    raise BrokenPromiseError(
                        f"{stream[0]}/{stream[1]} {first}..{last} is booked as damaged after a kill"
                    )

    def _judge_windows(self) -> None:
        """Judge what was lost in a window: only in a lane that has one, and only its last part."""
        for stream, ranges in self._unsynced.items():
            where = f"{stream[0]}/{stream[1]}"
            if stream[1] != WINDOWED:
                raise BrokenPromiseError(f"{where} has lost {ranges} and has no window")
            safe = self._truth.safe.get(stream, 0)
            if safe and ranges.overlaps(1, safe) and not self._truth.spoilt[stream]:
                raise BrokenPromiseError(f"{where} has lost {ranges}, and {safe} was to be durable")

    def _judge_settled(self, ref: FrameRef) -> None:
        if self._truth.settled[ref.epoch, ref.lane].overlaps(ref.first, ref.first + ref.span - 1):
            raise BrokenPromiseError(f"{ref} was settled and is pending again")

    def _judge_published(self) -> None:
        by_first = {((ref.epoch, ref.lane), ref.first): ref for ref in self._held.refs}
        for (stream, first), (span, digest) in self._truth.published.items():
            if self._truth.released[stream].covers(first, first + span - 1):
                continue
            ref = by_first.get((stream, first))
            if ref is None or ref.span != span:
                raise BrokenPromiseError(
                    f"frame {stream[0]}/{stream[1]} {first}+{span} may have been sent and is cut "
                    f"another way now ({ref})"
                )
            if ref.count and ref.digest.hex() != digest:
                raise BrokenPromiseError(f"{ref} may have been sent and has other bytes now")
            if not ref.published:
                raise BrokenPromiseError(f"{ref} may have been sent and counts as never sent")


async def judge_buffer(
    buffer: Buffer, truth: BufferTruth, *, torn: bool, thorough: bool = True
) -> Held:
    """Judge an open buffer; returns what it holds.

    ``thorough`` lets the buffer verify itself too: signatures, columns, its ledger.

    Raises:
        BrokenPromiseError: a promise is broken.
    """
    held = await look(buffer)
    damage = (await buffer.stats()).damage
    Judge(truth, held, torn=torn, salvaged=damage is not None or torn).judge()
    await _judge_checkpoint(buffer, truth)
    problems = (await buffer.verify()).problems if thorough else ()
    if truth.damaged:  # what was spoilt on purpose in a frame that is kept, and not sent again
        problems = tuple(one for one in problems if "another digest" not in one)
    if problems:
        raise BrokenPromiseError(f"verify finds {problems}")
    if damage is not None and not torn and not truth.damaged:
        raise BrokenPromiseError(f"a kill has damaged the file: {damage}")
    return held


async def _judge_checkpoint(buffer: Buffer, truth: BufferTruth) -> None:
    if truth.checkpoint is None:
        return
    found = await buffer.checkpoint("import")
    allowed = {truth.checkpoint, *(offer.checkpoint for offer in truth.offers)}
    if found is None or found.decode() not in allowed:
        raise BrokenPromiseError(f"checkpoint is {found!r}, answered was {truth.checkpoint}")


async def judge_keys(buffer: Buffer, truth: BufferTruth) -> None:
    """Repeat the newest keyed events: the first answers must come again.

    Raises:
        BrokenPromiseError: one was taken as new.
    """
    for number, place in list(truth.keys.items())[-3:]:
        event = sale(number, place[1])
        (again,) = await buffer.accept([event], keys=[b"key-%d" % number])
        if not again.repeated or again[:3] != place:
            raise BrokenPromiseError(f"event {number} came again and is {again}, not {place}")
