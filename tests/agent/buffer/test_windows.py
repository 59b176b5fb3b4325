"""The pure rule of durability windows: what becomes of waiting events, and when."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whimbrel_agent.buffer.held import MAX_WINDOW_S
from whimbrel_agent.buffer.sealing import Waiting, is_due
from whimbrel_agent.buffer.values import LaneConfig
from whimbrel_agent.buffer.windows import OFFLINE_LOOK_NS, Act, is_overdue, next_step, write_by_ns
from whimbrel_protocol.limits import TARGET_FRAME_BYTES

S = 1_000_000_000
LANE = LaneConfig(linger_s=2.0, batch_events=100, durability_s=5.0)


def step(
    waiting: Waiting,
    *,
    now_s: float = 0,
    lane: LaneConfig = LANE,
    sending: bool = True,
    pressing: bool = False,
) -> tuple[Act, float]:
    found = next_step(
        waiting,
        lane,
        now_mono_ns=int(now_s * S),
        ratio=0.1,
        pressing=pressing,
        sending=sending,
    )
    assert found.reason
    return found.act, found.look_ns / S


def held(events: int, *, since_s: float = 0, size_bytes: int = 100) -> Waiting:
    return Waiting(events, size_bytes, int(since_s * S), int(since_s * S))


def test_online_the_linger_or_the_window_ends_first() -> None:
    assert step(held(5)) == (Act.WAIT, 2)
    assert step(held(5), now_s=2) == (Act.SEAL, 2)
    slow = LaneConfig(linger_s=9, batch_events=100, durability_s=5.0)
    assert step(held(5), lane=slow) == (Act.WAIT, 4)
    assert step(held(5), lane=slow, now_s=4) == (Act.SEAL, 4)


def test_online_a_linger_far_longer_than_the_window_makes_no_small_frames() -> None:
    slow = LaneConfig(linger_s=60, batch_events=100, durability_s=5.0)
    assert step(held(5), lane=slow) == (Act.WAIT, 4)
    assert step(held(5), lane=slow, now_s=4) == (Act.WRITE, 4)
    assert step(held(50), lane=slow, now_s=4) == (Act.SEAL, 4)
    assert step(Waiting(5, 100, 0), lane=slow, now_s=4) == (Act.WAIT, 60)
    assert step(Waiting(9, 100, 0, 56 * S), lane=slow, now_s=59) == (Act.WAIT, 60)
    assert step(Waiting(9, 100, 0, 56 * S), lane=slow, now_s=60) == (Act.SEAL, 60)


@pytest.mark.parametrize("sending", [True, False])
def test_a_full_frame_or_want_of_room_seals_at_once(*, sending: bool) -> None:
    assert step(held(100), sending=sending)[0] is Act.SEAL
    assert step(held(1, size_bytes=10 * TARGET_FRAME_BYTES), sending=sending)[0] is Act.SEAL
    assert step(held(1), sending=sending, pressing=True)[0] is Act.SEAL


def test_offline_few_events_are_written_and_many_sealed() -> None:
    assert step(held(49), sending=False) == (Act.WAIT, 4)
    assert step(held(49), now_s=4, sending=False)[0] is Act.WRITE
    assert step(held(50), now_s=4, sending=False)[0] is Act.SEAL
    big = held(2, size_bytes=5 * TARGET_FRAME_BYTES)
    assert step(big, now_s=4, sending=False)[0] is Act.SEAL


def test_offline_what_is_on_the_disk_waits_for_company() -> None:
    on_disk = Waiting(49, 100, 0)
    assert step(on_disk, now_s=100, sending=False) == (Act.WAIT, 100 + OFFLINE_LOOK_NS / S)
    assert step(on_disk, now_s=100)[0] is Act.SEAL


def test_a_long_window_ends_a_second_early_and_a_short_one_by_a_fifth() -> None:
    assert write_by_ns(0, LaneConfig(durability_s=60)) == 59 * S
    assert write_by_ns(0, LaneConfig(durability_s=1)) == int(0.8 * S)


def test_past_its_window_nothing_may_be_joined() -> None:
    assert not is_overdue(0, LANE, 5 * S - 1)
    assert is_overdue(0, LANE, 5 * S)


@settings(deadline=None)
@given(
    events=st.integers(1, 150),
    now_s=st.floats(0, 10),
    sending=st.booleans(),
    pressing=st.booleans(),
)
def test_without_a_window_it_is_the_rule_that_always_was(
    *, events: int, now_s: float, sending: bool, pressing: bool
) -> None:
    lane = LaneConfig(linger_s=2.0, batch_events=100)
    waiting = Waiting(events, 100, 0)
    due = is_due(waiting, lane, now_mono_ns=int(now_s * S), ratio=0.1, pressing=pressing)
    act, look_s = step(waiting, now_s=now_s, lane=lane, sending=sending, pressing=pressing)
    assert act is (Act.SEAL if due else Act.WAIT)
    assert due or look_s == 2


@settings(deadline=None)
@given(
    window_s=st.floats(0.1, MAX_WINDOW_S),
    linger_s=st.floats(0, 100),
    events=st.integers(1, 150),
    sending=st.booleans(),
)
def test_nothing_waits_in_memory_until_its_window_is_over(
    *, window_s: float, linger_s: float, events: int, sending: bool
) -> None:
    lane = LaneConfig(linger_s=linger_s, batch_events=100, durability_s=window_s)
    act, look_s = step(held(events), lane=lane, sending=sending)
    assert act is Act.SEAL or look_s < window_s
    assert step(held(events), lane=lane, sending=sending, now_s=window_s)[0] is not Act.WAIT
