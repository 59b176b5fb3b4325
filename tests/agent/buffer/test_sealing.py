"""The pure rule: when to seal, and how much."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from whimbrel_agent.buffer.sealing import (
    MAX_SEAL_BYTES,
    Waiting,
    deadline_ns,
    is_due,
    next_ratio,
    rows_to_seal,
)
from whimbrel_agent.buffer.values import LaneConfig
from whimbrel_protocol.limits import MAX_SEAL_EVENTS, TARGET_FRAME_BYTES

LANE = LaneConfig(linger_s=2.0, batch_events=100)
rows = st.lists(st.tuples(st.integers(1, 250), st.integers(1, 130_000)), min_size=1, max_size=50)


def due(waiting: Waiting, *, now: int = 0, pressing: bool = False) -> bool:
    return is_due(waiting, LANE, now_mono_ns=now, ratio=0.1, pressing=pressing)


def test_each_reason_to_seal_is_enough() -> None:
    assert not due(Waiting(99, 1_000, 0))
    assert due(Waiting(100, 1_000, 0))
    assert due(Waiting(1, 10 * TARGET_FRAME_BYTES, 0))
    assert due(Waiting(1, 1, 0), now=2_000_000_000)
    assert due(Waiting(1, 1, 0), pressing=True)
    assert not due(Waiting(0, 0, 0), now=10**18, pressing=True)
    assert deadline_ns(Waiting(1, 1, 5), LANE) == 2_000_000_005


@settings(deadline=None)
@given(rows=rows, batch=st.integers(1, 1_000), ratio=st.floats(0.01, 2))
def test_a_cut_is_within_limits_and_never_empty(
    rows: list[tuple[int, int]], batch: int, ratio: float
) -> None:
    taken = rows_to_seal(rows, batch_events=batch, ratio=ratio)
    assert 1 <= taken <= len(rows)
    cut = rows[:taken]
    assert sum(events for events, _ in cut) <= MAX_SEAL_EVENTS
    assert taken == 1 or sum(size for _, size in cut) <= MAX_SEAL_BYTES
    assert sum(events for events, _ in cut[:-1]) < batch


@settings(deadline=None)
@given(rows=rows, more=rows, batch=st.integers(1, 1_000))
def test_what_comes_later_never_changes_a_full_cut(
    rows: list[tuple[int, int]], more: list[tuple[int, int]], batch: int
) -> None:
    taken = rows_to_seal(rows, batch_events=batch, ratio=0.15)
    if taken < len(rows):
        assert rows_to_seal(rows + more, batch_events=batch, ratio=0.15) == taken


def test_ratio_follows_what_was_sealed() -> None:
    ratio = 0.15
    for _ in range(50):
        ratio = next_ratio(ratio, frame_bytes=500, packed_bytes=10_000)
    assert 0.049 < ratio < 0.06
