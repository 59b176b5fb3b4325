"""From the broker's bytes to receipts: a bounded queue and three stages that overlap.

``offer`` takes what a transport brings, or drops and counts it. The first stage takes whatever
is queued (so groups grow with the load, and a lone frame does not wait), takes it apart and
checks signatures in threads; the second commits one group at a time; the third answers. While
one group is committed, the next is being verified.

The order of a device's frames is kept all the way. A receipt is made from what
:meth:`Committer.commit` returned, and only after it did.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from whimbrel_aggregator.config import IngestConfig
from whimbrel_aggregator.journal.port import DeviceKey, JournalError
from whimbrel_aggregator.ports import Workers
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.keys import BadSignatureError
from whimbrel_protocol.names import Address

from .admission import (
    HOLDS,
    Delivery,
    Enrolment,
    Parsed,
    ParsedFrame,
    ParsedOffer,
    ParsedResume,
    Refusal,
    Refused,
    admit,
    device_key_of,
    parse,
)
from .answers import Answerer
from .commit import Committer, GroupResult, Offered
from .counters import Counters

MESSAGE_OVERHEAD_BYTES: Final = 512
"""What a queued message takes beside its payload, so that a flood of tiny ones is bounded."""

Admits = Callable[[DeviceKey, int], bool]
"""Counts a verified frame's bytes towards its device's limits; False when it is far over them."""

_log = logging.getLogger("whimbrel.ingest")


class Enrolments(Protocol):
    """Where admission learns of devices; see :class:`..registry.devices.Registry`."""

    def enrolment(self, key: DeviceKey) -> Enrolment | None:
        """Return a device's enrolment; raises LookupError when it was not loaded."""
        ...

    async def load(self, keys: Iterable[DeviceKey]) -> dict[DeviceKey, Enrolment | None]:
        """Read devices from the journal."""
        ...


@dataclass(frozen=True, slots=True)
class _Unresolved:
    """A message whose device was not in memory."""

    parsed: Parsed


@dataclass(frozen=True, slots=True)
class _Group:
    frames: list[ParsedFrame]
    resumes: list[ParsedResume]
    offers: list[Offered]
    refused: list[Refused]
    over_limit: list[Address]


@dataclass(frozen=True, slots=True)
class _Done:
    group: _Group
    result: GroupResult


Checked = ParsedFrame | ParsedResume | Offered | Refused | _Unresolved
"""What a message came to; :class:`_Unresolved` waits for its device's enrolment."""


