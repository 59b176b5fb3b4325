"""How many signed frames the aggregator's pipeline commits a second, from bytes in memory.

The aggregator's own pipeline in this process, without a broker: frames are verified, judged
against the dedup state, committed with a sync, and receipted (the receipts are signed and
thrown away). The clock runs from the first frame offered to the last one receipted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Final

from whimbrel_aggregator.clock import SystemClock, system_random
from whimbrel_aggregator.config import IngestConfig, JournalConfig
from whimbrel_aggregator.flow.control import FlowControl
from whimbrel_aggregator.ingest.admission import Delivery
from whimbrel_aggregator.ingest.answers import Answerer
from whimbrel_aggregator.ingest.commit import Committer
from whimbrel_aggregator.ingest.counters import Counters
from whimbrel_aggregator.ingest.pipeline import Ingest
from whimbrel_aggregator.ingest.strangers import Strangers
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.journal.values import DeviceKey, EnrolledDevice
from whimbrel_aggregator.registry.devices import Registry
from whimbrel_aggregator.workers import ThreadWorkers
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.keys import PrivateKey
from whimbrel_sim.fleet import REGION_NAME

from .figures import Bench, Better, Key, Measurement, Reading
from .frames import Device, Message, fleet, messages

DEVICES: Final = 50


class IngestError(Exception):
    """Frames were not committed that should have been."""


def measure(bench: Bench) -> list[Reading]:
    """Read the pipeline's rate."""
    devices = fleet(DEVICES)
    frames = list(messages(devices, bench.size(120, 2)))
    bench.say(f"{len(frames)} frames of {len(devices)} devices are sealed")
    spent_s = asyncio.run(_ingest_s(bench.folder / "journal.db", devices, frames))
    checked_s = verify_s(frames)
    bench.say(f"{len(frames) / spent_s:,.0f} frames/s")
    return [
        Reading(
            "ingest_batches_per_s",
            len(frames) / spent_s,
            f"{len(frames)} frames of 500 events, {len(devices)} devices; opening and verifying "
            f"them alone, one thread: {len(frames) / checked_s:,.0f}/s",
        )
    ]


def verify_s(frames: Sequence[Message]) -> float:
    """Return how long it takes to open the frames and check their signatures, nothing else."""
    begin = perf_counter()
    for message in frames:
        open_frame(message.payload).verify(message.device.key.public)
    return perf_counter() - begin


async def enrol_all(journal: SqliteJournal, devices: Sequence[Device]) -> None:
    """Enrol devices as the operator's command does."""
    for device in devices:
        address = device.address
        await journal.enrol(
            EnrolledDevice(
                key=DeviceKey(address.tenant, address.store, address.device),
                region=address.region,
                public_keys=(device.key.public.raw,),
                enrolled_ns=SystemClock().wall_ns(),
            )
        )


@asynccontextmanager
async def open_journal(path: Path) -> AsyncIterator[SqliteJournal]:
    """Open a journal as the aggregator does."""
    journal = await SqliteJournal.open(
        JournalConfig(path=path),
        clock=SystemClock(),
        random=system_random(),
        writer=ThreadRunner("journal.write"),
        reader=ThreadRunner("journal.read"),
    )
    try:
        yield journal
    finally:
        await journal.close()


async def _ingest_s(path: Path, devices: Sequence[Device], frames: Sequence[Message]) -> float:
    async with open_journal(path) as journal:
        await enrol_all(journal, devices)
        counters = Counters()
        config = IngestConfig(queue_bytes=2**40)  # everything waits in memory from the start
        workers = ThreadWorkers(config.verify_threads, "verify")
        clock = SystemClock()
        ingest = Ingest(
            config,
            region=REGION_NAME,
            enrolments=Registry(journal),
            committer=Committer(journal, random=system_random(), counters=counters),
            workers=workers,
            counters=counters,
        )
        flow = FlowControl(
            config, journal=journal, clock=clock, queued_bytes=lambda: ingest.queued_bytes
        )
        answerer = Answerer(
            config,
            journal=journal,
            key=PrivateKey(bytes(32)),
            clock=clock,
            counters=counters,
            strangers=Strangers(hold_s=config.hold_s),
            publish=lambda _topic, _payload: True,
            flow=flow,
        )
        begin = perf_counter()
        for frame in frames:
            ingest.offer(Delivery(frame.topic, frame.payload, False, clock.wall_ns()))
        ingest.stop()
        await ingest.run(answerer)
        spent_s = perf_counter() - begin
        await workers.close()
    committed, answered = counters["frames_committed"], counters["receipt_entries_sent"]
    if not committed == answered == len(frames):
        raise IngestError(
            f"{len(frames)} frames were offered, {committed} committed, {answered} receipted: "
            f"{ {name: count for name, count in counters.totals().items() if count} }"
        )
    return spent_s


MEASUREMENTS: Final = (
    Measurement(
        name="ingest",
        keys=(Key("ingest_batches_per_s", "frames/s", Better.HIGHER, 2_000, portable=False),),
        measure=measure,
    ),
)
