"""The buffer's facade: what intakes, uplink and app call.

Every method hands one function to the database thread; nothing here touches SQL.
(First version: signatures only, so that the other parts can be written against them.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from whimbrel_agent.buffer.values import (
    Accepted,
    BufferConfig,
    BufferStats,
    ExportedEvent,
    FrameRef,
    ResumeOutcome,
    SealResult,
    SettleResult,
    VerifyReport,
)
from whimbrel_agent.ports import Clock, Random, SqlRunner
from whimbrel_protocol.event import Event
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.messages import Receipt, ResumeAnswer, StreamQuestion
from whimbrel_protocol.names import Address


class Buffer:
    """Durable, bounded store of accepted events and sealed frames."""

    @classmethod
    async def open(
        cls,
        config: BufferConfig,
        address: Address,
        key: PrivateKey,
        *,
        clock: Clock,
        random: Random,
        runner: SqlRunner,
    ) -> Buffer:
        """Lock, check, salvage if needed, open a new epoch.

        Raises:
            BufferLockedError, BufferVersionError, BufferFullError.
        """
        raise RuntimeError

    @property
    def epoch(self) -> int:
        """This process's numbering."""
        raise RuntimeError

    # FOR THE BUFFER HELPER, from the intake helper: imports need ``checkpoint`` in the same
    # transaction as the events, and ``checkpoint()`` to read it back (table checkpoints:
    # name text primary key, value blob of at most 256 bytes; at most 1,000 rows, oldest go).
    async def accept(
        self,
        events: Sequence[Event],
        *,
        keys: Sequence[bytes | None] | None = None,
        checkpoint: tuple[str, bytes] | None = None,
    ) -> list[Accepted]:
        """Keep a group of events; returns after the fsync, all or nothing.

        Args:
            events: at most MAX_GROUP_EVENTS, of any lanes.
            keys: idempotency keys (namespaced by the caller), one per event.
            checkpoint: a name and a value that become durable together with the events.

        Raises:
            AcceptError, GroupTooBigError, BufferFullError, TooManyWaitingError,
            BufferBrokenError.
        """
        raise RuntimeError

    async def checkpoint(self, name: str) -> bytes | None:
        """Give the value that the last accept with this checkpoint name made durable."""
        raise RuntimeError

    async def seal_due(self, now_mono_ns: int) -> SealResult:
        """Seal what is due; call again at the deadline it answers, and after accepts."""
        raise RuntimeError

    async def seal_all(self) -> int:
        """Seal everything staged now (shutdown, drain); returns the number of frames."""
        raise RuntimeError

    async def streams(self) -> list[StreamQuestion]:
        """What a resume must ask about."""
        raise RuntimeError

    async def apply_resume(self, answer: ResumeAnswer) -> ResumeOutcome:
        """Take the region's word on every stream. Frame ids from before are void."""
        raise RuntimeError

    async def pending(self, lane: str, after_id: int, limit: int) -> list[FrameRef]:
        """Frames to send next in a lane, in send order, after ``after_id`` (0: from the start)."""
        raise RuntimeError

    async def load(self, frame_id: int) -> bytes | None:
        """The frame's bytes, checked; None when it is gone or was damaged (a gap now)."""
        raise RuntimeError

    async def reserve_published(self, up_to_id: int) -> None:
        """Make "may have been published" durable for frames of that lane up to this id."""
        raise RuntimeError

    async def settle(self, receipt: Receipt) -> SettleResult:
        """Free or account what a verified receipt names, on exact matches only."""
        raise RuntimeError

    async def quarantine(self, frame_id: int, why: str) -> None:
        """Put a frame aside; a gap takes its place."""
        raise RuntimeError

    async def discard(self, lane: str | None = None) -> int:
        """Drop all pending frames (operator's act): gaps take their place; returns events."""
        raise RuntimeError

    async def stats(self) -> BufferStats:
        """Figures now."""
        raise RuntimeError

    async def verify(self) -> VerifyReport:
        """Recompute everything that can be recomputed."""
        raise RuntimeError

    def export(self) -> AsyncIterator[ExportedEvent]:
        """Yield every event that is still here, decoded, lane by lane in order."""
        raise RuntimeError

    async def close(self) -> None:
        """Checkpoint, mark the stop as clean, unlock."""
        raise RuntimeError
