"""Single flipped bits in buffer, log, wire and journal: judged one by one against the truth.

A flip in a frame or a staged row costs at most that one; in SQLite's own structure it is found,
and salvage brings back every intact frame; nothing damaged is ever given out as good. The counts
below make 2,000 flips; ``WHIMBREL_FLIPS=10`` makes ten times as many, ``WHIMBREL_SEED`` others.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from buffers.harness import sales
from damage.buffers import FRAME_EVENTS, copy_buffer, judge_buffer, leave_buffer
from damage.journals import (
    WrongServedError,
    copy_journal,
    flip,
    leave_journal,
    look,
    row_bits,
    salvage_and_judge,
)
from regions.frames import Device
from regions.ingesting import Region, delivery, region_in
from whimbrel_agent.buffer import frames as buffer_frames
from whimbrel_agent.buffer.database import PAGE_BYTES
from whimbrel_agent.ports import Delivery as Down
from whimbrel_agent.uplink.inbox import Refused, check_down
from whimbrel_aggregator.ingest.admission import Delivery
from whimbrel_aggregator.journal import reading
from whimbrel_aggregator.journal.storage import Storage
from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.messages import Credit, Receipt, ReceiptEntry, Status
from whimbrel_protocol.topics import down_topic, resume_topic

TIMES = int(os.environ.get("WHIMBREL_FLIPS", "1"))
SEED = int(os.environ.get("WHIMBREL_SEED", "2026"))

JOURNAL_FILE = 400
JOURNAL_LOG = 200
BUFFER_FILE = 200
BUFFER_LOG = 200
FRAMES_UP = 800
MESSAGES_DOWN = 200

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900 * TIMES)]


def test_there_are_two_thousand_flips() -> None:
    each = (JOURNAL_FILE, JOURNAL_LOG, BUFFER_FILE, BUFFER_LOG, FRAMES_UP, MESSAGES_DOWN)
    assert sum(each) >= 2_000


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of files, and no power will be cut."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as place:
        yield Path(place)


def bits_of(file: Path, count: int) -> Iterator[int]:
    """Seeded places in a file: half of them anywhere, half in the first bytes of its pages.

    Structure is a hundredth of a file of frames: chance alone would seldom hit it.
    """
    draw = random.Random(f"{SEED} {file.name} {count}")
    size = file.stat().st_size
    for number in range(count * TIMES):
        if number % 2:
            page = draw.randrange(-(-size // PAGE_BYTES))
            yield min(page * PAGE_BYTES + draw.randrange(48), size - 1) * 8 + draw.randrange(8)
        else:
            yield draw.randrange(size * 8)


async def flip_journal(
    folder: Path, *, in_log: bool, count: int, rows: bool = False
) -> Counter[str]:
    left, truth = await leave_journal(folder, in_log=in_log)
    now = folder / "now"
    assert await look(copy_journal(left, now), truth) == ""
    ending = "-wal" if in_log else ""
    seen: Counter[str] = Counter()
    places = row_bits(left, truth) if rows else bits_of(left.with_name(left.name + ending), count)
    for bit in places:
        path = copy_journal(left, now)
        flip(path.with_name(path.name + ending), bit)
        what = f"seed {SEED}: bit {bit % 8} of byte {bit // 8} of {path.name}{ending}"
        try:
            said = await look(path, truth)
            if not said:
                seen["nothing lost"] += 1
                continue
            path = copy_journal(left, now)  # as it was found: looking may have changed it
            flip(path.with_name(path.name + ending), bit)
            report, missing = await salvage_and_judge(path, truth)
        except WrongServedError as error:
            raise WrongServedError(f"{what}: {error}") from error
        assert missing <= 1, f"{what}: {said}; salvage lost {missing}: {report}"
        assert report.lost_frames == missing, f"{what}: {report}"
        assert report.lost_unknown == 0, f"{what}: {report}"
        seen["refused" if said.endswith("salvage") else "rows reported"] += 1
        seen[f"salvage lost {missing}"] += 1
    return seen


async def test_flips_in_the_journals_file(folder: Path) -> None:
    seen = await flip_journal(folder, in_log=False, count=JOURNAL_FILE)
    assert min(seen[one] for one in ("nothing lost", "refused", "rows reported")) > 0, seen
    assert seen["salvage lost 0"] > 0, seen
    assert seen["salvage lost 1"] > 0, seen


async def test_flips_in_the_journals_log(folder: Path) -> None:
    seen = await flip_journal(folder, in_log=True, count=JOURNAL_LOG)
    assert seen["refused"] > JOURNAL_LOG * TIMES * 3 // 4, seen
    assert seen["salvage lost 0"] > 0, seen
    assert seen["salvage lost 1"] > 0, seen


@pytest.mark.parametrize(("ending", "count"), [("", BUFFER_FILE), ("-wal", BUFFER_LOG)])
async def test_flips_in_the_buffer(folder: Path, ending: str, count: int) -> None:
    left = await leave_buffer(folder)
    seen: Counter[str] = Counter()
    for bit in bits_of(left.with_name(left.name + ending), count):
        shop = copy_buffer(left, folder / "now")
        flip(shop.path.with_name(shop.path.name + ending), bit)
        what = f"seed {SEED}: bit {bit % 8} of byte {bit // 8} of {shop.path.name}{ending}"
        async with shop.buffer() as buffer:
            try:
                lost = await judge_buffer(buffer)
            except WrongServedError as error:
                raise WrongServedError(f"{what}: {error}") from error
            damage = (await buffer.stats()).damage
        assert lost <= FRAME_EVENTS, f"{what}: {lost} events lost: {damage}"
        seen["salvaged" if damage else "opened"] += 1
        seen["lost" if lost else "whole"] += 1
    assert min(seen[one] for one in ("salvaged", "lost", "whole")) > 0, seen


# ----------------------------------------------------------------------------------- the wire


def flipped(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


async def test_flips_in_frames_on_the_wire(folder: Path) -> None:
    till = Device()
    frames = [till.frame(first, content=encode_events(sales(5, first))) for first in (1, 6, 11)]
    draw = random.Random(f"{SEED} wire")
    async with region_in(folder, till) as region:
        deliveries = []
        for _ in range(FRAMES_UP * TIMES):
            frame = draw.choice(frames)
            bad = flipped(frame, draw.randrange(len(frame) * 8))
            deliveries.append(delivery(till, bad))
        for start in range(0, len(deliveries), 100):
            await region.take(*deliveries[start : start + 100])
            assert await region.kept() == []
        refused = Counter(region.counters.totals())
        assert sum(refused[one] for one in refused if one.startswith(("refused", "held"))) == len(
            deliveries
        ), refused
        assert refused["refused_signature"] > 0
        await committed_as_sealed(region, till, frames)


async def committed_as_sealed(region: Region, till: Device, frames: list[bytes]) -> None:
    """The sound frames are committed after all that, byte for byte."""
    entries = await region.settle(till, *frames)
    assert [entry.status for entry in entries] == [Status.COMMITTED] * len(frames)
    assert [record.data for record in await region.kept()] == frames


async def test_flips_in_topics_of_frames(folder: Path) -> None:
    till = Device()
    frame = till.frame(1)
    async with region_in(folder, till, Device("till-0"), Device("till-3")) as region:
        topic = delivery(till, frame).topic.encode()
        for bit in range(len(topic) * 8):
            bad = flipped(topic, bit).decode("latin-1")
            await region.take(Delivery(bad, frame, False, 1_000))
        # live and replay are the same to the region; every other word must be right
        assert await region.kept() == []
        assert resume_topic(till.address) != topic.decode()


def test_flips_in_receipts_on_the_wire() -> None:
    till, key = Device(), PrivateKey(b"r" * 32)
    entries = tuple(
        ReceiptEntry(till.epoch, "normal", first, 5, bytes(8), Status.COMMITTED)
        for first in (1, 6, 11)
    )
    receipt = Receipt(
        address=till.address,
        generation=b"gen-0001",
        entries=entries,
        received_ns=1,
        sent_ns=2,
        credit=Credit(1_000, 60),
    )
    topic = down_topic("acme", "store-1", "till-1", "receipt")
    data = seal_message(receipt, key)

    def check(payload: bytes) -> object:
        addresses = [till.address]
        return check_down(Down(topic, payload, False), addresses=addresses, region_key=key.public)

    assert check(data) == receipt
    draw = random.Random(f"{SEED} receipts")
    for _ in range(MESSAGES_DOWN * TIMES):
        assert isinstance(check(flipped(data, draw.randrange(len(data) * 8))), Refused)


# ---------------------------------------------- the judgement finds what it is there to find


class EqualToAll(bytes):
    """A checksum or digest that is always right."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = bytes.__hash__


