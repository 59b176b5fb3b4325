"""One run of a fleet: start, send for a while, drain, reckon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from whimbrel_sim.reconcile import PROMISES

from .crew import Crew
from .figures import Figures
from .holders import Holder
from .reckoning import Reckoning, reckon_until
from .roster import Roster

LOOK_S: Final = 0.5
FORWARD_S: Final = 60.0
"""Journal and sinks may be so far behind the last receipt: a forwarder that was away comes back
within a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is to do.

    Attributes:
        folder, roster: the fleet.
        duration_s: how long senders send; None means until they are stopped.
        drain_s: how long what was accepted may take to be committed after that.
        forward_s: how long journal and sinks may be behind the last receipt.
        holders: what is compared with the ledger at the end.
    """

    folder: Path
    roster: Roster
    duration_s: float | None
    drain_s: float
    forward_s: float = FORWARD_S
    holders: Sequence[Holder] = ()


@dataclass(slots=True)
class Report:
    """What came of a run.

    Attributes:
        figures: at the end of the drain.
        most_up: the most agents that were connected at one time.
        most_memory_bytes: the most memory of the fleet's processes.
        sending_s: how long senders sent.
        drained: whether everything had a receipt in time.
        deaths: logs of processes that ended by themselves.
        reckoning: ledger against journal and sinks; None when none was named.
    """

    plan: Plan
    figures: Figures = field(default_factory=Figures)
    most_up: int = 0
    most_memory_bytes: int = 0
    sending_s: float = 0.0
    drained: bool = False
    deaths: Sequence[str] = ()
    reckoning: Reckoning | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def checks(self) -> dict[str, str]:
        """Every check by name, with what is wrong; empty when it holds."""
        found = {
            "no process ended by itself": "\n".join(self.deaths),
            "everything accepted has a receipt": ""
            if self.drained
            else f"{self.figures.backlog} events have none at the end of the drain",
        }
        if self.reckoning is not None:
            for name, result in self.reckoning.results.items():
                told = {line.strip() for line in self.reckoning.lines()}
                for finding, promise in PROMISES.items():
                    shown = sorted(
                        line for line in told if line.startswith(finding.replace("_", " "))
                    )
                    wrong = "\n".join([promise, *shown]) if finding in result.broken else ""
                    found[f"{name}: {promise}"] = wrong
        return found

    @property
    def agrees(self) -> bool:
        """Whether all checks hold."""
        return not any(self.checks().values())

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "agrees": self.agrees,
            "wrong": {name: wrong for name, wrong in self.checks().items() if wrong},
            "agents": len(self.plan.roster),
            "most_up": self.most_up,
            "most_memory_bytes": self.most_memory_bytes,
            "sending_s": round(self.sending_s, 1),
            "figures": self.figures.to_json(),
            "reckoning": None if self.reckoning is None else self.reckoning.to_json(),
            **self.extra,
        }


Show = Callable[[str, Figures], None]
"""Told the present phase and figures, a few times a second."""

During = Callable[[], Coroutine[Any, Any, None]]


async def run_fleet(
    plan: Plan,
    crew: Crew,
    *,
    stop: asyncio.Event,
    hurry: asyncio.Event | None = None,
    show: Show = lambda _phase, _figures: None,
    during: During | None = None,
) -> Report:
    """Run a plan.

    Args:
        plan: what is to be done.
        crew: the fleet's processes, not started yet.
        stop: set it to end the sending early.
        hurry: set it to end the drain early, too.
        show: told how it goes.
        during: what is to happen while senders send; it is cancelled before the drain, and must
            mend then what it broke.

    Raises:
        ProgramError: an agent answered what it must not.
        HolderError, LedgerFileError, LedgerError: the reckoning was not possible.
    """
    report = Report(plan)
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        working = group.create_task(crew.run(), name="fleet.crew")
        watching = group.create_task(_watch(crew, report, show), name="fleet.watch")
        begun_s = loop.time()
        await _send(plan, stop, during)
        report.sending_s = loop.time() - begun_s
        report.extra["phase"] = "draining"
        crew.fall_silent()
        await _until(lambda: crew.settled or (hurry is not None and hurry.is_set()), plan.drain_s)
        report.drained = crew.settled
        report.figures = crew.figures
        report.deaths = crew.deaths
        report.extra["phase"] = "reckoning"
        if plan.holders:
            wait_s = plan.forward_s if report.drained else 0.0
            report.reckoning = await asyncio.to_thread(
                reckon_until, plan.folder, plan.holders, wait_s=wait_s
            )
        watching.cancel()
        working.cancel()
    report.extra.pop("phase")
    return report


async def _send(plan: Plan, stop: asyncio.Event, during: During | None) -> None:
    async with asyncio.TaskGroup() as group:
        task = None if during is None else group.create_task(during(), name="fleet.during")
        with suppress(TimeoutError):
            async with asyncio.timeout(plan.duration_s):
                await stop.wait()
        if task is not None:
            task.cancel()


async def _until(condition: Callable[[], bool], timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while not condition():
        if loop.time() > deadline_s:
            return
        await asyncio.sleep(LOOK_S)


async def _watch(crew: Crew, report: Report, show: Show) -> None:
    while True:
        figures = crew.figures
        report.most_up = max(report.most_up, figures.up)
        report.most_memory_bytes = max(report.most_memory_bytes, figures.memory_bytes)
        show(str(report.extra.get("phase", "sending")), figures)
        await asyncio.sleep(LOOK_S)
