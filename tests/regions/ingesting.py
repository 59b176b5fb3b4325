"""A whole region in process: real journal, real ingest; only the broker is left out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from regions.frames import START_NS, Device
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import IngestConfig, JournalConfig, ReturningConfig
from whimbrel_aggregator.flow.control import FlowControl
from whimbrel_aggregator.flow.limits import Limits
from whimbrel_aggregator.ingest.admission import Delivery
from whimbrel_aggregator.ingest.answers import Answerer
from whimbrel_aggregator.ingest.commit import Committer
from whimbrel_aggregator.ingest.counters import Counters
from whimbrel_aggregator.ingest.pipeline import Ingest
from whimbrel_aggregator.ingest.strangers import Strangers
from whimbrel_aggregator.journal.port import EnrolledDevice, FrameRecord, Journal, PartitionKey
from whimbrel_aggregator.journal.runner import DirectRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.registry.devices import Registry
from whimbrel_aggregator.workers import DirectWorkers
from whimbrel_protocol.envelope import open_message, seal_message
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.messages import (
    Message,
    Receipt,
    ReceiptEntry,
    Resume,
    ResumeAnswer,
    StreamQuestion,
)
from whimbrel_protocol.topics import frame_topic, parse_down, resume_topic

REGION_KEY = PrivateKey(b"r" * 32)
M = TypeVar("M", bound=Message)


async def direct_journal(path: Path, *, max_bytes: int = 2**30) -> SqliteJournal:
    """A journal without threads, for tests that count steps."""
    return await SqliteJournal.open(
        JournalConfig(path=path, max_bytes=max_bytes, min_free_bytes=0),
        clock=SystemClock(),
        random=random.Random(),
        writer=DirectRunner(),
        reader=DirectRunner(),
    )


async def enrol(journal: Journal, device: Device) -> None:
    await journal.enrol(
        EnrolledDevice(
            key=device.device_key,
            region=device.address.region,
            public_keys=(device.key.public.raw,),
            enrolled_ns=1,
        )
    )


@dataclass
class Region:
    """Takes payloads as the broker would bring them, and collects the answers."""

    journal: SqliteJournal
    config: IngestConfig = field(default_factory=IngestConfig)
    answers: list[tuple[str, Message]] = field(default_factory=list)
    connected: bool = True
    limits: Limits = field(default_factory=lambda: Limits(()))
    returning: ReturningConfig | None = None

    def __post_init__(self) -> None:
        self.counters = Counters()
        self.registry = Registry(self.journal)
        self.strangers = Strangers(hold_s=self.config.hold_s)
        self.queued_bytes = 0
        self.flow = FlowControl(
            self.config,
            journal=self.journal,
            clock=SystemClock(),
            queued_bytes=lambda: self.queued_bytes,
            limits=self.limits,
            returning=self.returning,
        )

    def publish(self, topic: str, payload: bytes) -> bool:
        if not self.connected:
            return False
        signed = open_message(payload)
        signed.signed.verify(REGION_KEY.public)
        assert topic.rsplit("/", 1)[0].endswith(signed.message.address.device)
        parse_down(topic)
        self.answers.append((topic, signed.message))
        return True

    def ingest(self) -> tuple[Ingest, Answerer]:
        committer = Committer(self.journal, random=random.Random(1), counters=self.counters)
        ingest = Ingest(
            self.config,
            region="eu-1",
            enrolments=self.registry,
            committer=committer,
            workers=DirectWorkers(),
            counters=self.counters,
            admits=self.flow.admit,
        )
        answerer = Answerer(
            self.config,
            journal=self.journal,
            key=REGION_KEY,
            clock=SystemClock(),
            counters=self.counters,
            strangers=self.strangers,
            publish=self.publish,
            flow=self.flow,
        )
        return ingest, answerer

    async def take(self, *deliveries: Delivery) -> list[Message]:
        """Run ingest over these and stop it; return what was answered."""
        ingest, answerer = self.ingest()
        before = len(self.answers)
        for delivery in deliveries:
            ingest.offer(delivery)
        ingest.stop()
        async with asyncio.timeout(30):
            await ingest.run(answerer)
        return [message for _, message in self.answers[before:]]

    async def frames(self, device: Device, *payloads: bytes, lane: str = "normal") -> list[Message]:
        return await self.take(*(delivery(device, one, lane=lane) for one in payloads))

    async def settle(
        self, device: Device, *payloads: bytes, lane: str = "normal"
    ) -> list[ReceiptEntry]:
        """Send frames and return the receipt entries that came back."""
        answers = await self.frames(device, *payloads, lane=lane)
        return [entry for one in of_type(answers, Receipt) for entry in one.entries]

    async def resume(self, device: Device, *streams: StreamQuestion) -> ResumeAnswer:
        question = Resume(device.address, b"n" * 16, 5, streams)
        payload = seal_message(question, device.key)
        topic = resume_topic(device.address)
        [answer] = of_type(await self.take(Delivery(topic, payload, False, 7)), ResumeAnswer)
        return answer

    async def kept(self, store: str = "store-1") -> list[FrameRecord]:
        page = await self.journal.read(PartitionKey("acme", store), 1, limit_frames=100_000)
        assert not page.damaged
        return list(page.frames)


def of_type(messages: list[Message], kind: type[M]) -> list[M]:
    return [one for one in messages if isinstance(one, kind)]


def delivery(
    device: Device, payload: bytes, *, lane: str = "normal", retained: bool = False
) -> Delivery:
    return Delivery(frame_topic(device.address, lane), payload, retained, START_NS)


@asynccontextmanager
async def region_in(
    folder: Path,
    *devices: Device,
    config: IngestConfig | None = None,
    max_bytes: int = 2**30,
    limits: Limits | None = None,
    returning: ReturningConfig | None = None,
) -> AsyncIterator[Region]:
    journal = await direct_journal(folder / "journal.db", max_bytes=max_bytes)
    try:
        for device in devices:
            await enrol(journal, device)
        yield Region(
            journal, config or IngestConfig(), limits=limits or Limits(()), returning=returning
        )
    finally:
        await journal.close()
