"""The machine's clocks."""

from __future__ import annotations

import datetime as dt

import psutil

from whimbrel_agent.clock import SystemClock, boot_id_of
from whimbrel_protocol.header import BOOT_ID_BYTES
from whimbrel_protocol.lanes import ClockQuality


def test_monotonic_time_counts_from_boot_and_never_goes_back() -> None:
    clock = SystemClock()
    read = [clock.mono_ns() for _ in range(1_000)]
    assert read == sorted(read)
    booted_s = clock.wall_ns() / 1e9 - read[-1] / 1e9
    assert abs(booted_s - psutil.boot_time()) < 3_600


def test_wall_time_is_unix_time() -> None:
    now = dt.datetime.now(dt.UTC).timestamp()
    assert abs(SystemClock().wall_ns() / 1e9 - now) < 5


def test_the_boot_id_is_the_same_within_a_boot_and_tells_nothing() -> None:
    assert SystemClock().boot_id == SystemClock().boot_id
    assert len(boot_id_of("f" * 36)) == BOOT_ID_BYTES
    assert boot_id_of("a\n") == boot_id_of("a") != boot_id_of("b")


def test_the_quality_follows_the_kernel() -> None:
    clock = SystemClock()
    clock._fallback = ClockQuality.RTC
    for state, quality in [
        (0, ClockQuality.SYNCED),
        (5, ClockQuality.RTC),
        (-1, ClockQuality.UNKNOWN),
    ]:
        clock._kernel_state = lambda state=state: state  # type: ignore[misc]
        assert clock.quality() is quality


def test_this_kernel_answers() -> None:
    assert SystemClock().quality() in set(ClockQuality)
