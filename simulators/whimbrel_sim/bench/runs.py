"""Runs measurements, each so many times, and keeps the median of every figure."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .figures import Bench, Measurement, Reading, middle

PARENT: Path = Path("/var/tmp")  # noqa: S108  a folder of its own is made in it, and never on tmpfs


def run_all(measurements: Sequence[Measurement], bench: Bench, *, runs: int) -> list[Reading]:
    """Take every figure ``runs`` times, one measurement after the other.

    A measurement that cannot run here gives readings without a value that say why.
    """
    readings = []
    for measurement in measurements:
        missing = measurement.missing(bench)
        if missing is not None:
            readings += [Reading(key.name, None, missing) for key in measurement.keys]
            continue
        rounds = [_run(measurement, bench, number, runs) for number in range(1, runs + 1)]
        readings += [
            middle([found[key.name] for found in rounds if key.name in found])
            for key in measurement.keys
        ]
    return readings


def _run(measurement: Measurement, bench: Bench, number: int, runs: int) -> dict[str, Reading]:
    title = measurement.name if runs == 1 else f"{measurement.name} ({number} of {runs})"
    bench.say(f"== {title}")
    with tempfile.TemporaryDirectory(dir=bench.folder, prefix=f"{measurement.name}-") as folder:
        readings = measurement.measure(
            replace(bench, folder=Path(folder), say=lambda line: bench.say(f"   {line}"))
        )
    return {reading.key: reading for reading in readings}


def file_system_of(folder: Path) -> str:
    """Return the type of the file system that holds a folder, such as ``ext4`` or ``tmpfs``."""
    best, found = -1, "unknown"
    path = folder.resolve()
    for line in Path("/proc/self/mounts").read_text().splitlines():
        mounted, kind = line.split(" ")[1:3]
        place = Path(mounted.replace("\\040", " "))
        if path.is_relative_to(place) and len(place.parts) >= best:
            best, found = len(place.parts), kind
    return found
