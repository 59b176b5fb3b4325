"""A real agent on a simulated supply that goes from 80 % on mains to 15 % on battery, and back.

The load stays the same all the while: one normal and one bulk event a few times a minute, a critical one
now and then. Counted are radio sessions on the wire, and how often the agent's threads gave up the
processor to wait, which the kernel counts. Before mains is back nothing critical comes for a
while, so that it shows whether bulk waits. Nothing is sent in that time, so that its wake-ups are
those of taking the events in and of looking at the supply: a producer's post wakes the agent in every
mode. What the others are above that is what the mode can save. A second agent on another supply
gets readings that cannot be true meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from whimbrel_sim.bench.kernel import wakeups_of
from whimbrel_sim.fleet import Agent, Settings
from whimbrel_sim.ledger import Entry
from whimbrel_sim.producer import Load
from whimbrel_sim.sabotage import Sabotage
from whimbrel_sim.world import Broker

from .lines import Line, PartReport, change, middle
from .radio import RadioWatch
from .stage import Say, Stage, reckoned
from .supply import Supply

FALL: Final = 0.80
"""By so much connections and wake-ups must fall."""

CRITICAL_S: Final = 5.0
FULL_PERCENT: Final = 80
LOW_PERCENT: Final = 15
MISREAD_PERCENT: Final = 60
MODE_S: Final = 180.0
"""Mains that is back is believed after half a minute and some looks; a busy machine adds to it."""

_REST_S: Final = 30.0

_CONFIRMING_S: Final = 0.08
"""Between two changes of a supply that is misread: one or two looks of the agent."""

_TRUTHS: Final = 0.3
"""The chance that a misread is followed by the truth, not by another misread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPlan:
    """How long the states last, and what is posted.

    Attributes:
        mains_s: counted on mains.
        low_s: counted at 15 %.
        quiet_s: at 15 % after that, with nothing critical; like the others in whole ``routine_s``.
        routine_s: between two normal events, and between two bulk ones.
        critical_s: between two critical events.
        poll_s: the agent looks at its supply at least so often.
        runtime_s: the shortest time from full to empty that it believes; the battery falls so fast.
        misreads: injected at the least.
    """

    mains_s: float = 240.0
    low_s: float = 240.0
    quiet_s: float = 100.0
    routine_s: float = 20.0
    critical_s: float = 120.0
    poll_s: float = 20.0
    runtime_s: float = 60.0
    misreads: int = 1000


BRIEF: Final = PowerPlan(
    mains_s=60.0, low_s=60.0, quiet_s=40.0, critical_s=30.0, poll_s=5.0, runtime_s=20.0,
    misreads=200,
)  # fmt: skip
"""For a planted fault, and for trying it out."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted in one state."""

    seconds: float
    sessions: int
    connections: int
    wakeups: int

    def per_minute(self, count: int) -> float:
        """Return a count as a rate."""
        return 60 * count / self.seconds


async def run_power(
    plan: PowerPlan, broker: Broker, folder: Path, *, seed: int, sabotage: Sabotage | None, say: Say
) -> PartReport:
    """Run the part."""
    async with Stage(folder, broker, seed=seed, sabotage=sabotage, say=say) as stage:
        await stage.open_region()
        async with asyncio.TaskGroup() as group:
            discharge = group.create_task(_Discharge(plan, stage).run(), name="trial.discharge")
            misread = group.create_task(run_misreads(plan, stage), name="trial.misread")
        lines, figures = discharge.result()
        return PartReport(
            part="power",
            lines=(*lines, misread.result(), reckoned(await stage.reckon(), "the journal")),
            figures={**figures, "plan": asdict(plan)},
        )


