"""The window that gives way."""

from __future__ import annotations

import pytest

from whimbrel_agent.uplink.background import (
    CRUISE,
    FIRST_BYTES,
    GAIN,
    LEAST_BYTES,
    MAX_TARGET_S,
    MIN_TARGET_S,
    MOST_TARGET_S,
    PACE,
    PACE_WHILE_DOUBLING,
    PHASES,
    PROBE,
    RETURNS,
    BackgroundWindow,
)
from whimbrel_protocol.limits import TARGET_FRAME_BYTES

RATE = 1_000_000.0
MAX_BYTES = 2_000_000


class Driver:
    """A window that hears a receipt each round trip."""

    def __init__(self, frame_bytes: int = 1_000) -> None:
        self.window = BackgroundWindow(MAX_BYTES)
        self.now_s = 10.0
        self.frame_bytes = frame_bytes

    def hear(self, queueing_s: float, *, full: bool = True, rounds: int = 1) -> float:
        for _ in range(rounds):
            self.now_s += 0.1
            self.window.settled(
                int(self.window.size_bytes), self.frame_bytes, sent_s=self.now_s - 0.1,
                now_s=self.now_s, queueing_s=queueing_s, rate_per_s=RATE, full=full,
            )  # fmt: skip
        return self.window.size_bytes


def steady(size_bytes: float = 200_000.0) -> Driver:
    driver = Driver()
    driver.window.doubling = False
    driver.window.size_bytes = size_bytes
    return driver


def test_it_doubles_until_frames_wait_then_takes_what_the_link_holds() -> None:
    driver = Driver()
    assert driver.hear(0.0, rounds=3) == 8 * FIRST_BYTES
    assert driver.hear(0.06) == pytest.approx(RATE * (0.1 - 0.06 + MAX_TARGET_S))
    assert not driver.window.doubling


def test_below_the_target_it_grows_by_a_part_of_what_is_missing() -> None:
    driver = steady()
    assert driver.hear(MAX_TARGET_S - 0.01) == pytest.approx(200_000 + GAIN * 0.01 * RATE)
    assert driver.hear(MAX_TARGET_S) == pytest.approx(200_000 + GAIN * 0.01 * RATE)


def test_it_never_grows_by_more_than_a_frame_a_round_trip() -> None:
    assert steady().hear(0.0) == 200_000 + TARGET_FRAME_BYTES


def test_below_what_the_empty_way_holds_it_doubles_once_the_queue_is_gone() -> None:
    driver = steady(16_000.0)
    assert driver.hear(1.0, rounds=2) == LEAST_BYTES
    assert driver.hear(0.04) == 2 * LEAST_BYTES
    assert driver.hear(0.04) == 4 * LEAST_BYTES
    assert driver.hear(0.04) == pytest.approx(RETURNS * RATE * (0.1 - 0.04))
    assert driver.hear(0.04) == pytest.approx(RETURNS * RATE * (0.1 - 0.04) + GAIN * 0.01 * RATE)


def test_it_does_not_grow_where_it_held_nothing_back_and_shrinks_all_the_same() -> None:
    driver = steady()
    assert driver.hear(0.0, full=False) == 200_000
    assert driver.hear(0.1, full=False) < 200_000


def test_beyond_the_target_it_shrinks_by_half_at_most_down_to_half_a_frame() -> None:
    driver = steady()
    assert driver.hear(5.0) == 100_000
    assert driver.hear(5.0, rounds=20) == LEAST_BYTES


def test_a_receipt_from_before_the_last_move_moves_nothing() -> None:
    driver = steady()
    driver.hear(0.1)
    before = driver.window.size_bytes
    driver.window.settled(
        1_000, 1_000, sent_s=driver.now_s - 0.05, now_s=driver.now_s + 0.05, queueing_s=0.1,
        rate_per_s=RATE, full=True,
    )  # fmt: skip
    assert driver.window.size_bytes == before


@pytest.mark.parametrize(
    ("frame_s", "target_s"), [(0.075, MIN_TARGET_S), (0.2, 0.05), (1.0, MOST_TARGET_S)]
)
def test_where_a_frame_takes_long_the_target_is_less_but_a_part_of_that_time(
    frame_s: float, target_s: float
) -> None:
    driver = steady()
    driver.frame_bytes = int(RATE * frame_s)
    assert driver.hear(target_s) == pytest.approx(200_000)
    assert driver.hear(target_s * 1.5) < 200_000


def test_a_loss_halves_it_and_silence_closes_it() -> None:
    window = BackgroundWindow(MAX_BYTES)
    window.size_bytes = 400_000.0
    window.lost(silent=False)
    assert (window.size_bytes, window.doubling) == (200_000, False)
    window.lost(silent=True)
    assert window.size_bytes == LEAST_BYTES


def test_while_doubling_the_pace_is_twice_the_window_a_round_trip() -> None:
    window = BackgroundWindow(MAX_BYTES)
    assert window.pace_per_s(0.5, RATE, 1.0) == PACE_WHILE_DOUBLING * FIRST_BYTES / 0.5


def test_it_cruises_below_the_rate_and_probes_for_one_round_trip_of_each_cycle() -> None:
    window = steady(1e6).window
    parts = [window.pace_per_s(0.1, RATE, 10.0 + 0.11 * n) / RATE for n in range(2 * PHASES)]
    assert parts.count(PROBE) == 2
    assert parts.count(CRUISE) == 2 * (PHASES - 2)
    assert parts[(parts.index(PROBE) + 1) % PHASES] < CRUISE


def test_a_small_window_is_the_pace() -> None:
    window = steady(float(LEAST_BYTES)).window
    assert window.pace_per_s(0.4, RATE, 1.0) == PACE * LEAST_BYTES / 0.4
