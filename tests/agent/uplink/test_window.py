"""Bounds on what is in flight."""

from __future__ import annotations

import pytest

from whimbrel_agent.uplink.window import (
    FIRST_TIMEOUT_S,
    FIRST_WINDOW_BYTES,
    MAX_TIMEOUT_S,
    MIN_TIMEOUT_S,
    MIN_WINDOW_BYTES,
    MIN_WINDOW_FRAMES,
    Window,
)
from whimbrel_protocol.messages import Credit

MAX_BYTES = 1_000_000
PLENTY = Credit(10 * MAX_BYTES, 3600)


def credited_window(credit: Credit = PLENTY) -> Window:
    window = Window(max_bytes=MAX_BYTES, max_frames=100)
    window.credited(credit, 0.0)
    return window


def grow(window: Window, *, round_trip_s: float, rounds: int, full: bool = True) -> None:
    for number in range(rounds):
        window.measured(round_trip_s, float(number))
        window.settled(window.allowance(float(number)), round_trip_s, frames=1, full=full)


def test_without_credit_nothing_but_probes_may_go() -> None:
    window = Window(max_bytes=MAX_BYTES, max_frames=100)
    assert window.allowance(0.0) == 0
    assert window.may_probe(0.0)


def test_the_credit_bounds_the_window() -> None:
    assert credited_window(Credit(5_000, 10)).allowance(1.0) == 5_000


def test_credit_ends_with_its_lifetime() -> None:
    window = credited_window(Credit(5_000, 10))
    assert (window.allowance(9.9), window.allowance(10.0)) == (5_000, 0)


def test_a_fast_link_opens_the_window_to_its_bound() -> None:
    window = credited_window()
    assert window.allowance(0.0) == FIRST_WINDOW_BYTES
    grow(window, round_trip_s=0.05, rounds=10)
    assert window.allowance(1.0) == MAX_BYTES


def test_a_window_that_was_not_full_does_not_grow() -> None:
    window = credited_window()
    grow(window, round_trip_s=0.05, rounds=10, full=False)
    assert window.allowance(1.0) == FIRST_WINDOW_BYTES


def test_queueing_beyond_the_target_shrinks_the_window() -> None:
    window = credited_window()
    grow(window, round_trip_s=0.05, rounds=10)
    grow(window, round_trip_s=4.0, rounds=20)
    assert window.allowance(1.0) == MIN_WINDOW_BYTES


def test_a_lost_receipt_halves_the_window_and_silence_closes_it() -> None:
    window = credited_window()
    grow(window, round_trip_s=0.05, rounds=10)
    window.timed_out(silent=False)
    assert window.allowance(1.0) == MAX_BYTES // 2
    window.timed_out(silent=True)
    assert window.allowance(1.0) == MIN_WINDOW_BYTES


def test_a_new_link_starts_small_again() -> None:
    window = credited_window()
    grow(window, round_trip_s=0.05, rounds=10)
    window.linked()
    assert window.allowance(1.0) == FIRST_WINDOW_BYTES


def test_the_timeout_follows_round_trips_within_bounds_and_doubles_with_sends() -> None:
    window = credited_window()
    assert window.timeout_s(1) == FIRST_TIMEOUT_S
    grow(window, round_trip_s=0.01, rounds=30)
    assert window.timeout_s(1) == MIN_TIMEOUT_S
    assert window.timeout_s(3) == 4 * MIN_TIMEOUT_S
    assert window.timeout_s(50) == MAX_TIMEOUT_S
    grow(window, round_trip_s=8.0, rounds=60)
    assert 8.0 < window.timeout_s(1) < 20.0


def test_the_first_round_trip_follows_rfc_6298() -> None:
    window = credited_window()
    window.measured(4.0, 0.0)
    assert window.timeout_s(1) == pytest.approx(4.0 + 4 * 2.0)


def test_probes_grow_apart_until_credit_comes() -> None:
    window = credited_window(Credit(0, 3600))
    waits = []
    now_s = 0.0
    for _ in range(9):
        window.probed(now_s)
        waits.append(window.probe_at_s - now_s)
        now_s = window.probe_at_s
    assert waits == [1, 2, 4, 8, 16, 32, 64, MAX_TIMEOUT_S, MAX_TIMEOUT_S]
    window.credited(PLENTY, now_s)
    assert window.may_probe(now_s)
    assert not window.probing(now_s)


def test_after_a_missed_frame_half_as_many_go_and_settled_ones_bring_them_back() -> None:
    window = Window(max_bytes=1_000_000, max_frames=64)
    window.went_back(40)
    assert window.frames == 20
    for _ in range(10):
        window.went_back(window.frames)
    assert window.frames == MIN_WINDOW_FRAMES
    for _ in range(100):
        window.settled(1_000, 0.1, frames=window.frames, full=False)
    assert window.frames == 64
