"""A fleet's trial by fire: agents, broker, aggregator and sink are killed, the link is rough.

``scripts/fleet-trial`` runs it with a real Mosquitto and a real PostgreSQL; the senders' ledger is
compared with the journal and with the rows in the database. A planted fault must make it fail,
and the report names the promise that broke.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

from whimbrel_sim.fleet import Region
from whimbrel_sim.ports import free_port
from whimbrel_sim.program import ProgramError
from whimbrel_sim.proxy import Proxy
from whimbrel_sim.sabotage import Sabotage
from whimbrel_sim.world import Broker

from .crew import Crew
from .enrolment import ByConfig, enrol
from .faultfile import Play, Scenario, read_scenario
from .figures import Figures
from .holders import JournalHolder, PostgresHolder
from .lightcrew import LightCrew
from .links import GOOD_LINK
from .pace import Pace
from .processcrew import ProcessCrew
from .roster import Roster, equip
from .running import Plan, Report, run_fleet
from .timeline import apply_play, play_scenario

ROUGH: Final = Path(__file__).parent / "scenarios" / "rough.toml"

VICTIMS: Final = {"agents": 5, "broker": 2, "aggregator": 2, "sink": 1}
"""Who is killed, by weight; of light agents a whole process of them falls."""

MAX_DOWN_S: Final = 2.0
DEVICES_PER_STORE: Final = 10
TENANT: Final = "sim"
KEEPALIVE_S: Final = 15
"""A connection that fell silent is noticed in half a minute."""

_READY_S: Final = 60.0
_POLL_S: Final = 0.2

_FORWARD: Final = """
[[forward]]
name = "postgres"
kind = "postgres"
dsn_file = "dsn"
"""

Say = Callable[[str], None]


class Database(Protocol):
    """A real PostgreSQL server's process; blocking calls."""

    @property
    def dsn(self) -> str:
        """Where clients connect."""
        ...

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        ...

    def start(self) -> None:
        """Start and wait until it serves."""
        ...

    def kill(self) -> None:
        """``kill -9``."""
        ...

    def remove(self) -> None:
        """Kill it and take its files away."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is tried.

    Attributes:
        agents: how many.
        light: many in each process; else a process for each.
        duration_s: how long senders send and processes are killed.
        kill_every_s: mean time between two kills.
        events_per_s: of the whole fleet.
        seed: of events, chance of the network, and who is killed when.
        sabotage: a planted fault.
        drain_s: how long the drain may take; a connection whose subscription was damaged on the
            way is left after 200 s.
        forward_s: how long journal and table may take after that.
        scenario: what the network does between agents and broker.
    """

    agents: int
    light: bool
    duration_s: float
    kill_every_s: float
    events_per_s: float
    seed: int = 1
    sabotage: Sabotage | None = None
    drain_s: float = 400.0
    forward_s: float = 60.0
    scenario: Path = ROUGH
    agents_per_process: int = 500


async def run_trial(
    trial: Trial, broker: Broker, database: Database, folder: Path, say: Say
) -> Report:
    """Run a trial in a folder; broker and database are started when they do not run.

    Raises:
        ProgramError: a process could not be started.
    """
    scenario = read_scenario(trial.scenario, seed=trial.seed, links_only=True)
    random = Random(trial.seed)
    async with AsyncExitStack() as stack:
        for server in (broker, database):
            stack.callback(server.kill)
            if not server.running:
                await asyncio.to_thread(server.start)
        near = await stack.enter_async_context(_proxy(broker, random))
        far = await stack.enter_async_context(_proxy(broker, random))
        region = await asyncio.to_thread(_region, folder / "region", far, database, trial)
        stack.callback(region.program.kill)
        region.program.start()
        await _until_ready(region)
        roster = _roster(trial, region, near)
        crew = await _crew(trial, folder / "fleet", roster, region)
        chaos = _Chaos(
            trial, crew=crew, region=region, broker=broker, database=database,
            random=Random(random.getrandbits(64)), say=say,
        )  # fmt: skip

        async def during() -> None:
            await chaos.run(near, far, scenario)

        report = await run_fleet(
            Plan(
                folder=folder / "fleet",
                roster=roster,
                duration_s=trial.duration_s,
                drain_s=trial.drain_s,
                forward_s=trial.forward_s,
                holders=(JournalHolder(region.journal_file), PostgresHolder(database.dsn)),
            ),
            crew,
            stop=asyncio.Event(),
            show=_Teller(say).show,
            during=during,
        )
        report.extra |= _extra(trial, chaos, near, far)
    return report


