"""Looks at a world while it runs and at its end, and says which promise did not hold."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from .device import Device
from .invariants.accounts import Accounts
from .invariants.bounds import check_device, check_region
from .invariants.counts import Counts
from .invariants.delays import Delays
from .invariants.journal import JournalAudit
from .invariants.receipts import ReceiptAudit
from .invariants.violation import Invariant, Violation
from .invariants.windows import check_windows
from .machine import Machine
from .region import RegionMachine

if TYPE_CHECKING:
    from .world import World

T = TypeVar("T")

MAX_VIOLATIONS = 50


class Audit:
    """All invariants of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.violations: list[Violation] = []
        self.journal = JournalAudit(world.books, self.report)
        self.delays = Delays(
            world.books, self.journal, world.scenario.expects, self.report, world.loop.time
        )
        self.receipts = ReceiptAudit(self.journal, self.report, self.delays.heard)
        self.accounts = Accounts(world.books, self.journal, self.report)
        self.counts = Counts(world.books, self.journal, self.report)
        self._replaced: set[str] = set()
        self._restored: set[str] = set()

    def report(self, invariant: Invariant, text: str) -> None:
        """Note a breach."""
        if len(self.violations) < MAX_VIOLATIONS:
            violation = Violation(invariant, self._world.loop.time(), text)
            self.violations.append(violation)
            self._world.timeline.tell("audit", "VIOLATION", says=violation)

    # ------------------------------------------------------------------ being told

    def watch(self, machine: Machine) -> None:
        """Follow a new machine."""
        if isinstance(machine, RegionMachine):
            client = f"region-{machine.name}-"
            machine.broker.taps.append(
                lambda source, message: self.receipts.tap(machine.name, client, source, message)
            )
            machine.watch_crashes(
                lambda: self._region_crashing(machine),
                lambda power_cut: self._region_crashed(machine, power_cut=power_cut),
            )

    def _region_crashing(self, region: RegionMachine) -> None:
        if self._replaced or self._restored:
            self.look()  # what was read before some journal was replaced must be forgotten first
        else:
            self._look_at(region)
        self.journal.let_go(region.name)

    def _region_crashed(self, region: RegionMachine, *, power_cut: bool) -> None:
        if power_cut:
            self._replaced.add(region.name)

    def restored(self, region: RegionMachine) -> None:
        """Know that a backup was put in a journal's place."""
        self._restored.add(region.name)
        self.journal.restored(region.name)

    # ------------------------------------------------------------------ looking

    def look(self) -> None:
        """Check everything that can be checked while the world runs."""
        if self._replaced or self._restored:
            self.journal.begin_anew()
        for region in self._world.regions:
            self._look_at(region)
            if region.process is not None:
                check_region(region, self.report)
        for device in self._world.devices:
            if device.process is not None:
                check_device(device, self.report)

    def _look_at(self, region: RegionMachine) -> None:
        name = region.name
        if not self.journal.look(name, region.journal_path):
            return  # judged when its disk lets it be read again
        if name in self._restored:
            self.receipts.forgive(name)
        self.receipts.check(name, replaced=name in self._replaced)
        self._replaced.discard(name)
        self._restored.discard(name)

    def nothing_open(self) -> bool:
        """Whether every accepted event is committed or accounted for."""
        return not self.accounts.open_items() and not self.counts.open_senders()

    async def all_settled(self) -> bool:
        """Whether every device runs and knows that everything is settled."""
        for device in self._world.devices:
            if await self._pending(device) != 0:
                return False
        return all(region.aggregator is not None for region in self._world.regions)

    async def _pending(self, device: Device) -> int | None:
        if device.parts is None:
            return None
        stats = await _asked(device, device.parts.buffer.stats())
        if stats is None:
            return None
        return sum(lane.pending_frames + lane.staged_events for lane in stats.lanes)

    async def finish(self) -> None:
        """Check what must hold at the end."""
        self.journal.finish()
        self.accounts.check()
        self.counts.check()
        self.delays.check()
        for one in self._world.producers:
            window_s = one.device.settings.buffer.lanes[one.sender.lane].durability_s
            ends_s = one.device.broke_off_s
            check_windows(one.sender, ends_s, window_s, self.accounts, self.report)
        waiting = [d for d in self._world.devices if await self._pending(d) != 0]
        for device in waiting:
            doing = "not running" if device.parts is None else device.parts.uplink.figures().doing
            starved = Invariant.STARVED if len(waiting) < len(self._world.devices) else None
            self.report(
                starved or Invariant.PROGRESS,
                f"{device.name} has not drained after {self._world.scenario.drain_s:g} s: {doing}",
            )
        for device in self._world.devices:
            await self._verify(device)
        for machine in self._world.machines:
            for failure in machine.failures:
                self.report(Invariant.ALIVE, failure)

    async def _verify(self, device: Device) -> None:
        if device.parts is not None:
            report = await _asked(device, device.parts.buffer.verify())
            for problem in () if report is None else report.problems:
                self.report(Invariant.SOUND, f"{device.name}: {problem}")

    def close(self) -> None:
        """Let go of files."""
        self.journal.close()


async def _asked(device: Device, question: Coroutine[Any, Any, T]) -> T | None:
    """Ask an agent's buffer something; None when the agent ends over it."""
    process = device.process
    if process is None:
        question.close()
        return None
    task = process.spawn(question, f"{device.name}.asked")
    await asyncio.wait([task])
    return None if task.cancelled() or task.exception() is not None else task.result()
