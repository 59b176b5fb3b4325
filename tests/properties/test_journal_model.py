"""The journal against a model of plain lists and sets, with restarts in between."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from regions.frames import START_NS, append_of, new_frame, stream
from regions.ingesting import direct_journal
from whimbrel_aggregator.journal.port import (
    Committed,
    Conflict,
    Cursor,
    NewFrame,
    PartitionKey,
    RetentionPolicy,
    StreamKey,
)
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.journal.verify import verify_journal
from whimbrel_protocol.sequences import RangeSet

T = TypeVar("T")

STREAMS = [
    stream(device, store=store, lane=lane)
    for store in ("store-1", "store-2")
    for device in ("till-1", "till-2")
    for lane in ("normal", "bulk")
]
PARTITIONS = [PartitionKey("acme", store) for store in ("store-1", "store-2")]


class JournalModel(RuleBasedStateMachine):
    journal: SqliteJournal

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.path = self.folder / "journal.db"
        self.journal = self.run(direct_journal(self.path))
        self.frames: dict[PartitionKey, list[NewFrame]] = {key: [] for key in PARTITIONS}
        self.oldest = dict.fromkeys(PARTITIONS, 1)
        self.settled: dict[StreamKey, RangeSet] = {}
        self.cursors: dict[PartitionKey, int] | None = None
        self.clock = START_NS

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @rule(
        spans=st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(1, 9), st.integers(0, 3))),
        stale=st.booleans(),
    )
    def append(self, spans: list[tuple[StreamKey, int, int]], stale: bool) -> None:
        self.clock += 10
        by_partition: dict[PartitionKey, list[NewFrame]] = {}
        after = {key: ranges.copy() for key, ranges in self.settled.items()}
        for key, span, hole in spans:
            first = after.get(key, RangeSet()).last + 1 + hole
            after.setdefault(key, RangeSet()).add(first, first + span - 1)
            frame = new_frame(key, first, span, received_ns=self.clock, data=random.randbytes(50))
            by_partition.setdefault(key.partition, []).append(frame)
        appends = [
            append_of(
                frames,
                head=len(self.frames[partition]) + (stale and number == 0),
                settled={key: ranges.copy() for key, ranges in self.settled.items()},
            )
            for number, (partition, frames) in enumerate(by_partition.items())
        ]
        results = self.run(self.journal.append(appends))
        for append, result in zip(appends, results, strict=True):
            held = self.frames[append.partition]
            if isinstance(result, Conflict):
                assert result.head == len(held) != append.expected_head
                continue
            held += append.frames
            assert result == Committed(len(held))
            assert self.run(self.journal.outcome(append.partition, append.op_id)) == result
            for update in append.streams:
                self.settled[update.key] = update.ranges.copy()

    @rule()
    def attach(self) -> None:
        self.run(self.journal.attach("reader"))
        if self.cursors is None:
            self.cursors = dict.fromkeys(PARTITIONS, 1)

    @rule()
    def detach(self) -> None:
        if self.cursors is not None:
            self.run(self.journal.detach("reader"))
            self.cursors = None

    @rule(partition=st.sampled_from(PARTITIONS), share=st.floats(0, 1))
    def advance(self, partition: PartitionKey, share: float) -> None:
        if self.cursors is None:
            return
        offset = 1 + int(share * len(self.frames[partition]))
        cursor = Cursor(self.journal.generation, offset)
        self.run(self.journal.put_cursor("reader", partition, cursor))
        self.cursors[partition] = max(offset, self.cursors[partition])
        assert self.run(self.journal.cursor("reader", partition)).offset == self.cursors[partition]

    @rule(age=st.integers(0, 50))
    def retain(self, age: int) -> None:
        self.run(self.journal.retain(RetentionPolicy(max_age_ns=age), self.clock))
        for partition, frames in self.frames.items():
            low = len(frames) + 1
            if self.cursors is not None:
                low = min(low, self.cursors[partition])
            while (
                self.oldest[partition] < low
                and frames[self.oldest[partition] - 1].received_ns < self.clock - age
            ):
                self.oldest[partition] += 1

    @rule()
    def restart(self) -> None:
        self.run(self.journal.close())
        self.journal = self.run(direct_journal(self.path))

    @rule()
    def checkpoint(self) -> None:
        self.run(self.journal.checkpoint())

    @invariant()
    def reads_what_was_appended(self) -> None:
        for partition, frames in self.frames.items():
            page = self.run(self.journal.read(partition, 1, limit_frames=10_000))
            assert not page.damaged
            kept = frames[self.oldest[partition] - 1 :]
            assert [(frame.key, frame.first, frame.data) for frame in page.frames] == [
                (frame.key, frame.first, frame.data) for frame in kept
            ]

    @invariant()
    def knows_what_is_settled(self) -> None:
        for key, record in zip(STREAMS, self.run(self.journal.streams(STREAMS)), strict=True):
            assert (RangeSet() if record is None else record.ranges) == self.settled.get(
                key, RangeSet()
            )

    def teardown(self) -> None:
        if not hasattr(self, "journal"):
            return
        self.run(self.journal.close())
        structure = {"frame index", "file", "devices", "streams", "frames", "index"}
        assert not [one for one in verify_journal(self.path).problems if one.where in structure]
        self.loop.close()
        shutil.rmtree(self.folder)


JournalModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestJournalModel = JournalModel.TestCase
