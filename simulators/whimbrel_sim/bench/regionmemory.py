"""The aggregator's memory after five million events from two thousand devices.

A real aggregator process behind a real broker. Frames of 500 events come in rounds, one from every
device; the next round follows when the last one is committed, so that its bounded queue drops
nothing that would have to be sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from threading import Event as Moment
from time import perf_counter
from typing import Final

from whimbrel_sim.fleet import Region
from whimbrel_sim.journalfile import count_events
from whimbrel_sim.world import Broker

from .figures import Bench, Better, Key, Measurement, Reading
from .frames import Device, Message, fleet, messages
from .ingest import enrol_all, open_journal
from .kernel import MEBIBYTE, memory_of
from .mqttclient import MqttClient
from .plant import PlantError
from .wire import BATCH

ROUND_TIMEOUT_S: Final = 120.0
RESEND_S: Final = 10.0
POLL_S: Final = 0.1


def measure(bench: Bench) -> list[Reading]:
    """Read the highest resident memory of the run."""
    assert bench.mosquitto is not None
    devices = fleet(bench.size(2_000, 20))
    rounds = bench.size(5, 2)
    broker = bench.mosquitto(
        bench.folder / "broker", {"log_type": "error", "max_queued_messages": 0}
    )
    region = Region(bench.folder / "region", [f"mqtt://{broker.host}:{broker.port}"])
    asyncio.run(_enrol(region.journal_file, devices))
    try:
        broker.start()
        region.program.start()
        spent_s = _feed(bench, region, broker, devices, rounds)
        memory = memory_of(region.program.pid)
    finally:
        region.program.kill()
        broker.kill()
    count = rounds * len(devices) * BATCH
    return [
        Reading(
            "aggregator_rss_mb",
            memory.peak_bytes / MEBIBYTE,
            f"{count:,} events from {len(devices):,} devices in {spent_s:.0f} s; "
            f"{memory.now_bytes / MEBIBYTE:.1f} at the end",
        )
    ]


async def _enrol(path: Path, devices: Sequence[Device]) -> None:
    async with open_journal(path) as journal:
        await enrol_all(journal, devices)


def _feed(
    bench: Bench, region: Region, broker: Broker, devices: list[Device], rounds: int
) -> float:
    """Publish the rounds, each after the one before is committed."""
    spent_s, source = 0.0, messages(devices, rounds)
    with MqttClient(broker.host, broker.port, "fleet") as client:
        for number in range(1, rounds + 1):
            frames = [next(source) for _ in devices]
            begin = perf_counter()
            _deliver(region, client, frames, number * len(devices) * BATCH)
            spent_s += perf_counter() - begin
            now = memory_of(region.program.pid).now_bytes / MEBIBYTE
            bench.say(f"round {number} of {rounds} is committed, {now:.1f} MiB resident")
    return spent_s


def _deliver(region: Region, client: MqttClient, frames: Sequence[Message], wanted: int) -> None:
    """Publish frames until the journal has so many events; what was dropped is sent again."""
    deadline = perf_counter() + ROUND_TIMEOUT_S
    pause = Moment()
    while perf_counter() < deadline:
        client.publish_all((frame.topic, frame.payload) for frame in frames)
        resend = perf_counter() + RESEND_S
        while perf_counter() < resend:
            region.program.check_alive()
            if count_events(region.journal_file) >= wanted:
                return
            pause.wait(POLL_S)
    raise PlantError(
        f"the journal has {count_events(region.journal_file)} of {wanted} events after "
        f"{ROUND_TIMEOUT_S:g} s; the aggregator's log ends:\n{region.program.log_end()}"
    )


MEASUREMENTS: Final = (
    Measurement(
        name="region.memory",
        keys=(Key("aggregator_rss_mb", "MiB", Better.LOWER, 150),),
        measure=measure,
        needs_mosquitto=True,
    ),
)
