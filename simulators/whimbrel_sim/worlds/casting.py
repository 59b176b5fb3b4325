"""Draws whom a scenario's faults strike, and when, and sees that each of them ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
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
    for line in strikes(world):
        _put_on_agenda(world, line, ends)
    return ends


def strikes(world: World) -> list[FaultLine]:
    """Draw every single strike: lines with one target's name and fixed numbers.

    A scenario that has these instead of its own lines draws nothing, and its world is the same.
    """
    drawn = []
    for number, line in enumerate(world.scenario.faults):
        random = world.random("fault", number)
        for _ in range(round(draw(line.times, random))):
            drawn += [_struck(line, name, random) for name in _targets(world, line, random)]
    return drawn


def _struck(line: FaultLine, target: str, random: Random) -> FaultLine:
    return replace(
        line,
        on=target,
        at_s=draw(line.at_s, random),
        for_s=draw(line.for_s, random),
        times=1,
        share=1.0,
        more={name: draw(value, random) for name, value in line.more.items()},
    )


def _put_on_agenda(world: World, line: FaultLine, ends: Ends) -> None:
    kind, target = KINDS[line.kind], line.on
    settings = {name: float(value) for name, value in {**kind.settings, **line.more}.items()}
    assert isinstance(line.at_s, int | float)
    assert isinstance(line.for_s, int | float)
    for_s = float(line.for_s)

    def begin() -> None:
        if ends.over:
            return
        shown = {name: round(value, 3) for name, value in settings.items()}
        world.timeline.tell(target, line.kind, for_s=round(for_s, 3), **shown)
        end = kind.strike(world, _found(world, kind, target), settings)
        if end is not None:
            token = ends.add(end)
            world.loop.call_later(for_s, _end, world, line, ends, token, context=WORLD)

    world.loop.call_at(line.at_s, begin, context=WORLD)


def _end(world: World, line: FaultLine, ends: Ends, token: object) -> None:
    if not ends.over:
        world.timeline.tell(line.on, f"end of {line.kind}")
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
