"""Every measurement, in the order in which the table shows its figures."""

from __future__ import annotations

from typing import Final

from . import (
    agentmemory,
    disk,
    drain,
    energy,
    httpintake,
    idle,
    ingest,
    intake,
    regionmemory,
    sealing,
    steady,
    wire,
    worlds,
)
from .figures import Key, Measurement

MEASUREMENTS: Final[tuple[Measurement, ...]] = (
    *intake.MEASUREMENTS,
    *httpintake.MEASUREMENTS,
    *ingest.MEASUREMENTS,
    *drain.MEASUREMENTS,
    *agentmemory.MEASUREMENTS,
    *idle.MEASUREMENTS,
    *disk.MEASUREMENTS,
    *regionmemory.MEASUREMENTS,
    *wire.MEASUREMENTS,
    *steady.MEASUREMENTS,
    *sealing.MEASUREMENTS,
    *energy.MEASUREMENTS,
    *worlds.MEASUREMENTS,
)

KEYS: Final[dict[str, Key]] = {
    key.name: key for measurement in MEASUREMENTS for key in measurement.keys
}


def choose(wanted: list[str]) -> list[Measurement]:
    """Return the measurements that read the wanted figures; all when none are named.

    A name also stands for every figure that begins with it and a dot.

    Raises:
        KeyError: no figure has such a name.
    """
    for name in wanted:
        if not any(_is_under(key, name) for key in KEYS):
            raise KeyError(name)
    return [
        measurement
        for measurement in MEASUREMENTS
        if not wanted
        or any(_is_under(key.name, name) for key in measurement.keys for name in wanted)
    ]


def _is_under(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")
