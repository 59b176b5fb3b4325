"""The worker of one forwarder: journal to sink, with its own cursors.

Partitions with something new wait in one queue; a few tasks take them in turn, a page of
frames at a time, so that no store starves another and memory stays flat. What a sink settles is
written to the journal's cursor; what it refuses is parked first. A partition whose delivery
failed waits by the policy and goes to the queue's end; when the sink itself is down, those that have
something to deliver wait for its breaker (:mod:`.blocked`). Whatever goes wrong here stops or slows this forwarder only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from whimbrel_aggregator.flow.sidefile import SideFileError
from whimbrel_aggregator.forward.blocked import BlockedPartitions
from whimbrel_aggregator.forward.gate import CLOSE_S, Gate, GateClosedError, SinkHungError
from whimbrel_aggregator.forward.pages import Pages
from whimbrel_aggregator.forward.policy import Backoff
from whimbrel_aggregator.forward.port import Outcome, Sink, SinkConfigError, SinkError
from whimbrel_aggregator.forward.positions import Positions
from whimbrel_aggregator.forward.selection import Selection
from whimbrel_aggregator.forward.settling import ReceiverRefusesError, Settler, reason_of
from whimbrel_aggregator.forward.status import Backlog, ForwarderStatus
from whimbrel_aggregator.forward.thinning import Thinning
from whimbrel_aggregator.journal.port import (
    CursorGenerationError,
    Journal,
    JournalError,
    ParkedFullError,
    PartitionKey,
    UnknownConsumerError,
)
from whimbrel_aggregator.ports import Clock, Random
from whimbrel_aggregator.reading import EventReader
from whimbrel_protocol.messages import Detail

PARTITIONS_IN_FLIGHT: Final = 4
"""Deliveries at once: hides the round trip of a distant receiver, bounds memory and its load."""

POLL_S: Final = 5.0
"""The journal wakes us at each commit; this only bounds how long a lost wake-up can matter."""

SETTLE_S: Final = 0.05
"""Least time between two looks at all partitions: a burst of commits is one look."""

SKIP_EVERY_S: Final = 60.0
"""How often cursors of partitions that are not selected move on, so that retention may too."""

_log = logging.getLogger("whimbrel.forward")


_STOPPING: Final = (
    CursorGenerationError,
    ParkedFullError,
    ReceiverRefusesError,
    SinkConfigError,
    UnknownConsumerError,
)
"""What only an operator can put right."""


class Forwarder:
    """Delivers what is selected of the journal to one sink, until it is cancelled.

    Attributes:
        name: as configured; also its consumer name in the journal.
        max_backlog_bytes: so far behind, it holds devices back; None: not by itself.
    """

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
        thinning: Thinning,
        hang_s: float,
        max_backlog_bytes: int | None = None,
        from_newest: bool = False,
        in_flight: int = PARTITIONS_IN_FLIGHT,
    ) -> None:
        self._status = ForwarderStatus(name=name, guarantee=sink.guarantee)
        self.name = name
        self.max_backlog_bytes = max_backlog_bytes
        self._sink = sink
        self._journal = journal
        self._clock = clock
        self._random = random
        self._from_newest = from_newest
        self._in_flight = in_flight
        self._gate = Gate(clock=clock, random=random, hang_s=hang_s)
        self._positions = Positions(name, journal, selection.takes_partition)
        self._thinning = thinning
        self._backoffs: dict[PartitionKey, Backoff] = {}
        self._blocked = BlockedPartitions()
        self._busy: set[PartitionKey] = set()
        self._queue: asyncio.Queue[PartitionKey] = asyncio.Queue()
        self._settler = Settler(
            name, sink, gate=self._gate, positions=self._positions, journal=journal, clock=clock
        )
        self._pages = Pages(
            sink,
            selection,
            journal=journal,
            reader=reader,
            gate=self._gate,
            positions=self._positions,
            thinning=thinning,
            settler=self._settler,
        )
        self._skipped_at_ns: int | None = None

    @property
    def status(self) -> ForwarderStatus:
        """How it is doing now."""
        breaker = self._gate.breaker
        return replace(
            self._status,
            delivered=self._settler.delivered,
            parked=self._settler.parked,
            backlog=self.backlog,
            breaker=breaker.state,
            breaker_opened=breaker.opened,
            retry_in_s=self._gate.retry_in_s,
            rung=self._thinning.ladder.rung,
            rung_reason=self._thinning.ladder.reason,
            asked=self.asked,
            skipped_frames=self._thinning.frames,
            skipped_events=self._thinning.events,
        )

    @property
    def asked(self) -> Detail:
        """What detail it asks of the devices whose events it selects."""
        return self._thinning.asked

    @property
    def backlog(self) -> Backlog:
        """What it has not handled yet."""
        return self._positions.backlog(now_ns=self._clock.wall_ns())

    def selects(self, partition: PartitionKey) -> bool:
        """Say whether it wants anything of a partition."""
        return self._positions.selects(partition)

    async def run(self) -> None:
        """Forward for ever; returns only when an operator must act (``status`` says why)."""
        try:
            await self._run()
        finally:
            await self._close()

    async def _run(self) -> None:
        restarts = Backoff()
        while True:
            delivered = self._settler.delivered
            failure = await self._forward_until_failure()
            if isinstance(failure, _STOPPING):
                self._set_state("stopped", str(failure))
                _log.error("forwarder %s stopped: %s", self.name, failure)
                return
            self._note(failure)
            await self._close()
            if self._settler.delivered > delivered:
                restarts = Backoff()
            restarts = restarts.failed(self._random)
            await asyncio.sleep(self._gate.retry_in_s or restarts.delay_s)

    def _note(self, failure: Exception) -> None:
        if self._status.state != "retrying":
            expected = isinstance(failure, SinkError | JournalError | SideFileError | OSError)
            # a defect in one sink must not stop the others, but its trace must be seen
            _log.warning(
                "forwarder %s tries again: %s",
                self.name,
                failure,
                exc_info=None if expected else failure,
            )
        reason = str(failure) or type(failure).__name__
        self._set_state("retrying", reason)
        if not isinstance(failure, JournalError | SideFileError):  # not the sink's
            self._gate.failed(reason, hung=isinstance(failure, SinkHungError))

    async def _forward_until_failure(self) -> Exception:
        try:
            await self._forward()
        except* Exception as group:  # noqa: BLE001 - classified by the caller, never swallowed
            leaves = list(_leaves(group))
            failure = next((leaf for leaf in leaves if isinstance(leaf, _STOPPING)), leaves[0])
        else:
            raise AssertionError("a forwarder ended without a failure")
        return failure

    async def _close(self) -> None:
        try:
            await self._gate.timely(self._sink.close(), "closing the sink", limit_s=CLOSE_S)
        except SinkHungError as error:
            _log.warning("forwarder %s: %s", self.name, error)

    async def _forward(self) -> None:
        self._backoffs.clear()
        self._settler.begin()
        self._busy.clear()
        self._blocked = BlockedPartitions()
        self._queue = asyncio.Queue()
        await self._positions.attach(from_newest=self._from_newest)
        opening = self._sink.open(self._journal.generation)
        await self._gate.timely(opening, "opening the sink")
        if self._gate.closed:
            self._set_state("running")
        async with asyncio.TaskGroup() as group:
            for number in range(self._in_flight):
                group.create_task(self._deliver_in_turn(), name=f"forward.{self.name}.{number}")
            group.create_task(self._watch(), name=f"forward.{self.name}.watch")
            releasing = self._blocked.release(self._gate, self._queue.put_nowait)
            group.create_task(releasing, name=f"forward.{self.name}.release")

    async def _watch(self) -> None:
        """Queue each partition that has something new."""
        seen = -1
        while True:
            seen = await self._journal.wait_any(seen, POLL_S)
            states = await self._journal.partitions()
            self._positions.note_heads(states, now_ns=self._clock.wall_ns())
            if self._thinning.look(lambda: self.backlog):
                self._blocked.release_all(self._queue.put_nowait)  # there may be less to deliver
            for state in states:
                if self._positions.selects(state.key):
                    self._offer(state.key)
            await self._skip_unselected()
            await self._gate.timely(self._sink.idle(), "the sink's housekeeping")
            await asyncio.sleep(SETTLE_S)

    def _offer(self, partition: PartitionKey) -> None:
        fresh = self._positions.known(partition) is None
        if partition not in self._busy and (fresh or self._positions.has_more(partition)):
            self._busy.add(partition)
            self._queue.put_nowait(partition)

    async def _skip_unselected(self) -> None:
        now_ns = self._clock.mono_ns()
        if self._skipped_at_ns is not None and now_ns - self._skipped_at_ns < SKIP_EVERY_S * 1e9:
            return
        self._skipped_at_ns = now_ns
        await self._positions.pass_unselected()

    async def _deliver_in_turn(self) -> None:
        while True:
            partition = await self._queue.get()
            try:
                outcome = await self._pages.deliver(partition)
            except GateClosedError:
                self._blocked.add(partition)
                continue
            if outcome is not None:
                await self._wait(partition, outcome)
            else:
                self._backoffs.pop(partition, None)
                self._recover()
            if outcome is not None or self._positions.has_more(partition):
                self._queue.put_nowait(partition)
            else:
                self._busy.discard(partition)

    def _recover(self) -> None:
        if self._status.state == "retrying" and self._gate.closed and not self._backoffs:
            self._set_state("running")
            _log.info("forwarder %s delivers again", self.name)

    async def _wait(self, partition: PartitionKey, outcome: Outcome) -> None:
        before = self._backoffs.get(partition, Backoff())
        backoff = before.failed(self._random, wish_s=outcome.wish_s)
        self._backoffs[partition] = backoff
        reason = reason_of(outcome)
        level = logging.DEBUG if self._status.state == "retrying" else logging.WARNING
        _log.log(level, "forwarder %s: %s: %s", self.name, partition, reason)
        self._status = replace(self._status, retries=self._status.retries + 1)
        self._set_state("retrying", f"{partition}: {reason}")
        if self._gate.closed:  # else all wait for the breaker, and longer than this
            await asyncio.sleep(backoff.delay_s)

    def _set_state(self, state: str, reason: str = "") -> None:
        self._status = replace(self._status, state=state, reason=reason)


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
