"""Nothing grows past its bounds: buffers, journals, queues."""

from __future__ import annotations

from pathlib import Path

from whimbrel_sim.worlds.device import Device
from whimbrel_sim.worlds.invariants.journal import Report
from whimbrel_sim.worlds.invariants.violation import Invariant
from whimbrel_sim.worlds.region import RegionMachine

TOLERANCE = 1.01
"""As promised: never over the cap by more than one per cent."""

RAW_AND_ITS_LOG = 1.25
"""As promised: the log of the raw events' file is at most a quarter of its cap more."""


def check_device(device: Device, report: Report) -> int:
    """Compare a buffer's files with the cap; returns their size in bytes."""
    size = _size_of(device.folder)
    cap = device.max_bytes
    if any(rule.raw_days for rule in device.settings.rules):
        cap += round(RAW_AND_ITS_LOG * device.settings.raw_max_bytes)
    if size > cap * TOLERANCE:
        report(Invariant.BOUNDED, f"{device.name}: {size} bytes, cap {cap}")
    return size


def check_region(region: RegionMachine, report: Report) -> int:
    """Compare a journal's files and the queue with their bounds; returns the files' size."""
    size = _size_of(region.folder)
    if size > region.max_bytes * TOLERANCE:
        report(Invariant.BOUNDED, f"{region.name}: {size} bytes, cap {region.max_bytes}")
    aggregator = region.aggregator
    if (
        aggregator is not None
        and aggregator.ingest.queued_bytes > region.settings.ingest.queue_bytes
    ):
        report(Invariant.BOUNDED, f"{region.name}: {aggregator.ingest.queued_bytes} bytes queued")
    return size


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
