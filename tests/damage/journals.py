"""A journal with a known content, flipped bits in it, and the judgement of what is served then."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from regions.frames import Device, append_of, new_frame
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import JournalConfig
from whimbrel_aggregator.journal.port import (
    Committed,
    Cursor,
    EnrolledDevice,
    FrameRecord,
    Journal,
    JournalError,
    NewFrame,
    PartitionKey,
    StreamKey,
)
from whimbrel_aggregator.journal.runner import DirectRunner
from whimbrel_aggregator.journal.salvage import SalvageReport, salvage_journal
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.sequences import RangeSet

PARTS = ("", "-wal", "-shm", ".lock")
FRAME_EVENTS = 5
GENERATION = b"salvaged"


@dataclass
class Truth:
    """What a journal holds, kept outside of it.

    ``frames`` are the kept ones by partition, in their order, by (stream, first).
    """

    frames: dict[PartitionKey, dict[tuple[StreamKey, int], NewFrame]] = field(default_factory=dict)
    settled: dict[StreamKey, RangeSet] = field(default_factory=dict)
    devices: list[EnrolledDevice] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(map(len, self.frames.values()))


async def open_direct(path: Path) -> SqliteJournal:
    """Open a journal without threads."""
    return await SqliteJournal.open(
        JournalConfig(path=path, min_free_bytes=0),
        clock=SystemClock(),
        random=random.Random(),
        writer=DirectRunner(),
        reader=DirectRunner(),
    )


def sealed(device: Device, first: int, *, size: int, lane: str = "normal") -> NewFrame:
    """A frame as the device sealed it, of about ``size`` bytes of columns."""
    drawn = random.Random(f"{device.address} {lane} {first}").randbytes(size - 1)
    content = b"\xf0" + drawn  # of a version that nobody knows, so that it may say anything
    data = device.frame(first, FRAME_EVENTS, lane=lane, content=content)
    header = open_frame(data).header
    frame = new_frame(device.stream(lane), first, FRAME_EVENTS, data=data)
    return replace(frame, time_min_ns=header.time_min_ns, time_max_ns=header.time_max_ns)


async def add(journal: Journal, truth: Truth, frames: list[NewFrame]) -> None:
    """Append frames of one partition in one commit, and note them."""
    partition = frames[0].key.partition
    (head,) = await journal.heads([partition])
    (result,) = await journal.append([append_of(frames, head=head, settled=truth.settled)])
    assert isinstance(result, Committed)
    kept = truth.frames.setdefault(partition, {})
    for frame in frames:
        kept[frame.key, frame.first] = frame


async def leave_journal(folder: Path, *, in_log: bool) -> tuple[Path, Truth]:
    """Leave a journal as a killed process does: two stores, four devices, gaps, frames of all sizes.

    Args:
        folder: where.
        in_log: most of it in the write-ahead log; else all of it in the file.
    """
    live = folder / "live" / "journal.db"
    journal = await open_direct(live)
    truth = Truth()
    tills = [
        Device(name, store=store, seed=number)
        for number, (name, store) in enumerate(
            [
                ("till-1", "store-1"),
                ("till-2", "store-1"),
                ("till-1", "store-2"),
                ("scale", "store-2"),
            ]
        )
    ]
    for till in tills:
        device = EnrolledDevice(
            key=till.device_key,
            region="eu-1",
            public_keys=(till.key.public.raw,),
            enrolled_ns=1,
        )
        truth.devices.append(device)
        await journal.enrol(device)
    await journal.attach("files")
    sizes = (200, 700, 3_000, 9_000, 400, 14_000, 1_500)
    for round_ in range(6):
        if round_ == 3:
            await journal.checkpoint()
        for store in ("store-1", "store-2"):
            batch = [
                sealed(
                    till,
                    1 + round_ * FRAME_EVENTS,
                    size=sizes[(round_ + at) % len(sizes)],
                    lane=lane,
                )
                for at, till in enumerate(tills)
                if till.address.store == store
                for lane in ("normal", "critical")
            ]
            await add(journal, truth, batch)
    (first, _) = truth.frames
    await journal.put_cursor("files", first, Cursor(journal.generation, 9))
    if not in_log:
        await journal.checkpoint()
    left = folder / "left"
    left.mkdir()
    for part in PARTS:
        source = live.with_name(live.name + part)
        if source.exists() and (in_log or part not in ("-wal", "-shm")):
            shutil.copyfile(source, left / (live.name + part))
    await journal.close()
    return left / live.name, truth


@dataclass
class Served:
    """What a journal gave out: frames by stream and first, and what it says it has lost."""

    frames: dict[tuple[StreamKey, int], FrameRecord] = field(default_factory=dict)
    order: dict[PartitionKey, list[tuple[StreamKey, int]]] = field(default_factory=dict)
    damaged: int = 0


class WrongServedError(AssertionError):
    """A journal served what it does not hold, or lost something and did not say so."""


async def read_all(journal: Journal) -> Served:
    """Read every partition to its end."""
    served = Served()
    for state in await journal.partitions():
        page = await journal.read(state.key, 1, limit_frames=100_000, limit_bytes=2**40)
        served.damaged += len(page.damaged)
        for frame in page.frames:
            place = frame.key, frame.first
            if place in served.frames:
                raise WrongServedError(f"{place} is served twice")
            served.frames[place] = frame
            served.order.setdefault(state.key, []).append(place)
    return served


def judge_served(served: Served, truth: Truth, *, salvaged: bool = False) -> int:
    """Compare what was served with the truth byte by byte; return how many frames are missing.

    A salvaged frame may have lost its time of receipt, nothing else.
    """
    known = {place: frame for own in truth.frames.values() for place, frame in own.items()}
    for place, record in served.frames.items():
        if place not in known:
            raise WrongServedError(f"{place} was never committed")
        if known[place].data != record.data:
            raise WrongServedError(f"{place} is served with other bytes")
        for name in NewFrame.__slots__:
            if name == "dictionary" or (salvaged and name == "received_ns"):
                continue
            if getattr(record, name) != getattr(known[place], name):
                raise WrongServedError(f"{place} is served with another {name}")
    for partition, places in served.order.items():
        wanted = [place for place in truth.frames.get(partition, {}) if place in served.frames]
        if places != wanted:
            raise WrongServedError(f"{partition} is served in another order")
    return len(known) - len(served.frames)


async def judge_dedup(journal: Journal, truth: Truth, served: Served) -> None:
    """Fail when a frame that is served could be committed again."""
    keys = list(truth.settled)
    for key, record in zip(keys, await journal.streams(keys), strict=True):
        for place in served.frames:
            if place[0] != key:
                continue
            if record is None or not record.ranges.covers(place[1], place[1] + FRAME_EVENTS - 1):
                raise WrongServedError(f"{place} is served and would be committed again")
    for device in truth.devices:
        found = await journal.device(device.key)
        if found is None or found.public_keys != device.public_keys:
            raise WrongServedError(f"{device.key} is not enrolled as it was")


async def look(path: Path, truth: Truth) -> str:
    """Open a journal and judge all that it serves; return "" when it is all there.

    Returns:
        What the journal itself says is wrong.
    """
    try:
        journal = await open_direct(path)
    except JournalError as error:
        return str(error)
    try:
        served = await read_all(journal)
        missing = judge_served(served, truth)
        if missing > served.damaged:
            raise WrongServedError(f"{missing} frames are missing, {served.damaged} are reported")
        await judge_dedup(journal, truth, served)
    except JournalError as error:
        return str(error)
    finally:
        await journal.close()
    return f"{served.damaged} damaged rows" if served.damaged else ""


async def salvage_and_judge(path: Path, truth: Truth) -> tuple[SalvageReport, int]:
    """Salvage a journal in place and judge the new one; return how many frames it lost."""
    report = salvage_journal(path, generation=GENERATION, now_ns=1_800_000_000_000_000_000)
    journal = await open_direct(path)
    try:
        served = await read_all(journal)
        assert not served.damaged
        missing = judge_served(served, truth, salvaged=True)
        known = {place for own in truth.frames.values() for place in own}
        for place in known - set(served.frames):
            (record,) = await journal.streams([place[0]])
            again = record is None or not record.ranges.overlaps(place[1], place[1])
            if not again:
                raise WrongServedError(f"{place} is lost and its device is not asked for it")
        for place in served.frames:
            (record,) = await journal.streams([place[0]])
            if record is None or not record.ranges.covers(place[1], place[1] + FRAME_EVENTS - 1):
                raise WrongServedError(f"{place} would be committed again")
        assert journal.generation == GENERATION
    finally:
        await journal.close()
    return report, missing


def copy_journal(left: Path, into: Path) -> Path:
    """Put a fresh copy of a journal's files into a folder; returns the journal's file."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(left.parent, into)
    return into / left.name


def row_bits(path: Path, truth: Truth) -> list[int]:
    """Places of the columns in front of the frames' bytes: what only a row's checksum protects."""
    image = path.read_bytes()
    found: list[int] = []
    for own in truth.frames.values():
        for frame in own.values():
            at = image.find(frame.digest)
            found += range((at - 24) * 8, at * 8, 37) if at > 24 else ()
    return found


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))
