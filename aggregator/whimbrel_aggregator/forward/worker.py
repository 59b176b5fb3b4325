"""The worker of one forwarder: journal to sink, with its own cursors.

Partitions with something new wait in one queue; a few tasks take them in turn, a page of
frames at a time, so that no store starves another and memory stays flat. What a sink settles is
written to the journal's cursor; what it refuses is parked first. A partition whose delivery
failed waits by the policy and goes to the queue's end. Whatever goes wrong here stops or slows
this forwarder only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from whimbrel_aggregator.forward.cloudevents import to_json_line
from whimbrel_aggregator.forward.policy import MAX_ANSWER_CHARACTERS, Backoff, Refusals
from whimbrel_aggregator.forward.port import (
    Batch,
    Guarantee,
    Outcome,
    Poison,
    Sink,
    SinkConfigError,
    SinkError,
)
from whimbrel_aggregator.forward.selection import Selection
from whimbrel_aggregator.journal.port import (
    Cursor,
    CursorGenerationError,
    FrameRecord,
    Journal,
    JournalError,
    ParkedFullError,
    ParkedRecord,
    PartitionKey,
    UnknownConsumerError,
)
from whimbrel_aggregator.ports import Clock, Random
from whimbrel_aggregator.reading import (
    READ_BYTES,
    READ_FRAMES,
    CommittedEvent,
    EventReader,
    Position,
)
from whimbrel_protocol.errors import WhimbrelError

PARTITIONS_IN_FLIGHT: Final = 4
"""Deliveries at once: hides the round trip of a distant receiver, bounds memory and its load."""

POLL_S: Final = 5.0
"""The journal wakes us at each commit; this only bounds how long a lost wake-up can matter."""

SETTLE_S: Final = 0.05
"""Least time between two looks at all partitions: a burst of commits is one look."""

MAX_PARKED_BODY_BYTES: Final = 120_000
"""What the journal takes beside a parked record; an event is 64 KiB before it becomes JSON."""

SKIP_EVERY_S: Final = 60.0
"""How often cursors of partitions that are not selected move on, so that retention may too."""

_log = logging.getLogger("whimbrel.forward")


class ReceiverRefusesError(WhimbrelError):
    """The receiver refuses everything; the text says what to do."""


_STOPPING: Final = (
    CursorGenerationError,
    ParkedFullError,
    ReceiverRefusesError,
    SinkConfigError,
    UnknownConsumerError,
)
"""What only an operator can put right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwarderStatus:
    """What an operator sees of a forwarder.

    Attributes:
        name: as configured; also its consumer name in the journal.
        guarantee: what its sink promises.
        state: ``starting``, ``running``, ``retrying`` or ``stopped``.
        reason: why it retries or stopped; empty when it runs.
        delivered: events delivered since the start.
        parked: events parked since the start.
        retries: deliveries that must be repeated, since the start.
        lag_frames: frames of selected partitions that are not handled yet.
    """

    name: str
    guarantee: Guarantee
    state: str = "starting"
    reason: str = ""
    delivered: int = 0
    parked: int = 0
    retries: int = 0
    lag_frames: int = 0


