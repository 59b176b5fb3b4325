"""Whatever order, repetition, clones and gaps: every accepted event is settled exactly once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from regions.frames import stream
from whimbrel_aggregator.ingest.verdict import Candidate, Decision, Lookup, Verdict, View, decide
from whimbrel_aggregator.journal.values import DeviceState, IndexEntry, StreamKey
from whimbrel_protocol.lanes import Order
from whimbrel_protocol.messages import Status
from whimbrel_protocol.sequences import RangeSet

KEY = stream()


def candidate(first: int, span: int, count: int, life: int, order: Order) -> Candidate:
    name = f"{first} {span} {count} {life}".encode()
    return Candidate(
        key=KEY,
        order=order,
        first=first,
        span=span,
        count=count,
        digest=hashlib.sha256(name).digest()[:8],
        reason=0 if count else 1,
    )


@dataclass
class Shelf:
    """A journal of the simplest kind: the rules' memory between groups."""

    streams: dict[StreamKey, RangeSet] = field(default_factory=dict)
    kept: dict[StreamKey, list[IndexEntry]] = field(default_factory=dict)
    committed: list[tuple[StreamKey, Candidate]] = field(default_factory=list)

    def judge(self, group: Sequence[Candidate]) -> list[Decision]:
        view = View()
        decisions = []
        for one in group:
            while isinstance(answer := decide(one, view), Lookup):
                self.look_up(answer, view)
            if answer.commits:
                view.commit(one, answer)
                self.committed.append((answer.key, one))
            decisions.append(answer)
        self.streams |= view.changed
        for key, entries in view.added.items():
            self.kept.setdefault(key, []).extend(entries)
        return decisions

    def look_up(self, wanted: Lookup, view: View) -> None:
        if wanted.stream is not None:
            view.streams[wanted.stream] = self.streams.get(wanted.stream)
        if wanted.device is not None:
            view.devices[wanted.device] = DeviceState(streams=len(self.streams))
        if wanted.kept is not None:
            key, first, last = wanted.kept
            found = [
                entry
                for entry in self.kept.get(key, [])
                if entry.first <= last and entry.first + entry.span > first
            ]
            view.kept[wanted.kept] = min(found, key=lambda entry: entry.first, default=None)


@st.composite
def lives(draw: st.DrawFn) -> list[list[Candidate]]:
    """Groups of frames of one device and its clones, out of order and repeated."""
    order = draw(st.sampled_from(list(Order)))
    frames = []
    for life in range(draw(st.integers(1, 3))):
        at = 1
        for _ in range(draw(st.integers(1, 6))):
            span = draw(st.integers(1, 4))
            # a clone's frames are equal bytes while both lives were one
            name = 0 if draw(st.booleans()) else life
            frames.append(candidate(at, span, span, name, order))
            if draw(st.integers(0, 5)) == 0:
                frames.append(candidate(at, span, 0, name, order))
            at += span
    sent = draw(st.lists(st.sampled_from(frames), min_size=1, max_size=60))
    cut = draw(st.integers(1, 20))
    return [sent[at : at + cut] for at in range(0, len(sent), cut)]


@given(lives())
def test_no_sequence_of_a_stream_is_settled_twice(groups: list[list[Candidate]]) -> None:
    shelf = Shelf()
    for group in groups:
        shelf.judge(group)
    for key in {key for key, _ in shelf.committed}:
        taken: list[int] = []
        for at, one in shelf.committed:
            if at == key:
                taken += range(one.first, one.last + 1)
        assert len(taken) == len(set(taken))
        assert sorted(taken) == [
            number for low, high in shelf.streams[key] for number in range(low, high + 1)
        ]


@given(lives())
def test_a_committed_receipt_is_true(groups: list[list[Candidate]]) -> None:
    """Whoever is told COMMITTED finds exactly these bytes in the journal, once; a gap excepted,
    which is told so when its events are there."""
    shelf = Shelf()
    for group in groups:
        for one, decision in zip(group, shelf.judge(group), strict=True):
            same = [kept for _, kept in shelf.committed if kept.digest == one.digest]
            if decision.status is Status.COMMITTED and one.count:
                assert len(same) == 1
            elif decision.verdict is Verdict.GAP_VOID:
                assert any(
                    kept.count and (kept.first, kept.span) == (one.first, one.span)
                    for _, kept in shelf.committed
                )
            assert decision.status is not Status.COMMITTED_UNKNOWN


@given(lives())
def test_what_was_receipted_and_comes_again_commits_nothing(groups: list[list[Candidate]]) -> None:
    shelf = Shelf()
    for group in groups:
        before = shelf.judge(group)
        for once, again in zip(before, shelf.judge(group), strict=True):
            if once.status is not None:  # else it came too early, and its turn may be now
                assert not again.commits
                assert again.status is not None


@given(lives())
def test_grouping_does_not_matter(groups: list[list[Candidate]]) -> None:
    together, apart = Shelf(), Shelf()
    for group in groups:
        for one in group:
            apart.judge([one])
        together.judge(group)
    assert together.committed == apart.committed
    assert together.streams == apart.streams


@given(lives())
def test_an_in_order_lane_is_committed_in_sequence_order(groups: list[list[Candidate]]) -> None:
    shelf = Shelf()
    for group in groups:
        shelf.judge(group)
    own = [one for key, one in shelf.committed if key == KEY]
    if own and own[0].order is Order.IN_ORDER:
        assert [one.first for one in own] == sorted(one.first for one in own)
        assert len(shelf.streams[KEY]) == 1
