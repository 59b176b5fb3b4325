"""The processes of a trial: a region, agents, a broker, and a ledger beside them all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, Final, Self

from whimbrel_sim.bench.posting import PostError, by_socket, by_tcp, get_json
from whimbrel_sim.fleet import TENANT, Agent, Region, Settings
from whimbrel_sim.ports import free_port
from whimbrel_sim.producer import Load, Producer
from whimbrel_sim.program import ProgramError
from whimbrel_sim.proxy import Proxy
from whimbrel_sim.reconcile import Reconciliation, reconcile
from whimbrel_sim.sabotage import Sabotage
from whimbrel_sim.world import Broker

from .lines import Line
from .watching import CommitWatch, TimedLedger

READY_S: Final = 60.0
"""Two shared cores may take long to start a process."""

DRAIN_S: Final = 180.0
_POLL_S: Final = 0.2

Say = Callable[[str], None]


class Stage:
    """Everything that one trial needs, in one folder; stops what it started.

    Attributes:
        random: the run's only source of chance.
        ledger: what the senders know, and since when.
        region: the aggregator, once it was opened.
        watch: when frames were committed.
        agents: in the order in which they were added.
        say: tells people how it goes.
    """

    region: Region
    watch: CommitWatch

    def __init__(
        self, folder: Path, broker: Broker, *, seed: int, sabotage: Sabotage | None, say: Say
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.random = Random(seed)
        self.ledger = TimedLedger()
        self.agents: list[Agent] = []
        self.say = say
        self._sabotage = sabotage
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.callback(self.broker.kill)
        if not self.broker.running:
            await asyncio.to_thread(self.broker.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def broker_url(self) -> str:
        """Where a client connects that is not behind a proxy."""
        return f"mqtt://{self.broker.host}:{self.broker.port}"

    def patches(self, module: str) -> tuple[str, ...]:
        """Return what a program must be run with."""
        return () if self._sabotage is None else self._sabotage.patches_for(module)

    async def open_region(self, more: str = "", settings: Settings | None = None) -> Region:
        """Start the aggregator; ``more`` is appended to its configuration."""
        self.region = await asyncio.to_thread(
            lambda: Region(
                self.folder / "region", [self.broker_url], patches=self.patches(Region.module),
                settings=settings,
            )
        )  # fmt: skip
        config = self.region.config_file
        config.write_text(config.read_text() + more)
        self._stack.callback(self.region.program.kill)
        await self.start_region()
        self.watch = CommitWatch(self.region.journal_file)
        self._stack.enter_context(self.watch)
        return self.region

    async def start_region(self) -> None:
        """Start the aggregator's process and wait until it serves."""
        self.region.program.start()
        await self.until(
            lambda: asyncio.to_thread(self.region.is_ready), READY_S, "the aggregator is ready"
        )

    async def add_agent(
        self, device: str, *, url: str | None = None, store: str = "store-1",
        tenant: str = TENANT, settings: Settings | None = None,
    ) -> Agent:  # fmt: skip
        """Enrol an agent, start it, and wait until it and the region agree."""
        agent = await asyncio.to_thread(
            lambda: Agent(
                self.folder / device, self.region, url or self.broker_url, device=device,
                store=store, tenant=tenant, patches=self.patches(Agent.module), settings=settings,
            )
        )  # fmt: skip
        await asyncio.to_thread(self.region.enrol, agent)
        self._stack.callback(agent.program.kill)
        agent.program.start()
        self.agents.append(agent)
        await self.until(lambda: self._is_linked(agent), READY_S, f"{device} has its region")
        return agent

    async def proxy(self, host: str, port: int) -> Proxy:
        """Put a proxy before a server; it passes any bytes."""
        proxy = Proxy(
            port=free_port(), broker_host=host, broker_port=port,
            random=Random(self.random.getrandbits(64)), mqtt=False,
        )  # fmt: skip
        return await self._stack.enter_async_context(proxy)

    def producer(self, agent: Agent, load: Load) -> Producer:
        """Return a producer that posts to an agent."""
        random = Random(self.random.getrandbits(64))
        return Producer(self.ledger, load, url=lambda: agent.url, random=random)

    async def ask_agent(self, agent: Agent) -> dict[str, Any]:
        """Return what an agent says of itself; empty when it does not answer."""
        try:
            return await asyncio.to_thread(
                get_json, by_socket(agent.folder / "control.sock"), "/v1/status"
            )
        except (OSError, PostError):
            return {}

    async def ask_region(self, path: str = "/v1/status") -> dict[str, Any]:
        """Return what the region says."""
        return await asyncio.to_thread(get_json, by_tcp(self.region.port), path)

    async def pending(self, *agents: Agent) -> int:
        """Return how many accepted events have no receipt yet, over these agents, or all."""
        statuses = [await self.ask_agent(agent) for agent in agents or self.agents]
        return sum(status["buffer"]["pending"] if status else 1 for status in statuses)

    async def drained(self, *agents: Agent, timeout_s: float = DRAIN_S) -> bool:
        """Wait until nothing is pending; False when that takes too long."""

        async def empty() -> bool:
            return await self.pending(*agents) == 0

        return await self.within(empty, timeout_s)

    async def within(self, condition: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
        """Say whether a condition comes true in a time."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while not await condition():
            if loop.time() > deadline_s:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def until(
        self, condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str
    ) -> None:
        """Wait for what must come true.

        Raises:
            ProgramError: it did not, or a process ended.
        """
        if not await self.within(condition, timeout_s):
            for program in (self.region.program, *(agent.program for agent in self.agents)):
                program.check_alive()
            raise ProgramError(f"not within {timeout_s:g} s: {what}; see {self.folder}")

    async def reckon(self) -> Reconciliation:
        """Compare the ledger with the journal."""
        return reconcile(self.ledger, await asyncio.to_thread(self.region.contents))

    async def _is_linked(self, agent: Agent) -> bool:
        agent.program.check_alive()
        uplink = (await self.ask_agent(agent)).get("uplink") or {}
        return uplink.get("resume") == "done"


def reckoned(found: Reconciliation, where: str) -> Line:
    """Return the line that ledger and holder agree."""
    return Line(f"nothing is missing or doubled in {where}", found.agrees, str(found))
