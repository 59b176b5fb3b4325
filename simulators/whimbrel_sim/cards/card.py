"""The card of one simulated device: a recorded folder that a crash can be taken of at any time."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from typing import Final, Self

from . import preload
from .disk import Disk
from .faults import Faults
from .images import write_image
from .oplog import Operation, parse

LOG_BYTES: Final = 2 * 1024 * 1024
"""A log is folded into the model past this size, whenever somebody looks."""


class Card:
    """Records a folder from its present contents on.

    The process must run under the recorder (:func:`.preload.environment`), and nothing in the
    folder may be open yet. What is durable is kept in memory, once; the log in a file beside.

    Args:
        folder: what is on the card; made if it does not exist.
        log_folder: where the log goes; else a folder for passing files.
    """

    def __init__(self, folder: Path, log_folder: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        handle = tempfile.NamedTemporaryFile(prefix="card-", dir=log_folder, delete=False)  # noqa: SIM115  only its name
        handle.close()
        self._log = Path(handle.name)
        self._read_bytes = 0
        self._disk = Disk.of(self.folder)
        self.faults = Faults(self.folder)
        self._open = True
        preload.watch(self.folder, self._log)

    def mark(self, text: bytes) -> None:
        """Put a mark into the log."""
        preload.mark(self.folder, text)

    def tick(self) -> None:
        """Keep the log small; call it now and then in a long run (it costs a stat)."""
        if self._log.stat().st_size - self._read_bytes > LOG_BYTES:
            self.compact()

    def compact(self) -> None:
        """Fold everything that was recorded into the model and empty the log."""
        self._catch_up()
        while not preload.empty_log(self.folder, self._read_bytes):
            self._catch_up()
        self._read_bytes = 0
        self._disk.forget_gone()

    @property
    def base(self) -> Disk:
        """What is durable and what is not, as far as the log was folded in."""
        return self._disk

    def operations(self) -> list[Operation]:
        """Return what was recorded and not folded in yet."""
        with self._log.open("rb") as log:
            log.seek(self._read_bytes)
            return [operation for operation, _ in parse(log.read())]

    def _catch_up(self) -> None:
        with self._log.open("rb") as log:
            log.seek(self._read_bytes)
            data = log.read()
        end = 0
        for operation, end in parse(data):  # noqa: B007  where the last whole record ends
            self._disk.apply(operation)
        self._read_bytes += end

    def image_after_kill(self, target: Path) -> None:
        """Write what ``kill -9`` of the programs would leave now: all that they wrote."""
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.folder, target)

    def image_after_power_cut(self, target: Path, chance: random.Random) -> None:
        """Write what a power cut may leave now; the card itself goes on."""
        self._catch_up()
        write_image(self._disk.after_power_cut(chance), target)

    def close(self) -> None:
        """Stop recording; harmless when repeated."""
        if self._open:
            self._open = False
            preload.unwatch(self.folder)
            self._log.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
