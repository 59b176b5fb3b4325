"""The return of a fleet, simulated: real starts, devices as values, virtual time."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

import pytest

from whimbrel_aggregator.flow import returning
from whimbrel_aggregator.flow.returning import AWAY_S, BURST_S, Returning, starts_per_s

FLEET = 10_000
SHARE_PER_S = 0.025


def test_the_rate_is_a_share_of_the_fleet_and_not_less_than_the_least() -> None:
    assert starts_per_s(10_000, share_per_s=0.025, least_per_s=100) == 250
    assert starts_per_s(10, share_per_s=0.025, least_per_s=100) == 100


def test_a_few_devices_start_at_once() -> None:
    pacer = Returning[int](10)
    assert [pacer.wait_s(device, 100.0) for device in range(10)] == [0] * 10
    assert [pacer.wait_s(device, 100.0) for device in range(20, 40)][1:] == [1] * 10 + [2] * 9


def test_a_device_keeps_its_place_however_often_it_asks() -> None:
    pacer = Returning[int](1)
    first = [pacer.wait_s(device, 0.0) for device in range(30)]
    again = [pacer.wait_s(device, 5.0) for device in range(10, 30)]
    assert again == [wait_s - 5 for wait_s in first[10:]]
    assert pacer.wait_s(29, float(first[29])) == 0


def test_a_place_that_nobody_came_for_is_void_a_minute_later() -> None:
    pacer = Returning[int](1)
    waits = [pacer.wait_s(device, 0.0) for device in range(100)]
    back_s = waits[-1] + AWAY_S + 1.0
    again = sorted(pacer.wait_s(device, back_s) for device in range(2, 100))
    assert again.count(0) <= 2
    assert again[-1] >= 95


def test_one_that_is_here_already_does_not_wait_behind_the_others() -> None:
    pacer = Returning[int](1)
    assert pacer.wait_s(0, 0.0) == 0
    for device in range(1, 100):
        pacer.wait_s(device, 1.0)
    assert pacer.wait_s(0, 30.0) == 0
    assert pacer.wait_s(0, 31.0 + AWAY_S) > 0


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "MAX_PLACES", 50)
    pacer = Returning[int](1)
    for device in range(1_000):
        pacer.wait_s(device, 0.0)
        pacer.heard(device, 0.0)
    assert len(pacer._starts) == len(pacer._heard) == 50


@dataclass(frozen=True, order=True)
class Ask:
    """A device asks at a time; how often it did before."""

    at_s: float
    device: int
    asks: int = 0


@dataclass(frozen=True)
class Return:
    """What happened: when each device started and had drained, and what the region said first."""

    starts_s: dict[int, float]
    drained_s: dict[int, float]
    told_s: float


def fleet_returns(
    pacer: Returning[int], *, arriving_s: float, lost: float, backlog_bytes: int, seed: int
) -> Return:
    """Let a fleet come back; ``lost`` of the region's answers do not arrive.

    A device that gets no answer asks again as the agent does (2, 4, 8, 16, 20 s), one that is told
    to wait asks then, one that starts has its credit in flight each round trip.
    """
    chance = random.Random(seed)
    credit_bytes, round_trip_s = 2**20, 0.2
    asks = [Ask(chance.random() * arriving_s, device) for device in range(FLEET)]
    heapq.heapify(asks)
    starts_s: dict[int, float] = {}
    drained_s: dict[int, float] = {}
    told_s = 0.0
    while asks:
        ask = heapq.heappop(asks)
        wait_s = pacer.wait_s(ask.device, ask.at_s)
        if ask.asks == 0:
            rounds = -(-backlog_bytes // credit_bytes)
            told_s = max(told_s, ask.at_s + wait_s + rounds * round_trip_s)
        if chance.random() < lost:
            wait_s = min(20, 2 ** (ask.asks + 1))
        elif wait_s == 0:
            starts_s[ask.device] = ask.at_s
            rounds = -(-backlog_bytes // credit_bytes)
            drained_s[ask.device] = ask.at_s + rounds * round_trip_s
            continue
        again_s = ask.at_s + wait_s + chance.random() * round_trip_s
        heapq.heappush(asks, Ask(again_s, ask.device, ask.asks + 1))
    return Return(starts_s, drained_s, told_s)


def peak_in_a_second(times_s: dict[int, float]) -> int:
    """The most that lie in any one second, wherever it begins."""
    ordered = sorted(times_s.values())
    peak = begin = 0
    for end, at_s in enumerate(ordered):
        while at_s - ordered[begin] >= 1.0:
            begin += 1
        peak = max(peak, end - begin + 1)
    return peak


RATE_PER_S = starts_per_s(FLEET, share_per_s=SHARE_PER_S, least_per_s=100)


@pytest.mark.parametrize("arriving_s", [0.0, 0.5, 10.0])
def test_ten_thousand_devices_return_at_the_set_rate_in_the_time_that_was_told(
    arriving_s: float,
) -> None:
    done = fleet_returns(
        Returning[int](RATE_PER_S),
        arriving_s=arriving_s,
        lost=0.0,
        backlog_bytes=3 * 2**20,
        seed=7,
    )
    assert len(done.starts_s) == FLEET
    assert peak_in_a_second(done.starts_s) <= 0.05 * FLEET
    assert 0.9 * done.told_s <= max(done.drained_s.values()) <= 1.1 * done.told_s
    # and no slower than the rate asks for
    assert done.told_s <= FLEET / RATE_PER_S + 2 + BURST_S


def test_lost_answers_move_nobody_but_the_devices_that_missed_them() -> None:
    done = fleet_returns(
        Returning[int](RATE_PER_S), arriving_s=0.5, lost=0.02, backlog_bytes=3 * 2**20, seed=7
    )
    assert len(done.starts_s) == FLEET
    assert peak_in_a_second(done.starts_s) <= 0.05 * FLEET
    drained_s = sorted(done.drained_s.values())
    assert drained_s[FLEET * 99 // 100] <= 1.1 * done.told_s
    assert drained_s[-1] <= done.told_s + 3 * 20  # the agent asks every 20 s at the latest


def test_without_pacing_the_same_fleet_starts_in_one_second() -> None:
    done = fleet_returns(Returning[int](1e9), arriving_s=0.5, lost=0.0, backlog_bytes=2**20, seed=7)
    assert peak_in_a_second(done.starts_s) == FLEET


def test_figures_say_how_long_the_return_still_takes() -> None:
    pacer = Returning[int](10)
    for device in range(110):
        pacer.wait_s(device, 0.0)
    figures = pacer.figures(0.0)
    assert 98 <= figures.waiting <= 100
    assert figures.waiting + figures.started == 110
    assert figures.last_start_s == pytest.approx(9.9, abs=0.2)
