"""The falling battery in small: facts and counts, no figure that rests on the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.mosquitto import MosquittoServer
from whimbrel_sim.sabotage import FLOW_SABOTAGES
from whimbrel_sim.trials.power import PowerPlan, last_mode, run_misreads, run_power
from whimbrel_sim.trials.stage import Stage

SMALL = PowerPlan(
    mains_s=4, low_s=4, quiet_s=6, routine_s=2, critical_s=3, poll_s=0.2, runtime_s=4, misreads=40
)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_on_a_falling_battery_bulk_waits_and_comes_on_mains(tmp_path: Path) -> None:
    report = await run_power(
        SMALL, MosquittoServer(tmp_path / "broker"), tmp_path, seed=1, sabotage=None, say=print
    )
    facts = {line.name: line.said for line in report.lines if not line.timed}
    wrong = {line.name: line.said for line in report.lines if not (line.timed or line.passed)}
    assert not wrong
    assert {"bulk waits", "misreads stop nothing and change no mode"} <= set(facts)
    assert report.figures["critical_s"], "something critical was committed at 15 %"


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_an_agent_that_believes_misreads_is_found_out(tmp_path: Path) -> None:
    sabotage = FLOW_SABOTAGES["misreads-believed"]
    broker = MosquittoServer(tmp_path / "broker")
    async with Stage(tmp_path, broker, seed=1, sabotage=sabotage, say=print) as stage:
        await stage.open_region()
        line = await run_misreads(SMALL, stage)
    assert not line.passed, line.said


def test_the_mode_is_the_last_one_that_the_log_names(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.write_text("")
    assert last_mode(log) == "mains"
    log.write_text(
        '{"message": "power mode", "mode": "battery"}\n{"message": "started"}\nno JSON\n'
        '{"message": "power mode", "mode": "low"}\n{"message": "power m'
    )
    assert last_mode(log) == "low"
