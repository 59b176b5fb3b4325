"""Half at a loss, a frame a round trip more after it."""

from __future__ import annotations

from whimbrel_agent.uplink.losswindow import FIRST_WINDOW_BYTES, MIN_WINDOW_BYTES, LossWindow
from whimbrel_protocol.limits import TARGET_FRAME_BYTES

MAX_BYTES = 1_000_000


def grown() -> LossWindow:
    window = LossWindow(MAX_BYTES)
    for _ in range(10):
        window.settled(int(window.size_bytes), full=True)
    return window


def test_a_fast_link_opens_it_to_its_bound() -> None:
    assert LossWindow(MAX_BYTES).size_bytes == FIRST_WINDOW_BYTES
    assert grown().size_bytes == MAX_BYTES


def test_it_does_not_grow_where_it_held_nothing_back() -> None:
    window = LossWindow(MAX_BYTES)
    window.settled(FIRST_WINDOW_BYTES, full=False)
    assert window.size_bytes == FIRST_WINDOW_BYTES


def test_a_loss_halves_it_once_a_round_trip() -> None:
    window = grown()
    assert window.lost(10.0, 1.0, silent=False)
    assert not window.lost(10.9, 1.0, silent=False)
    assert window.size_bytes == MAX_BYTES / 2
    assert window.lost(11.0, 1.0, silent=False)
    assert window.size_bytes == MAX_BYTES / 4


def test_after_a_loss_it_grows_by_a_frame_a_round_trip() -> None:
    window = grown()
    window.lost(10.0, 1.0, silent=False)
    window.settled(int(window.size_bytes), full=True)
    assert window.size_bytes == MAX_BYTES / 2 + TARGET_FRAME_BYTES


def test_silence_closes_it_and_it_doubles_to_where_it_was_halved() -> None:
    window = grown()
    window.lost(10.0, 1.0, silent=True)
    assert window.size_bytes == MIN_WINDOW_BYTES
    for _ in range(5):
        window.settled(int(window.size_bytes), full=True)
    assert window.size_bytes >= MAX_BYTES / 2


def test_a_new_link_starts_small_again() -> None:
    window = grown()
    window.linked()
    assert window.size_bytes == FIRST_WINDOW_BYTES
