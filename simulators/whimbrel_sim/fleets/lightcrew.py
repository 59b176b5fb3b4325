"""A crew of a few processes with many light agents each."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from whimbrel_sim.fleet import Patches
from whimbrel_sim.program import Program

from .crew import WATCH_S, revive, stop_all
from .figures import Figures, from_json, total
from .host import figures_file, members_of
from .pace import Pace
from .roster import Roster

AGENTS_PER_PROCESS: Final = 500
"""Their event loop is busy with so many, and a kill takes a part of the fleet only."""


class LightCrew:
    """A few processes with many agents each; see :class:`~whimbrel_sim.fleets.crew.Crew`."""

    def __init__(
        self,
        folder: Path,
        roster: Roster,
        pace: Pace,
        *,
        patches: Patches = (),
        agents_per_process: int = AGENTS_PER_PROCESS,
    ) -> None:
        self.deaths: list[str] = []
        self._folder = folder
        parts = min(roster.stores, -(-len(roster) // agents_per_process))
        self.programs: Sequence[Program] = [
            _host(folder, part, parts, pace, patches) for part in range(parts)
        ]
        self._expected = [len(members_of(roster, part, parts)) for part in range(parts)]
        self._last = [Figures() for _ in range(parts)]
        self._told: set[int] = set()
        self._is_silent = False

    @property
    def figures(self) -> Figures:
        """The sum over processes, as they last wrote it."""
        return total(self._last)

    @property
    def settled(self) -> bool:
        """Whether every process is silent and everything of it has a receipt."""
        return all(
            figures.agents == expected and not figures.senders and not figures.backlog
            for figures, expected in zip(self._last, self._expected, strict=True)
        ) and all(program.running and program.pid in self._told for program in self.programs)

    async def run(self) -> None:
        """Start and watch."""
        for part in range(len(self.programs)):
            figures_file(self._folder, part).unlink(missing_ok=True)
        try:
            for program in self.programs:
                program.start()
            while True:
                await asyncio.sleep(WATCH_S)
                revive(self.programs, self.deaths)
                for part, program in enumerate(self.programs):
                    self._look(part, program)
        finally:
            await asyncio.to_thread(stop_all, self.programs)

    def fall_silent(self) -> None:
        """Tell the processes soon, and those that are started again later."""
        self._is_silent = True

    def _look(self, part: int, program: Program) -> None:
        values = self._read(part)
        if not program.running or values.get("pid") != program.pid:
            self._last[part] = _without_links(self._last[part])
            return
        # figures of this process: it listens for the signal, too
        self._last[part] = from_json(values)
        if self._is_silent and program.pid not in self._told:
            os.kill(program.pid, signal.SIGUSR1)
            self._told.add(program.pid)

    def _read(self, part: int) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads(figures_file(self._folder, part).read_text())
        except (OSError, ValueError):
            return {}  # not written yet
        return values


def _host(folder: Path, part: int, parts: int, pace: Pace, patches: Patches) -> Program:
    arguments = [
        str(folder.absolute()), "--part", str(part), "--parts", str(parts),
        "--rate", str(pace.events_per_s), "--burst", str(pace.burst_events),
        "--workload", pace.workload,
        *(["--patches", ",".join(patches)] if patches else []),
    ]  # fmt: skip
    return Program(f"part-{part}", "whimbrel_sim.fleets.host", arguments, folder / "hosts")


def _without_links(figures: Figures) -> Figures:
    return from_json({**figures.to_json(), "up": 0, "resumed": 0, "agents": 0})
