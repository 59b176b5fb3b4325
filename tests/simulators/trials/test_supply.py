"""The simulated supply is one that the agent's own reader understands."""

from pathlib import Path
from random import Random

from whimbrel_agent.power.plausibility import Plausibility
from whimbrel_agent.power.sysfs import SysfsSource
from whimbrel_sim.trials.supply import MISREADS, Supply


def test_it_says_what_it_was_told(tmp_path: Path) -> None:
    supply = Supply(tmp_path)
    supply.say(80, mains=True)
    source = SysfsSource(tmp_path)
    reading = source.read()
    assert (reading.on_mains, reading.percent, reading.volts) == (True, 80, 3.9)
    supply.say(15, mains=False)
    reading = source.read()
    assert (reading.on_mains, reading.percent) == (False, 15)


def test_no_misread_can_be_true(tmp_path: Path) -> None:
    supply = Supply(tmp_path)
    source = SysfsSource(tmp_path)
    random = Random(1)
    believed = Plausibility(shortest_runtime_s=900)
    second_ns = 1_000_000_000
    for look in range(3):
        supply.say(60, mains=False)
        assert believed.check(source.read(), look * second_ns) is None
    wrong = 0
    for look in range(100):
        supply.say(60, mains=False)
        supply.misread(random)
        reading = source.read()
        assert reading.percent is None or believed.check(reading, (3 + look) * second_ns)
        wrong += 1
    assert wrong == 100
    assert len(MISREADS) >= 5