class Ingest:
    """The way into the journal. Feed it with :meth:`offer` while :meth:`run` runs."""

    def __init__(
        self,
        config: IngestConfig,
        *,
        region: str,
        enrolments: Enrolments,
        committer: Committer,
        workers: Workers,
        counters: Counters,
        admits: Admits = lambda _device, _size_bytes: True,
    ) -> None:
        self._config = config
        self._admits = admits
        self._region = region
        self._enrolments = enrolments
        self._committer = committer
        self._workers = workers
        self._counters = counters
        self._queue: deque[Delivery] = deque()
        self._queued_bytes = 0
        self._arrived = asyncio.Event()
        self._stopping = False

    @property
    def queued_bytes(self) -> int:
        """Bytes waiting to be verified."""
        return self._queued_bytes

    def offer(self, delivery: Delivery) -> bool:
        """Take a message in; False when it was dropped (the device sends it again)."""
        counters, size = self._counters, len(delivery.payload)
        counters.add("messages_received")
        counters.add("bytes_received", size)
        if self._stopping:
            counters.add("dropped_stopping")
            return False
        if self._queued_bytes + size + MESSAGE_OVERHEAD_BYTES > self._config.queue_bytes:
            counters.add("dropped_queue_full")
            return False
        self._queue.append(delivery)
        self._queued_bytes += size + MESSAGE_OVERHEAD_BYTES
        self._arrived.set()
        return True

    def stop(self) -> None:
        """Take nothing more in; :meth:`run` returns when what is queued was answered."""
        self._stopping = True
        self._arrived.set()

    async def run(self, answerer: Answerer) -> None:
        """Work until :meth:`stop`."""
        verified: asyncio.Queue[_Group | None] = asyncio.Queue(maxsize=1)
        committed: asyncio.Queue[_Done | None] = asyncio.Queue(maxsize=1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._verify_stage(verified), name="ingest.verify")
            tasks.create_task(self._commit_stage(verified, committed), name="ingest.commit")
            tasks.create_task(_answer_stage(committed, answerer), name="ingest.answer")

    # ---- stages

    async def _verify_stage(self, out: asyncio.Queue[_Group | None]) -> None:
        while True:
            await self._arrived.wait()
            deliveries = self._take()
            if deliveries:
                await out.put(await self._verified(deliveries))
            elif self._stopping:
                await out.put(None)
                return

    async def _commit_stage(
        self, arriving: asyncio.Queue[_Group | None], out: asyncio.Queue[_Done | None]
    ) -> None:
        while (group := await arriving.get()) is not None:
            # dictionaries first: a frame behind one in its group may name it
            kept = await self._committer.keep(group.offers) if group.offers else []
            result = await self._committer.commit(group.frames) if group.frames else GroupResult()
            result.dictionaries += kept
            await out.put(_Done(group, result))
        await out.put(None)

    def _take(self) -> list[Delivery]:
        taken: list[Delivery] = []
        size = 0
        while self._queue and len(taken) < self._config.group_frames:
            if taken and size + len(self._queue[0].payload) > self._config.group_bytes:
                break
            delivery = self._queue.popleft()
            size += len(delivery.payload)
            taken.append(delivery)
        self._queued_bytes -= size + len(taken) * MESSAGE_OVERHEAD_BYTES
        if not self._queue and not self._stopping:
            self._arrived.clear()
        return taken

    # ---- verification

    async def _verified(self, deliveries: Sequence[Delivery]) -> _Group:
        checked: list[Checked] = await self._workers.map(self._check, deliveries)
        unresolved = [one.parsed for one in checked if isinstance(one, _Unresolved)]
        if unresolved:
            checked = await self._resolved(checked, unresolved)
        group = _Group([], [], [], [], [])
        for one in checked:
            if isinstance(one, ParsedFrame):
                self._counters.add("frames_received")
                if self._admits(device_key_of(one.address), len(one.signed.data)):
                    group.frames.append(one)
                else:
                    self._counters.add("dropped_over_limit")
                    group.over_limit.append(one.address)
            elif isinstance(one, ParsedResume):
                self._counters.add("resumes_received")
                group.resumes.append(one)
            elif isinstance(one, Offered):
                self._counters.add("dictionaries_received")
                group.offers.append(one)
            elif isinstance(one, Refused):
                self._refused(one, group)
        return group

    def _refused(self, refused: Refused, group: _Group) -> None:
        self._counters.add(refused.refusal.value)
        if refused.refusal in HOLDS:
            group.refused.append(refused)
        if refused.why:
            _log.debug("%s: %s", refused.refusal.value, refused.why)

    async def _resolved(
        self, checked: Sequence[Checked], unresolved: Sequence[Parsed]
    ) -> list[Checked]:
        """Finish messages whose devices had to be loaded first."""
        try:
            known = await self._enrolments.load(device_key_of(one.address) for one in unresolved)
        except JournalError as error:
            self._counters.add("dropped_journal_failed", len(unresolved))
            _log.error("devices cannot be read: %s", error)
            return [one for one in checked if not isinstance(one, _Unresolved)]
        finished = iter(
            await self._workers.map(
                lambda parsed: self._admitted(parsed, known[device_key_of(parsed.address)]),
                unresolved,
            )
        )
        return [next(finished) if isinstance(one, _Unresolved) else one for one in checked]

    def _check(self, delivery: Delivery) -> Checked:
        """Check one message; runs in a worker thread and touches nothing but its arguments."""
        parsed = parse(delivery)
        if isinstance(parsed, Refused):
            return parsed
        try:
            enrolment = self._enrolments.enrolment(device_key_of(parsed.address))
        except LookupError:
            return _Unresolved(parsed)
        return self._admitted(parsed, enrolment)

    def _admitted(self, parsed: Parsed, enrolment: Enrolment | None) -> Checked:
        key = admit(parsed, self._region, enrolment)
        if isinstance(key, Refused):
            return key
        try:
            parsed.signed.verify(key)
        except BadSignatureError as error:
            return Refused(Refusal.SIGNATURE, why=f"{parsed.address}: {error}")
        if not isinstance(parsed, ParsedOffer):
            return parsed
        try:
            return Offered(parsed.address, parsed.unpack(), needed=parsed.offer.needed)
        except RemoteProtocolError as error:
            return Refused(Refusal.MALFORMED, why=f"{parsed.address}: {error}")


async def _answer_stage(arriving: asyncio.Queue[_Done | None], answerer: Answerer) -> None:
    while (done := await arriving.get()) is not None:
        try:
            await answerer.settled(done.result)
            for resume in done.group.resumes:
                await answerer.resume(resume)
        except JournalError as error:
            # what is not answered is asked again
            _log.error("answers are missing, the journal cannot be read: %s", error)
        for refused in done.group.refused:
            answerer.refused(refused)
        answerer.over_limit(done.group.over_limit)
