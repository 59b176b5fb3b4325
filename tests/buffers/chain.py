"""A device's buffer and its region in one process, with a link between them that a test rules."""

from __future__ import annotations

import random
from pathlib import Path

from buffers.harness import ADDRESS, KEY, Shop, all_pending
from regions.frames import Device
from regions.ingesting import Region, direct_journal, enrol, of_type
from whimbrel_agent.buffer.store import Buffer
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.ingest.admission import Delivery
from whimbrel_aggregator.journal.backup import restore_backup
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.journal.runner import DirectRunner
from whimbrel_aggregator.reading import EventReader
from whimbrel_protocol.batch import columns_info
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.messages import (
    DictionaryAnswer,
    DictionaryOffer,
    Message,
    Receipt,
    Resume,
    ResumeAnswer,
)
from whimbrel_protocol.topics import dictionary_topic, frame_topic, resume_topic

LANES = ("normal", "bulk")
STORE = PartitionKey(ADDRESS.tenant, ADDRESS.store)


def till() -> Device:
    device = Device(ADDRESS.device, store=ADDRESS.store)
    device.key = KEY
    return device


class Chain:
    """A device's buffer and its region; the link between them loses what it is told to."""

    def __init__(self, folder: Path, *, dictionaries: bool = True) -> None:
        self.folder = folder
        self.shop = Shop(folder / "buffer.db")
        self.dictionaries = dictionaries
        self.generations = 0
        self.used = 0
        self.buffer: Buffer
        self.region: Region

    async def start(self) -> None:
        self.region = Region(await direct_journal(self.folder / "journal-0.db"))
        await enrol(self.region.journal, till())
        await self.open()

    async def open(self) -> None:
        self.buffer = await self.shop.start(dictionaries=self.dictionaries)

    async def close(self) -> None:
        await self.buffer.close()
        await self.region.journal.close()

    async def crash(self) -> None:
        self.buffer._state.database.close(clean=False)
        self.buffer._state.numbers.abandon()
        self.buffer._lock.release()
        await self.open()

    async def back_up(self) -> None:
        (self.folder / "copy").unlink(missing_ok=True)
        await self.region.journal.backup(str(self.folder / "copy"))

    async def restore(self) -> None:
        """Put the region back to its last backup: a new generation."""
        await self.region.journal.close()
        self.generations += 1
        place = self.folder / f"journal-{self.generations}.db"
        restore_backup(self.folder / "copy", place)
        self.region = Region(await direct_journal(place))

    async def send(self, topic: str, payload: bytes, chance: random.Random) -> list[Message]:
        if chance.random() < self.loss:
            return []
        answers = await self.region.take(Delivery(topic, payload, False, 7))
        return [one for one in answers if chance.random() >= self.loss]

    loss = 0.0

    async def talk(self, loss: float = 0.0, seed: int = 0) -> None:
        """One session: resume, frames with offers between them, and what the answers change."""
        self.loss, chance = loss, random.Random(seed)
        asked = Resume(ADDRESS, b"n" * 16, 5, tuple(await self.buffer.streams()))
        answers = await self.send(resume_topic(ADDRESS), seal_message(asked, KEY), chance)
        for answer in of_type(answers, ResumeAnswer):
            await self.buffer.apply_resume(answer)
        if not answers:
            return
        await self.teach(self.buffer.dictionaries.offers(self.shop.clock.mono_ns()), chance)
        for lane in LANES:
            for ref in await all_pending(self.buffer, lane):
                (data,) = await self.buffer.load_to_send([ref])
                assert data is not None
                self.used += columns_of(data) in {"zstd-dictionary", "zstd-tables"}
                await self.take(await self.send(frame_topic(ADDRESS, lane), data, chance), chance)
        self.shop.clock.advance(200.0)

    async def teach(self, offers: list[DictionaryOffer], chance: random.Random) -> None:
        for offer in offers:
            payload = seal_message(offer, KEY)
            await self.take(await self.send(dictionary_topic(ADDRESS), payload, chance), chance)

    async def take(self, answers: list[Message], chance: random.Random) -> None:
        for receipt in of_type(answers, Receipt):
            if receipt.generation == self.buffer._state.generation:
                await self.buffer.settle(receipt)
        for answer in of_type(answers, DictionaryAnswer):
            await self.teach(await self.buffer.dictionaries.take(answer), chance)

    async def drain(self) -> None:
        """Talk over a good link until nothing waits."""
        await self.buffer.seal_all()
        for _ in range(6 + len(self.buffer._state.epochs)):  # an older epoch's frames go first
            await self.talk()
            if not any([await all_pending(self.buffer, lane) for lane in LANES]):
                return
        raise AssertionError("frames wait for ever")

    async def served(self) -> list[Event]:
        reader = EventReader(self.region.journal, DirectRunner(), SystemClock())
        page = await self.region.journal.read(STORE, 1, limit_frames=100_000, limit_bytes=2**40)
        found = [one.event async for row in reader.decode(page) for one in row.events]
        assert reader.unreadable_frames == 0
        return found


def columns_of(data: bytes) -> str:
    frame = open_frame(data)
    return columns_info(frame.columns)[0] if frame.header.count else ""
