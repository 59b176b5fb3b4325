"""Faults at every operation: whoever gets an error has lost nothing that was answered before.

``python -m whimbrel_sim.cards.failing`` reads a :class:`.examining.Task` as JSON from stdin: each
number in it is one case: a store, a kind of fault, and the operation that it strikes.
After the fault the card is well again. Then three things are judged: the folder as it is, and
what a power cut leaves before and after the store is closed. A failed sync has doomed what it
was to bring: a later sync that succeeds must not count for it.
"""

from __future__ import annotations

import asyncio
import errno
import json
import random
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from .card import Card
from .examining import Finding, Task
from .faults import ALWAYS, CHANGES, Faults
from .oplog import Kind
from .partlist import PARTS
from .parts import Crash, Truth
from .till import BrokenPromiseError

FIRST_BOOT: Final = 1

_ROOM: Final = (Kind.OPEN, Kind.WRITE, Kind.ALLOCATE, Kind.SYNC)

Arm = Callable[[Faults, int], None]

FAULTS: Final[dict[str, Arm]] = {
    "sync-fails": lambda faults, at: faults.fail(Kind.SYNC, Kind.SYNC_DIR, after=at),
    "fails-once": lambda faults, at: faults.fail(*CHANGES, after=at),
    "fails-on": lambda faults, at: faults.fail(*CHANGES, after=at, times=ALWAYS),
    "full-once": lambda faults, at: faults.fail(*_ROOM, error=errno.ENOSPC, after=at),
    "full-on": lambda faults, at: faults.fail(
        Kind.WRITE, Kind.ALLOCATE, error=errno.ENOSPC, after=at, times=ALWAYS
    ),
    "short-write": lambda faults, at: faults.shorten(after=at),
    "read-fails": lambda faults, at: faults.fail(Kind.READ, Kind.OPEN, after=at),
    "read-flips": lambda faults, at: faults.flip(after=at, seed=at),
}

_COUNTED: Final = {
    "sync-fails": (Kind.SYNC, Kind.SYNC_DIR),
    "short-write": (Kind.WRITE,),
    "read-fails": (Kind.READ, Kind.OPEN),
    "read-flips": (Kind.READ,),
}
"""What a fault's number counts; else everything that changes the card."""


@dataclass(frozen=True, slots=True)
class Case:
    """One store, one fault, and how many operations pass before it strikes."""

    part: str
    fault: str
    after: int

    def __str__(self) -> str:
        return f"{self.part} {self.fault} after {self.after}"


class Failing:
    """Runs cases in one process."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._scratch = Path(task.scratch)
        self._sizes: dict[tuple[str, str], int] = {}

    def case(self, number: int) -> Case:
        """Draw a case; sixteen in a row are of every store and fault."""
        names = [(part, fault) for part in PARTS for fault in FAULTS]
        part, fault = names[number % len(names)]
        size = self._size(part, fault)
        chance = random.Random(f"{self._task.seed} errors {number}")
        return Case(part, fault, chance.randrange(size))

    def _size(self, part: str, fault: str) -> int:
        """Return how many operations of the fault's kinds a run without faults has."""
        if (part, fault) not in self._sizes:
            root = self._scratch / "counted"
            with Card(_fresh(root), self._scratch) as card:
                asyncio.run(self._live(part, root, lambda _: None))
                kinds = _COUNTED.get(fault, CHANGES)
                self._sizes[part, fault] = sum(card.faults.count(kind) for kind in kinds)
        return self._sizes[part, fault]

    async def _live(self, part: str, root: Path, mark: Callable[[list[Any]], None]) -> None:
        work = PARTS[part].work(root, mark, random.Random(self._task.seed))
        await work.live()
        await work.end()

    def judge(self, number: int) -> Finding:
        """Run a case and judge it."""
        case = self.case(number)
        problem = ""
        try:
            asyncio.run(self._run(case))
        except Exception as error:  # noqa: BLE001  whatever goes wrong is a finding
            text = str(error) if isinstance(error, BrokenPromiseError) else traceback.format_exc()
            problem = text or repr(error)
        return Finding("errors", number, case.after, str(case), problem)

    async def _run(self, case: Case) -> None:
        root, part = _fresh(self._scratch / "live"), PARTS[case.part]
        truth: Truth = part.truth()
        images = {name: self._scratch / name for name in ("broken", "closed")}
        chance = random.Random(str(case))
        with Card(root, self._scratch) as card:
            work = part.work(root, truth.take, random.Random(self._task.seed))
            FAULTS[case.fault](card.faults, case.after)
            try:
                await work.live()
            except part.errors as error:
                truth.take(["failed"])
                failure = f"{error!r} of {case}"
            else:
                failure = f"no error of {case}"
            card.faults.clear()
            card.image_after_power_cut(images["broken"], chance)
            known = {"broken": truth.copy(), "closed": truth}  # closing makes more durable
            try:
                await work.end()
            except part.errors as error:
                failure += f", closing: {error!r}"
            card.image_after_power_cut(images["closed"], chance)
        if case.fault == "read-flips":
            for one in known.values():
                one.take(["flipped"])
        # torn: on a disk that refuses everything an opening may have left the log without its index
        await self._examine(part, root, truth, Crash(torn=True, boot=FIRST_BOOT), failure)
        for name, image in images.items():
            crash = Crash(torn=True, boot=FIRST_BOOT + 1)
            what = f"power cut, {name}, {failure}"
            await self._examine(part, image, known[name], crash, what)

    async def _examine(self, part: Any, root: Path, truth: Truth, crash: Crash, what: str) -> None:
        chance = random.Random(self._task.seed)
        try:
            await part.examine(root, truth.copy(), crash, chance, lambda _: None)
        except BrokenPromiseError as error:
            raise BrokenPromiseError(f"{error} ({what})") from error
        except part.damage:
            if "flips" not in what:
                raise


def _fresh(root: Path) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    return root


def main() -> None:
    """Do the task of stdin."""
    task = Task(**json.load(sys.stdin))
    failing = Failing(task)
    try:
        for number in task.images:
            sys.stdout.write(json.dumps(asdict(failing.judge(number))) + "\n")
            sys.stdout.flush()
    finally:
        if not task.keep:
            shutil.rmtree(task.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
