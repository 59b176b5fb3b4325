"""One tenant that offers ten times its rate beside one that keeps within everything; then restarts.

First the calm tenant is alone, then the loud one joins it. What was admitted of the loud one is what
the journal's file holds of it; what it may be is the bucket's burst and its rate over the time. Events of
the loud tenant are few and large, so that the processes of its device take little of the machine that
all share here and would not share in life.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from whimbrel_sim.fleet import TENANT
from whimbrel_sim.ledger import Entry
from whimbrel_sim.producer import Load
from whimbrel_sim.sabotage import Sabotage
from whimbrel_sim.world import Broker

from .lines import Line, PartReport, change, share
from .stage import Say, Stage

LOUD: Final = "loud"
TIMES: Final = 10
"""The loud tenant offers so many times its rate."""

HASTE: Final = 1.5
"""Posts take time too: without this the loud tenant would offer less than it should."""

WITHIN: Final = 0.05
MOVE: Final = 0.10
BURST_BYTES: Final = 128 * 1024
"""The least that a limit may have."""

_SETTLE_S: Final = 30.0

_LIMIT: Final = """
[[limit]]
per = "tenant"
tenant = ["{tenant}"]
bytes_per_s = {rate}
burst_bytes = {burst}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaPlan:
    """How long, and how much.

    Attributes:
        calm_s: the calm tenant is alone so long.
        loud_s: the loud one is there so long.
        rate_bytes_per_s: the loud tenant's limit.
        event_bytes: of each of its events, as sealed.
        calm_every_s: mean time between two events of the calm one.
        stored_s: before ``kill -9``; counts are stored every 10 s, after which it may take none.
    """

    calm_s: float = 120.0
    loud_s: float = 180.0
    rate_bytes_per_s: int = 16_384
    event_bytes: int = 8_000
    calm_every_s: float = 0.08
    stored_s: float = 12.0


BRIEF: Final = QuotaPlan(calm_s=20.0, loud_s=40.0)
"""For a planted fault, and for trying it out."""


async def run_quota(
    plan: QuotaPlan, broker: Broker, folder: Path, *, seed: int, sabotage: Sabotage | None, say: Say
) -> PartReport:
    """Run the part."""
    async with Stage(folder, broker, seed=seed, sabotage=sabotage, say=say) as stage:
        await stage.open_region(
            _LIMIT.format(tenant=LOUD, rate=plan.rate_bytes_per_s, burst=BURST_BYTES)
        )
        return await _QuotaTrial(plan, stage).run()


