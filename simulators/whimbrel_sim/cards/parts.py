"""What is swept: a store of the product with its workload, its truth and its judge."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

from whimbrel_agent.buffer.values import BufferError as BufferMistakeError
from whimbrel_aggregator.journal.port import JournalDamagedError, JournalError

from .bufferjudge import judge_buffer, judge_keys
from .buffertruth import BufferTruth
from .bufferwork import BufferWork
from .journaltruth import JournalTruth, judge_journal
from .journalwork import JournalWork
from .till import SECOND_NS, START_NS, HandClock, OpeningError

STEPS: Final = 260
"""Of a recorded workload: evictions, salvages and restarts have come by then."""

STEPS_AFTER: Final = 4
"""Done on an image after it was judged."""

LOOK_AGAIN_SHARE: Final = 0.15
"""Images that are opened and judged once more after that."""

THOROUGH_SHARE: Final = 0.12
"""Images of which everything is verified: for a journal that takes longer than all the rest."""

Mark = Callable[[list[Any]], None]


class Truth(Protocol):
    """What marks say."""

    def take(self, mark: list[Any]) -> None:
        """Take a mark in."""
        ...

    def copy(self) -> Self:
        """Return the same, to be led on."""
        ...


@dataclass(frozen=True, slots=True)
class Crash:
    """What kind of crash an image is of, and which boot comes after it."""

    torn: bool
    boot: int

    def clock(self) -> HandClock:
        """Return the clocks after it."""
        later_ns = self.boot * 3600 * SECOND_NS
        return HandClock(self.boot, 5 * SECOND_NS + later_ns, START_NS + later_ns)


class BufferPart:
    """The agent's buffer.

    ``errors`` is what its callers may be told when a disk fails: an opening may also say what the
    system said. ``damage`` is what they may be told later of what was read wrong and copied.
    """

    name: Final = "buffer"
    errors: Final = (BufferMistakeError, OpeningError)
    damage: Final = ()

    def work(self, root: Path, mark: Mark, chance: random.Random) -> BufferWork:
        """Return a workload that is led by hand."""
        return BufferWork(root, mark, chance)

    def truth(self) -> BufferTruth:
        """Return the truth before anything."""
        return BufferTruth()

    async def record(self, root: Path, mark: Mark, chance: random.Random) -> None:
        """Run the workload whose images are swept."""
        await BufferWork(root, mark, chance, damages=True).run(STEPS)

    async def examine(
        self, root: Path, truth: BufferTruth, crash: Crash, chance: random.Random, mark: Mark
    ) -> object:
        """Open an image, judge it, go on with it, open it again and judge it again.

        Args:
            root: the image's folder.
            truth: the marks up to the crash; led on.
            crash: what happened.
            chance: draws how it goes on.
            mark: where the marks of going on go, beside the truth.

        Returns:
            What must be the same whenever the same image is examined.

        Raises:
            BrokenPromiseError: a promise is broken.
        """

        def both(one: list[Any]) -> None:
            mark(one)
            truth.take(one)

        work = BufferWork(root, both, chance, clock=crash.clock(), number=truth.next_number)
        await work.open(newer_than=list(truth.epochs))
        try:
            thorough = chance.random() < THOROUGH_SHARE
            held = await judge_buffer(work.buffer, truth, torn=crash.torn, thorough=thorough)
            facts = held.facts()
            await judge_keys(work.buffer, truth)
            for _ in range(STEPS_AFTER):
                await work.step()
            await work.close()
            if chance.random() < LOOK_AGAIN_SHARE:
                await work.open(newer_than=list(truth.epochs))
                await judge_buffer(work.buffer, truth, torn=crash.torn)
        finally:
            await work.end()
        return facts


class JournalPart:
    """The aggregator's journal; see :class:`BufferPart`."""

    name: Final = "journal"
    errors: Final = (JournalError, OpeningError)
    damage: Final = (JournalDamagedError,)

    def work(self, root: Path, mark: Mark, chance: random.Random) -> JournalWork:
        """Return a workload that is led by hand."""
        return JournalWork(root, mark, chance)

    def truth(self) -> JournalTruth:
        """Return the truth before anything."""
        return JournalTruth()

    async def record(self, root: Path, mark: Mark, chance: random.Random) -> None:
        """Run the workload whose images are swept."""
        await JournalWork(root, mark, chance).run(STEPS)

    async def examine(
        self, root: Path, truth: JournalTruth, crash: Crash, chance: random.Random, mark: Mark
    ) -> object:
        """Open an image, judge it, go on with it; see :meth:`BufferPart.examine`."""

        def both(one: list[Any]) -> None:
            mark(one)
            truth.take(one)

        work = JournalWork(root, both, chance, clock=crash.clock(), ordinal=truth.ordinal)
        await work.open()
        try:
            facts = await judge_journal(
                work.journal,
                truth,
                both,
                torn=crash.torn,
                thorough=chance.random() < THOROUGH_SHARE,
            )
            if not truth.attached:
                await work.close()
                await work.begin()
            for _ in range(STEPS_AFTER):
                await work.step()
            if chance.random() < LOOK_AGAIN_SHARE:
                await work.close()
                await work.open()
                await judge_journal(work.journal, truth, both, torn=False, thorough=False)
        finally:
            await work.end()
        return facts
