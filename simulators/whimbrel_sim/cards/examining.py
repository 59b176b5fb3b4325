"""Judging many images of one recorded workload, in one process that runs under the recorder.

``python -m whimbrel_sim.cards.examining`` reads a :class:`Task` as JSON from stdin and prints a
line of JSON per image.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from .card import Card
from .disk import Disk
from .images import write_image
from .oplog import Kind, Operation, read_log
from .partlist import PARTS
from .parts import Crash, Mark, Truth
from .till import BrokenPromiseError

RARE: Final = frozenset(
    {Kind.RENAME, Kind.UNLINK, Kind.LINK, Kind.SYNC_DIR, Kind.TRUNCATE, Kind.MKDIR, Kind.OPEN}
)
"""Near these every third image is taken: names change seldom, and much depends on them."""

FIRST_BOOT: Final = 1
KILL_SHARE: Final = 0.25
AGAIN_SHARE: Final = 0.25
"""Images of which a second crash is taken, while the first is recovered from."""

TWICE_SHARE: Final = 0.1
"""Images that are examined twice, to compare."""


@dataclass(frozen=True, slots=True)
class Task:
    """Images to judge.

    Attributes:
        part: whose log it is.
        seed: of the sweep.
        log: the recorded operations.
        scratch: a folder for images.
        images: their numbers.
        keep: whether the last image is left there.
    """

    part: str
    seed: int
    log: str
    scratch: str
    images: list[int]
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one image; ``problem`` is empty when every promise was kept."""

    part: str
    image: int
    cut: int
    crash: str
    problem: str


def _nothing(_: list[Any]) -> None:
    """Stand in where nobody wants marks."""


class Examiner:
    """Cuts one log at many places and judges what may be left there."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._part = PARTS[task.part]
        self._operations = read_log(Path(task.log))
        self._rare = [at for at, one in enumerate(self._operations) if one.kind in RARE]
        self._scratch = Path(task.scratch)

    def chance(self, image: int) -> random.Random:
        """Return what draws everything of one image."""
        return random.Random(f"{self._task.seed} {self._task.part} {image}")

    def cut(self, chance: random.Random) -> int:
        """Draw how many operations took place before the crash."""
        count = len(self._operations)
        if self._rare and chance.random() < 0.33:
            return min(count, max(0, chance.choice(self._rare) + chance.randint(-1, 4)))
        return chance.randint(0, count)

    def run(self) -> Iterator[Finding]:
        """Judge every image, in the order of the cuts."""
        drawn = [(self.cut(self.chance(image)), image) for image in self._task.images]
        disk, truth, at = Disk(), self._part.truth(), 0
        for cut, image in sorted(drawn):
            take_in(disk, truth, self._operations[at:cut])
            at = cut
            chance = self.chance(image)
            self.cut(chance)
            torn = chance.random() >= KILL_SHARE
            problem = self._judge(disk, truth, chance, torn=torn)
            yield Finding(self._task.part, image, cut, "power cut" if torn else "kill", problem)

    def _judge(self, disk: Disk, truth: Truth, chance: random.Random, *, torn: bool) -> str:
        root = self._scratch / "image"
        left = disk.after_power_cut(chance) if torn else disk.after_kill()
        crash = Crash(torn, FIRST_BOOT + torn)
        seed = chance.getrandbits(64)
        again, twice = chance.random() < AGAIN_SHARE, chance.random() < TWICE_SHARE
        try:
            write_image(left, root)
            if not again:
                facts = self._examine(root, truth.copy(), crash, seed)
                if twice:
                    write_image(left, root)
                    if self._examine(root, truth.copy(), crash, seed) != facts:
                        return "the same image gives something else when it is opened again"
                return ""
            with Card(root, self._scratch) as card:
                self._examine(root, truth.copy(), crash, seed, _marks_to(card))
                operations = card.operations()
                base = card.base
            self._crash_again(base, operations, truth.copy(), crash, chance)
        except Exception as error:  # noqa: BLE001  whatever goes wrong is a finding
            text = str(error) if isinstance(error, BrokenPromiseError) else traceback.format_exc()
            return text or repr(error)
        return ""

    def _crash_again(
        self,
        base: Disk,
        operations: list[Operation],
        truth: Truth,
        before: Crash,
        chance: random.Random,
    ) -> None:
        """Take a second crash while the first was recovered from, and judge what is left."""
        # mostly early: recovery itself is what this is about
        upto = chance.choice((len(operations), len(operations) // 3, 60))
        take_in(base, truth, operations[: chance.randint(0, min(upto, len(operations)))])
        torn = chance.random() >= KILL_SHARE
        root = self._scratch / "second"
        write_image(base.after_power_cut(chance) if torn else base.after_kill(), root)
        crash = Crash(torn or before.torn, before.boot + torn)
        try:
            self._examine(root, truth, crash, chance.getrandbits(64))
        except BrokenPromiseError as error:
            raise BrokenPromiseError(f"after a second crash: {error}") from error

    def _examine(
        self, root: Path, truth: Truth, crash: Crash, seed: int, mark: Mark = _nothing
    ) -> object:
        return asyncio.run(self._part.examine(root, truth, crash, random.Random(seed), mark))


def take_in(disk: Disk, truth: Truth, operations: list[Operation]) -> None:
    """Let operations and marks take place."""
    for operation in operations:
        if operation.kind is Kind.MARK:
            truth.take(json.loads(operation.data))
        else:
            disk.apply(operation)


def _marks_to(card: Card) -> Mark:
    return lambda mark: card.mark(json.dumps(mark).encode())


def main() -> None:
    """Do the task of stdin."""
    task = Task(**json.load(sys.stdin))
    try:
        for finding in Examiner(task).run():
            sys.stdout.write(json.dumps(asdict(finding)) + "\n")
            sys.stdout.flush()
    finally:
        if not task.keep:
            shutil.rmtree(task.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
