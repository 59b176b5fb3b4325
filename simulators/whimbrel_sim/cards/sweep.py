"""A sweep: workloads are recorded, and processes judge crash images and faults beside each other."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from . import preload
from .examining import Finding, Task

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  ours have names of their own there

PARTS: Final = ("buffer", "journal", "errors")
SHARES: Final = {"buffer": 0.5, "journal": 0.45, "errors": 0.05}
"""Of all images; a fault takes as long as three images."""

OnFinding = Callable[[Finding], None]


class SweepError(Exception):
    """A process of the sweep ended before its work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What is swept.

    Attributes:
        seed: draws everything.
        counts: part -> how many images, or faults.
        jobs: processes at once.
        sabotage: a planted fault in the recorded program, or empty.
        image: only this one of each part, or None.
        keep: where the recorded logs and the images are left, or None.
        first: number of the first image.
    """

    seed: int
    counts: dict[str, int]
    jobs: int = 1
    sabotage: str = ""
    image: int | None = None
    keep: Path | None = None
    first: int = 0

    def run(self, on_finding: OnFinding) -> list[Finding]:
        """Sweep; return every finding, good ones too.

        Raises:
            SweepError: a process died.
            PreloadError: the recorder cannot be built.
        """
        findings: list[Finding] = []
        guard = threading.Lock()

        def take(finding: Finding) -> None:
            with guard:
                findings.append(finding)
                on_finding(finding)

        preload.build()
        with self._scratch() as scratch, ThreadPoolExecutor(self.jobs) as pool:
            futures = [
                pool.submit(_examine, task, take)
                for part, count in self.counts.items()
                for task in self._tasks(part, count, scratch)
            ]
            for future in futures:
                future.result()
        return findings

    def _tasks(self, part: str, count: int, scratch: Path) -> Iterator[Task]:
        numbers = (
            list(range(self.first, self.first + count)) if self.image is None else [self.image]
        )
        log = "" if part == "errors" else str(record(part, self.seed, scratch, self.sabotage))
        random.Random(self.seed).shuffle(numbers)
        for job in range(min(self.jobs, len(numbers))):
            place = str(scratch / f"{part}-{job}")
            yield Task(part, self.seed, log, place, numbers[job :: self.jobs], bool(self.keep))

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            yield self.keep.resolve()
            return
        where = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
        with tempfile.TemporaryDirectory(prefix="whimbrel-cards-", dir=where) as folder:
            yield Path(folder)


def record(part: str, seed: int, scratch: Path, sabotage: str = "") -> Path:
    """Run a part's workload under the recorder; return the log.

    Raises:
        SweepError: the workload failed.
    """
    root, log = scratch / f"{part}-recorded", scratch / f"{part}.log"
    shutil.rmtree(root, ignore_errors=True)
    log.unlink(missing_ok=True)
    root.mkdir(parents=True)
    command = [sys.executable, "-m", "whimbrel_sim.cards.driver", part, str(seed), str(root)]
    done = subprocess.run(
        [*command, *([sabotage] if sabotage else [])],
        env=preload.environment(folder=root, log=log), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SweepError(f"the workload of {part} failed: {done.stderr[-2000:]}")
    return log


def _examine(task: Task, take: OnFinding) -> None:
    module = "failing" if task.part == "errors" else "examining"
    with subprocess.Popen(
        [sys.executable, "-m", f"whimbrel_sim.cards.{module}"],
        env=preload.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        errors: list[str] = []
        reader = threading.Thread(target=errors.extend, args=[process.stderr])
        reader.start()  # a full pipe must not hold the process up
        json.dump(asdict(task), process.stdin)
        process.stdin.close()
        for line in process.stdout:
            take(Finding(**json.loads(line)))
        reader.join()
    if process.returncode:
        raise SweepError(f"judging {task.part} failed: {''.join(errors)[-2000:]}")


def counts_of(images: int, parts: tuple[str, ...]) -> dict[str, int]:
    """Divide a number of images between parts; one part gets all of them."""
    if len(parts) == 1:
        return {parts[0]: images}
    whole = sum(SHARES[part] for part in parts)
    return {part: round(images * SHARES[part] / whole) for part in parts}