class Forwarder:
    """Delivers what is selected of the journal to one sink, until it is cancelled."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        selection: Selection,
        *,
        journal: Journal,
        reader: EventReader,
        clock: Clock,
        random: Random,
        from_newest: bool = False,
        in_flight: int = PARTITIONS_IN_FLIGHT,
    ) -> None:
        self._status = ForwarderStatus(name=name, guarantee=sink.guarantee)
        self._name = name
        self._sink = sink
        self._selection = selection
        self._journal = journal
        self._reader = reader
        self._clock = clock
        self._random = random
        self._from_newest = from_newest
        self._in_flight = in_flight
        self._positions: dict[PartitionKey, Position] = {}
        self._heads: dict[PartitionKey, int] = {}
        self._backoffs: dict[PartitionKey, Backoff] = {}
        self._busy: set[PartitionKey] = set()
        self._queue: asyncio.Queue[PartitionKey] = asyncio.Queue()
        self._refusals = Refusals()
        self._skipped_at_ns: int | None = None

    @property
    def status(self) -> ForwarderStatus:
        """How it is doing now."""
        start = Position(1)
        lag = sum(
            max(0, head + 1 - self._positions.get(partition, start).offset)
            for partition, head in self._heads.items()
            if self._selection.takes_partition(partition.tenant, partition.store)
        )
        return replace(self._status, lag_frames=lag)

    async def run(self) -> None:
        """Forward for ever; returns only when an operator must act (``status`` says why)."""
        backoff = Backoff()
        while True:
            failure = await self._forward_until_failure()
            if isinstance(failure, _STOPPING):
                self._set_state("stopped", str(failure))
                _log.error("forwarder %s stopped: %s", self._name, failure)
                return
            backoff = backoff.failed(self._random)
            if self._status.state != "retrying":
                expected = isinstance(failure, SinkError | JournalError | OSError)
                # a defect in one sink must not stop the others, but its trace must be seen
                _log.warning(
                    "forwarder %s tries again: %s",
                    self._name,
                    failure,
                    exc_info=None if expected else failure,
                )
            self._set_state("retrying", str(failure) or type(failure).__name__)
            await asyncio.sleep(backoff.delay_s)

    async def _forward_until_failure(self) -> Exception:
        failure: Exception | None = None
        try:
            await self._forward()
        except* Exception as group:  # noqa: BLE001 - classified by the caller, never swallowed
            leaves = list(_leaves(group))
            failure = next((leaf for leaf in leaves if isinstance(leaf, _STOPPING)), leaves[0])
        finally:
            await self._sink.close()
        if failure is None:
            raise AssertionError("a forwarder ended without a failure")
        return failure

    async def _forward(self) -> None:
        self._positions.clear()
        self._backoffs.clear()
        self._refusals = Refusals()
        self._busy.clear()
        self._queue = asyncio.Queue()
        await self._attach()
        await self._sink.open(self._journal.generation)
        self._set_state("running")
        async with asyncio.TaskGroup() as group:
            for number in range(self._in_flight):
                group.create_task(self._deliver_in_turn(), name=f"forward.{self._name}.{number}")
            group.create_task(self._watch(), name=f"forward.{self._name}.watch")

    async def _attach(self) -> None:
        known = self._name in await self._journal.consumers()
        await self._journal.attach(self._name)
        if self._from_newest and not known:
            for state in await self._journal.partitions():
                await self._put_cursor(state.key, state.head + 1)

    async def _watch(self) -> None:
        """Queue each partition that has something new."""
        seen = -1
        while True:
            seen = await self._journal.wait_any(seen, POLL_S)
            states = await self._journal.partitions()
            for state in states:
                self._heads[state.key] = state.head
                if self._selection.takes_partition(state.key.tenant, state.key.store):
                    self._offer(state.key)
            await self._skip_unselected()
            await self._sink.idle()
            await asyncio.sleep(SETTLE_S)

    def _offer(self, partition: PartitionKey) -> None:
        position = self._positions.get(partition)
        if partition not in self._busy and (position is None or self._has_more(partition)):
            self._busy.add(partition)
            self._queue.put_nowait(partition)

    def _has_more(self, partition: PartitionKey) -> bool:
        return self._positions[partition].offset <= self._heads[partition]

    async def _skip_unselected(self) -> None:
        now_ns = self._clock.mono_ns()
        if self._skipped_at_ns is not None and now_ns - self._skipped_at_ns < SKIP_EVERY_S * 1e9:
            return
        self._skipped_at_ns = now_ns
        for partition, head in self._heads.items():
            taken = self._selection.takes_partition(partition.tenant, partition.store)
            if not taken and self._positions.get(partition) != Position(head + 1):
                await self._put_cursor(partition, head + 1)
                self._positions[partition] = Position(head + 1)

    async def _deliver_in_turn(self) -> None:
        while True:
            partition = await self._queue.get()
            outcome = await self._deliver_page(partition)
            if outcome is not None:
                await self._wait(partition, outcome)
            elif self._backoffs.pop(partition, None) is not None and not self._backoffs:
                self._set_state("running")
                _log.info("forwarder %s delivers again", self._name)
            if outcome is not None or self._has_more(partition):
                self._queue.put_nowait(partition)
            else:
                self._busy.discard(partition)

    async def _wait(self, partition: PartitionKey, outcome: Outcome) -> None:
        before = self._backoffs.get(partition, Backoff())
        backoff = before.failed(self._random, wish_s=outcome.wish_s)
        self._backoffs[partition] = backoff
        reason = outcome.retry or "the sink settled nothing"
        level = logging.DEBUG if self._status.state == "retrying" else logging.WARNING
        _log.log(level, "forwarder %s: %s: %s", self._name, partition, reason)
        self._status = replace(self._status, retries=self._status.retries + 1)
        self._set_state("retrying", f"{partition}: {reason}")
        await asyncio.sleep(backoff.delay_s)

    async def _deliver_page(self, partition: PartitionKey) -> Outcome | None:
        """Deliver up to a page of frames; the outcome that asks for a retry, or None."""
        start = await self._position(partition)
        page = await self._journal.read(
            partition, start.offset, limit_frames=READ_FRAMES, limit_bytes=READ_BYTES
        )
        pending: list[CommittedEvent] = []
        async for frame in self._reader.decode(page, self._wants_frame):
            for event in frame.events:
                if event.position < start or not self._wants(event):
                    continue
                pending.append(event)
                if len(pending) == self._sink.max_batch_events:
                    after = Position(event.position.offset, event.position.place + 1)
                    if event is frame.events[-1]:
                        after = Position(frame.offset + 1)
                    unsettled = await self._settle(partition, pending, after)
                    if unsettled is not None:
                        return unsettled
                    pending = []
        after = Position(max(page.next_offset, start.offset))
        if pending:
            return await self._settle(partition, pending, after)
        await self._reach(partition, after)
        return None

    async def _settle(
        self, partition: PartitionKey, events: list[CommittedEvent], after: Position
    ) -> Outcome | None:
        batch = Batch(
            partition=partition,
            generation=self._journal.generation,
            events=tuple(events),
            next=after,
        )
        outcome = await self._sink.deliver(batch)
        if outcome.poison:
            await self._park(outcome.poison)
        accepted = outcome.settled - len(outcome.poison)
        self._status = replace(
            self._status,
            delivered=self._status.delivered + accepted,
            parked=self._status.parked + len(outcome.poison),
        )
        whole = outcome.settled == len(events)
        await self._reach(partition, after if whole else events[outcome.settled].position)
        self._refusals = self._refusals.after(accepted=accepted, refused=len(outcome.poison))
        stop_reason = self._refusals.stop_reason()
        if stop_reason is not None:
            raise ReceiverRefusesError(stop_reason)
        return None if whole else outcome

    async def _park(self, poison: tuple[Poison, ...]) -> None:
        """Keep refused events and the answers durably, before any cursor passes them."""
        now_ns = self._clock.wall_ns()
        await self._journal.park(
            [
                ParkedRecord(
                    consumer=self._name,
                    partition=one.event.partition,
                    offset=one.event.position.offset,
                    index=one.event.position.place,
                    event_id=one.event.id,
                    reason=one.answer[:MAX_ANSWER_CHARACTERS],
                    parked_ns=now_ns,
                    body=_body(one.event),
                )
                for one in poison
            ]
        )
        _log.warning("forwarder %s parked %d events", self._name, len(poison))

    async def _position(self, partition: PartitionKey) -> Position:
        """Where to go on: what the sink itself says, else the cursor."""
        known = self._positions.get(partition)
        if known is None:
            cursor = await self._journal.cursor(self._name, partition)
            known = Position(max(cursor.offset, 1))
            outside = await self._sink.position(partition)
            if outside is not None:
                # its own word wins, behind the cursor too: it may have been restored
                known = outside
            self._positions[partition] = known
        return known

    async def _reach(self, partition: PartitionKey, position: Position) -> None:
        before = self._positions[partition]
        self._positions[partition] = position
        if position.offset > before.offset:
            await self._put_cursor(partition, position.offset)

    async def _put_cursor(self, partition: PartitionKey, offset: int) -> None:
        cursor = Cursor(self._journal.generation, offset)
        await self._journal.put_cursor(self._name, partition, cursor)

    def _set_state(self, state: str, reason: str = "") -> None:
        self._status = replace(self._status, state=state, reason=reason)

    def _wants_frame(self, record: FrameRecord) -> bool:
        return self._selection.takes_zones(record.zones)

    def _wants(self, committed: CommittedEvent) -> bool:
        return self._selection.takes_event(committed.event.zone, committed.event.type)


def _body(committed: CommittedEvent) -> bytes:
    """What would have been sent; an event too big for the parking place is named only."""
    body = to_json_line(committed).encode()
    return body if len(body) <= MAX_PARKED_BODY_BYTES else b""


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
