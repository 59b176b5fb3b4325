"""One region, some agents, a broker that can be killed, a bad network, and a ledger beside it all.

Tests, ``scripts/soak`` and ``scripts/demo`` say what happens in it; this holds the parts together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol, Self

from .fleet import Agent, Patches, Region, Settings
from .journalfile import count_events
from .ledger import Ledger
from .ports import free_port
from .producer import Load, Producer
from .program import ProgramError
from .proxy import NO_FAULTS, Faults, Proxy
from .reconcile import Reconciliation, reconcile

DRAIN_TIMEOUT_S: Final = 90.0
"""After the last fault everything must be committed within this; the agent's longest wait between
two tries is two minutes, but only after an outage of that order."""

_POLL_S: Final = 0.2


class Broker(Protocol):
    """A real broker's process; blocking calls."""

    name: str
    host: str
    port: int

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


class World:
    """Everything that one run needs, in one folder.

    Attributes:
        random: the run's only source of chance.
        ledger: what the producers know.
        region: the aggregator.
        agents: the agents, in the order in which they were added.
        near: the network between agents and broker.
        far: the network between broker and aggregator.
    """

    def __init__(
        self,
        folder: Path,
        broker: Broker,
        *,
        seed: int,
        region_patches: Patches = (),
        region_settings: Settings | None = None,
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.random = Random(seed)
        self.ledger = Ledger()
        self.near = self._proxy()
        self.far = self._proxy()
        self.region = Region(
            folder / "region", [self.far.url], patches=region_patches, settings=region_settings
        )
        self.agents: list[Agent] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.callback(self.broker.kill)
        if not self.broker.running:
            await asyncio.to_thread(self.broker.start)
        await self._stack.enter_async_context(self.near)
        await self._stack.enter_async_context(self.far)
        self._stack.callback(self.region.program.kill)
        return self

    async def __aexit__(self, *error: object) -> None:
        for agent in self.agents:
            agent.program.kill()
        await self._stack.aclose()

    async def add_agent(
        self,
        *,
        device: str = "till-1",
        patches: Patches = (),
        settings: Settings | None = None,
    ) -> Agent:
        """Make an agent, enrol its key, and start it."""
        agent = await asyncio.to_thread(
            lambda: Agent(
                self.folder / f"agent-{device}", self.region, self.near.url,
                device=device, patches=patches, settings=settings,
            )
        )  # fmt: skip
        await asyncio.to_thread(self.region.enrol, agent)
        self.agents.append(agent)
        agent.program.start()
        return agent

    async def add_link(self) -> Proxy:
        """Make a further network to the broker, for an agent that has one of its own."""
        return await self._stack.enter_async_context(self._proxy())

    async def start_region(self, timeout_s: float = DRAIN_TIMEOUT_S) -> None:
        """Start the aggregator and wait until it is ready."""
        self.region.program.start()
        async with asyncio.timeout(timeout_s):
            while True:
                self.region.program.check_alive()
                if await asyncio.to_thread(self.region.is_ready):
                    return
                await asyncio.sleep(_POLL_S)

    def producer(self, agent: Agent, load: Load) -> Producer:
        """Return a producer at an agent."""
        seed = self.random.getrandbits(64)

        def url() -> str:
            agent.program.check_alive()  # else its posts would be repeated for ever
            return agent.url

        return Producer(self.ledger, load, url=url, random=Random(seed))

    @asynccontextmanager
    async def load(self, producers: Sequence[Producer]) -> AsyncIterator[None]:
        """Let producers run during the block; at its end each finishes its post."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for producer in producers:
                group.create_task(producer.run(stop), name=f"producer.{producer.load.sender}")
            try:
                yield
            finally:
                stop.set()

    def set_faults(self, up: Faults = NO_FAULTS, down: Faults = NO_FAULTS) -> None:
        """Let both networks do this to publications; towards the region is ``up``."""
        self.near.up, self.near.down = up, down
        self.far.down, self.far.up = up, down

    async def drain(self, timeout_s: float = DRAIN_TIMEOUT_S) -> Reconciliation:
        """Wait until the ledger agrees with the journal, and return the comparison.

        It returns at once when they agree, or disagree in what time cannot mend; else at the
        deadline.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            result = await asyncio.to_thread(self.compare)
            if result.agrees or not result.mendable or loop.time() > deadline:
                return result
            await self._until_more_events(deadline)

    async def until_resumed(self, agent: Agent, timeout_s: float = DRAIN_TIMEOUT_S) -> None:
        """Wait until an agent is connected and has the region's answer to its resume."""
        await self.until_status(agent, _is_resumed, "is not resumed", timeout_s)

    async def until_settled(self, agent: Agent, timeout_s: float = DRAIN_TIMEOUT_S) -> None:
        """Wait until nothing is pending on an agent: the receipts have come too."""
        await self.until_status(
            agent, lambda status: not status["buffer"]["pending"], "has events pending", timeout_s
        )

    async def until_status(
        self,
        agent: Agent,
        condition: Callable[[dict[str, Any]], bool],
        otherwise: str,
        timeout_s: float = DRAIN_TIMEOUT_S,
    ) -> None:
        """Wait until an agent's status fulfils a condition; raises ProgramError after the time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        problem = "did not answer"
        while loop.time() < deadline:
            try:
                status = await asyncio.to_thread(agent.status)
            except ProgramError as error:
                problem = str(error)  # it is starting
                continue
            if condition(status):
                return
            problem = f"{otherwise}: {status['uplink']}"
        raise ProgramError(f"{agent.address} {problem} after {timeout_s:g} s")

    def compare(self) -> Reconciliation:
        """Compare ledger and journal now."""
        return reconcile(self.ledger, self.region.contents())

    def check_alive(self) -> None:
        """Raise ProgramError when a process ended by itself."""
        for agent in self.agents:
            agent.program.check_alive()
        self.region.program.check_alive()

    async def _until_more_events(self, deadline: float) -> None:
        """Wait for the journal to grow; reading all of it again and again would slow the drain."""
        loop = asyncio.get_running_loop()
        before = await asyncio.to_thread(count_events, self.region.journal_file)
        until = min(deadline, loop.time() + 5 * _POLL_S)
        while loop.time() < until:
            self.check_alive()
            await asyncio.sleep(_POLL_S)
            if await asyncio.to_thread(count_events, self.region.journal_file) != before:
                return

    def _proxy(self) -> Proxy:
        return Proxy(
            port=free_port(),
            broker_host=self.broker.host,
            broker_port=self.broker.port,
            random=Random(self.random.getrandbits(64)),
        )


def _is_resumed(status: dict[str, Any]) -> bool:
    uplink = status["uplink"]
    return uplink is not None and uplink["link"] == "up" and uplink["resume"] == "done"
