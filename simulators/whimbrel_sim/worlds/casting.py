"""Draws whom a scenario's faults strike, and when, and sees that each of them ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from .faults import KINDS, Kind
from .network import WORLD
from .scenario import FaultLine, ScenarioError, draw

if TYPE_CHECKING:
    from .world import World


class Ends:
    """What takes back the faults that still go on."""

    def __init__(self) -> None:
        self._ends: dict[object, Callable[[], None]] = {}
        self.over = False

    def add(self, end: Callable[[], None]) -> object:
        """Keep an end; returns what it is called by."""
        token = object()
        self._ends[token] = end
        return token

    def now(self, token: object) -> None:
        """Let one fault end, unless it has."""
        end = self._ends.pop(token, None)
        if end is not None:
            end()

    def all_now(self) -> None:
        """Let every fault end; none begins any more."""
        self.over = True
        for token in list(self._ends):
            self.now(token)


def schedule(world: World) -> Ends:
    """Draw everything that will happen, and put it on the loop's agenda."""
    ends = Ends()
    for number, line in enumerate(world.scenario.faults):
        random = world.random("fault", number)
        for _ in range(round(draw(line.times, random))):
            for target in _targets(world, line, random):
                _put_on_agenda(world, line, target, random, ends)
    return ends


def _put_on_agenda(world: World, line: FaultLine, target: str, random: Random, ends: Ends) -> None:
    kind = KINDS[line.kind]
    at_s, for_s = draw(line.at_s, random), draw(line.for_s, random)
    settings = {**kind.settings, **{name: draw(v, random) for name, v in line.more.items()}}

    def begin() -> None:
        if ends.over:
            return
        shown = {name: round(value, 3) for name, value in settings.items()}
        world.timeline.tell(target, line.kind, for_s=round(for_s, 3), **shown)
        end = kind.strike(world, _found(world, kind, target), settings)
        if end is not None:
            token = ends.add(end)
            world.loop.call_later(for_s, _end, world, line, target, ends, token, context=WORLD)

    world.loop.call_at(at_s, begin, context=WORLD)


def _end(world: World, line: FaultLine, target: str, ends: Ends, token: object) -> None:
    if not ends.over:
        world.timeline.tell(target, f"end of {line.kind}")
    ends.now(token)


def _targets(world: World, line: FaultLine, random: Random) -> list[str]:
    """Draw names; a name that fits nothing is an error of the scenario."""
    everybody = list(_candidates(world, KINDS[line.kind]))
    if line.on == "any":
        return [random.choice(everybody)]
    if line.on == "each":
        chosen = everybody
    elif line.on == "devices":
        chosen = [name for name in everybody if "/" in name]
    else:
        chosen = [n for n in everybody if n == line.on or n.startswith(f"{line.on}/")]
    if not chosen:
        raise ScenarioError(
            f"{world.scenario.name}: [[fault]] {line.kind} on {line.on!r} strikes nobody "
            f"(there are: any, each, devices, {', '.join(everybody)})"
        )
    if line.share < 1:
        chosen = random.sample(chosen, max(1, round(len(chosen) * line.share)))
    return chosen


def _candidates(world: World, kind: Kind) -> Sequence[str]:
    match kind.targets:
        case "broker":
            return [one.name for one in world.brokers]
        case "region":
            return [one.name for one in world.regions]
        case "device":
            return [one.name for one in world.devices]
        case _:
            return [one.name for one in world.machines]


def _found(world: World, kind: Kind, name: str) -> Any:
    if kind.targets == "broker":
        return next(one for one in world.brokers if one.name == name)
    machine = next(one for one in world.machines if one.name == name)
    if kind.targets != "path":
        return machine
    for region in world.regions:
        if region is machine:
            return region.path
    return next(one.ways[0][0] for one in world.devices if one is machine)
