"""A buffer with a known content, and the judgement of what it gives out after damage."""

from __future__ import annotations

import shutil
from pathlib import Path

from buffers.harness import KEY, Shop, all_pending, receipt_for, sale, sales
from damage.journals import WrongServedError
from whimbrel_agent.buffer.store import Buffer
from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import GapReason

FRAME_EVENTS = 20
FRAMES = 14
RECEIPTED = 2
STAGED_ROWS = 4
EVENTS = FRAME_EVENTS * (FRAMES + STAGED_ROWS)
TRUTH: dict[int, Event] = {number: sale(number) for number in range(EVENTS)}


async def leave_buffer(folder: Path) -> Path:
    """Leave a buffer as a killed process does: frames, receipted ones, staged rows, a log.

    The index of the log is left out, so that the end of the log is in doubt.
    """
    shop = Shop(folder / "live" / "buffer.db")
    buffer = await shop.start()
    for start in range(0, FRAMES * FRAME_EVENTS, FRAME_EVENTS):
        await buffer.accept(sales(FRAME_EVENTS, start))
        await buffer.seal_all()
        if start == FRAMES // 2 * FRAME_EVENTS:
            refs = await all_pending(buffer)
            await buffer.settle(receipt_for(refs[:RECEIPTED]))
            await buffer.load_to_send([refs[RECEIPTED]])
            buffer._state.database.checkpoint()
    for start in range(FRAMES * FRAME_EVENTS, EVENTS, FRAME_EVENTS):
        numbers = range(start, start + FRAME_EVENTS)
        await buffer.accept(sales(FRAME_EVENTS, start), keys=[b"%d" % one for one in numbers])
    left = folder / "left"
    left.mkdir()
    for file in shop.path.parent.iterdir():
        if not file.name.endswith("-shm"):
            shutil.copyfile(file, left / file.name)
    await buffer.close()
    return left / "buffer.db"


def copy_buffer(left: Path, into: Path) -> Shop:
    """Put a fresh copy of a buffer's files into a folder."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(left.parent, into)
    return Shop(into / left.name)


async def judge_sending(buffer: Buffer) -> None:
    """Load everything that would be sent, and compare each event with the truth."""
    for ref in await all_pending(buffer):
        data = await buffer.load(ref.id)
        if data is None:
            continue  # found damaged: its range is a gap now
        try:
            frame = open_frame(data)
            frame.verify(KEY.public)
        except ProtocolError as error:
            raise WrongServedError(f"{ref} would be sent damaged") from error
        if frame.header.count:
            _compare(decode_events(frame.columns))


def _compare(events: list[Event]) -> list[int]:
    numbers = []
    for event in events:
        number = event.data.get("number")
        if type(number) is not int or TRUTH.get(number) != event:
            raise WrongServedError(f"{event} was never accepted")
        numbers.append(number)
    return numbers


async def judge_buffer(buffer: Buffer) -> int:
    """Judge an opened buffer; return how many accepted events it has lost.

    Raises:
        WrongServedError: it gives out what was not accepted, or lost events unaccounted.
    """
    await judge_sending(buffer)
    kept = _compare([one.event async for one in buffer.export()])
    if len(set(kept)) != len(kept):
        raise WrongServedError("an event is there twice")
    ledger = (await buffer.stats()).lane("normal").ledger
    if not ledger.balanced:
        raise WrongServedError(f"the ledger does not balance: {ledger}")
    lost = set(TRUTH) - set(kept)
    receipted = sum(1 for number in lost if number < RECEIPTED * FRAME_EVENTS)
    accounted = ledger.gapped.get(GapReason.DAMAGED, 0)
    if accounted < len(lost) - receipted:
        raise WrongServedError(f"{len(lost)} events are lost, {accounted} accounted for")
    return len(lost)
