"""The timeline: lines with their times, and a digest that two equal runs share."""

from __future__ import annotations

import asyncio

from whimbrel_sim.worlds.timeline import KEPT_LINES, Timeline
from worlds.virtual import in_virtual_time


@in_virtual_time
async def test_a_line_says_when_who_what_and_the_facts() -> None:
    lines = list[str]()
    timeline = Timeline(lines.append)
    await asyncio.sleep(2.5)
    timeline.tell("till", "killed", why="test", times=3)
    [line] = lines
    assert line.split()[0].startswith("2.5")
    assert line.split()[1:] == ["till", "killed", "why=test", "times=3"]


@in_virtual_time
async def test_the_same_lines_at_the_same_times_have_the_same_digest() -> None:
    one, two = Timeline(), Timeline()
    one.tell("till", "start")
    two.tell("till", "start")
    same = one.digest == two.digest
    await asyncio.sleep(1)
    one.tell("till", "stop")
    await asyncio.sleep(1)
    two.tell("till", "stop")
    assert (same, one.digest == two.digest) == (True, False)


@in_virtual_time
async def test_the_newest_lines_are_kept_and_all_are_counted() -> None:
    timeline = Timeline()
    for number in range(KEPT_LINES + 10):
        timeline.tell("till", "start", number=number)
    assert len(timeline.newest) == KEPT_LINES
    assert timeline.newest[-1].endswith(f"number={KEPT_LINES + 9}")
    assert timeline.counts["start"] == KEPT_LINES + 10
