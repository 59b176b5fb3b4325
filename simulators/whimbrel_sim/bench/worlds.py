"""How fast simulated worlds run, and what a device in one takes.

Two loads: the smoke scenario, in which nearly everything goes wrong, and an ordinary day of a fleet.
The rate is per second of one processor, so that a busy machine does not count as a slow one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from whimbrel_sim.worlds.outcome import Outcome
from whimbrel_sim.worlds.running import run_many, run_world
from whimbrel_sim.worlds.scenario import Scenario, load_scenario

from .figures import Bench, Better, Key, Measurement, Reading
from .kernel import memory_of

_HOUR_S: Final = 3600.0


def measure(bench: Bench) -> list[Reading]:
    """Read device-hours per processor second for both loads, and a device's memory."""
    smoke = list(run_many("smoke", range(1, 1 + bench.size(100, 4))))
    bench.say(f"smoke: {_rate(smoke):.2f} device-hours a second")
    day = _day(bench)
    devices = day.fleet.stores * day.fleet.devices
    before_bytes = memory_of(os.getpid()).now_bytes
    ordinary = run_world(day, 1)
    device_bytes = (memory_of(os.getpid()).peak_bytes - before_bytes) / devices
    bench.say(f"a day: {_rate([ordinary]):.1f} device-hours a second")
    return [
        Reading("sim_device_hours_per_s.smoke", _rate(smoke), _said(smoke)),
        Reading("sim_device_hours_per_s.day", _rate([ordinary]), _said([ordinary])),
        Reading("sim_device_kib", device_bytes / 1024, f"the highest of a day, {devices} devices"),
    ]


def _day(bench: Bench) -> Scenario:
    day = load_scenario("virtual-day")
    fleet = replace(day.fleet, stores=bench.size(8, 1), devices=bench.size(50, 10))
    return replace(day, fleet=fleet, duration_s=bench.size(24, 4) * _HOUR_S)


def _rate(outcomes: Sequence[Outcome]) -> float:
    return sum(one.device_s for one in outcomes) / _HOUR_S / sum(one.cpu_s for one in outcomes)


def _said(outcomes: Sequence[Outcome]) -> str:
    cpu_s = sum(one.cpu_s for one in outcomes) / len(outcomes)
    accepted = sum(one.counts.get("accepted", 0) for one in outcomes)
    failed = sum(one.failed for one in outcomes)
    return f"{len(outcomes)} worlds, {cpu_s:.2f} s each, {accepted} events, {failed} failed"


MEASUREMENTS: Final = (
    Measurement(
        name="worlds",
        keys=(
            Key("sim_device_hours_per_s.smoke", "1/s", Better.HIGHER, portable=False),
            Key("sim_device_hours_per_s.day", "1/s", Better.HIGHER, portable=False),
            Key("sim_device_kib", "KiB", Better.LOWER),
        ),
        measure=measure,
    ),
)
