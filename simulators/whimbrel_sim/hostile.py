"""An enemy on the broker: reads everything, may publish anything, has no key of the system.

It forges, replays, retains and misaddresses receipts, resume answers and frames. Everything it
sends is counted by kind in :attr:`Enemy.sent`, so that a test can ask the product for the same
number of refusals.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Protocol

from whimbrel_protocol.cose import parse
from whimbrel_protocol.envelope import open_message, seal_message
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.frame import Frame, open_frame, seal_frame
from whimbrel_protocol.keys import SEED_BYTES, PrivateKey
from whimbrel_protocol.messages import (
    Credit,
    Hold,
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
from whimbrel_protocol.topics import (
    UpTopic,
    down_topic,
    frame_topic,
    parse_down,
    parse_up,
    resume_topic,
)

KEPT: Final = 512
"""Messages of each kind that the enemy remembers, newest last."""

CREDIT: Final = Credit(2**30, 3600)


@dataclass(frozen=True, slots=True)
class Overheard:
    """A genuine message as the enemy saw it pass."""

    topic: str
    payload: bytes


class Client(Protocol):
    """The few methods of an MQTT client that it needs."""

    @property
    def messages(self) -> AsyncIterator[Any]:
        """What comes in: values with ``topic`` and ``payload``."""
        ...

    async def subscribe(self, topic: str, /, qos: int) -> Any:
        """Listen to a filter."""
        ...

    async def publish(self, topic: str, /, payload: bytes, qos: int, *, retain: bool) -> Any:
        """Publish a message."""
        ...


class Enemy:
    """Listens to one device's traffic, then attacks.

    Attributes:
        sent: what was published, by kind.
        frames: genuine frames overheard.
        downs: genuine down messages overheard.
        resumes: genuine resumes overheard.
    """

    def __init__(self, client: Client, random: Random, *, kept: int = KEPT) -> None:
        self.sent: Counter[str] = Counter()
        self.unreadable = 0
        self.frames: deque[Overheard] = deque(maxlen=kept)
        self.downs: deque[Overheard] = deque(maxlen=kept)
        self.resumes: deque[Overheard] = deque(maxlen=kept)
        self._client = client
        self._random = random
        self._key = PrivateKey(random.randbytes(SEED_BYTES))
        self._own: set[bytes] = set()

    async def listen(self) -> None:
        """Overhear until cancelled."""
        await self._client.subscribe("wb/#", qos=0)
        async for message in self._client.messages:
            payload = message.payload
            if isinstance(payload, bytes) and payload not in self._own:
                self._overhear(Overheard(str(message.topic), payload))

    def _overhear(self, heard: Overheard) -> None:
        try:
            if heard.topic.startswith("wb/1/down/"):
                parse_down(heard.topic)
                self.downs.append(heard)
            elif isinstance(up := parse_up(heard.topic), UpTopic):
                (self.resumes if up.kind == "resume" else self.frames).append(heard)
        except ProtocolError:
            self.unreadable += 1  # our own garbage coming back

    # ------------------------------------------------------------------ against the agent

    async def attack_agent(self, victim: Address, *, other: str, retain: bool = False) -> None:
        """Try to make an agent free, gap or hold its frames by words that are not the region's.

        ``other`` is another device of the same store, whose genuine messages are misaddressed.
        """
        frames = [open_frame(heard.payload) for heard in self.frames]
        for frame in frames:
            for status in (Status.COMMITTED, Status.GAPPED, Status.COMMITTED_UNKNOWN):
                receipt = self._receipt(victim, frame, status)
                await self._down(victim, "receipt", "forged_receipt", self._forge(receipt), retain)
        for nonce in self._nonces(victim):
            answer = self._answer(victim, nonce, frames)
            await self._down(victim, "resume", "forged_answer", self._forge(answer), retain)
        for message in (Hold(victim, "go away", 86_400), Want(victim, bytes(8), ())):
            kind = type(message).__name__.lower()
            await self._down(victim, kind, f"forged_{kind}", self._forge(message), retain)
        for heard in list(self.downs):
            await self._twist(victim, heard, other, retain)
        await self._down(victim, "receipt", "garbage", self._random.randbytes(300), retain)
        await self._down(victim, "receipt", "empty", b"", retain=False)

    async def _twist(self, victim: Address, heard: Overheard, other: str, retain: bool) -> None:  # noqa: FBT001
        topic = parse_down(heard.topic)
        if topic.device == victim.device:
            await self._publish(heard.topic, f"replayed_{topic.kind}", heard.payload, retain=retain)
            await self._down(victim, topic.kind, "flipped", self._flip(heard.payload), retain)
            wrong = {"receipt": "resume"}.get(topic.kind, "receipt")
            await self._down(victim, wrong, "wrong_kind", heard.payload, retain)
        elif topic.device == other:
            await self._down(victim, topic.kind, "misaddressed_down", heard.payload, retain)

    def _receipt(self, victim: Address, frame: Frame, status: Status) -> Receipt:
        header = frame.header
        reason = 1 if status is Status.GAPPED else 0
        entry = ReceiptEntry(
            header.epoch, header.lane, header.first, header.span, frame.digest, status, reason
        )
        now_ns = header.time_max_ns
        return Receipt(victim, bytes(8), (entry,), now_ns, now_ns, CREDIT)

    def _nonces(self, victim: Address) -> list[bytes]:
        nonces = []
        for heard in self.resumes:
            message = open_message(heard.payload).message
            if isinstance(message, Resume) and message.address == victim:
                nonces.append(message.nonce)
        return nonces

    def _answer(self, victim: Address, nonce: bytes, frames: list[Frame]) -> ResumeAnswer:
        """Return an answer that says that everything ever sent is settled, and far beyond."""
        streams = dict.fromkeys((f.header.epoch, f.header.lane) for f in frames)
        states = tuple(StreamState(epoch, lane, ((1, 2**40),)) for epoch, lane in streams)
        return ResumeAnswer(victim, nonce, bytes(8), 1, 2**62, states, 0, 0, 0, CREDIT)

    def _forge(self, message: Message) -> bytes:
        """Sign with our own key; half of the time claim to be the region's."""
        data = seal_message(message, self._key)
        if self.downs and self._random.random() < 0.5:
            claimed = parse(self.downs[-1].payload).key_id
            data = data.replace(self._key.public.key_id, claimed)
        return data

    # ------------------------------------------------------------------ against the region

    async def attack_region(self, *, stranger: Address, retain: bool = False) -> None:
        """Try to get something committed, or committed twice.

        ``stranger`` is a device that is enrolled nowhere, in a store of its own.
        """
        for heard in list(self.frames):
            frame = open_frame(heard.payload)
            header = frame.header
            await self._publish(heard.topic, "replayed_frame", heard.payload, retain=retain)
            await self._publish(
                heard.topic, "flipped_frame", self._flip(heard.payload), retain=retain
            )
            forged = seal_frame(
                replace(header, first=header.last + 1 + self._random.randrange(1000)),
                frame.columns, self._key,
            ).replace(self._key.public.key_id, frame.key_id)  # fmt: skip
            await self._publish(heard.topic, "forged_frame", forged, retain=retain)
            elsewhere = frame_topic(stranger, header.lane)
            await self._publish(elsewhere, "misaddressed_frame", heard.payload, retain=retain)
            own = seal_frame(replace(header, address=stranger), frame.columns, self._key)
            await self._publish(elsewhere, "stranger_frame", own, retain=retain)
        for heard in list(self.resumes):
            await self._publish(heard.topic, "replayed_resume", heard.payload, retain=retain)
            await self._publish(
                heard.topic, "flipped_resume", self._flip(heard.payload), retain=retain
            )
        question = Resume(stranger, self._random.randbytes(16), 0, ())
        await self._publish(
            resume_topic(stranger),
            "stranger_resume",
            seal_message(question, self._key),
            retain=retain,
        )
        for topic in ("wb/1/live/acme/99/x/y/normal", "wb/1/live/ACME/1/x", "wb/1/replay"):
            await self._publish(topic, "bad_topic", self._random.randbytes(50), retain=False)

    # ------------------------------------------------------------------ tools

    def _flip(self, payload: bytes) -> bytes:
        data = bytearray(payload)
        data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
        return bytes(data)

    async def _down(
        self,
        victim: Address,
        kind: str,
        name: str,
        payload: bytes,
        retain: bool,  # noqa: FBT001
    ) -> None:
        topic = down_topic(victim.tenant, victim.store, victim.device, kind)
        await self._publish(topic, name, payload, retain=retain)

    async def _publish(self, topic: str, name: str, payload: bytes, *, retain: bool) -> None:
        self._own.add(payload)
        await self._client.publish(topic, payload, qos=1, retain=retain)
        self.sent[name] += 1
        await asyncio.sleep(0)  # let what comes in be heard
