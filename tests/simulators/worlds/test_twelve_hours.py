"""After twelve hours without a link: the fresh first, and the backlog at the rate that is allowed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from whimbrel_agent.uplink.limits import wire_bytes
from whimbrel_sim.worlds.broker import Connection
from whimbrel_sim.worlds.loop import VirtualTimeLoop
from whimbrel_sim.worlds.network import Message
from whimbrel_sim.worlds.scenario import load_scenario
from whimbrel_sim.worlds.world import World

SEEDS: Final = range(1, 6)
BACK_S: Final = 46_800.0
ALLOWED_BYTES_S: Final = 20_000.0
"""The scenario's cap of 160 kbit/s, packet headers included."""


@dataclass
class Seen:
    """Frames that came up to the broker since the link's return: when, as a backlog or not, bytes."""

    frames: list[tuple[float, bool, int]] = field(default_factory=list)

    def tap(self, source: Connection, message: Message) -> None:
        now_s = asyncio.get_running_loop().time()
        backlog = message.topic.startswith("wb/1/replay/")
        if now_s >= BACK_S and (backlog or message.topic.endswith(("/normal", "/critical"))):
            self.frames.append((now_s, backlog, wire_bytes(len(message.payload))))
        del source

    @property
    def drain_bytes_s(self) -> float:
        """The rate of everything, from the backlog's first frame to its last."""
        times = [at_s for at_s, backlog, _ in self.frames if backlog]
        sizes = sum(size for at_s, _, size in self.frames if times[0] < at_s <= times[-1])
        return sizes / (times[-1] - times[0])


def come_back(seed: int, folder: Path) -> tuple[World, Seen]:
    async def main() -> tuple[World, Seen]:
        world, seen = World(load_scenario("twelve-hours"), seed, folder), Seen()
        world.brokers[0].taps.append(seen.tap)
        await world.run()
        return world, seen

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_fresh_comes_first_and_the_backlog_at_the_allowed_rate(
    seed: int, tmp_path: Path
) -> None:
    world, seen = come_back(seed, tmp_path)
    assert world.audit.violations == []  # the scenario's 5 s and 30 s are among what is checked
    assert world.audit.accounts.gapped().total() > 0, "the buffer was not full"
    assert [len(delays) > 5 for delays in world.audit.delays.found] == [True, True]
    backlog_bytes = sum(size for _, backlog, size in seen.frames if backlog)
    assert backlog_bytes > 60 * ALLOWED_BYTES_S, "there was no backlog to speak of"
    assert 0.9 * ALLOWED_BYTES_S <= seen.drain_bytes_s <= 1.05 * ALLOWED_BYTES_S
