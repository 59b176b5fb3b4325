"""What a resume asks and what its answer changes. Nothing is in flight while this runs.

The region's ranges decide what of the never-published frames another life of this buffer has
delivered; what the region lost comes back from the receipted frames that were kept, or becomes
a gap. When this epoch's numbers cannot be trusted any more, a new one is opened and what was
never published moves there.
"""

from __future__ import annotations

from collections.abc import Sequence

from whimbrel_agent.buffer import capacity, reissuing, returning
from whimbrel_agent.buffer.frames import FrameRow, drop_pending, walk
from whimbrel_agent.buffer.ledger import DELIVERED
from whimbrel_agent.buffer.returning import Progress
from whimbrel_agent.buffer.sealer import Sealer
from whimbrel_agent.buffer.state import GENERATION, BufferState
from whimbrel_agent.buffer.streams import Stream
from whimbrel_agent.buffer.values import ResumeOutcome
from whimbrel_protocol.epoch import ordinal_of
from whimbrel_protocol.lanes import LANE_NUMBERS, LANES, GapReason
from whimbrel_protocol.limits import MAX_RESUME_STREAMS
from whimbrel_protocol.messages import ResumeAnswer, StreamQuestion, StreamState
from whimbrel_protocol.names import Address
from whimbrel_protocol.sequences import RangeSet


def questions(state: BufferState, address: Address) -> list[StreamQuestion]:
    """Return the streams to ask about at an address: with frames first, then the newest.

    Streams with frames that this resume does not ask about are not sent until a later one has.
    """
    mine: list[Stream] = []
    away: set[tuple[int, int]] = set()
    for stream in state.streams:
        if state.epochs[stream.epoch].address == address:
            mine.append(stream)
        elif stream.pending_frames:
            away.add((stream.epoch, stream.lane))
    waiting = [stream for stream in mine if stream.pending_frames]
    idle = [stream for stream in reversed(mine) if not stream.pending_frames]
    asked = (waiting + idle)[:MAX_RESUME_STREAMS]
    unasked = {(s.epoch, s.lane) for s in waiting[MAX_RESUME_STREAMS:]}
    state.unasked = unasked | (state.unasked & away if state.asked_once else away)
    state.asked_once = True
    return [StreamQuestion(stream.epoch, LANES[stream.lane]) for stream in asked]


def rest_address(state: BufferState) -> Address:
    """Return the address of the oldest stream that no resume has asked about yet.

    Only addresses in this region: another one's frames go by a broker of theirs.
    """
    for stream in state.streams:
        if (stream.epoch, stream.lane) in state.unasked:
            address = state.epochs[stream.epoch].address
            if address.region == state.address.region:
                return address
    return state.address


def _ask_neighbours(state: BufferState, answer: ResumeAnswer) -> None:
    """Ask again at this region's other addresses that were told another generation.

    The journal came back from a backup: it may lack what was receipted there too.
    """
    for stream in state.streams:
        address = state.epochs[stream.epoch].address
        told = state.generations.get(address)
        if address.region == answer.address.region and told not in {None, answer.generation}:
            state.unasked.add((stream.epoch, stream.lane))


def _unasked_beside(state: BufferState, asked: Address) -> int:
    """Count what the same link may be asked about: of this region, or of the one other address."""
    addresses = [state.epochs[epoch].address for epoch, _ in state.unasked]
    if asked.region == state.address.region:
        return sum(one.region == asked.region for one in addresses)
    return addresses.count(asked)


