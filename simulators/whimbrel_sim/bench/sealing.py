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

from whimbrel_agent.buffer.values import LaneConfig
from whimbrel_protocol.event import Event
from whimbrel_sim.storemix import store_events

from .corpora import MIX_SEED, batches, json_of
from .figures import Bench, Better, Key, Measurement, Reading
from .inprocess import open_buffer
from .wire import BATCH

ROUNDS: Final = 4
GZIP_LEVEL: Final = 6


def measure(bench: Bench) -> list[Reading]:
    """Read the processor time per event and its ratio to the reference's."""
    events = list(store_events(MIX_SEED, bench.size(25_000, 1_000)))
    runs = batches(events, BATCH)
    ours_s = others_s = 0.0
    for number in range(ROUNDS):
        others_s += json_gzip_s(runs)
        folder = bench.folder / f"buffer-{number}"
        folder.mkdir()
        ours_s += asyncio.run(_accept_and_seal_s(folder, runs))
    count = ROUNDS * len(runs) * BATCH
    ours_us, others_us = ours_s / count * 1e6, others_s / count * 1e6
    bench.say(f"{ours_us:.2f} us an event, JSON and gzip {others_us:.2f}")
    compared = f"JSON and gzip-{GZIP_LEVEL} of the same events: {others_us:.2f} us each"
    return [
        Reading("seal_us_per_event", ours_us, f"batches of {BATCH}; {compared}"),
        Reading("seal_vs_json_gzip", ours_us / others_us, compared),
    ]


def json_gzip_s(runs: Sequence[Sequence[Event]]) -> float:
    """Return the processor time of JSON and gzip over batches."""
    begin = process_time()
    for run in runs:
        gzip.compress(b"\n".join([json_of(event) for event in run]), GZIP_LEVEL)
    return process_time() - begin


async def _accept_and_seal_s(folder: Path, runs: Sequence[Sequence[Event]]) -> float:
    lanes = {"normal": LaneConfig(batch_events=BATCH)}
    async with open_buffer(folder, lanes=lanes) as (buffer, clock):
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
        ),
        measure=measure,
    ),
)
