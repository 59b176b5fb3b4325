"""A PostgreSQL that takes a tenth of what comes, and then one that hangs.

The database stands behind a proxy. First it is throttled to a part of what it took when it was
free: its forwarder falls behind, credit goes to zero, the agents spool; then it is let go. After
that it hangs and works by turns, and the delay of a webhook's deliveries is taken in both states: its
forwarder must not notice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from whimbrel_sim.bench.kernel import MEBIBYTE, memory_of
from whimbrel_sim.fleet import TENANT, Agent
from whimbrel_sim.fleets.links import GOOD_LINK, Door, Link, Way
from whimbrel_sim.fleets.trial import Database
from whimbrel_sim.ledger import Outcome
from whimbrel_sim.producer import Load
from whimbrel_sim.proxy import Proxy
from whimbrel_sim.reconcile import reconcile
from whimbrel_sim.sabotage import Sabotage
from whimbrel_sim.world import Broker

from .holding import PostgresRows, WebhookInbox
from .lines import Line, PartReport, change, middle, share
from .stage import Say, Stage, reckoned

THROTTLE: Final = 0.10
MEMORY_CAP_BYTES: Final = 150 * MEBIBYTE
"""What the benchmark allows an aggregator (``aggregator_rss_mb``)."""

CREDIT_S: Final = 5.0
"""From the route's limit to no credit at the device: the region looks twice a second, and says it
with the next receipt."""

MOVE: Final = 0.10
"""The other forwarder's delay may rise by so much."""

SOLO: Final = "calm"
"""Whose events the webhook takes."""

_HOLD_S: Final = 90.0
_DELIVERY_S: Final = 180.0

_FORWARDS: Final = """
[[forward]]
name = "postgres"
kind = "postgres"
dsn_file = "dsn"
hang_s = {hang_s}
max_backlog_bytes = {max_backlog_bytes}

[[forward]]
name = "webhook"
kind = "webhook"
url = "{url}"
[forward.select]
store = ["{solo}"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkPlan:
    """How hard and how long.

    Attributes:
        agents: that fill the database.
        posts_per_s: of each agent's normal and bulk lane.
        batch_events: in a post, at most.
        free_s: how long the database is free, to find out what it takes.
        spool_s: how long devices spool after credit is gone.
        max_backlog_bytes: the route's limit.
        hang_s: so long a call may hang.
        rounds: of a free and a hanging database.
        round_s: the length of each half.
        solo_every_s: between two events whose delivery is timed.
        breaker_s: so long it may take to open after a call hung.
        throttles: the throttled database comes first; else only the one that hangs.
    """

    agents: int = 2
    posts_per_s: float = 5.0
    batch_events: int = 60
    free_s: float = 20.0
    spool_s: float = 60.0
    max_backlog_bytes: int = 400_000
    hang_s: float = 5.0
    rounds: int = 5
    round_s: float = 30.0
    solo_every_s: float = 0.1
    breaker_s: float = 30.0
    throttles: bool = True


BRIEF: Final = SinkPlan(
    free_s=10.0, spool_s=10.0, max_backlog_bytes=150_000, hang_s=2.0, rounds=2, round_s=10.0
)
"""For a planted fault, and for trying it out."""


async def run_sink(
    plan: SinkPlan, broker: Broker, database: Database, folder: Path, *, seed: int,
    sabotage: Sabotage | None, say: Say,
) -> PartReport:  # fmt: skip
    """Run the part; the database is started when it does not run."""
    async with (
        Stage(folder, broker, seed=seed, sabotage=sabotage, say=say) as stage,
        WebhookInbox() as inbox,
    ):
        if not database.running:
            await asyncio.to_thread(database.start)
        host, port = address_of(database.dsn)
        proxy = await stage.proxy(host, port)
        folder.joinpath("region").mkdir(parents=True, exist_ok=True)
        secret = folder / "region" / "dsn"
        secret.touch(mode=0o600)
        secret.write_text(database.dsn.replace(f"{host}:{port}", f"{proxy.host}:{proxy.port}"))
        await stage.open_region(
            _FORWARDS.format(
                hang_s=plan.hang_s, max_backlog_bytes=plan.max_backlog_bytes, url=inbox.url,
                solo=SOLO,
            )
        )  # fmt: skip
        trial = _SinkTrial(plan, stage, proxy, inbox, PostgresRows(database.dsn))
        return await trial.run()


def address_of(dsn: str) -> tuple[str, int]:
    """Return host and port of a DSN such as ``postgresql://user@host:port/name``."""
    host, _, port = dsn.partition("@")[2].partition("/")[0].rpartition(":")
    return host, int(port)


