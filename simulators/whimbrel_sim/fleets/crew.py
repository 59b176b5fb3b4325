"""The processes of a fleet, whichever form they have, and how they are kept alive.

A crew starts them, sees that they live, feeds them, tells how they stand and stops them. A
process that ends by itself is started again, and counted: nothing of the product may do that.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Final, Protocol

from whimbrel_sim.program import Program, ProgramError

from .figures import Figures

WATCH_S: Final = 0.5
"""Between two looks at the processes."""


MAX_DEATHS: Final = 10
"""So many processes that ended by themselves end the run: starting them again helps no more."""


class Crew(Protocol):
    """The processes of a fleet."""

    @property
    def programs(self) -> Sequence[Program]:
        """Every process; whoever kills one starts it again."""
        ...

    @property
    def figures(self) -> Figures:
        """How the fleet stands, a few seconds ago at most."""
        ...

    @property
    def deaths(self) -> Sequence[str]:
        """What the log of each process said that ended by itself."""
        ...

    @property
    def settled(self) -> bool:
        """Whether all senders are silent and nothing is on its way."""
        ...

    async def run(self) -> None:
        """Start, feed and watch, until cancelled; the processes are ended then."""
        ...

    def fall_silent(self) -> None:
        """Let senders finish their post and send no more."""
        ...


def revive(programs: Sequence[Program], deaths: list[str]) -> None:
    """Start what ended by itself; what somebody killed on purpose is his to start.

    Raises:
        ProgramError: too many have ended.
    """
    for program in programs:
        try:
            program.check_alive()
        except ProgramError as error:
            deaths.append(str(error))
            if len(deaths) >= MAX_DEATHS:
                raise ProgramError(f"{len(deaths)} times, the last one: {error}") from error
            program.start()


def stop_all(programs: Sequence[Program]) -> None:
    """Stop every process in order."""
    for program in programs:
        if program.running:
            os.kill(program.pid, signal.SIGTERM)  # all at once, then each is waited for
    for program in programs:
        program.stop()