class _Chaos:
    """Kills at random, starts again, and mends everything at the end."""

    def __init__(
        self, trial: Trial, *, crew: Crew, region: Region, broker: Broker, database: Database,
        random: Random, say: Say,
    ) -> None:  # fmt: skip
        self.kills: Counter[str] = Counter()
        self._trial = trial
        self._crew = crew
        self._region = region
        self._broker = broker
        self._database = database
        self._random = random
        self._say = say

    async def run(self, near: Proxy, far: Proxy, scenario: Scenario) -> None:
        """Go on until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(play_scenario(near, scenario), name="trial.scenario")
                group.create_task(self._kill_on(), name="trial.kills")
        finally:
            await self._mend(near, far)

    async def _kill_on(self) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(1 / self._trial.kill_every_s))
            victim = self._random.choices(list(VICTIMS), list(VICTIMS.values()))[0]
            down_s = self._random.uniform(0, MAX_DOWN_S)
            await self._kill(victim, down_s)

    async def _kill(self, victim: str, down_s: float) -> None:
        self.kills[victim] += 1
        self._say(f"killing: {victim}")
        if victim == "agents":
            program = self._random.choice(self._crew.programs)
            program.kill()
            await asyncio.sleep(down_s)
            program.start()
        elif victim == "aggregator":
            self._region.program.kill()
            await asyncio.sleep(down_s)
            self._region.program.start()
        else:
            server = self._broker if victim == "broker" else self._database
            await _to_end(server.kill)
            await asyncio.sleep(down_s)
            await _to_end(server.start)

    async def _mend(self, near: Proxy, far: Proxy) -> None:
        for proxy in (near, far):
            await apply_play(proxy, Play(link=GOOD_LINK))
        for server in (self._broker, self._database):
            if not server.running:
                await asyncio.to_thread(server.start)
        for program in (*self._crew.programs, self._region.program):
            program.start()  # harmless when it runs


async def _to_end(work: Callable[[], None]) -> None:
    """Do blocking work in a thread, to its end even when cancelled meanwhile."""
    job = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        await asyncio.shield(job)
    except asyncio.CancelledError:
        await job
        raise


class _Teller:
    """Says how it goes now and then."""

    EVERY: Final = 20

    def __init__(self, say: Say) -> None:
        self._say = say
        self._shown = 0

    def show(self, phase: str, figures: Figures) -> None:
        if self._shown % self.EVERY == 0:
            self._say(
                f"{phase}: {figures.up} up, {figures.accepted} accepted, {figures.backlog} backlog"
            )
        self._shown += 1


def _proxy(broker: Broker, random: Random) -> Proxy:
    return Proxy(
        port=free_port(), broker_host=broker.host, broker_port=broker.port,
        random=Random(random.getrandbits(64)),
    )  # fmt: skip


def _region(folder: Path, far: Proxy, database: Database, trial: Trial) -> Region:
    sabotage = trial.sabotage
    patches = () if sabotage is None else sabotage.patches_for(Region.module)
    region = Region(folder, [far.url], patches=patches)
    secret = folder / "dsn"
    secret.touch(mode=0o600)
    secret.write_text(database.dsn + "\n")
    region.config_file.write_text(region.config_file.read_text() + _FORWARD)
    return region


async def _until_ready(region: Region) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _READY_S
    while not await asyncio.to_thread(region.is_ready):
        region.program.check_alive()
        if loop.time() > deadline_s:
            raise ProgramError(f"the aggregator is not ready after {_READY_S:g} s")
        await asyncio.sleep(_POLL_S)


def _roster(trial: Trial, region: Region, near: Proxy) -> Roster:
    stores = -(-trial.agents // DEVICES_PER_STORE)
    facts = ByConfig(region.config_file).facts()
    return Roster(
        run=f"{Random(trial.seed).getrandbits(32):08x}",
        tenant=TENANT,
        region=facts.name,
        region_key=facts.key,
        brokers=(near.url,),
        stores=stores,
        devices=-(-trial.agents // stores),
        seed=trial.seed,
        keepalive_s=KEEPALIVE_S,
    )


async def _crew(trial: Trial, folder: Path, roster: Roster, region: Region) -> Crew:
    roster.save(folder)
    keys = await asyncio.to_thread(
        lambda: {member: equip(folder, roster, member, http_port=None) for member in roster.members}
    )
    await enrol(ByConfig(region.config_file), roster, keys)
    pace = Pace(events_per_s=trial.events_per_s)
    sabotage = trial.sabotage
    patches = () if sabotage is None else sabotage.patches_for("whimbrel_agent")
    if trial.light:
        return LightCrew(
            folder, roster, pace, patches=patches, agents_per_process=trial.agents_per_process
        )
    return await asyncio.to_thread(lambda: ProcessCrew(folder, roster, pace, patches=patches))


def _extra(trial: Trial, chaos: _Chaos, near: Proxy, far: Proxy) -> dict[str, Any]:
    return {
        "light": trial.light,
        "seed": trial.seed,
        "sabotage": None if trial.sabotage is None else trial.sabotage.name,
        "kills": dict(chaos.kills),
        "network": dict(sorted((near.counts + far.counts).items())),
    }
