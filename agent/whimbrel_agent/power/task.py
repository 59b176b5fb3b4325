"""The power task: looks at the supply when its machine says so, and passes decisions on.

It wakes once a minute on mains, and never where nothing is there to be read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.logs import Streak, facts
from whimbrel_agent.plain import plain
from whimbrel_agent.ports import Clock
from whimbrel_agent.power.figures import PowerFigures
from whimbrel_agent.power.machine import ModeChanged, PowerMachine, StopNow
from whimbrel_agent.power.modes import SETTINGS, Mode, ModeSettings
from whimbrel_agent.power.present import PresentPower
from whimbrel_agent.power.reading import PowerReadError, PowerSource
from whimbrel_agent.power.rules import NO_BATTERY, ModeRules

__all__ = ["PowerTask"]

_log = logging.getLogger(__name__)

DEAF_S = 600.0
"""A start is not held up by the last word of a source that has not been heard for so long: a broken
gauge must not keep a store's events out."""

StopListener = Callable[[str], None]


class PowerTask:
    """Watches one source until it is cancelled.

    Args:
        source: what is read.
        rules: where the modes' lines are.
        modes: what each mode asks for.
        clock: gives monotonic time.
    """

    def __init__(
        self,
        source: PowerSource,
        rules: ModeRules,
        clock: Clock,
        modes: Mapping[Mode, ModeSettings] = SETTINGS,
    ) -> None:
        self._source = source
        self._clock = clock
        self._rules = rules
        self.journal = DecisionJournal()
        """Of the whole agent: the power task is there before everything else."""
        self._machine = PowerMachine(rules, self.journal, modes)
        self._streak = Streak(_log)
        self._failing = False
        self._stop_listeners: list[StopListener] = []
        self.present = PresentPower(modes)
        self.stopped_for = ""
        """Why the charge stopped the agent; empty while it did not."""
        if source.silent:
            self._machine.reason = self.present.reason = NO_BATTERY

    def on_stop(self, listener: StopListener) -> None:
        """Have ``listener`` called, once, when the charge is critical beyond doubt."""
        self._stop_listeners.append(listener)

    def figures(self) -> PowerFigures:
        """Give the present state for status."""
        figures = self._machine.figures(self._source.name, self._clock.mono_ns())
        return replace(figures, stopping=bool(self.stopped_for))

    async def run(self) -> None:
        """Look, tell, wait, for ever; at once done where nothing can be read."""
        while not self._source.silent:
            self._look()
            await asyncio.sleep(self._machine.poll_s)

    async def wait_for_charge(
        self, stop: asyncio.Event, waiting: Callable[[str], None], *, tell_s: float | None = None
    ) -> bool:
        """Return when the charge allows a start: nearly always after one look.

        An agent that stopped for its charge is started again by its service manager. It waits here
        with nothing opened, so that it does not stop and start all the time, and goes on when
        mains or charge are back, or when the source is not heard any more.

        Args:
            stop: set it to give up.
            waiting: called with the reason after each look that finds the charge still critical.
            tell_s: call it at least so often; None is as often as there are looks.

        Returns:
            False when ``stop`` was set first.
        """
        if self._source.silent or not self._rules.stop_at_critical:
            return True
        self._look(may_stop=False)
        while self._machine.is_or_turns(Mode.CRITICAL) and not self._is_deaf():
            waiting(f"waiting for charge: {self._machine.reason}")
            wait_s = self._machine.poll_s if tell_s is None else min(tell_s, self._machine.poll_s)
            try:
                async with asyncio.timeout(wait_s):
                    await stop.wait()
                    return False
            except TimeoutError:
                self._look(may_stop=False)
        self._machine.begin()
        return not stop.is_set()

    def _is_deaf(self) -> bool:
        """Say whether the source has been silent for so long that waiting for it makes no sense."""
        return self._machine.unheard_s(self._clock.mono_ns()) > DEAF_S

    def _look(self, *, may_stop: bool = True) -> None:
        now_ns = self._clock.mono_ns()
        try:
            reading = self._source.read()
        except PowerReadError as error:
            self._failing = True
            self._machine.receive_failure(str(error))
            self._streak.failed("the power supply does not answer", why=str(error))
            return
        if self._failing:
            self._failing = False
            self._streak.recovered("the power supply answers")
        for decision in self._machine.receive(reading, now_ns):
            self._pass_on(decision, may_stop=may_stop)

    def _pass_on(self, decision: ModeChanged | StopNow, *, may_stop: bool) -> None:
        match decision:
            case ModeChanged(mode, _, reason):
                _log.info("power mode", extra=facts(mode=plain(mode), reason=reason))
                self.present.change(mode, reason)
            case StopNow(reason) if may_stop and not self.stopped_for:
                _log.warning("the charge stops the agent", extra=facts(reason=reason))
                self.stopped_for = reason
                for listener in self._stop_listeners:
                    listener(reason)
