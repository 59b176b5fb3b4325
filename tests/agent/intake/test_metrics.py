import asyncio
from pathlib import Path

from servers.waiting import eventually
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.config import MachineIntakeConfig
from whimbrel_agent.intake.metrics import MachineIntake, machine_figures
from whimbrel_protocol.event import Event, validate_event
from whimbrel_protocol.names import Address

ADDRESS = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")


def test_the_figures_are_plausible_and_fit_an_event(tmp_path: Path) -> None:
    figures = machine_figures(tmp_path, boot_s=12.5)
    validate_event(Event(type="t", source="s", time_ns=0, data=figures))
    assert figures["uptime_s"] == 12
    assert 0 <= figures["memory_percent"] <= 100
    assert figures["agent_memory_bytes"] > 1_000_000
    assert figures["disk_free_bytes"] > 0


async def test_figures_come_again_and_again_in_their_lane(buffer: Buffer, tmp_path: Path) -> None:
    config = MachineIntakeConfig(every_s=0.01, lane="bulk", zone="back")
    intake = MachineIntake(config, buffer, ADDRESS, folder=tmp_path, clock=SystemClock())
    running = asyncio.get_running_loop().create_task(intake.run())
    await eventually(lambda: intake.counters["events"] >= 3, timeout_s=20, what="three events")
    running.cancel()
    events = [item.event async for item in buffer.export()]
    assert {(event.type, event.source, event.lane, event.zone) for event in events} == {
        ("machine.metrics", "till-3", "bulk", "back")
    }


async def test_a_slower_pace_begins_at_once_and_so_does_the_former(
    buffer: Buffer, tmp_path: Path
) -> None:
    config = MachineIntakeConfig(every_s=0.01, lane="bulk", zone="back")
    intake = MachineIntake(config, buffer, ADDRESS, folder=tmp_path, clock=SystemClock())
    intake.pace(3600.0)
    running = asyncio.get_running_loop().create_task(intake.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert intake.counters["events"] == 0
    intake.pace(0.0)
    await eventually(lambda: intake.counters["events"] >= 1, timeout_s=20, what="an event")
    running.cancel()
