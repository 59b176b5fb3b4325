"""A database that takes a tenth of what comes: credit goes, agents spool, and drain when it is let go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, Final

from whimbrel_sim.fleet import Agent
from whimbrel_sim.ledger import Outcome
from whimbrel_sim.producer import Load
from whimbrel_sim.reconcile import reconcile

from .database import FarDatabase
from .lines import Line, middle
from .sinkplan import SinkPlan
from .stage import Stage, reckoned

THROTTLE: Final = 0.10

CREDIT_S: Final = 5.0
"""From the route's limit to no credit at the device: the region looks twice a second, and says it
with the next receipt."""

_HOLD_S: Final = 90.0


class Throttling:
    """The throttled database.

    Attributes:
        figures: what was measured, for machines.
    """

    def __init__(self, plan: SinkPlan, stage: Stage, database: FarDatabase) -> None:
        self.figures: dict[str, Any] = {}
        self._plan = plan
        self._stage = stage
        self._database = database
        self._refusals: Counter[str] = Counter()

    async def run(self) -> list[Line]:
        plan, stage = self._plan, self._stage
        agents = [
            await stage.add_agent(f"till-{number}", store=f"store-{number}")
            for number in range(1, plan.agents + 1)
        ]
        async with self._load(agents):
            free = await self._free_rate(plan.free_s)
            stage.say(f"the database took {free / 1000:.0f} kB/s; now {THROTTLE:.0%} of it")
            await self._database.slow_down(THROTTLE * free)
            credit = await self._credit_goes(agents)
            before = await stage.pending()
            since_s = perf_counter()
            await asyncio.sleep(plan.spool_s)
            after = await stage.pending()
            until_s = perf_counter()
        spooled = Line(
            "agents spool what comes",
            after - before >= self._accepted_between(since_s, until_s) / 2,
            f"{after - before} events more of {self._accepted_between(since_s, until_s)} accepted "
            f"in {plan.spool_s:g} s",
        )
        statuses = [await stage.ask_agent(agent) for agent in agents]
        gapped = sum(status["buffer"]["gapped"] for status in statuses)
        refused = stage.ledger.count(Outcome.REFUSED) + self._refusals["507"]
        kept = Line(
            "nothing is refused or dropped", not gapped and not refused,
            f"{refused} refused, {gapped} gapped",
        )  # fmt: skip
        return [credit, spooled, kept, *await self._release()]

    async def _free_rate(self, seconds: float) -> float:
        await asyncio.sleep(seconds / 2)  # tables are made, connections are warm
        before, begin_s = self._database.taken_bytes, perf_counter()
        await asyncio.sleep(seconds / 2)
        return (self._database.taken_bytes - before) / (perf_counter() - begin_s)

    async def _credit_goes(self, agents: list[Agent]) -> Line:
        """Wait for the route's limit, and then for no credit at any device."""
        behind = await self._within_limit()
        if behind is None:
            return Line(
                "credit reaches 0 within seconds", False, "the route's limit was not reached"
            )
        begin_s = perf_counter()

        async def none_left() -> bool:
            windows = [(await self._stage.ask_agent(one))["uplink"]["window"] for one in agents]
            return all(window["credit_bytes"] == 0 for window in windows)

        gone = await self._stage.within(none_left, _HOLD_S)
        limit_s = perf_counter() - begin_s
        self.figures["credit_gone_s"] = limit_s
        return Line(
            "credit reaches 0 within seconds",
            gone and limit_s <= CREDIT_S,
            f"{limit_s:.1f} s after the route was {behind} bytes behind, at all of {len(agents)} devices",
            timed=True,
        )

    async def _within_limit(self) -> int | None:
        behind = 0

        async def reached() -> bool:
            nonlocal behind
            behind = int((await self._database.forwarder())["lag_bytes"])
            return behind >= self._plan.max_backlog_bytes

        return behind if await self._stage.within(reached, _HOLD_S) else None

    async def _release(self) -> list[Line]:
        stage = self._stage
        committed = stage.watch.times().keys()
        backlog = [
            entry
            for entry in stage.ledger
            if entry.place is not None and entry.place not in committed
        ]
        await self._database.speed_up()
        begin_s = perf_counter()
        drained = await stage.drained()
        self.figures["drain_s"] = perf_counter() - begin_s
        times = stage.watch.times()
        by_lane = {
            lane: middle(
                [
                    times[one.place] - begin_s
                    for one in backlog
                    if one.lane == lane and one.place in times
                ]
            )
            for lane in ("critical", "normal", "bulk")
        }
        rows = await self._database.until_delivered()
        shown = ", ".join(f"{lane} {seconds:.2f} s" for lane, seconds in by_lane.items())
        return [
            Line(
                "the backlog drains by lane",
                drained and by_lane["critical"] <= by_lane["normal"] <= by_lane["bulk"],
                f"{len(backlog)} events in {self.figures['drain_s']:.1f} s, in the middle {shown}",
            ),
            reckoned(await stage.reckon(), "the journal"),
            reckoned(reconcile(stage.ledger, rows), "PostgreSQL"),
        ]

    @asynccontextmanager
    async def _load(self, agents: list[Agent]) -> AsyncIterator[None]:
        plan, stop = self._plan, asyncio.Event()
        paces = {
            "critical": (1, 0.5),
            "normal": (plan.batch_events, 1 / plan.posts_per_s),
            "bulk": (plan.batch_events, 1 / plan.posts_per_s),
        }
        producers = [
            self._stage.producer(
                agent,
                Load(
                    sender=f"{agent.address.device}-{lane}", lane=lane, batch_events=most,
                    pause_s=pause_s, padding_bytes=100,
                ),
            )
            for agent in agents
            for lane, (most, pause_s) in paces.items()
        ]  # fmt: skip
        async with asyncio.TaskGroup() as group:
            for producer in producers:
                group.create_task(producer.run(stop), name=f"trial.{producer.load.sender}")
            try:
                yield
            finally:
                stop.set()
        for producer in producers:
            self._refusals.update(producer.counts)

    def _accepted_between(self, since_s: float, until_s: float) -> int:
        return sum(since_s <= at_s < until_s for at_s in self._stage.ledger.accepted_s.values())
