"""One process with many agents and their senders, as ``python -m whimbrel_sim.fleets.host``.

Its figures go to ``hosts/part-N.json`` in the fleet's folder, every second. SIGUSR1 lets the
senders finish what they are at and then fall silent; SIGTERM stops the agents in order. When the
process that started it has gone, it stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from whimbrel_agent.collector import spare_the_collector
from whimbrel_agent.configfile import load_config
from whimbrel_agent.logs import start_logs
from whimbrel_agent.reporting import resident_bytes
from whimbrel_sim.sabotage import apply

from .figures import Figures, total
from .ledgerfile import LedgerFile
from .light import LightAgent, LightPlatform
from .pace import MIX, WORKLOADS, Pace, Sources
from .roster import Member, Roster, config_file, ledger_folder, load_roster
from .sender import Sender

STARTING_AT_ONCE: Final = 16
"""Agents that open their buffers at the same time."""

REPORT_S: Final = 1.0
ROUND_S: Final = 10.0
"""Every agent is asked for its figures once in this time, a part of them at each report."""


class Host:
    """The agents of one part of a fleet.

    Attributes:
        stop: ends it in order.
        quiet: ends the senders; what was accepted goes on its way.
    """

    def __init__(
        self, folder: Path, roster: Roster, part: int, members: Sequence[Member], pace: Pace
    ) -> None:
        self.stop = asyncio.Event()
        self.quiet = asyncio.Event()
        self._folder = folder
        self._part = part
        self._platform = LightPlatform()
        self._ledger = LedgerFile(ledger_folder(folder) / f"part-{part}.ledger")
        self._agents = [
            LightAgent(load_config(config_file(folder, member)), self._platform)
            for member in members
        ]
        sources = Sources(roster, pace, start_ns=self._platform.clock.wall_ns())
        self._senders = [
            Sender(
                roster.sender(member), sources.source(member), agent, self._ledger,
                wall_ns=self._platform.clock.wall_ns,
            )
            for member, agent in zip(members, self._agents, strict=True)
        ]  # fmt: skip
        self._figures = [Figures() for _ in members]
        self._talking: list[asyncio.Task[None]] = []
        self._silent = False

    async def run(self) -> None:
        """Run until ``stop``."""
        gate = asyncio.Semaphore(STARTING_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            report = group.create_task(self._report(), name="host.report")
            agents = [
                group.create_task(self._live(agent, gate), name="host.agent")
                for agent in self._agents
            ]
            self._talking = [
                group.create_task(sender.run(self.quiet), name="host.sender")
                for sender in self._senders
            ]
            await self.stop.wait()
            for sender in self._talking:
                sender.cancel()  # a post without an answer stays unsure
            await asyncio.wait(agents)
            report.cancel()
        await self._platform.close()
        self._ledger.close()

    async def _live(self, agent: LightAgent, gate: asyncio.Semaphore) -> None:
        waiting = True
        await gate.acquire()

        def started() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                gate.release()

        try:
            await agent.run(self.stop, started)
        finally:
            started()

    async def _report(self) -> None:
        """Ask a part of the agents and write the sum, again and again."""
        orphaned_from = os.getppid()
        step = max(1, round(len(self._agents) * REPORT_S / ROUND_S))
        at = 0
        while True:
            if os.getppid() != orphaned_from:
                self.stop.set()
            wanted = {*range(at, min(at + step, len(self._agents)))}
            if self._has_fallen_silent():
                # from here on every agent counts: what it said before it took its last event
                # is void, and those with a backlog are asked each time
                wanted |= {n for n, figures in enumerate(self._figures) if _is_behind(figures)}
            for number in sorted(wanted):
                self._figures[number] = await self._agents[number].figures()
            at = (at + step) % len(self._agents) if at + step < len(self._agents) else 0
            self._write()
            await asyncio.sleep(REPORT_S)

    def _has_fallen_silent(self) -> bool:
        if self._talking and all(task.done() for task in self._talking) and not self._silent:
            self._silent = True
            self._figures = [Figures() for _ in self._agents]
        return self._silent

    def _write(self) -> None:
        talking = sum(1 for task in self._talking if not task.done())
        own = Figures(
            senders=talking,
            retries=sum(sender.counts["retries"] for sender in self._senders),
            memory_bytes=resident_bytes(),
        )
        figures = total([*self._figures, own])
        report = figures_file(self._folder, self._part)
        fresh = report.with_suffix(".new")
        fresh.write_text(json.dumps({"pid": os.getpid(), **figures.to_json()}))
        fresh.replace(report)


def _is_behind(figures: Figures) -> bool:
    return figures.agents == 0 or figures.backlog > 0


def figures_file(folder: Path, part: int) -> Path:
    """Return where a part's figures are written."""
    return folder / "hosts" / f"part-{part}.json"


def members_of(roster: Roster, part: int, parts: int) -> list[Member]:
    """Return the members of one part: whole stores, as evenly as that goes."""
    stores = sorted(roster.store_names)
    mine = set(stores[part::parts])
    return [member for member in roster.members if member.store in mine]


async def serve(host: Host) -> None:
    """Run a host until it is told to stop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, host.stop.set)
    loop.add_signal_handler(signal.SIGUSR1, host.quiet.set)
    await host.run()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one part from the command line."""
    parser = argparse.ArgumentParser(prog="python -m whimbrel_sim.fleets.host", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", type=int, required=True)
    parser.add_argument("--parts", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="events a second, whole fleet")
    parser.add_argument("--burst", type=int, required=True, help="mean events in a post")
    parser.add_argument("--workload", default=MIX, choices=WORKLOADS)
    parser.add_argument("--patches", default="", help="planted faults, with commas between")
    options = parser.parse_args(arguments)
    start_logs(level="warning")
    if options.patches:
        apply(options.patches)
    roster = load_roster(options.folder)
    pace = Pace(events_per_s=options.rate, burst_events=options.burst, workload=options.workload)
    members = members_of(roster, options.part, options.parts)
    asyncio.run(_serve_members(options.folder, roster, options.part, members, pace))
    return 0


async def _serve_members(
    folder: Path, roster: Roster, part: int, members: Sequence[Member], pace: Pace
) -> None:
    host = Host(folder, roster, part, members, pace)
    spare_the_collector()
    await serve(host)


if __name__ == "__main__":
    sys.exit(main())
