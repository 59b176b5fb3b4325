"""A region on a real broker, small enough to be read at a glance: real frames, real signatures."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt

from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.envelope import open_message, seal_message
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import Frame, open_frame
from whimbrel_protocol.keys import PrivateKey, PublicKey
from whimbrel_protocol.lanes import Order
from whimbrel_protocol.messages import (
    Credit,
    Message,
    Receipt,
    ReceiptEntry,
    Resume,
    ResumeAnswer,
    Status,
    StreamState,
    Want,
)
from whimbrel_protocol.names import Address
from whimbrel_protocol.sequences import RangeSet
from whimbrel_protocol.topics import DOWN_KINDS, down_topic, up_filters

MAX_WAITING_FRAMES = 64
_KINDS: dict[type[Message], str] = {Receipt: "receipt", ResumeAnswer: "resume", Want: "want"}


class BrokerRegion:
    """Commits in memory, by the contract's plain cases, and answers with signed messages."""

    def __init__(self, key: PrivateKey, device: PublicKey) -> None:
        self.key = key
        self.device = device
        self.generation = b"gen-0001"
        self.credit = Credit(64_000_000, 3600)
        self.settled: dict[tuple[int, str], RangeSet] = defaultdict(RangeSet)
        self.frames: list[Frame] = []
        self.resumes = 0
        self.duplicates = 0
        self.answering = True

    @property
    def events(self) -> list[Event]:
        return [event for f in self.frames if f.header.count for event in decode_events(f.columns)]

    @asynccontextmanager
    async def attached(self, host: str, port: int) -> AsyncIterator[None]:
        """Listen and answer until the block ends."""
        async with aiomqtt.Client(host, port) as client, asyncio.TaskGroup() as group:
            for topic_filter in up_filters():
                await client.subscribe(topic_filter, qos=0)
            task = group.create_task(self._listen(client))
            yield
            task.cancel()

    async def _listen(self, client: aiomqtt.Client) -> None:
        waiting: list[ReceiptEntry] = []
        address: Address | None = None
        async for message in client.messages:
            payload = bytes(message.payload)
            topic = str(message.topic)
            if topic.startswith("wb/1/birth/") or not self.answering:
                continue
            if topic.endswith("/resume"):
                await self._answer(client, payload)
                continue
            frame = open_frame(payload)
            frame.verify(self.device)
            address = frame.header.address
            answer = self._commit(frame)
            if isinstance(answer, Want):
                await self._send(client, answer)
            else:
                waiting.append(answer)
            if waiting and (not len(client.messages) or len(waiting) >= MAX_WAITING_FRAMES):
                await self._send(client, self._receipt(address, tuple(waiting)))
                waiting.clear()

    def _commit(self, frame: Frame) -> ReceiptEntry | Want:
        header = frame.header
        ranges = self.settled[header.epoch, header.lane]
        if ranges.overlaps(header.first, header.last):
            self.duplicates += 1
        elif header.order is Order.IN_ORDER and header.first != ranges.high_water + 1:
            state = StreamState(header.epoch, header.lane, tuple(ranges))
            return Want(header.address, self.generation, (state,))
        else:
            ranges.add(header.first, header.last)
            self.frames.append(frame)
        return ReceiptEntry(
            header.epoch, header.lane, header.first, header.span, frame.digest, Status.COMMITTED
        )

    def _receipt(self, address: Address, entries: tuple[ReceiptEntry, ...]) -> Receipt:
        stamp = len(self.frames) + self.duplicates
        return Receipt(address, self.generation, entries, stamp, stamp, self.credit)

    async def _answer(self, client: aiomqtt.Client, payload: bytes) -> None:
        opened = open_message(payload)
        opened.signed.verify(self.device)
        resume = opened.message
        assert isinstance(resume, Resume)
        self.resumes += 1
        states = tuple(
            StreamState(one.epoch, one.lane, tuple(self.settled[one.epoch, one.lane]))
            for one in resume.streams
        )
        answer = ResumeAnswer(
            resume.address, resume.nonce, self.generation, 1, 0, states, resume.sent_ns,
            resume.sent_ns, resume.sent_ns, self.credit,
        )  # fmt: skip
        await self._send(client, answer)

    async def _send(self, client: aiomqtt.Client, message: Message) -> None:
        address = message.address
        kind = _KINDS[type(message)]
        assert kind in DOWN_KINDS
        topic = down_topic(address.tenant, address.store, address.device, kind)
        await client.publish(topic, seal_message(message, self.key), qos=1)
