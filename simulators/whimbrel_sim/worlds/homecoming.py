"""A fleet that comes back in one moment: how many start in a second, and when it has drained.

Shipped agents and a shipped aggregator in one world. Every device's link is cut for a while, comes
back at the same instant, and the kernel tells each agent so: nothing spreads them but what the region
answers. ``python -m whimbrel_sim.worlds.homecoming --devices 10000`` prints the figures, ``--devices 2500
--regions 4`` those of several regions with a seed each, whose devices come back at the same moment.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from .broker import Connection
from .filetables import file_tables, tables_for
from .network import Message
from .running import run_world
from .scenario import Scenario, parse
from .world import World

STORE_DEVICES: Final = 50
CUT_S: Final = 200.0
BACK_S: Final = 800.0
SHARE_PER_S: Final = 0.025
"""Of the fleet: the aggregator's default rate of returns."""

MOST_SHARE_PER_S: Final = 0.05
"""Of the fleet may start in any one second."""

PREDICTED_WITHIN: Final = 0.10
"""How far the time that the region's answers add up to may be from the true one."""

_STORY: Final = """
story = "Every device of a fleet comes back in the same moment."
duration_s = 900
drain_s = 3600
check_s = 300
[fleet]
stores = {stores}
devices = {devices}
[aggregator.returning]
share_per_s = {share_per_s}
least_per_s = {least_per_s}
[[load]]
every_s = 250
events = 3
steady = true
[[fault]]
kind = "link.cut"
on = "devices"
at_s = 200
for_s = 600
told = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Homecoming:
    """What was seen.

    Attributes:
        devices: of the fleet.
        started: those that sent frames after the links were back.
        most_in_a_second: of them, in any one second, wherever it begins.
        last_start_s: when the last one did, from the return on.
        drained_s: when the last receipt of all that waited left the region, from then on.
        predicted_s: when the last start would be by the region's own figures, at their latest.
        broken: the names of what did not hold; empty when all did.
        cpu_s: processor time it took.
        starts_s: when each device started.
    """

    devices: int
    started: int
    most_in_a_second: int
    last_start_s: float
    drained_s: float
    predicted_s: float
    broken: tuple[str, ...]
    cpu_s: float
    starts_s: tuple[float, ...] = field(default=(), repr=False)

    def faults(self) -> list[str]:
        """Say what is not as it must be."""
        found = [f"{name} did not hold" for name in self.broken]
        if self.started != self.devices:
            found.append(f"{self.started} of {self.devices} devices sent anything")
        if self.most_in_a_second > MOST_SHARE_PER_S * self.devices:
            found.append(
                f"{self.most_in_a_second} of {self.devices} devices started in one second, at most "
                f"{MOST_SHARE_PER_S:.0%} may"
            )
        if abs(self.drained_s - self.predicted_s) > PREDICTED_WITHIN * self.predicted_s:
            found.append(
                f"drained after {self.drained_s:.1f} s, the region's answers add up to "
                f"{self.predicted_s:.1f} s"
            )
        return found

    def __str__(self) -> str:
        return (
            f"{self.devices:,} devices: at most {self.most_in_a_second} started in one second "
            f"({self.most_in_a_second / self.devices:.1%}); the last start after "
            f"{self.last_start_s:.1f} s, all drained after {self.drained_s:.1f} s; predicted "
            f"{self.predicted_s:.1f} s; {self.cpu_s:.0f} s of a processor"
        )


def story_of(devices: int) -> Scenario:
    """Return the scenario for so many devices, in stores of some fifty."""
    stores = max(1, round(devices / STORE_DEVICES))
    # the region knows how many there are a minute after its start: until then the least is the rate
    given = {"stores": stores, "devices": devices // stores, "share_per_s": SHARE_PER_S}
    return parse("homecoming", _STORY.format(**given, least_per_s=max(1, devices * SHARE_PER_S)))


class _Watch:
    """Looks at the broker and at the region's figures once the links are back."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: set[str] = set()
        self.starts_s: dict[str, float] = {}
        self.drained_s: dict[str, float] = {}
        self.predicted_s = 0.0
        world.brokers[0].taps.append(self._tap)
        self._task = world.loop.create_task(self._ask_the_region(), name="homecoming")

    def _tap(self, source: Connection, message: Message) -> None:
        del source
        since_s = self._world.loop.time() - BACK_S
        _, _, way, *rest = message.topic.split("/")
        if since_s < 0:
            return
        if way == "replay":  # what waited; resumes and new events are live
            _, _, store, device, _ = rest
            self.starts_s.setdefault(f"{store}/{device}", since_s)
            self._open.add(f"{store}/{device}")
        elif way == "down" and rest[-1] == "receipt":
            _, store, device, _ = rest
            if f"{store}/{device}" in self._open:
                self._open.discard(f"{store}/{device}")
                self.drained_s[f"{store}/{device}"] = since_s

    async def _ask_the_region(self) -> None:
        """Look each second how long the return still takes, by what devices were told."""
        await asyncio.sleep(BACK_S)
        while True:
            await asyncio.sleep(1.0)
            aggregator = self._world.regions[0].aggregator
            flow = None if aggregator is None else aggregator.services().flow()
            if flow is not None and flow.returning.waiting:
                since_s = self._world.loop.time() - BACK_S
                self.predicted_s = max(self.predicted_s, since_s + flow.returning.last_start_s)


