"""One batch at a time to a sink: what it settles moves the cursor, what it refuses is parked first.

Deliveries pass the sink's gate: while its breaker is open, none is made.
"""

from __future__ import annotations

import logging
from typing import Final

from whimbrel_aggregator.journal.port import Journal, ParkedRecord, PartitionKey
from whimbrel_aggregator.ports import Clock
from whimbrel_aggregator.reading import CommittedEvent, Position
from whimbrel_protocol.errors import WhimbrelError

from .cloudevents import to_json_line
from .gate import Gate, SinkHungError
from .policy import MAX_ANSWER_CHARACTERS, Refusals
from .port import Batch, Outcome, Poison, Sink
from .positions import Positions

MAX_PARKED_BODY_BYTES: Final = 120_000
"""What the journal takes beside a parked record; an event is 64 KiB before it becomes JSON."""

_log = logging.getLogger("whimbrel.forward")


class ReceiverRefusesError(WhimbrelError):
    """The receiver refuses everything; the text says what to do."""


class Settler:
    """Hands batches to one sink and settles what came of them.

    Attributes:
        delivered: events delivered since the start.
        parked: events parked since the start.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        gate: Gate,
        positions: Positions,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._name = name
        self._sink = sink
        self._gate = gate
        self._positions = positions
        self._journal = journal
        self._clock = clock
        self._refusals = Refusals()
        self.delivered = 0
        self.parked = 0

    def begin(self) -> None:
        """Forget what the sink refused: it was opened anew."""
        self._refusals = Refusals()

    async def settle(
        self, partition: PartitionKey, events: list[CommittedEvent], after: Position
    ) -> Outcome | None:
        """Deliver a batch; return the outcome that asks for a retry, or None.

        Raises:
            ReceiverRefusesError: nothing is accepted any more.
            SinkHungError: the sink did not answer in its time.
            GateClosedError: its breaker lets nothing pass now.
        """
        batch = Batch(
            partition=partition,
            generation=self._journal.generation,
            events=tuple(events),
            next=after,
        )
        outcome = await self._deliver(batch)
        if outcome.poison:
            await self._park(outcome.poison)
        accepted = outcome.settled - len(outcome.poison)
        self.delivered += accepted
        self.parked += len(outcome.poison)
        whole = outcome.settled == len(events)
        reached = after if whole else events[outcome.settled].position
        await self._positions.reach(partition, reached)
        self._refusals = self._refusals.after(accepted=accepted, refused=len(outcome.poison))
        stop_reason = self._refusals.stop_reason()
        if stop_reason is not None:
            raise ReceiverRefusesError(stop_reason)
        return None if whole else outcome

    async def _deliver(self, batch: Batch) -> Outcome:
        with self._gate.passing():
            call = self._sink.deliver(batch)
            try:
                outcome = await self._gate.timely(call, f"delivering {batch.partition}")
            except SinkHungError as error:
                self._gate.failed(str(error), hung=True)
                raise
            if outcome.settled:
                self._gate.settled()
            else:
                self._gate.failed(reason_of(outcome), wish_s=outcome.wish_s)
        return outcome

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


def reason_of(outcome: Outcome) -> str:
    """Say why the rest of a batch must be tried again."""
    return outcome.retry or "the sink settled nothing"


def _body(committed: CommittedEvent) -> bytes:
    """What would have been sent; an event too big for the parking place is named only."""
    body = to_json_line(committed).encode()
    return body if len(body) <= MAX_PARKED_BODY_BYTES else b""