class _QuotaTrial:
    def __init__(self, plan: QuotaPlan, stage: Stage) -> None:
        self._plan = plan
        self._stage = stage
        self._figures: dict[str, Any] = {}

    async def run(self) -> PartReport:
        stage, plan = self._stage, self._plan
        lanes = {"lanes.normal": {"linger_s": 1.0}}  # as it is unless configured
        calm = await stage.add_agent("calm-1", settings=lanes)
        loud = await stage.add_agent("loud-1", tenant=LOUD, settings=lanes)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            load = Load(sender="calm", batch_events=1, pause_s=plan.calm_every_s, repeat=0)
            group.create_task(stage.producer(calm, load).run(stop), name="trial.calm")
            stage.say(f"the calm tenant is alone for {plan.calm_s:g} s")
            alone_s = perf_counter()
            await asyncio.sleep(plan.calm_s)
            stage.say(f"the loud one offers {TIMES} times its rate for {plan.loud_s:g} s")
            begin_s = perf_counter()
            padding = 2 * plan.event_bytes  # hexadecimal digits hold half a byte each
            load = Load(
                sender=LOUD, batch_events=1, padding_bytes=padding, repeat=0,
                pause_s=plan.event_bytes / (TIMES * HASTE * plan.rate_bytes_per_s),
            )  # fmt: skip
            group.create_task(stage.producer(loud, load).run(stop), name="trial.loud")
            await asyncio.sleep(plan.loud_s)
            end_s = perf_counter()
            stop.set()
        admitted = self._admitted(begin_s, end_s)
        self._figures["spooled_events"] = await stage.pending(loud)
        drained = await stage.drained(calm, timeout_s=_SETTLE_S)
        moved = self._moved((alone_s, begin_s), (begin_s, end_s))
        for agent in stage.agents:
            await asyncio.to_thread(agent.program.stop)
        lines = (
            admitted,
            moved,
            Line("the calm tenant's events are all there", drained, "nothing is pending"),
            *await self._restart(),
        )
        return PartReport(
            part="quota", lines=lines, figures={**self._figures, "plan": asdict(plan)}
        )

    def _admitted(self, begin_s: float, end_s: float) -> Line:
        plan, watch = self._plan, self._stage.watch
        frames = [one for one in watch.frames if one.tenant == LOUD and one.seen_s < end_s]
        admitted = sum(frame.size_bytes for frame in frames)
        allowed = BURST_BYTES + plan.rate_bytes_per_s * (end_s - begin_s)
        event_bytes = admitted / max(1, sum(frame.events for frame in frames))
        offered = event_bytes * len(self._events_of(LOUD, begin_s, end_s))
        times = offered / plan.rate_bytes_per_s / (end_s - begin_s)
        self._figures["admitted"] = {
            "bytes": admitted, "allowed_bytes": allowed, "offered_times": times,
        }  # fmt: skip
        return Line(
            f"{TIMES} times the quota are admitted at the quota, within {WITHIN:.0%}",
            times >= TIMES and abs(change(allowed, admitted)) <= WITHIN,
            f"{admitted / 1000:.0f} kB of {allowed / 1000:.0f} allowed "
            f"({change(allowed, admitted):+.1%}); {times:.1f} times the rate offered",
            timed=True,
        )

    def _moved(self, alone: tuple[float, float], beside: tuple[float, float]) -> Line:
        stage = self._stage
        p99 = []
        for since_s, until_s in (alone, beside):
            events = self._events_of("calm", since_s, until_s)
            p99.append(share(stage.watch.delays(stage.ledger, events), 0.99))
        before, after = p99
        self._figures["calm_p99_s"] = {"alone": before, "beside": after}
        return Line(
            f"the other tenant's p99 rises by less than {MOVE:.0%}",
            change(before, after) < MOVE,
            f"{1000 * before:.0f} ms alone, {1000 * after:.0f} ms beside it: "
            f"{change(before, after):+.1%}",
            timed=True,
        )

    def _events_of(self, sender: str, since_s: float, until_s: float) -> list[Entry]:
        found = self._stage.ledger.accepted("normal", since_s, until_s)
        return [entry for entry in found if entry.sender == sender]

    async def _restart(self) -> list[Line]:
        """Stop the aggregator in order, and kill it once counts must be stored."""
        stage, program = self._stage, self._stage.region.program
        stage.say("restarting the aggregator")
        counted = await self._usage()
        journal = self._journal()
        await asyncio.to_thread(program.stop)
        await stage.start_region()
        stopped = await self._usage()
        await asyncio.sleep(self._plan.stored_s)
        await asyncio.to_thread(program.kill)
        await stage.start_region()
        killed = await self._usage()
        shown = ", ".join(f"{name} {count['events']} events" for name, count in journal.items())
        return [
            Line("the counters are what the journal holds", counted == journal, f"{shown}"),
            Line(
                "the counters survive a restart", counted == stopped == killed and bool(counted),
                f"{_shown(counted)}, {_shown(stopped)} after a stop, {_shown(killed)} after kill -9",
            ),
        ]  # fmt: skip

    async def _usage(self) -> dict[str, dict[str, int]]:
        answer = await self._stage.ask_region("/v1/usage?per=tenant")
        return {
            one["tenant"]: {name: one[name] for name in ("frames", "events", "bytes")}
            for one in answer["usage"]
        }

    def _journal(self) -> dict[str, dict[str, int]]:
        found = {
            tenant: {"frames": 0, "events": 0, "bytes": 0} for tenant in sorted((TENANT, LOUD))
        }
        for frame in self._stage.watch.frames:
            counts = found[frame.tenant]
            counts["frames"] += 1
            counts["events"] += frame.events
            counts["bytes"] += frame.size_bytes
        return found


def _shown(usage: dict[str, dict[str, int]]) -> str:
    return " and ".join(str(counts["bytes"]) for counts in usage.values()) + " bytes"
