"""The figures as a table for people and as a JSON document, and the comparison with a baseline.

The document has one number per key at the top, null where a figure could not be taken, and::

    "details": {key: {"value", "unit", "target", "met", "reference"}}
    "machine": what they were taken on
    "runs", "quick", "when"

A baseline is such a document.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from .catalogue import KEYS
from .figures import Key, Reading

ALLOWED_WORSENING: Final = 0.10
"""Of the baseline; what a shared machine makes of a median of five differs by about that."""

COMPARED_RUNS: Final = 5

_REFERENCE_WIDTH: Final = 64


@dataclass(frozen=True, slots=True)
class Machine:
    """What figures were taken on; those of different machines are not compared."""

    processor: str
    cores: int
    python: str
    sqlite: str
    system: str
    file_system: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one figure stands against its baseline."""

    key: str
    value: float
    baseline: float
    worsening: float

    @property
    def is_worse(self) -> bool:
        """Whether it is beyond what chance explains."""
        return self.worsening > ALLOWED_WORSENING


def this_machine(file_system: str) -> Machine:
    """Describe the machine that runs this."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        file_system=file_system,
    )


def document(
    readings: Sequence[Reading], machine: Machine, *, runs: int, quick: bool, now: datetime
) -> dict[str, Any]:
    """Return the JSON document of some readings."""
    details = {}
    for reading in readings:
        key = KEYS[reading.key]
        details[reading.key] = {
            "value": reading.value,
            "unit": key.unit,
            "target": None if key.target is None else f"{key.better.value} {key.target:g}",
            "met": None if reading.value is None else key.is_met(reading.value),
            "reference": reading.reference,
        }
    return {
        **{reading.key: reading.value for reading in readings},
        "details": details,
        "machine": asdict(machine),
        "runs": runs,
        "quick": quick,
        "when": now.astimezone(UTC).isoformat(timespec="seconds"),
    }


def table(readings: Sequence[Reading]) -> str:
    """Return the readings as a table, references wrapped."""
    rows = [("figure", "value", "unit", "target", "met", "against, in the same run")]
    for reading in readings:
        key = KEYS[reading.key]
        head = (reading.key, number(reading.value), key.unit, _target(key), _met(key, reading))
        lines = textwrap.wrap(reading.reference, _REFERENCE_WIDTH) or [""]
        rows.append((*head, lines[0]))
        rows += [("", "", "", "", "", line) for line in lines[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join(
            (*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1])
        ).rstrip()
        for row in rows
    )


def compare(
    readings: Sequence[Reading], machine: Machine, baseline: dict[str, Any]
) -> list[Verdict]:
    """Set figures against a baseline; rates and times only against those of the same machine."""
    same = baseline.get("machine") == asdict(machine)
    verdicts = []
    for reading in readings:
        key = KEYS[reading.key]
        before = baseline.get(reading.key)
        if reading.value is None or not isinstance(before, int | float):
            continue
        if key.portable or same:
            worsening = key.worsening(reading.value, before)
            verdicts.append(Verdict(reading.key, reading.value, before, worsening))
    return verdicts


def comparison(verdicts: Sequence[Verdict]) -> str:
    """Return a comparison as lines, the worst first."""
    ordered = sorted(verdicts, key=lambda verdict: -verdict.worsening)
    return "\n".join(
        f"{'WORSE ' if verdict.is_worse else 'ok    '} {verdict.key}: {number(verdict.value)} "
        f"after {number(verdict.baseline)} ({-verdict.worsening:+.1%})"
        for verdict in ordered
    )


def number(value: float | None) -> str:
    """Return a figure as people read it; a dash when it could not be taken."""
    if value is None:
        return "-"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"


def _target(key: Key) -> str:
    return "" if key.target is None else f"{key.better.value} {key.target:g}"


def _met(key: Key, reading: Reading) -> str:
    met = None if reading.value is None else key.is_met(reading.value)
    return "" if met is None else "yes" if met else "NO"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
