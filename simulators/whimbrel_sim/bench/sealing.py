"""Processor time from acceptance to sealed frames, against JSON and gzip.

Ours is everything the agent does with an event between the intake and the uplink: check, pack,
stage durably, turn into columns, compress, sign, store the frame. The time of all
threads counts, the kernel's work on the files included. The reference only formats and compresses:
nothing is kept.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Final

from whimbrel_agent.buffer.codecchoice import CodecTerms
from whimbrel_agent.buffer.values import LaneConfig
from whimbrel_agent.power.modes import SETTINGS, Mode
from whimbrel_protocol.event import Event
from whimbrel_sim.storemix import store_events

from .corpora import MIX_SEED, batches, json_of
from .figures import Bench, Better, Key, Measurement, Reading
from .inprocess import open_buffer
from .wire import BATCH

ROUNDS: Final = 4
BATTERY: Final = SETTINGS[Mode.BATTERY]
BATTERY_TERMS: Final = CodecTerms(
    effort=BATTERY.codec_effort, cpu_j_per_core_s=0.4, up_j_per_byte=5.2e-6
)
"""Of the battery-sensor-hub-lte profile: the dearer of the levels that battery allows."""
GZIP_LEVEL: Final = 6


def measure(bench: Bench) -> list[Reading]:
    """Read the processor time per event and its ratio to the reference's."""
    events = list(store_events(MIX_SEED, bench.size(25_000, 1_000)))
    runs = batches(events, BATCH)
    ours_s = others_s = battery_s = 0.0
    for number in range(ROUNDS):
        others_s += json_gzip_s(runs)
        for name in ("mains", "battery"):
            folder = bench.folder / f"buffer-{name}-{number}"
            folder.mkdir()
            taken_s = asyncio.run(_accept_and_seal_s(folder, runs, battery=name == "battery"))
            if name == "mains":
                ours_s += taken_s
            else:
                battery_s += taken_s
    count = ROUNDS * len(runs) * BATCH
    ours_us, others_us = ours_s / count * 1e6, others_s / count * 1e6
    bench.say(f"{ours_us:.2f} us an event, JSON and gzip {others_us:.2f}")
    battery_us = battery_s / count * 1e6
    compared = f"JSON and gzip-{GZIP_LEVEL} of the same events: {others_us:.2f} us each"
    return [
        Reading("seal_us_per_event", ours_us, f"batches of {BATCH}; {compared}"),
        Reading("seal_vs_json_gzip", ours_us / others_us, compared),
        Reading(
            "seal_vs_json_gzip_battery",
            battery_us / others_us,
            f"{compared}; on battery {battery_us:.2f} us, in frames of {BATTERY.batch_events}",
        ),
    ]


def json_gzip_s(runs: Sequence[Sequence[Event]]) -> float:
    """Return the processor time of JSON and gzip over batches."""
    begin = process_time()
    for run in runs:
        gzip.compress(b"\n".join([json_of(event) for event in run]), GZIP_LEVEL)
    return process_time() - begin


async def _accept_and_seal_s(
    folder: Path, runs: Sequence[Sequence[Event]], *, battery: bool
) -> float:
    lanes = {"normal": LaneConfig(batch_events=BATCH)}
    async with open_buffer(folder, lanes=lanes) as (buffer, clock):
        if battery:
            buffer.pace(BATTERY.linger_s, BATTERY.batch_events)
            buffer.encode_by(BATTERY_TERMS)
        begin = process_time()
        for run in runs:
            await buffer.accept(run)
            await buffer.seal_due(clock.mono_ns())
        await buffer.seal_all()
        return process_time() - begin


MEASUREMENTS: Final = (
    Measurement(
        name="sealing",
        keys=(
            Key("seal_us_per_event", "us/event", Better.LOWER, portable=False),
            Key("seal_vs_json_gzip", "ratio", Better.LOWER, 3),
            Key("seal_vs_json_gzip_battery", "ratio", Better.LOWER, 2),
        ),
        measure=measure,
    ),
)
