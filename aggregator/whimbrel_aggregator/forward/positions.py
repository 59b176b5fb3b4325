"""Where a forwarder stands in each partition: its cursors, and what lies behind them.

The sink's own word on a position wins over the journal's cursor; every move forward is written
to the cursor. Sizes and ages of what is not handled yet are kept as the frames are read, so that
asking for them costs no look at the journal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from whimbrel_aggregator.journal.port import (
    Cursor,
    Journal,
    JournalDamagedError,
    Page,
    PartitionKey,
    PartitionState,
)
from whimbrel_aggregator.reading import Position

from .status import Backlog

USUAL_FRAME_BYTES: Final = 8 * 1024
"""A frame's size before any was read; agents aim at 16 KiB, and seal less when little happens."""

_NS: Final = 1_000_000_000


@dataclass(slots=True)
class _Waiting:
    """What is known of the frames of a partition that are not handled yet."""

    frame_bytes: int = 0
    since_ns: int = 0


class Positions:
    """The positions of one forwarder.

    Args:
        name: the consumer's name in the journal.
        journal: where cursors are kept.
        takes: says of a tenant and store whether the forwarder selects them.
    """

    def __init__(self, name: str, journal: Journal, takes: Callable[[str, str], bool]) -> None:
        self._name = name
        self._journal = journal
        self._takes = takes
        self._positions: dict[PartitionKey, Position] = {}
        self._cursors: dict[PartitionKey, int] = {}
        self._attached = False
        self._heads: dict[PartitionKey, int] = {}
        self._selected: dict[PartitionKey, bool] = {}
        self._behind: dict[PartitionKey, _Waiting] = {}

    def known(self, partition: PartitionKey) -> Position | None:
        """Return a partition's position as far as it is known without asking."""
        return self._positions.get(partition)

    def has_more(self, partition: PartitionKey) -> bool:
        """Say whether there are frames that are not handled yet."""
        return self._offset(partition) <= self._heads[partition]

    def selects(self, partition: PartitionKey) -> bool:
        """Say whether the forwarder wants anything of a partition."""
        selected = self._selected.get(partition)
        if selected is None:
            selected = self._takes(partition.tenant, partition.store)
            self._selected[partition] = selected
        return selected

    def _offset(self, partition: PartitionKey) -> int:
        position = self._positions.get(partition)
        return self._cursors.get(partition, 1) if position is None else position.offset

    # ------------------------------------------------------------------ what is noted

    async def attach(self, *, from_newest: bool) -> None:
        """Make the consumer known and take its cursors; what the sink says is asked anew.

        Args:
            from_newest: a consumer that was not known begins behind what is there already.
        """
        self._positions.clear()
        known = self._name in await self._journal.consumers()
        await self._journal.attach(self._name)
        if self._attached:  # they only moved by our own hand since
            return
        self._attached = True
        with suppress(JournalDamagedError):  # another's row, maybe; its own is met at its turn
            self._cursors = {
                one.partition: one.cursor.offset
                for one in await self._journal.cursors()
                if one.consumer == self._name
            }
        if from_newest and not known:
            for state in await self._journal.partitions():
                await self._put_cursor(state.key, state.head + 1)

    def note_heads(self, states: Iterable[PartitionState], *, now_ns: int) -> None:
        """Take the partitions' heads; ``now_ns`` is the wall clock."""
        for state in states:
            self._heads[state.key] = state.head
            if self.selects(state.key) and self.has_more(state.key):
                self._behind.setdefault(state.key, _Waiting(since_ns=now_ns))

    def note_page(self, partition: PartitionKey, page: Page) -> None:
        """Take sizes and ages from frames that were read at the position."""
        if page.frames and partition in self._behind:
            size_bytes = sum(len(frame.data) for frame in page.frames)
            self._behind[partition] = _Waiting(
                size_bytes // len(page.frames), page.frames[0].received_ns
            )

    async def learn(
        self,
        partition: PartitionKey,
        outside: Callable[[PartitionKey], Awaitable[Position | None]],
    ) -> Position:
        """Return where to go on: what the sink itself says, else the cursor.

        Raises:
            UnknownConsumerError: the consumer was detached.
            CursorGenerationError: the cursor is of another generation.
        """
        position = self._positions.get(partition)
        if position is None:
            cursor = await self._journal.cursor(self._name, partition)
            position = Position(max(cursor.offset, 1))
            said = await outside(partition)
            if said is not None:
                # its own word wins, behind the cursor too: it may have been restored
                position = said
            self._positions[partition] = position
        return position

    # ------------------------------------------------------------------ moving on

    async def reach(self, partition: PartitionKey, position: Position) -> None:
        """Everything before ``position`` is handled; the cursor follows frame by frame."""
        before = self._positions[partition]
        self._positions[partition] = position
        if not self.has_more(partition):
            self._behind.pop(partition, None)
        if position.offset > before.offset:
            await self._put_cursor(partition, position.offset)

    async def pass_unselected(self) -> None:
        """Let the cursors pass every partition that is not selected, so that retention may too."""
        for partition, head in list(self._heads.items()):
            end = Position(head + 1)
            if not self.selects(partition) and self._positions.get(partition) != end:
                await self._put_cursor(partition, end.offset)
                self._positions[partition] = end

    async def _put_cursor(self, partition: PartitionKey, offset: int) -> None:
        cursor = Cursor(self._journal.generation, offset)
        await self._journal.put_cursor(self._name, partition, cursor)
        self._cursors[partition] = offset

    # ------------------------------------------------------------------ for credit and status

    def backlog(self, *, now_ns: int) -> Backlog:
        """Return what is not handled yet; ``now_ns`` is the wall clock."""
        sizes = [one.frame_bytes for one in self._behind.values() if one.frame_bytes]
        usual_bytes = sum(sizes) // len(sizes) if sizes else USUAL_FRAME_BYTES
        frames = size_bytes = 0
        oldest_ns = now_ns
        for partition, waiting in self._behind.items():
            behind = max(0, self._heads[partition] + 1 - self._offset(partition))
            frames += behind
            size_bytes += behind * (waiting.frame_bytes or usual_bytes)
            oldest_ns = min(oldest_ns, waiting.since_ns)
        return Backlog(frames, size_bytes, (now_ns - oldest_ns) / _NS)
