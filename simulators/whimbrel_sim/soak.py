"""Random ``kill -9`` of agent, broker and aggregator under load, then the reckoning.

``scripts/soak --kills N --seed S`` runs it from the command line. The seed decides who is killed,
when, and what the producers send; since real processes run at their own pace, a seed repeats the
plan and not the microsecond.
"""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from . import images
from .fleet import Agent, Patches, Region
from .producer import Load
from .proxy import Faults
from .reconcile import Reconciliation
from .sabotage import SABOTAGES, Sabotage
from .world import DRAIN_TIMEOUT_S, Broker, World

VICTIMS: Final = {"agent": 4, "aggregator": 4, "broker": 3}
"""Who is killed, by weight."""

TWO_AT_ONCE: Final = 0.2
"""The chance that a second victim falls while the first is still down."""

RECEIPT_POLL_S: Final = 0.005

MAX_LIFE_S: Final = 1.6
MAX_DOWN_S: Final = 0.4
"""A start takes about a second on a small machine, so some kills fall into a start as well."""

DUPLICATES: Final = Faults(duplicate=0.15, reorder=0.1)
"""What the network does during the whole run; a broker may do as much."""

TWICE: Final = Faults(duplicate=1.0)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run: how many kills, from which seed, over which broker, with which planted fault.

    ``images``: after the kills, deliver everything twice, kill the aggregator as it sends a
    receipt, put an older copy of a card back, and run two clones.
    """

    kills: int
    seed: int
    broker: str
    sabotage: Sabotage | None = None
    images: bool = True
    drain_timeout_s: float = DRAIN_TIMEOUT_S


@dataclass(slots=True)
class Report:
    """What came of a run; ``agrees`` is the verdict."""

    plan: Plan
    kills: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    network: Counter[str] = field(default_factory=Counter)
    result: Reconciliation | None = None

    @property
    def agrees(self) -> bool:
        """Whether ledger and journal agree."""
        return self.result is not None and self.result.agrees

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kills": dict(self.kills),
            "seed": self.plan.seed,
            "broker": self.plan.broker,
            "sabotage": None if self.plan.sabotage is None else self.plan.sabotage.name,
            "answers": dict(self.answers),
            "network": dict(self.network),
            "result": None if self.result is None else self.result.to_json(),
        }


async def soak(plan: Plan, broker: Broker, folder: Path, say: Say) -> Report:
    """Run a plan in a folder.

    Raises:
        ProgramError: a process ended by itself, or a command failed.
        LedgerError: two answers about one event contradict each other.
    """
    report = Report(plan)
    world = World(folder, broker, seed=plan.seed, region_patches=_patches(plan, Region.module))
    async with world:
        agents = [
            await world.add_agent(
                device=f"till-{number}",
                patches=_patches(plan, Agent.module),
                settings=images.SETTINGS,
            )
            for number in (1, 2)
        ]
        world.region.program.start()
        producers = [world.producer(agent, load) for agent in agents for load in _loads(agent)]
        world.set_faults(DUPLICATES, DUPLICATES)
        async with world.load(producers):
            await _kill_at_random(world, plan, report, say)
        world.set_faults()
        say(f"load ended: {len(world.ledger)} events posted; draining")
        report.result = await world.drain(plan.drain_timeout_s)
        if plan.images:
            await _go_on(world, plan, report, say)
        for producer in producers:
            report.answers.update(producer.counts)
        report.network.update(world.near.counts)
        report.network.update(world.far.counts)
    return report


async def _go_on(world: World, plan: Plan, report: Report, say: Say) -> None:
    """Do the worst things one by one, as long as ledger and journal agree."""
    first, second = world.agents

    async def double() -> None:
        world.set_faults(TWICE, TWICE)
        await images.sell(world, first, f"{first.address.device}-doubled")
        await world.drain(plan.drain_timeout_s)
        world.set_faults()

    async def speak() -> None:
        await _kill_as_it_speaks(world, first)
        report.kills["aggregator"] += 1

    async def copy() -> None:
        folder, timeout_s = world.folder / "copy", plan.drain_timeout_s
        await images.put_back_older_copy(world, first, folder, drain_timeout_s=timeout_s)

    async def twins() -> None:
        await images.run_twins(world, second, world.folder)

    steps = {
        "delivering everything twice": double,
        "killing the aggregator as it sends a receipt": speak,
        "putting an older copy of a card back": copy,
        "running two clones of a machine": twins,
    }
    for what, do in steps.items():
        if not report.agrees:
            return
        say(f"{report.result}; {what}")
        await do()
        report.result = await world.drain(plan.drain_timeout_s)


def _patches(plan: Plan, module: str) -> Patches:
    return () if plan.sabotage is None else plan.sabotage.patches_for(module)


def _loads(agent: Agent) -> list[Load]:
    device = agent.address.device
    return [
        Load(sender=f"{device}-fast", batch_events=50),
        Load(sender=f"{device}-slow", batch_events=2, pause_s=0.1),
        Load(sender=f"{device}-urgent", lane="critical", batch_events=2, pause_s=0.1),
    ]


async def _kill_at_random(world: World, plan: Plan, report: Report, say: Say) -> None:
    random = Random(world.random.getrandbits(64))
    while (done := report.kills.total()) < plan.kills:
        await asyncio.sleep(random.uniform(0.05, MAX_LIFE_S))
        world.check_alive()
        two = plan.kills - done > 1 and random.random() < TWO_AT_ONCE
        victims = [_pick(random) for _ in range(2 if two else 1)]
        for victim in victims:
            await _kill(world, victim, random)
            report.kills[victim] += 1
        await asyncio.sleep(random.uniform(0, MAX_DOWN_S))
        await _revive(world)
        if report.kills.total() // 10 > done // 10:
            committed = len(world.ledger)
            say(f"{report.kills.total()} kills ({_shown(report.kills)}), {committed} events posted")


async def _kill_as_it_speaks(world: World, agent: Agent) -> None:
    """Kill the aggregator when it has just sent a receipt: what that names must be durable."""
    await world.until_resumed(agent)
    await world.until_settled(agent)
    spoken = world.far.counts["up.passed"]
    await images.sell(world, agent, f"{agent.address.device}-spoken")
    async with asyncio.timeout(DRAIN_TIMEOUT_S):
        while True:
            if world.far.counts["up.passed"] > spoken:
                break
            await asyncio.sleep(RECEIPT_POLL_S)
    world.region.program.kill()
    await world.start_region()


def _pick(random: Random) -> str:
    return random.choices(list(VICTIMS), list(VICTIMS.values()))[0]


async def _kill(world: World, victim: str, random: Random) -> None:
    if victim == "broker":
        await asyncio.to_thread(world.broker.kill)
    elif victim == "aggregator":
        world.region.program.kill()
    else:
        random.choice(world.agents).program.kill()


async def _revive(world: World) -> None:
    for agent in world.agents:
        agent.program.start()
    world.region.program.start()
    if not world.broker.running:
        await asyncio.to_thread(world.broker.start)


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def main(brokers: Mapping[str, Callable[[Path], Broker]]) -> int:
    """Run from the command line; the exit status is 1 when ledger and journal disagree."""
    arguments = _arguments(list(brokers))
    sabotage = None if arguments.sabotage is None else SABOTAGES[arguments.sabotage]
    plan = Plan(
        kills=arguments.kills,
        seed=arguments.seed,
        broker=arguments.broker,
        sabotage=sabotage,
        drain_timeout_s=arguments.drain_timeout,
    )

    def say(line: str) -> None:
        print(line, flush=True)  # noqa: T201  a command's output

    with TemporaryDirectory(prefix="whimbrel-soak-") as place:
        folder = Path(arguments.keep) if arguments.keep else Path(place)
        broker = brokers[plan.broker](folder / "broker")
        say(f"soak: {plan.kills} kills, seed {plan.seed}, {plan.broker}")
        report = asyncio.run(soak(plan, broker, folder, say))
    say(f"kills: {_shown(report.kills)}")
    say(f"answers: {_shown(report.answers)}")
    say(f"network: {_shown(report.network)}")
    say(str(report.result))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report.to_json(), indent=1) + "\n")
    return 0 if report.agrees else 1


def _arguments(brokers: list[str]) -> Namespace:
    parser = ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="how many processes to kill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", choices=brokers, default="mosquitto")
    parser.add_argument(
        "--sabotage", choices=sorted(SABOTAGES), help="plant a fault; must end in 1"
    )
    parser.add_argument(
        "--drain-timeout",
        type=float,
        default=DRAIN_TIMEOUT_S,
        metavar="SECONDS",
        help=f"how long everything may take to be committed (default: {DRAIN_TIMEOUT_S:g})",
    )
    parser.add_argument("--json", metavar="FILE", help="write the report there too")
    parser.add_argument("--keep", metavar="FOLDER", help="run in this folder and leave it")
    return parser.parse_args()
