"""A region that cannot pass on all has the shipped agents thin, in a world whose promises are checked."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from whimbrel_aggregator.config import (
    AggregatorConfig,
    FilesSinkConfig,
    ForwardConfig,
    LadderConfig,
)
from whimbrel_aggregator.forward.sinks.ndjson import NdjsonFolder
from whimbrel_protocol.header import FrameHeader
from whimbrel_sim.worlds.region import RegionMachine
from whimbrel_sim.worlds.scenario import parse
from whimbrel_sim.worlds.witness import Witness
from whimbrel_sim.worlds.world import World
from worlds.virtual import in_virtual_time

READINGS = """
story = "A device reads a sensor; the folder that the region writes to is full for a while."
duration_s = 1500
[fleet]
devices = 1
[agent.lanes.bulk]
batch_events = 20
overflow = "thin"
[[load]]
lane = "bulk"
every_s = 5
events = 8
"""
FULL_S, FREE_S = 300, 900
MARGIN_S = 120
"""What the route's backlog and the device's credit need to tell of it."""


def forward_to_a_folder(monkeypatch: pytest.MonkeyPatch, folder: Path, *, push_down: bool) -> None:
    plain, append = RegionMachine.config, NdjsonFolder.append

    def with_route(self: RegionMachine) -> AggregatorConfig:
        ladder = LadderConfig(summarised_after_s=60, push_down=push_down)
        route = ForwardConfig(name="warehouse", sink=FilesSinkConfig(dir=folder), ladder=ladder)
        return replace(plain(self), forwards=(route,))

    def append_if_there_is_room(self: NdjsonFolder, *given: Any, **named: Any) -> None:
        if FULL_S <= asyncio.get_running_loop().time() < FREE_S:
            raise OSError(errno.ENOSPC, "no space left on device")
        append(self, *given, **named)

    monkeypatch.setattr(RegionMachine, "config", with_route)
    monkeypatch.setattr(NdjsonFolder, "append", append_if_there_is_room)


def committed(folder: Path) -> list[FrameHeader]:
    return [
        kept.frame.header
        for journal in folder.glob("**/journal.db")
        for kept in Witness(journal, {}).new_frames()
        if kept.frame is not None
    ]


@pytest.mark.slow
@pytest.mark.parametrize("push_down", [True, False])
@in_virtual_time
async def test_devices_thin_while_a_route_is_on_a_lower_rung_and_not_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, push_down: bool
) -> None:
    forward_to_a_folder(monkeypatch, tmp_path / "warehouse", push_down=push_down)
    world = World(parse("readings", READINGS), 1, tmp_path)
    await world.run()
    assert world.audit.violations == []
    headers = committed(tmp_path)
    began_s = min(header.time_min_s for header in headers)
    held_up = [
        header
        for header in headers
        if FULL_S + MARGIN_S < header.time_min_s - began_s < FREE_S - MARGIN_S
    ]
    others = [
        header
        for header in headers
        if header.time_max_s - began_s < FULL_S or header.time_min_s - began_s > FREE_S + MARGIN_S
    ]
    assert len(held_up) > 20
    assert len(others) > 40
    assert [header.count for header in others] == [header.span for header in others]
    if push_down:
        assert {header.count for header in held_up} == {1}
    else:
        assert [header.count for header in held_up] == [header.span for header in held_up]