class _Discharge:
    """The agent whose battery falls."""

    def __init__(self, plan: PowerPlan, stage: Stage) -> None:
        self._plan = plan
        self._stage = stage
        self._supply = Supply(stage.folder / "sys")
        self._supply.say(FULL_PERCENT, mains=True)
        self._criticals = asyncio.Event()
        self._agent: Agent
        self._radio: RadioWatch

    async def run(self) -> tuple[list[Line], dict[str, Any]]:
        stage, plan = self._stage, self._plan
        broker = stage.broker
        proxy = await stage.proxy(broker.host, broker.port)
        self._radio = RadioWatch(proxy)
        settings = _settings(self._supply, plan.poll_s, plan.runtime_s)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._radio.run(), name="trial.radio")
            self._agent = await stage.add_agent("hub-1", url=proxy.url, settings=settings)
            await self._until_mode("mains")
            async with self._load():
                mains = await self._count("on mains", plan.mains_s)
                await self._discharge()
                low_since_s = perf_counter()
                low = await self._count(f"at {LOW_PERCENT} %", plan.low_s)
                intake, quiet = await self._keep_quiet()
                waiting = self._uncommitted(quiet)
            low_until_s = perf_counter()
            self._supply.say(LOW_PERCENT, mains=True)
            await self._until_mode("mains")
            back_s = perf_counter()
            drained = await stage.drained(self._agent)
            drain_s = perf_counter() - back_s
            watching.cancel()
        critical = stage.ledger.accepted("critical", low_since_s, low_until_s)
        delays = stage.watch.delays(stage.ledger, critical)
        bulk = stage.watch.delays(
            stage.ledger, stage.ledger.accepted("bulk", low_since_s, low_until_s)
        )
        lines = [
            *_falls(mains, low, intake),
            Line(
                f"critical is committed within {CRITICAL_S:g} s",
                bool(delays) and len(delays) == len(critical) and max(delays) < CRITICAL_S,
                f"{len(delays)} of {len(critical)} committed, {max(delays, default=0):.2f} s at most",
                timed=True,
            ),
            Line(
                "bulk waits",
                bool(quiet) and waiting == len(quiet),
                f"{waiting} of {len(quiet)} not yet committed when mains came back; "
                f"{middle(bulk):.0f} s in the middle at {LOW_PERCENT} %",
            ),
            Line(
                "back on mains the backlog drains", drained,
                f"nothing pending {drain_s:.1f} s after the mode",
            ),
        ]  # fmt: skip
        counted = {"mains": asdict(mains), "low": asdict(low), "intake_alone": asdict(intake)}
        return lines, {**counted, "critical_s": delays}

    @asynccontextmanager
    async def _load(self) -> AsyncIterator[None]:
        """Post while the block lasts; what is being posted is posted to its end."""
        stop = asyncio.Event()
        self._criticals.set()
        every_s = {"normal": self._plan.routine_s, "bulk": self._plan.routine_s}
        async with asyncio.TaskGroup() as group:
            for place, (lane, pause_s) in enumerate(
                {**every_s, "critical": self._plan.critical_s}.items()
            ):
                # the lanes take turns, so that none goes along with another by chance
                first_s = pause_s * (1 + place) / 3
                group.create_task(self._post(lane, first_s, pause_s, stop), name=f"trial.{lane}")
            try:
                yield
            finally:
                stop.set()

    async def _post(self, lane: str, first_s: float, pause_s: float, stop: asyncio.Event) -> None:
        producer = self._stage.producer(self._agent, Load(sender=lane, lane=lane, repeat=0))
        await _pause(stop, first_s)
        while not stop.is_set():
            if lane != "critical" or self._criticals.is_set():
                await producer.send(1)
            await _pause(stop, pause_s)

    async def _count(self, what: str, seconds: float) -> Counted:
        """Count for a while, in which nobody asks the agent anything."""
        self._stage.say(f"counting {what} for {seconds:g} s")
        radio, pid = self._radio, self._agent.program.pid
        before = (radio.sessions, radio.connections, wakeups_of(pid))
        begin_s = perf_counter()
        await asyncio.sleep(seconds)
        after = (radio.sessions, radio.connections, wakeups_of(pid))
        spent_s = perf_counter() - begin_s
        return Counted(spent_s, *(now - then for now, then in zip(after, before, strict=True)))

    async def _discharge(self) -> None:
        step_s = self._plan.runtime_s / 100
        for percent in range(FULL_PERCENT, LOW_PERCENT - 1, -1):
            self._supply.say(percent, mains=False)
            await asyncio.sleep(step_s)
        await self._until_mode("low")

    async def _keep_quiet(self) -> tuple[Counted, list[Entry]]:
        """Let nothing critical come; return what was counted, and the bulk events of that time."""
        self._criticals.clear()
        await self._stage.within(self._rests, _REST_S)
        since_s = perf_counter()
        counted = await self._count("what the intake takes by itself", self._plan.quiet_s)
        return counted, self._stage.ledger.accepted("bulk", since_s)

    async def _rests(self) -> bool:
        """Say whether what was urgent has taken along what waited, and its session is over."""
        urgent = self._stage.ledger.accepted("critical")
        return self._radio.is_over and not self._uncommitted(urgent)

    def _uncommitted(self, entries: list[Entry]) -> int:
        times = self._stage.watch.times()
        return sum(entry.place not in times for entry in entries)

    async def _until_mode(self, mode: str) -> None:
        """Wait for the agent's own word in its log, which wakes nobody."""

        async def is_so() -> bool:
            return last_mode(self._agent.program.log_file) == mode

        await self._stage.until(is_so, MODE_S, f"the mode is {mode}")
        self._stage.say(f"the agent's mode is {mode}")


