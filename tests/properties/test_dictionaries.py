"""Dictionaries end to end: a real buffer and a real region, and everything that can come between.

Whatever crashes, gets lost, is restored or learned anew: each accepted event comes out of the
region's journal exactly as it went in, once.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from buffers.chain import LANES, Chain
from buffers.harness import sales
from whimbrel_agent.dictionaries import learning, trials
from whimbrel_aggregator.journal.verify import verify_journal
from whimbrel_protocol.event import Event

T = TypeVar("T")


class DictionaryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        always = trials.Judgement(take=True, reason="in this test it always pays")
        self.stack.enter_context(patch.object(learning, "judge", lambda _trial: always))
        self.folder = Path(tempfile.mkdtemp(prefix="whimbrel-dictionaries-"))
        self.loop = asyncio.new_event_loop()
        self.chain = Chain(self.folder)
        self.accepted: list[Event] = []

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.do(self.chain.start())
        self.do(self.chain.back_up())
        self.do(self.chain.talk())

    def teardown(self) -> None:
        try:
            self.do(self.chain.drain())
            found = self.do(self.chain.served())
            key = repr
            assert sorted(found, key=key) == sorted(self.accepted, key=key)
            report = self.do(self.chain.buffer.verify())
            assert report.problems == ()
            assert all(line.balanced for line in report.ledger)
            path = self.chain.region.journal.path
            self.do(self.chain.close())
            assert verify_journal(path).sound
        finally:
            self.loop.close()
            self.stack.close()
            shutil.rmtree(self.folder)

    @rule(lane=st.sampled_from(LANES), frames=st.integers(1, 6), size=st.integers(1, 12))
    def work(self, lane: str, frames: int, size: int) -> None:
        for _ in range(frames):
            events = sales(size, len(self.accepted), lane=lane)
            self.do(self.chain.buffer.accept(events))
            self.accepted += events
            self.chain.shop.clock.advance(30.0)
            self.do(self.chain.buffer.seal_due(self.chain.shop.clock.mono_ns()))
            while self.do(self.chain.buffer.dictionaries.learn()):
                pass

    @rule(loss=st.sampled_from([0.0, 0.0, 0.3, 0.8]), seed=st.integers(0, 1000))
    def talk(self, loss: float, seed: int) -> None:
        self.do(self.chain.talk(loss, seed))

    @rule()
    def restart(self) -> None:
        self.do(self.chain.buffer.close())
        self.do(self.chain.open())

    @rule()
    def crash(self) -> None:
        self.do(self.chain.crash())

    @rule()
    def back_up(self) -> None:
        self.do(self.chain.back_up())

    @rule()
    def restore(self) -> None:
        self.do(self.chain.restore())

    @rule(on=st.booleans())
    def configure(self, on: bool) -> None:
        self.chain.dictionaries = on
        self.restart()


DictionaryMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, print_blob=True
)
TestDictionaries = DictionaryMachine.TestCase
