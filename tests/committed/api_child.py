"""A process that serves the API over one journal; prints its URL. Run: ``api_child.py JOURNAL``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from committed.journal import Committer, events, open_journal, reader_of
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import ApiConfig
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.web.server import run_server


async def main(path: Path) -> None:
    journal = await open_journal(path)
    await Committer(journal).commit([events(1, 300), events(301, 20, zone="front")])
    await journal.attach("hook")
    runner = ThreadRunner("decode")
    services = Services(
        region="eu-1",
        version="0.1.0",
        journal=journal,
        reader=reader_of(journal, runner),
        clock=SystemClock(),
    )
    await run_server(
        ApiConfig(port=0),
        services,
        runner,
        on_ready=lambda host, port: print(f"http://{host}:{port}", flush=True),  # noqa: T201
    )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