async def test_a_journal_that_checks_no_digest_is_caught(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "frame_is_whole", lambda data, digest: True)
    with pytest.raises(WrongServedError, match="other bytes"):
        await flip_journal(folder, in_log=False, count=100)


async def test_a_journal_that_checks_no_row_is_caught(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "row_crc", lambda *values: EqualToAll())
    with pytest.raises(WrongServedError, match="with another"):
        await flip_journal(folder, in_log=False, count=0, rows=True)


async def test_a_journal_that_does_not_walk_its_log_is_caught(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Storage, "_look_at_log", lambda storage: False)
    with pytest.raises(WrongServedError, match="missing"):
        await flip_journal(folder, in_log=True, count=20)


async def test_a_buffer_that_checks_no_digest_is_caught(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = await leave_buffer(folder)
    digest_of = buffer_frames.digest_of
    monkeypatch.setattr(buffer_frames, "digest_of", lambda data: EqualToAll(digest_of(data)))

    async def flip_until_caught() -> None:
        for bit in bits_of(left, 100):
            shop = copy_buffer(left, folder / "now")
            flip(shop.path, bit)
            async with shop.buffer() as buffer:
                # a decoder that stumbles over the bytes has not given them out
                with suppress(RemoteProtocolError):
                    await judge_buffer(buffer)

    with pytest.raises(WrongServedError, match="damaged"):
        await flip_until_caught()
