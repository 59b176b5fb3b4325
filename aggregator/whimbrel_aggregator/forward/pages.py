"""One page of a partition at a time: from the journal, through selection and ladder, to the sink."""

from __future__ import annotations

from functools import partial

from whimbrel_aggregator.journal.port import FrameRecord, Journal, PartitionKey
from whimbrel_aggregator.reading import (
    READ_BYTES,
    READ_FRAMES,
    CommittedEvent,
    EventReader,
    Position,
)

from .gate import Gate, GateClosedError
from .ladder import Rung
from .port import Outcome, Sink
from .positions import Positions
from .selection import Selection
from .settling import Settler
from .thinning import Thinning


class Pages:
    """Delivers pages for one forwarder."""

    def __init__(
        self,
        sink: Sink,
        selection: Selection,
        *,
        journal: Journal,
        reader: EventReader,
        gate: Gate,
        positions: Positions,
        thinning: Thinning,
        settler: Settler,
    ) -> None:
        self._sink = sink
        self._selection = selection
        self._journal = journal
        self._reader = reader
        self._gate = gate
        self._positions = positions
        self._thinning = thinning
        self._settler = settler

    async def deliver(self, partition: PartitionKey) -> Outcome | None:
        """Deliver up to a page of frames; the outcome that asks for a retry, or None.

        Raises:
            GateClosedError: there is something to deliver, and nothing may pass now.
            JournalError: the journal cannot be read, or the cursor not moved.
            SideFileError: what is left out cannot be noted.
            SinkHungError: the sink did not answer in its time.
        """
        if not self._gate.passable and not self._thinning.skips:
            raise GateClosedError("nothing may pass, so that there is nothing to read for")
        start = await self._positions.learn(partition, self._ask_position)
        page = await self._journal.read(
            partition, start.offset, limit_frames=READ_FRAMES, limit_bytes=READ_BYTES
        )
        self._positions.note_page(partition, page)
        rung = await self._thinning.note(partition, page)
        pending: list[CommittedEvent] = []
        async for frame in self._reader.decode(page, partial(self._wants_frame, rung)):
            wanted = [event for event in frame.events if self._wants(event)]
            for event in self._thinning.leaves(wanted, rung):
                if event.position < start:
                    continue
                pending.append(event)
                if len(pending) == self._sink.max_batch_events:
                    after = Position(event.position.offset, event.position.place + 1)
                    if event is frame.events[-1]:
                        after = Position(frame.offset + 1)
                    unsettled = await self._settler.settle(partition, pending, after)
                    if unsettled is not None:
                        return unsettled
                    pending = []
        after = Position(max(page.next_offset, start.offset))
        if pending:
            return await self._settler.settle(partition, pending, after)
        await self._positions.reach(partition, after)
        return None

    async def _ask_position(self, partition: PartitionKey) -> Position | None:
        return await self._gate.timely(
            self._sink.position(partition), "asking the sink for its position"
        )

    def _wants_frame(self, rung: Rung, record: FrameRecord) -> bool:
        wanted = self._selection.takes_zones(record.zones)
        return wanted and not self._thinning.passes(record, rung)

    def _wants(self, committed: CommittedEvent) -> bool:
        return self._selection.takes_event(committed.event.zone, committed.event.type)
