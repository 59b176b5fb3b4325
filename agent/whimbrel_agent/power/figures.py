"""What status tells of power."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from whimbrel_agent.power.modes import Mode, ModeSettings
from whimbrel_agent.power.reading import PowerReading


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFigures:
    """The power's state at one moment.

    Attributes:
        source: what is read.
        mode: the present one.
        reason: why it is.
        settings: what it asks for.
        reading: the last plausible reading.
        read_age_s: how old that is; None before the first.
        readings: how many looks were answered.
        misread: how many of them could not be true, by kind.
        failures: how many looks were not answered.
        last_failure: why the last look failed; empty when it did not.
        stopping: the charge made the agent stop.
    """

    source: str
    mode: Mode
    reason: str
    settings: ModeSettings
    reading: PowerReading
    read_age_s: float | None
    readings: int
    misread: Mapping[str, int]
    failures: int
    last_failure: str
    stopping: bool
