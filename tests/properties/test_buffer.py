"""The buffer against a plain model: any order of its operations, restarts included."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from buffers.harness import (
    GENERATION,
    Shop,
    all_pending,
    answer,
    receipt_for,
    sales,
)
from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import FrameRef
from whimbrel_protocol.lanes import LANES, GapReason
from whimbrel_protocol.messages import Status, StreamState
from whimbrel_protocol.sequences import RangeSet

T = TypeVar("T")
lanes = st.sampled_from(LANES)


class BufferMachine(RuleBasedStateMachine):
    """What was accepted per lane, and what became of it by the receipts given here."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="whimbrel-buffer-"))
        self.shop = Shop(self.folder / "buffer.db")
        self.loop = asyncio.new_event_loop()
        self.buffer: Buffer = self.do(self.shop.start())
        self.accepted: Counter[str] = Counter()
        self.region: dict[tuple[int, str], RangeSet] = {}
        self.sent: dict[tuple[str, int, int], FrameRef] = {}
        self.generation = 1
        self.number = 0

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.do(self.buffer.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    def take(self, epoch: int, lane: str, first: int, last: int) -> None:
        self.region.setdefault((epoch, lane), RangeSet()).add(first, last)

    @rule(lane=lanes, count=st.integers(1, 40))
    def accept(self, lane: str, count: int) -> None:
        answers = self.do(self.buffer.accept(sales(count, self.number, lane=lane)))
        self.number += count
        self.accepted[lane] += count
        sequences = [a.sequence for a in answers]
        assert sequences == list(range(sequences[0], sequences[0] + count))

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 20.0]))
    def seal(self, seconds: float) -> None:
        self.shop.clock.advance(seconds)
        self.do(self.buffer.seal_due(self.shop.clock.mono))

    @rule(lane=lanes, count=st.integers(1, 5))
    def send(self, lane: str, count: int) -> None:
        refs = self.do(all_pending(self.buffer, lane))[:count]
        if refs:
            self.do(self.buffer.load_to_send(refs))
            self.sent |= {(lane, ref.epoch, ref.first): ref for ref in refs}

    @rule(lane=lanes, count=st.integers(1, 5), gapped=st.booleans(), live=st.booleans())
    def settle(self, lane: str, count: int, gapped: bool, live: bool) -> None:
        refs = self.do(all_pending(self.buffer, lane))
        refs = refs[-count:] if live else refs[:count]
        if not refs:
            return
        self.do(self.buffer.load_to_send(refs))
        status = Status.GAPPED if gapped else Status.COMMITTED
        reason = int(GapReason.REFUSED) if gapped else 0
        result = self.do(self.buffer.settle(receipt_for(refs, status, reason=reason)))
        assert set(result.freed) == {ref.id for ref in refs}
        for ref in refs:
            self.take(ref.epoch, lane, ref.first, ref.first + ref.span - 1)
            self.sent.pop((lane, ref.epoch, ref.first), None)

    @rule()
    def restart(self) -> None:
        self.do(self.buffer.close())
        self.buffer = self.do(self.shop.start())

    @rule()
    def stop_uncleanly(self) -> None:
        self.buffer._state.database.close(clean=False)
        self.buffer._state.numbers.abandon()
        self.buffer._lock.release()
        self.buffer = self.do(self.shop.start())

    @rule(lane=lanes)
    def discard(self, lane: str) -> None:
        self.do(self.buffer.discard(lane))

    @rule(lane=lanes)
    def another_life_delivered_some(self, lane: str) -> None:
        refs = [
            ref
            for ref in self.do(all_pending(self.buffer, lane))
            if not ref.published and ref.epoch != self.buffer.epoch
        ]
        if refs:
            self.take(refs[0].epoch, lane, refs[0].first, refs[0].first + refs[0].span // 2)

    @rule(restored=st.booleans(), trimmed=st.booleans())
    def resume(self, restored: bool, trimmed: bool) -> None:
        if trimmed:
            capacity.trim_receipted(self.buffer._state, 1)
        if restored:
            self.generation += 1
            for name in list(self.region)[::2]:
                del self.region[name]
        asked = self.do(self.buffer.streams())
        states = [
            StreamState(q.epoch, q.lane, tuple(self.region.get((q.epoch, q.lane), ())), b"")
            for q in asked
        ]
        generation = GENERATION if self.generation == 1 else b"gen-%04d" % self.generation
        self.do(self.buffer.apply_resume(answer(*states, generation=generation)))

    @invariant()
    def every_event_is_accounted_for(self) -> None:
        report = self.do(self.buffer.verify())
        assert report.problems == (), report.problems
        for line in report.ledger:
            assert line.accepted == self.accepted[line.lane], line
            assert line.balanced, line

    @invariant()
    def sent_frames_are_never_replaced_but_by_gaps_of_their_range(self) -> None:
        now = {
            (lane, ref.epoch, ref.first): ref
            for lane in LANES
            for ref in self.do(all_pending(self.buffer, lane))
        }
        for place, ref in self.sent.items():
            assert now[place].span == ref.span, place
            assert now[place].digest == ref.digest or now[place].count == 0, place

    @invariant()
    def frames_are_in_send_order(self) -> None:
        for lane in LANES:
            refs = self.do(all_pending(self.buffer, lane))
            keys = [(ref.epoch, ref.first) for ref in refs]
            assert keys == sorted(keys)


BufferMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, print_blob=True
)
TestBuffer = BufferMachine.TestCase
