"""Appends to a journal until it is killed; prints each acknowledged operation before the next."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from regions.frames import new_frame, put, stream
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import JournalConfig
from whimbrel_aggregator.journal.port import Committed
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal


async def main(path: Path, first: int) -> None:
    journal = await SqliteJournal.open(
        JournalConfig(path=path, min_free_bytes=0),
        clock=SystemClock(),
        random=random.Random(),
        writer=ThreadRunner("write"),
        reader=ThreadRunner("read"),
    )
    while True:
        frames = [
            new_frame(stream(), at, 1, data=random.randbytes(20_000))
            for at in range(first, first + 3)
        ]
        result = await put(journal, *frames)
        assert isinstance(result, Committed)
        first += 3
        sys.stdout.write(f"{first - 1}\n")
        sys.stdout.flush()


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
