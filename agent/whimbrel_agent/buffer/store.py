"""The buffer's facade: what intakes, uplink and app call.

Every method hands one function to the database thread; nothing here touches SQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from whimbrel_agent.buffer import resuming, sending, settling
from whimbrel_agent.buffer.accepting import Acceptor
from whimbrel_agent.buffer.closing import close_state
from whimbrel_agent.buffer.codecchoice import CodecTerms
from whimbrel_agent.buffer.epochs import forget_idle
from whimbrel_agent.buffer.exporting import export_slice
from whimbrel_agent.buffer.gate import Gate
from whimbrel_agent.buffer.holding import write_held
from whimbrel_agent.buffer.idempotency import KeyStore
from whimbrel_agent.buffer.lock import FileLock
from whimbrel_agent.buffer.opening import open_state
from whimbrel_agent.buffer.places import Places
from whimbrel_agent.buffer.recent import Recent
from whimbrel_agent.buffer.reporting import stats_of
from whimbrel_agent.buffer.sealer import Sealer
from whimbrel_agent.buffer.sealing import Made, SealResult, Unsealed
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.buffer.teaching import Dictionaries
from whimbrel_agent.buffer.tickets import Aside
from whimbrel_agent.buffer.values import (
    Accepted,
    BufferConfig,
    BufferStats,
    ExportedEvent,
    FrameRef,
    ResumeOutcome,
    SettleResult,
    VerifyReport,
)
from whimbrel_agent.buffer.verifying import verify_state
from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.ports import Clock, Random, SqlRunner, SqlWork
from whimbrel_protocol.event import Event
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import LANE_NUMBERS, LANES
from whimbrel_protocol.messages import Detail, Receipt, ResumeAnswer, StreamQuestion
from whimbrel_protocol.names import Address

T = TypeVar("T")

RESERVE_RETRY_NS: Final = 5_000_000_000
"""How often a reserve that was given up is tried to be taken back."""


class Buffer:
    """Durable, bounded store of accepted events and sealed frames."""

    def __init__(self, state: BufferState, lock: FileLock, runner: SqlRunner) -> None:
        self._state = state
        self._lock = lock
        self._runner = runner
        self._recent = recent = Recent()
        self._sealer = Sealer(state, recent)
        keys = KeyStore(state.database.connection, state.config)
        self._acceptor = Acceptor(state, keys, recent, runner)
        self.dictionaries = Dictionaries(state, self._run)
        self._next_reserve_ns = 0
        self._closed = False
        self._on_accept: Callable[[], None] = lambda: None
        self._gate: Gate | None = None
        self._freed = asyncio.Event()

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
        """Lock, check, salvage if needed, number anew, seal what an ended process left.

        Raises:
            BufferLockedError: another agent has it open.
            BufferVersionError: a newer program wrote it; it was left unchanged.
            BufferFullError: the disk has no room for the companion files.
        """

        def work() -> Buffer:
            state, lock = open_state(config, address, key, clock=clock, random=random)
            try:
                forget_idle(state)
                state.database.take_log_room()
                buffer = cls(state, lock, runner)
                buffer._seal_where(lambda epoch: epoch != state.epoch)
            except BaseException:
                state.database.close(clean=False)
                state.numbers.abandon()
                lock.release()
                raise
            return buffer

        return await runner.run(work)

    @property
    def epoch(self) -> int:
        """This process's numbering."""
        return self._state.epoch

    @property
    def commits(self) -> int:
        """Transactions since it was opened, each a sync of the disk."""
        return self._state.database.commits

    async def accept(
        self,
        events: Sequence[Event],
        *,
        keys: Sequence[bytes | None] | None = None,
        fingerprints: Sequence[int] | None = None,
        checkpoint: tuple[str, bytes] | None = None,
    ) -> Places:
        """Keep a group of events, all or nothing; returns when it is durable.

        In a lane with a durability window what has neither key nor checkpoint may wait in memory.

        Args:
            events: at most MAX_GROUP_EVENTS, of any lanes.
            keys: idempotency keys (namespaced by the caller), one per event or None.
            fingerprints: with ``keys``, of the content each stands for: 1 to 2**63 - 1, or 0
                where a repetition need not have the same.
            checkpoint: a name and a value that become durable together with the events.

        Raises:
            AcceptError, KeyReusedError, GroupTooBigError, BufferFullError, TooManyWaitingError,
            BufferBrokenError.
        """
        if self._gate is not None:
            return await self._gate.accept(events, keys, fingerprints, checkpoint)
        return await self.keep(events, keys, fingerprints, checkpoint)

    async def keep(
        self,
        events: Sequence[Event],
        keys: Sequence[bytes | None] | None = None,
        fingerprints: Sequence[int] | None = None,
        checkpoint: tuple[str, bytes] | None = None,
        aside: Aside | None = None,
    ) -> Places:
        """Keep a group as :meth:`accept` does, past the gate; ``aside`` becomes durable with it."""
        accepted = await self._acceptor.accept(events, keys, fingerprints, checkpoint, aside)
        self._on_accept()
        return accepted

    def put_gate(self, gate: Gate | None) -> None:
        """Have every later accept go through a gate; None takes it away."""
        self._gate = gate

    async def look_up(self, keys: Sequence[bytes | None]) -> list[tuple[Accepted, int] | None]:
        """Give the first answers to idempotency keys, with fingerprints; None for new ones."""
        return await self._run(lambda: self._acceptor.look_up(keys))

    async def read(self, work: SqlWork[T]) -> T:
        """Run reads of what an aside wrote."""

        def reading() -> T:
            with self._state.database.reading() as connection:
                return work(connection)

        return await self._run(reading)

    async def checkpoint(self, name: str) -> bytes | None:
        """Give the value that the last accept with this checkpoint name made durable."""
        return await self._run(lambda: sending.read_checkpoint(self._state, name))

    async def seal_due(self, now_mono_ns: int) -> SealResult:
        """Seal what is due; call again at the deadline it answers, and after accepts."""
        frames, urgent = 0, False
        while isinstance(made := await self._run(lambda: self._seal_one(now_mono_ns)), Made):
            frames += made.frames
            urgent = urgent or made.lane == 0
        self._tell_freed(frames)
        return SealResult(frames, self._sealer.deadline_ns, urgent, made)

    def look_out(self, *, sending: bool, asked: Detail = Detail.FULL) -> None:
        """Say whether frames can leave now, and what detail the region asks for."""
        self._sealer.sending = sending
        self._sealer.ask(asked)

    async def unsealed(self) -> tuple[Unsealed, ...]:
        """What waits to be sealed, by lane."""
        return await self._run(self._sealer.unsealed)

    async def seal_all(self) -> int:
        """Seal everything staged now (shutdown, drain); returns the number of frames."""
        frames = await self._run(lambda: self._seal_where(lambda _epoch: True))
        self._tell_freed(frames)
        return frames

    async def streams(self, address: Address | None = None) -> list[StreamQuestion]:
        """What a resume must ask about at an address (None: the present one)."""
        place = self._state.address if address is None else address
        return await self._run(lambda: resuming.questions(self._state, place))

    async def rest_address(self) -> Address:
        """Return the address of streams that no resume has asked about yet."""
        return await self._run(lambda: resuming.rest_address(self._state))

    async def apply_resume(self, answer: ResumeAnswer) -> ResumeOutcome:
        """Take the region's word on every stream. Frame ids from before are void."""
        outcome = await self._run(lambda: resuming.apply_resume(self._state, self._sealer, answer))
        self._tell_freed(1)
        if any(lane.durability_s for lane in self._state.config.lanes.values()):
            self._on_accept()  # frames can leave again: what waits for that is looked at
        return outcome

    async def pending(
        self, lane: str, after_id: int, limit: int, at: Address | None = None
    ) -> list[FrameRef]:
        """Frames to send next in a lane, in send order, after ``after_id`` (0: from the start).

        Those of all addresses in the present region, or of the one address ``at``.
        """
        number = LANE_NUMBERS[lane]
        return await self._run(lambda: sending.pending(self._state, number, after_id, limit, at))

    async def elsewhere(self) -> dict[Address, int]:
        """Give how many frames and unsealed rows wait for other regions, by address."""
        return await self._run(lambda: sending.elsewhere(self._state))

    async def kept_elsewhere(self) -> list[Address]:
        """Give the addresses in other regions whose receipted frames are still kept."""
        return await self._run(lambda: sending.kept_elsewhere(self._state))

    async def load(self, frame_id: int) -> bytes | None:
        """Give the frame's bytes, checked; None when it is gone or was damaged (a gap now)."""
        return await self._run(lambda: sending.load(self._state, frame_id))

    async def load_to_send(self, frames: Sequence[FrameRef]) -> list[bytes | None]:
        """Load frames as :meth:`load_many` does, once they are durably known as perhaps sent.

        One trip to the database in place of two: each wakes two threads.
        """
        return await self._run(lambda: sending.load_to_send(self._state, frames))

    async def load_many(self, frames: Sequence[FrameRef]) -> list[bytes | None]:
        """Load several frames in one trip to the database, each as :meth:`load` does.

        None also where another frame has taken the place since: a thinned one, or a gap.
        """
        return await self._run(lambda: sending.load_many(self._state, frames))

    async def newest_ids(self) -> dict[str, int]:
        """Give the greatest frame id per lane so far: what has one up to it is backlog."""
        return await self._run(lambda: sending.newest_ids(self._state))

    async def addresses(self) -> list[Address]:
        """Give the addresses of everything that is kept, and our own."""
        return await self._run(lambda: [row.address for row in self._state.epochs.values()])

    def on_accept(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called after each accept, so that nobody needs to look for them."""
        self._on_accept = listener

    def pace(self, linger_s: Mapping[str, float], batch_events: int | None) -> None:
        """Seal later and more at once from now on; where the configuration asks for more, it stands.

        Args:
            linger_s: floors by lane, seconds; none for lanes left out.
            batch_events: a floor, or None.
        """
        for number, lane in enumerate(LANES):
            configured = self._state.config.lanes[lane]
            self._state.lanes[number] = replace(
                configured,
                linger_s=max(configured.linger_s, linger_s.get(lane, 0.0)),
                batch_events=max(configured.batch_events, batch_events or 1),
            )

    def encode_by(self, terms: CodecTerms) -> None:
        """Have what is accepted from now on compressed by other terms."""
        self._state.encoder.terms = terms

    def note_in(self, journal: DecisionJournal) -> None:
        """Have the buffer's decisions noted there."""
        self._state.journal = self._state.encoder.journal = journal

    def next_freeing(self) -> asyncio.Event:
        """Give an event that is set when space is freed next.

        Whoever waits out a full buffer takes it before the accept that may be refused: what is
        freed meanwhile is not missed then.
        """
        return self._freed

    async def settle(self, receipt: Receipt) -> SettleResult:
        """Free or account what a verified receipt names, on exact matches only."""
        result = await self._run(lambda: settling.settle(self._state, receipt))
        self._tell_freed(len(result.freed))
        return result

    async def quarantine(self, frame_id: int, why: str) -> None:
        """Put a frame aside; a gap takes its place."""
        await self._run(lambda: sending.quarantine(self._state, frame_id, why))

    async def discard(self, lane: str | None = None) -> int:
        """Drop all pending frames (operator's act): gaps take their place; returns events."""
        numbers = range(len(LANE_NUMBERS)) if lane is None else [LANE_NUMBERS[lane]]

        def work() -> int:
            self._seal_where(lambda _epoch: True)
            return sum(sending.discard(self._state, number) for number in numbers)

        dropped = await self._run(work)
        self._tell_freed(dropped)
        return dropped

    async def stats(self) -> BufferStats:
        """Figures now."""
        return await self._run(lambda: stats_of(self._state))

    async def verify(self) -> VerifyReport:
        """Recompute everything that can be recomputed."""
        return await self._run(lambda: verify_state(self._state))

    async def export(self) -> AsyncIterator[ExportedEvent]:
        """Yield every event that is still here, decoded, lane by lane in order."""
        await self._run(lambda: write_held(self._state, self._recent))
        for lane in range(len(LANE_NUMBERS)):
            for table in ("receipted", "pending", "staged"):
                after = 0
                while True:
                    after, events = await self._run(
                        lambda: export_slice(self._state, table, lane, after)  # noqa: B023  awaited here
                    )
                    for event in events:
                        yield event
                    if after == 0:
                        break

    async def close(self) -> None:
        """Write what is in memory, checkpoint, mark the stop as clean, unlock.

        Raises:
            BufferError: see :func:`.closing.close_state`.
        """
        if not self._closed:
            self._closed = True
            await self._runner.run(lambda: close_state(self._state, self._recent, self._lock))

    def _tell_freed(self, count: int) -> None:
        if count:
            self._freed.set()
            self._freed = asyncio.Event()

    async def _run(self, work: Callable[[], T]) -> T:
        def checked() -> T:
            result = work()
            self._state.database.checkpoint_if_due()
            return result

        return await self._runner.run(checked)

    def _seal_one(self, now_mono_ns: int) -> Made | tuple[Unsealed, ...]:
        """Seal one frame's worth if something is due; else answer what waits."""
        if not self._state.reserve.present and now_mono_ns >= self._next_reserve_ns:
            self._next_reserve_ns = now_mono_ns + RESERVE_RETRY_NS
            self._state.reserve.take()
        lane = self._sealer.due_lane(now_mono_ns)
        if lane is None:
            return self._sealer.unsealed()
        return Made(lane, self._sealer.carry_out(lane))

    def _seal_where(self, wanted: Callable[[int], bool]) -> int:
        frames = 0
        for lane, staged in enumerate(self._state.staged):
            while staged.slots and wanted(staged.slots[0].epoch):
                frames += self._sealer.seal(lane)
                self._state.database.checkpoint_if_due()
        return frames