def _falls(mains: Counted, low: Counted, intake: Counted) -> list[Line]:
    alone = intake.per_minute(intake.wakeups)
    all_mains, all_low = mains.per_minute(mains.wakeups), low.per_minute(low.wakeups)
    return [
        _fall(
            "radio sessions", mains.per_minute(mains.sessions), low.per_minute(low.sessions),
            f"{mains.connections} and {low.connections} connections made",
        ),
        _fall(
            "wake-ups beyond the intake's", all_mains - alone, max(0.0, all_low - alone),
            f"{all_mains:.0f} and {all_low:.0f} with the {alone:.0f} of the intake: "
            f"{change(all_mains, all_low):+.0%}",
        ),
    ]  # fmt: skip


def _fall(what: str, before: float, after: float, more: str) -> Line:
    return Line(
        f"{what} fall by at least {FALL:.0%}",
        before > 0 and -change(before, after) >= FALL,
        f"{before:.2f} a minute on mains, {after:.2f} at {LOW_PERCENT} %: "
        f"{change(before, after):+.0%} ({more})",
        timed=True,
    )


def last_mode(log_file: Path) -> str:
    """Return the mode that an agent's log names last; mains when it names none."""
    mode = "mains"
    for line in log_file.read_text().splitlines():
        try:
            members = json.loads(line)
        except ValueError:
            continue  # a line that is being written
        if members.get("message") == "power mode":
            mode = members["mode"]
    return mode


async def run_misreads(plan: PowerPlan, stage: Stage) -> Line:
    """Inject misreads into an agent of their own, which looks often."""
    supply = Supply(stage.folder / "sys-misread")
    supply.say(MISREAD_PERCENT, mains=False)
    settings = _settings(supply, 0.05, 900)
    agent = await stage.add_agent("hub-2", settings=settings)

    async def on_battery() -> bool:
        return last_mode(agent.program.log_file) == "battery"

    await stage.until(on_battery, MODE_S, "the mode is battery")
    stage.say(f"misreading {plan.misreads} times")
    seen, changes = 0, 0
    while seen < plan.misreads and changes < 4 * plan.misreads and agent.program.running:
        for _ in range(40):
            supply.misread(stage.random)
            await asyncio.sleep(_CONFIRMING_S)
            if stage.random.random() < _TRUTHS:
                supply.say(MISREAD_PERCENT, mains=False)
                await asyncio.sleep(_CONFIRMING_S)
            supply.say(MISREAD_PERCENT, mains=False)
            changes += 1
        power = (await stage.ask_agent(agent)).get("power")
        if power is None or power["mode"] != "battery":
            break
        seen = sum(power["misread"].values())
    mode = last_mode(agent.program.log_file)
    up = agent.program.running
    return Line(
        "misreads stop nothing and change no mode",
        seen >= plan.misreads and up and mode == "battery",
        f"{seen} readings not believed of {changes} changes of the supply; the mode is {mode}, "
        f"the agent {'runs' if up else 'stopped'}",
    )


def _settings(supply: Supply, poll_s: float, runtime_s: float) -> Settings:
    return {
        "power": {
            "source": "sysfs", "sys": str(supply.root.absolute()), "max_poll_s": poll_s,
            "shortest_runtime_s": runtime_s,
        },
        "lanes.normal": {"linger_s": 1.0},
    }  # fmt: skip


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
