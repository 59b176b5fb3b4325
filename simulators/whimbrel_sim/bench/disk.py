"""Bytes that an agent makes the disk write for an event, from acceptance to the freed frame.

A real agent process, connected to a real aggregator: events are posted in groups of 100, each
group durable before the next is sent; they are sealed, drained, receipted, kept for a while and
freed, and checkpoints happen when they are due. The cap is small enough that receipted frames
are freed during the run, as they are in a buffer that has been in use for weeks. The kernel
counts what the process sends to the storage layer (``write_bytes`` of /proc/PID/io).

The same in wear mode: the lane has a durability window, so a group is answered while it is in memory
only, and what reaches the disk is frames that never were staged rows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from whimbrel_agent.buffer.database import PAGE_BYTES
from whimbrel_protocol.event import Event
from whimbrel_sim.fleet import Settings
from whimbrel_sim.storemix import store_events

from .corpora import MIX_SEED, batches
from .figures import Bench, Better, Key, Measurement, Reading
from .intake import GROUP, plain_sqlite_s
from .kernel import written_bytes_of
from .plant import LANE, LINGER, Plant
from .posting import bodies_of, post_all
from .runs import file_system_of

CAP_BYTES: Final = 16 * 1024 * 1024
"""Half of it keeps receipted frames: 900,000 events' worth; the rest of the settings is default."""

SETTLE_TIMEOUT_S: Final = 300.0
WEAR_KEY: Final = "disk_bytes_per_event.wear"
WINDOW_S: Final = 5.0
"""The window of the battery profile."""

_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


def measure(bench: Bench) -> list[Reading]:
    """Read the bytes per event, and those of plain SQLite for the same events."""
    kind = file_system_of(bench.folder)
    if kind in _IN_MEMORY:
        return [Reading("disk_bytes_per_event", None, f"{kind} writes to no disk (--dir FOLDER)")]
    events = list(store_events(MIX_SEED, bench.size(300_000, 2_000)))
    before = written_bytes_of(os.getpid())
    plain_sqlite_s(bench.folder / "plain.db", batches(events[:50_000], GROUP))
    plain = (written_bytes_of(os.getpid()) - before) / min(50_000, len(events))
    said = f"{len(events):,} events in groups of {GROUP} on {kind}, pages of {PAGE_BYTES} bytes"
    return [
        Reading(
            "disk_bytes_per_event",
            _written(bench, events, {}) / len(events),
            f"{said}, cap {CAP_BYTES >> 20} MiB; plain SQLite for the JSON alone, kept and never "
            f"deleted: {plain:.0f}",
        )
    ]


def measure_wear(bench: Bench) -> list[Reading]:
    """Read the bytes per event of a lane with a durability window."""
    kind = file_system_of(bench.folder)
    if kind in _IN_MEMORY:
        return [Reading(WEAR_KEY, None, f"{kind} writes to no disk (--dir FOLDER)")]
    events = list(store_events(MIX_SEED, bench.size(300_000, 2_000)))
    lanes: Settings = {f"lanes.{LANE}": {**LINGER[f"lanes.{LANE}"], "durability_s": WINDOW_S}}
    written = _written(bench, events, lanes)
    return [
        Reading(
            WEAR_KEY,
            written / len(events),
            f"{len(events):,} events in groups of {GROUP} on {kind}, pages of {PAGE_BYTES} bytes, "
            f"durable within {WINDOW_S:g} s, cap {CAP_BYTES >> 20} MiB",
        )
    ]


def _written(bench: Bench, events: Sequence[Event], settings: Settings) -> int:
    """Return what an agent writes for some events, until the region has settled them all."""
    assert bench.mosquitto is not None
    settings = {"buffer": {"max_bytes": CAP_BYTES}, **settings}
    with Plant(bench.folder, bench.mosquitto, settings=settings) as plant:
        plant.uplink.start()
        plant.region.program.start()
        pid = plant.agent.program.pid
        begin = written_bytes_of(pid)
        spent_s = post_all(plant.intake, bodies_of(events, GROUP))
        accepted = written_bytes_of(pid) - begin
        plant.wait(plant.is_settled, SETTLE_TIMEOUT_S, "the agent to settle everything")
        written = written_bytes_of(pid) - begin
    bench.say(f"{len(events) / spent_s:,.0f} events/s, {accepted / len(events):.1f} bytes/event")
    return written


MEASUREMENTS: Final = (
    Measurement(
        name="disk",
        keys=(Key("disk_bytes_per_event", "bytes/event", Better.LOWER, 160),),
        measure=measure,
        needs_mosquitto=True,
    ),
    Measurement(
        name="disk-wear",
        keys=(Key(WEAR_KEY, "bytes/event", Better.LOWER, 40),),
        measure=measure_wear,
        needs_mosquitto=True,
    ),
)