def apply_resume(state: BufferState, sealer: Sealer, answer: ResumeAnswer) -> ResumeOutcome:
    """Take the region's word on every stream it answers about."""
    progress = Progress()
    answers = {(s.epoch, LANE_NUMBERS[s.lane]): s for s in answer.streams}
    present = answer.address == state.address
    forked = present and _is_forked(state, answers)
    floor = answer.epoch_floor if present else 0  # a former address has a floor of its own
    rotated = forked or ordinal_of(state.epoch) < ordinal_of(floor) or state.epoch < floor
    if rotated:
        state.counters["forks_suspected"] += forked
        reissuing.rotate(state, sealer, above=ordinal_of(floor), forked=forked)
    before = state.generations.get(answer.address, b"")
    changed = bool(before) and before != answer.generation
    for stream in list(state.streams):
        told = answers.get((stream.epoch, stream.lane))
        if told is None or state.epochs[stream.epoch].address != answer.address:
            continue
        ranges = RangeSet(told.ranges)
        if ranges:
            _take_covered(state, stream, ranges, progress)
        if changed:
            returning.return_lost(state, stream, ranges, progress)
        elif before:
            returning.close_holes(state, stream, ranges, progress)
        if stream.epoch < floor:
            reissuing.seal_lane(state, sealer, stream.lane)
            progress.resealed += reissuing.move_stream(state, stream)
        state.unasked.discard((stream.epoch, stream.lane))
    if rotated:
        progress.resealed += _move_former(state, answer, forked=forked)
    with state.change() as connection:
        state.write_fact(connection, f"{GENERATION} {answer.address}", answer.generation)
    state.generations[answer.address] = answer.generation
    _ask_neighbours(state, answer)
    if changed:
        state.counters["generations_changed"] += 1
    return ResumeOutcome(
        covered_frames=progress.covered,
        resealed_frames=progress.resealed,
        returned_frames=progress.returned,
        lost_events=progress.lost_events,
        rotated=rotated,
        fork_suspected=forked,
        unasked_streams=_unasked_beside(state, answer.address),
        epoch=state.epoch,
    )


def _is_forked(state: BufferState, answers: dict[tuple[int, int], StreamState]) -> bool:
    """Whether the region knows of this epoch what this process did not send."""
    for (epoch, lane), told in answers.items():
        if epoch != state.epoch or not told.ranges:
            continue
        if told.ranges[-1][1] >= state.next_sequence[lane]:
            return True
        stream = state.streams.get(epoch, lane)
        high_water = told.high_water
        if high_water and stream is not None and stream.settled.covers(high_water, high_water):
            # a receipt for exactly our frame: it is ours, whatever receipts before it were lost
            continue
        if high_water and told.digest != _digest_at(state, lane, high_water):
            return True
    return False


def _digest_at(state: BufferState, lane: int, last: int) -> bytes:
    """Return the digest of our pending frame of this epoch that ends at a sequence."""
    with state.database.reading() as connection:
        found = connection.execute(
            "SELECT digest FROM pending WHERE epoch = ? AND id >> 56 = ? AND first + span - 1 = ?",
            (state.epoch, lane, last),
        ).fetchone()
    return b"" if found is None else bytes(found[0])


def _move_former(state: BufferState, answer: ResumeAnswer, *, forked: bool) -> int:
    """Move what was never published out of this process's former epochs."""
    moved = 0
    for stream in list(state.streams):
        former = stream.epoch in state.former_epochs
        if former and (forked or stream.epoch < answer.epoch_floor):
            moved += reissuing.move_stream(state, stream)
    return moved


def _take_covered(state: BufferState, stream: Stream, ranges: RangeSet, progress: Progress) -> None:
    """Free never-published frames that the region has, and cut those it has partly."""
    if stream.epoch in state.former_epochs:
        return  # other events may stand under these numbers: they move to the new epoch
    with state.database.reading() as connection:
        rows = [
            row
            for row in walk(
                state,
                connection,
                "pending",
                stream.lane,
                after=state.published_through[stream.lane],
            )
            if row.epoch == stream.epoch and ranges.overlaps(row.first, row.last)
        ]
    for start in range(0, len(rows), capacity.BATCH):
        _cover(state, stream, rows[start : start + capacity.BATCH], ranges, progress)


def _cover(
    state: BufferState,
    stream: Stream,
    rows: Sequence[FrameRow],
    ranges: RangeSet,
    progress: Progress,
) -> None:
    with state.change() as connection:
        for row in rows:
            holes = ranges.missing(row.first, row.last)
            delivered = row.events
            if holes:
                cut = reissuing.cut(state, connection, row, holes)
                if cut is None:
                    continue
                progress.resealed += cut.frames
                delivered -= cut.events
            else:
                drop_pending(state, connection, row)
                progress.covered += 1
            changed = state.streams.change(stream.epoch, stream.lane)
            settled = RangeSet([(row.first, row.last)])
            for first, last in holes:
                settled.remove(first, last)
            for first, last in settled:
                changed.settled.add(first, last)
            if row.events:
                state.ledger.add(row.lane, DELIVERED, delivered)
            elif row.reason == GapReason.DAMAGED:
                # feared lost with the rows that knew of them, and delivered all along
                state.ledger.move(
                    row.lane, settled.total, out_of=int(GapReason.DAMAGED), into=DELIVERED
                )
    state.counters["covered_frames"] += len(rows)
