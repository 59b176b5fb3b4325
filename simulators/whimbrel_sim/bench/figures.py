"""What a figure is: its key, unit, target, and what was read in this run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from whimbrel_sim.world import Broker


class Better(Enum):
    """Which way a figure improves."""

    HIGHER = ">="
    LOWER = "<="


@dataclass(frozen=True, slots=True)
class Key:
    """A figure's name and what is asked of it.

    Attributes:
        name: as in the table and in the JSON file.
        unit: of the value.
        better: which way it improves.
        target: what it should reach, None where no target is set.
        portable: whether values of different machines may be compared: bytes and ratios may,
            rates and times may not.
    """

    name: str
    unit: str
    better: Better
    target: float | None = None
    portable: bool = True

    def is_met(self, value: float) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.target is None:
            return None
        return value >= self.target if self.better is Better.HIGHER else value <= self.target

    def worsening(self, value: float, baseline: float) -> float:
        """By which part of the baseline the value is worse; negative when it is better."""
        change = (value - baseline) / abs(baseline) if baseline else float(value != baseline)
        return -change if self.better is Better.HIGHER else change


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure, measured.

    Attributes:
        key: the figure's name.
        value: None when it cannot be reported; then ``reference`` says why.
        reference: what it is compared to, measured in the same run, and the settings.
    """

    key: str
    value: float | None
    reference: str


MakeBroker = Callable[[Path, Mapping[str, object]], Broker]
"""Makes a Mosquitto in a folder, with lines of its configuration file by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where and how large measurements are.

    Attributes:
        folder: an empty folder on a real file system; each measurement makes its own in it.
        say: takes lines about progress.
        quick: small enough for a test; the figures are then rough.
        data: folder with the public data sets, None when it is not there.
        mosquitto: makes the broker, None where there is none.
    """

    folder: Path
    say: Callable[[str], None]
    quick: bool = False
    data: Path | None = None
    mosquitto: MakeBroker | None = None

    def size(self, full: int, quick: int) -> int:
        """Return how many of something to measure with."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A function that reads some figures in one go.

    Attributes:
        name: for progress.
        keys: the figures it reads, in order.
        measure: does it.
        needs_data: the figures need the public data sets.
        needs_mosquitto: they need the broker.
    """

    name: str
    keys: tuple[Key, ...]
    measure: Callable[[Bench], list[Reading]]
    needs_data: bool = False
    needs_mosquitto: bool = False

    def missing(self, bench: Bench) -> str | None:
        """Say why it cannot run here; None when it can."""
        if self.needs_data and bench.data is None:
            return "the public data sets are not here (--data FOLDER)"
        if self.needs_mosquitto and bench.mosquitto is None:
            return "no Mosquitto: use scripts/bench, which brings one"
        return None


def middle(readings: Sequence[Reading]) -> Reading:
    """Return the reading with the median value of several runs; not reported when one is not.

    With an even number of runs it is the lower of the two in the middle, so that the reading's
    reference belongs to its value.
    """
    for reading in readings:
        if reading.value is None:
            return reading
    values = {reading.value: reading for reading in readings if reading.value is not None}
    return values[statistics.median_low(r.value for r in readings if r.value is not None)]
