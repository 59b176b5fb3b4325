"""A process that forwards one journal with one forwarder, until it is killed.

Run as ``python forwarding_child.py JOURNAL files DIR`` or ``... JOURNAL postgres DSN_FILE``.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from committed.journal import open_journal, reader_of
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import FilesSinkConfig, ForwardConfig, PostgresSinkConfig
from whimbrel_aggregator.forward import policy
from whimbrel_aggregator.forward.running import Forwarders
from whimbrel_aggregator.forward.skipped import skipped_path
from whimbrel_aggregator.journal.runner import ThreadRunner

ROTATE_BYTES = 40_000
RETRY_S = 0.05
"""The server is away for a moment and often; a real one's waits would be most of the test."""


async def main(journal_path: Path, kind: str, target: Path) -> None:
    policy.RETRY_BASE_S = policy.RETRY_CAP_S = RETRY_S  # type: ignore[misc]
    journal = await open_journal(journal_path)
    runner = ThreadRunner("decode")
    sink = (
        FilesSinkConfig(dir=target, rotate_bytes=ROTATE_BYTES)
        if kind == "files"
        else PostgresSinkConfig(dsn_file=target)
    )
    forwarders = Forwarders(
        [ForwardConfig(name="out", sink=sink)],
        journal=journal,
        reader=reader_of(journal, runner),
        runner_for=ThreadRunner,
        clock=SystemClock(),
        random=random.Random(),
        skipped=skipped_path(journal_path),
    )
    await forwarders.run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