def most_in_a_second(times_s: Sequence[float]) -> int:
    """Return how many lie in the fullest second, wherever it begins."""
    ordered, first, most = sorted(times_s), 0, 0
    for last, at_s in enumerate(ordered):
        while at_s - ordered[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def come_home(devices: int, seed: int, *, tables: int | None = None) -> Homecoming:
    """Run one return of a fleet.

    Args:
        devices: of the fleet.
        seed: decides everything else.
        tables: of open files, see ``filetables``; None for as many as it takes.
    """
    seen: list[_Watch] = []
    scenario = story_of(devices)
    count = tables_for(devices) if tables is None else tables
    with ExitStack() as stack:

        def watch_it(world: World) -> None:
            seen.append(_Watch(world))
            stack.enter_context(file_tables(world.devices, count))

        outcome = run_world(scenario, seed, watch=watch_it)
    [watch] = seen
    return Homecoming(
        devices=scenario.fleet.stores * scenario.fleet.devices,
        started=len(watch.starts_s),
        most_in_a_second=most_in_a_second(list(watch.starts_s.values())),
        last_start_s=max(watch.starts_s.values(), default=0.0),
        drained_s=max(watch.drained_s.values(), default=0.0),
        predicted_s=watch.predicted_s,
        broken=outcome.broken,
        cpu_s=outcome.cpu_s,
        starts_s=tuple(watch.starts_s.values()),
    )


def together(regions: Sequence[Homecoming]) -> Homecoming:
    """Return what was seen of a fleet in several regions that come back at the same moment."""
    starts_s = tuple(start_s for region in regions for start_s in region.starts_s)
    return Homecoming(
        devices=sum(region.devices for region in regions),
        started=sum(region.started for region in regions),
        most_in_a_second=most_in_a_second(starts_s),
        last_start_s=max(region.last_start_s for region in regions),
        drained_s=max(region.drained_s for region in regions),
        predicted_s=max(region.predicted_s for region in regions),
        broken=tuple(dict.fromkeys(name for region in regions for name in region.broken)),
        cpu_s=sum(region.cpu_s for region in regions),
        starts_s=starts_s,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one, print what was seen; 1 when something is not as it must be."""
    parser = argparse.ArgumentParser(
        prog="python -m whimbrel_sim.worlds.homecoming",
        description="Let a whole fleet come back in one moment, in virtual time.",
    )
    parser.add_argument("--devices", type=int, default=500, help="of a region (default: 500)")
    parser.add_argument("--regions", type=int, default=1, help="with a seed each (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="of the first region")
    options = parser.parse_args(arguments)
    regions = []
    for seed in range(options.seed, options.seed + options.regions):
        regions.append(come_home(options.devices, seed))
        print(regions[-1])  # noqa: T201  a command's output
    if len(regions) > 1:
        print(f"together: {together(regions)}")  # noqa: T201
    faults = [fault for found in (*regions, together(regions)) for fault in found.faults()]
    for fault in dict.fromkeys(faults):
        print(f"missed: {fault}", file=sys.stderr)  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
