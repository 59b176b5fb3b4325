"""How long frames wait, told from their delays."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.uplink.queueing import (
    BASE_HISTORY,
    BASE_PERIOD_S,
    FILTER_S,
    Queueing,
    lower_edge,
)


def test_nothing_is_known_before_a_frame() -> None:
    assert (Queueing().now_s, Queueing().base_s) == (None, None)


def test_what_is_above_the_least_delay_is_queueing() -> None:
    queueing = Queueing()
    for number, delay_s in enumerate([0.1, 0.15, 0.3]):
        queueing.measured(1_000, delay_s, number * 1.0)
    assert queueing.base_s == 0.1
    assert queueing.now_s == pytest.approx(0.2)


def test_one_late_frame_among_others_is_no_queue() -> None:
    queueing = Queueing()
    for number, delay_s in enumerate([0.1, 0.11, 0.5, 0.5]):
        queueing.measured(1_000, delay_s, number * FILTER_S / 4)
    assert queueing.now_s == 0.0
    queueing.measured(1_000, 0.5, 10.0)
    assert queueing.now_s == pytest.approx(0.4)


def test_a_large_frame_that_takes_its_time_has_not_waited() -> None:
    queueing = Queueing()
    queueing.measured(500, 0.05, 0.0)
    queueing.measured(16_000, 0.12, 1.0)
    assert queueing.now_s == 0.0
    queueing.measured(16_000, 0.15, 2.0)
    assert queueing.now_s == pytest.approx(0.03)


def test_no_frame_is_quicker_than_a_smaller_one() -> None:
    queueing = Queueing()
    queueing.measured(500, 0.2, 0.0)
    queueing.measured(16_000, 0.12, 1.0)
    queueing.measured(500, 0.2, 2.0)
    assert queueing.now_s == pytest.approx(0.08)


def test_frames_in_between_take_as_long_as_their_size_says() -> None:
    queueing = Queueing()
    queueing.measured(8_200, 0.040, 0.0)
    queueing.measured(16_200, 0.080, 1.0)  # of the same power of two
    queueing.measured(12_200, 0.075, 2.0)
    assert queueing.now_s == pytest.approx(0.015)
    queueing.measured(16_200, 0.085, 3.0)
    assert queueing.now_s == pytest.approx(0.005)


def test_a_size_that_never_had_the_link_to_itself_is_told_from_a_smaller_one_by_the_rate() -> None:
    queueing = Queueing()
    queueing.measured(10_000, 0.05, 0.0)
    queueing.measured(20_000, 0.20, 1.0)
    assert queueing.now_s == 0.0
    queueing.measured(20_000, 0.20, 2.0, rate_per_s=200_000.0)
    assert queueing.now_s == pytest.approx(0.10)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 1_000).map(float)), min_size=1),
)
def test_the_edge_is_below_everything_and_as_high_as_can_be(
    points: list[tuple[int, float]],
) -> None:
    edge = lower_edge(points)
    slopes = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in pairwise(edge)]
    assert slopes == sorted(slopes)  # convex, so that a line between two points is above it
    assert all(slope >= 0 for slope in slopes)
    assert [edge[0][0], edge[-1][0]] == [min(x for x, _ in points), max(x for x, _ in points)]
    for x, y in points:
        for ((x0, y0), _), slope in zip(pairwise(edge), slopes, strict=True):
            assert y >= y0 + slope * (x - x0) - 1e-6
            assert y >= y0 or x < x0  # a larger one is no quicker
    for x, y in edge:  # each is somebody's, of its size or larger
        assert any(px >= x and py == y for px, py in points)


def test_a_longer_route_is_known_as_such_after_the_history() -> None:
    queueing = Queueing()
    queueing.measured(1_000, 0.1, 0.0)
    now_s = 0.0
    for _ in range(BASE_HISTORY + 1):
        now_s += BASE_PERIOD_S
        queueing.measured(1_000, 0.4, now_s)
    assert queueing.now_s == 0.0
    assert queueing.base_s == 0.4


def test_another_link_begins_anew() -> None:
    queueing = Queueing()
    queueing.measured(1_000, 0.1, 0.0)
    queueing.linked()
    queueing.measured(1_000, 0.4, 1.0)
    assert queueing.now_s == 0.0
