"""What the modes ask for."""

from __future__ import annotations

import itertools
import math

import pytest

from whimbrel_agent.power.modes import SETTINGS, CodecEffort, Mode, frugal_settings
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.limits import MAX_SEAL_EVENTS


def test_each_mode_has_settings_for_each_lane() -> None:
    assert set(SETTINGS) == set(Mode)
    assert all(set(settings.linger_s) == set(LANES) for settings in SETTINGS.values())


def test_mains_leaves_everything_as_configured() -> None:
    mains = SETTINGS[Mode.MAINS]
    assert all(mains.lingers(lane, 1.5) == 1.5 for lane in LANES)
    assert (mains.batch_events, mains.keepalive_s, mains.sessions_per_h) == (None, None, None)
    assert mains.codec_effort is CodecEffort.FULL
    assert mains.stay_connected


@pytest.mark.parametrize(("richer", "poorer"), list(itertools.pairwise(Mode)))
def test_each_mode_is_at_least_as_frugal_as_the_one_before(richer: Mode, poorer: Mode) -> None:
    a, b = SETTINGS[richer], SETTINGS[poorer]
    assert all(a.linger_s[lane] <= b.linger_s[lane] for lane in LANES)
    assert (a.sessions_per_h or math.inf) >= (b.sessions_per_h or math.inf)
    assert (a.keepalive_s or 0) <= (b.keepalive_s or 0)
    assert (a.batch_events or 0) <= (b.batch_events or 0)
    assert a.metrics_every_s <= b.metrics_every_s
    assert a.stay_connected >= b.stay_connected
    assert a.codec_effort.value <= b.codec_effort.value


@pytest.mark.parametrize("mode", Mode)
def test_what_is_critical_never_waits(mode: Mode) -> None:
    assert SETTINGS[mode].lingers("critical", 0.0) == 0


@pytest.mark.parametrize("mode", Mode)
def test_what_a_mode_asks_for_can_be_done(mode: Mode) -> None:
    settings = SETTINGS[mode]
    assert (settings.batch_events or 1) <= MAX_SEAL_EVENTS
    assert max(settings.linger_s.values()) <= 3600  # what agent.toml takes
    assert (settings.keepalive_s or 5) <= 3600


def test_looks_are_at_most_one_a_minute_while_nothing_presses() -> None:
    assert all(SETTINGS[mode].poll_s >= 60 for mode in (Mode.MAINS, Mode.BATTERY, Mode.LOW))


def test_the_operator_s_longer_linger_stands() -> None:
    assert SETTINGS[Mode.BATTERY].lingers("normal", 600) == 600


def test_frugal_hardware_has_few_sessions_in_every_mode_and_fewer_where_the_mode_says_so() -> None:
    few = frugal_settings(8, None)
    assert [few[mode].sessions_per_h for mode in Mode] == [8, 8, 4, 1]
    assert [few[mode].codec_effort for mode in Mode] == [SETTINGS[m].codec_effort for m in Mode]
    assert few[Mode.MAINS].stay_connected


def test_an_effort_that_was_asked_for_is_made_in_every_mode() -> None:
    for effort in CodecEffort:
        assert {s.codec_effort for s in frugal_settings(None, effort).values()} == {effort}
    assert frugal_settings(None, None) == SETTINGS