class _SinkTrial:
    def __init__(
        self, plan: SinkPlan, stage: Stage, proxy: Proxy, inbox: WebhookInbox, rows: PostgresRows
    ) -> None:
        self._plan = plan
        self._stage = stage
        self._proxy = proxy
        self._inbox = inbox
        self._rows = rows
        self._figures: dict[str, Any] = {}
        self._refusals: Counter[str] = Counter()

    async def run(self) -> PartReport:
        throttled = await self._throttle() if self._plan.throttles else []
        hanging = await self._hang()
        memory = memory_of(self._stage.region.program.pid)
        self._figures["peak_memory_bytes"] = memory.peak_bytes
        cap = Line(
            "the aggregator's memory stays under its cap",
            memory.peak_bytes <= MEMORY_CAP_BYTES,
            f"{memory.peak_bytes / MEBIBYTE:.0f} MiB at most, of {MEMORY_CAP_BYTES // MEBIBYTE}",
        )
        return PartReport(
            part="sink",
            lines=(*throttled, *hanging, cap),
            figures={**self._figures, "plan": asdict(self._plan)},
        )

    # ------------------------------------------------------------------ throttled

    async def _throttle(self) -> list[Line]:
        plan, stage = self._plan, self._stage
        agents = [
            await stage.add_agent(f"till-{number}", store=f"store-{number}")
            for number in range(1, plan.agents + 1)
        ]
        async with self._load(agents):
            free = await self._free_rate(plan.free_s)
            stage.say(f"the database took {free / 1000:.0f} kB/s; now {THROTTLE:.0%} of it")
            await self._proxy.set_link(Link(up=Way(bytes_per_s=THROTTLE * free)))
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
        before, begin_s = self._proxy.counts["up.bytes"], perf_counter()
        await asyncio.sleep(seconds / 2)
        return (self._proxy.counts["up.bytes"] - before) / (perf_counter() - begin_s)

    async def _credit_goes(self, agents: list[Agent]) -> Line:
        """Wait for the route's limit, and then for no credit at any device."""
        limit_s = 0.0
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
        self._figures["credit_gone_s"] = limit_s
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
            behind = int((await self._forwarder("postgres"))["lag_bytes"])
            return behind >= self._plan.max_backlog_bytes

        return behind if await self._stage.within(reached, _HOLD_S) else None

    async def _release(self) -> list[Line]:
        stage = self._stage
        waiting = stage.watch.times().keys()
        backlog = [
            entry
            for entry in stage.ledger
            if entry.place is not None and entry.place not in waiting
        ]
        await self._proxy.set_link(GOOD_LINK)
        begin_s = perf_counter()
        drained = await stage.drained()
        self._figures["drain_s"] = perf_counter() - begin_s
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
        rows = await self._until_delivered()
        shown = ", ".join(f"{lane} {seconds:.2f} s" for lane, seconds in by_lane.items())
        return [
            Line(
                "the backlog drains by lane",
                drained and by_lane["critical"] <= by_lane["normal"] <= by_lane["bulk"],
                f"{len(backlog)} events in {self._figures['drain_s']:.1f} s, in the middle {shown}",
            ),
            reckoned(await stage.reckon(), "the journal"),
            reckoned(reconcile(stage.ledger, rows), "PostgreSQL"),
        ]

    async def _until_delivered(self) -> Any:
        """Wait until the database has as many rows as were accepted, and read them."""
        wanted = self._stage.ledger.count(Outcome.ACCEPTED)

        async def there() -> bool:
            return await asyncio.to_thread(self._rows.count, TENANT) >= wanted

        await self._stage.within(there, _DELIVERY_S)
        return await asyncio.to_thread(self._rows.contents, TENANT)

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

    # ------------------------------------------------------------------ hanging

    async def _hang(self) -> list[Line]:
        plan, stage = self._plan, self._stage
        agent = await stage.add_agent("solo", store=SOLO)
        stop = asyncio.Event()
        load = Load(sender="solo", batch_events=1, pause_s=plan.solo_every_s, repeat=0)
        free: list[tuple[float, float]] = []
        hung: list[tuple[float, float]] = []
        opened = 0
        async with asyncio.TaskGroup() as group:
            group.create_task(stage.producer(agent, load).run(stop), name="trial.solo")
            for number in range(plan.rounds):
                stage.say(f"round {number + 1} of {plan.rounds}: the database works, then hangs")
                free.append(await self._window())
                await self._proxy.set_link(Link(door=Door.HALF_OPEN))
                opened += await stage.within(self._is_open, plan.hang_s + plan.breaker_s)
                hung.append(await self._window())
                await self._proxy.set_link(GOOD_LINK)
                await self._proxy.cut()  # what fell silent stays so: begin anew
                self._proxy.mend()
                await stage.within(self._is_closed, _DELIVERY_S)
            stop.set()
        await stage.drained()
        rows = await self._until_delivered()
        return [
            Line(
                "the breaker of a hanging sink opens",
                opened == plan.rounds,
                f"{opened} of {plan.rounds} times, after calls of {plan.hang_s:g} s",
            ),
            *(self._moves(part, free, hung) for part in (0.50, 0.95)),
            reckoned(reconcile(stage.ledger, rows), "PostgreSQL after it hung"),
        ]

    async def _window(self) -> tuple[float, float]:
        since_s = perf_counter()
        await asyncio.sleep(self._plan.round_s)
        return since_s, perf_counter()

    def _moves(
        self, part: float, free: list[tuple[float, float]], hung: list[tuple[float, float]]
    ) -> Line:
        """Judge the delay from the answer to the webhook's receiver: medians over the rounds."""
        accepted = self._stage.ledger.accepted_s
        arrived = self._inbox.arrived_s

        def of(windows: list[tuple[float, float]]) -> float:
            return middle(
                [
                    share(
                        [
                            arrived[name] - at_s
                            for name, at_s in accepted.items()
                            if since_s <= at_s < until_s and name in arrived
                        ],
                        part,
                    )
                    for since_s, until_s in windows
                ]
            )

        before, after = of(free), of(hung)
        self._figures[f"webhook_p{100 * part:.0f}_s"] = {"free": before, "hung": after}
        return Line(
            f"the other forwarder's p{100 * part:.0f} rises by less than {MOVE:.0%}",
            change(before, after) < MOVE,
            f"{1000 * before:.0f} ms before, {1000 * after:.0f} ms while it hangs: "
            f"{change(before, after):+.1%} (medians of {len(free)} rounds)",
            timed=True,
        )

    async def _forwarder(self, name: str) -> dict[str, Any]:
        status = await self._stage.ask_region()
        found: dict[str, Any] = next(one for one in status["forwarders"] if one["name"] == name)
        return found

    async def _is_open(self) -> bool:
        return bool((await self._forwarder("postgres"))["breaker"] != "closed")

    async def _is_closed(self) -> bool:
        return bool((await self._forwarder("postgres"))["breaker"] == "closed")
