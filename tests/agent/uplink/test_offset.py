"""The estimate of the region's clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.uplink.offset import MAX_DELAY_NS, ClockOffset

NS = st.integers(0, 10**9)


@given(st.integers(-(10**15), 10**15), NS, NS, NS)
def test_the_true_offset_is_within_half_the_delay(
    offset_ns: int, there_ns: int, at_region_ns: int, back_ns: int
) -> None:
    sent_ns = 10**18
    received_ns = sent_ns + there_ns + offset_ns
    answered_ns = received_ns + at_region_ns
    now_ns = sent_ns + there_ns + at_region_ns + back_ns
    clock = ClockOffset()
    assert clock.add(sent_ns, received_ns, answered_ns, now_ns)
    best = clock.best
    assert best is not None
    assert best.delay_ns == there_ns + back_ns
    assert abs(best.offset_ns - offset_ns) <= best.delay_ns / 2 + 1


def test_the_least_delayed_sample_wins() -> None:
    clock = ClockOffset()
    clock.add(0, 500, 500, 1_000)
    clock.add(0, 10, 10, 20)
    clock.add(0, 5_000, 5_000, 10_000)
    assert clock.best is not None
    assert clock.best.delay_ns == 20


def test_a_clock_that_was_set_in_between_is_not_believed() -> None:
    clock = ClockOffset()
    assert not clock.add(1_000, 2_000, 2_000, 500)
    assert not clock.add(0, 0, 0, MAX_DELAY_NS + 1)
    assert not clock.add(0, 2_000, 1_000, 10_000)
    assert clock.best is None
