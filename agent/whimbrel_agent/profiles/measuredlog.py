"""A measured log: what a power meter said, beside the agent's own counters.

A CSV file with a header. ``time_s`` (seconds, from any start) and ``watts`` (the mean draw since
the line before) are needed; the counters are those of ``energy.work`` in ``whimbrel-agent status --json``, as they stood at that
time, and any of them may be left out. Other columns are ignored.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from whimbrel_protocol.errors import WhimbrelError

__all__ = ["COUNTERS", "RADIO_COUNTERS", "LogError", "Reading", "Window", "read_log", "windows"]

COUNTERS: Final = ("radio_wakes", "bytes_up", "cpu_s", "bytes_written")

RADIO_COUNTERS: Final = ("radio_wakes", "bytes_up")

MAX_READINGS: Final = 2_000_000
"""Three weeks at one a second; each is some 200 bytes of memory."""


class LogError(WhimbrelError):
    """A log cannot be used; the message names file, line and column."""


LONGEST: Final = 10
"""Times its length that a window waits for silence: a radio that is always busy has no tails."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One line: time, draw, and the counters that the file has, in the order of COUNTERS."""

    time_s: float
    watts: float
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Some time of a log: its length, its energy, and how far each counter rose."""

    span_s: float
    joules: float
    rises: tuple[float, ...]


def read_log(file: Path) -> tuple[tuple[str, ...], list[Reading]]:
    """Return the counters that the file has, and its readings in order.

    Raises:
        LogError: a column is missing, or a line is wrong.
        OSError: the file cannot be read.
    """
    with file.open(encoding="utf-8-sig", newline="", errors="replace") as stream:
        lines = csv.DictReader(stream)
        columns = lines.fieldnames or ()
        for needed in ("time_s", "watts"):
            if needed not in columns:
                raise LogError(
                    f"{file}: column {needed} is missing (there are: {', '.join(columns) or 'none'})"
                )
        counters = tuple(name for name in COUNTERS if name in columns)
        readings: list[Reading] = []
        for row in lines:
            readings.append(_reading(file, lines.line_num, row, counters))
            if len(readings) > 1 and readings[-2].time_s >= readings[-1].time_s:
                raise LogError(f"{file}: line {lines.line_num}: time_s does not rise")
            if len(readings) > MAX_READINGS:
                raise LogError(f"{file}: more than {MAX_READINGS} readings; use every tenth line")
    return counters, readings


def _reading(file: Path, line: int, row: dict[str, str | None], counters: Sequence[str]) -> Reading:
    values = []
    for name in ("time_s", "watts", *counters):
        text = row[name]
        try:
            value = float(text or "")
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise LogError(f"{file}: line {line}: {name} is {text!r:.40}, must be a number")
        values.append(value)
    return Reading(values[0], values[1], tuple(values[2:]))


def windows(
    readings: Iterable[Reading], window_s: float, *, quiet_s: float = 0.0, radio: Sequence[int] = ()
) -> Iterator[Window]:
    """Join readings into windows that end in silence, each with the tails of its own wakes.

    Were a window cut in the middle of a tail, part of a wake's energy would stand beside no wake,
    and every fit would make wakes too cheap. So a window goes on until the radio has been silent
    long enough, or for :data:`LONGEST` times its length where it never is.

    A counter that falls says that the agent was started anew: that window is left out.

    Args:
        readings: in order.
        window_s: a window is at least so long.
        quiet_s: silence before a window's end: more than the radio's tail.
        radio: places of the counters that rise when the radio is used.
    """
    start: Reading | None = None
    joules = used_s = 0.0
    for before, now in pairwise(readings):
        rises = [b - a for a, b in zip(before.counts, now.counts, strict=True)]
        if any(rise < 0 for rise in rises):
            start = None
            continue
        if start is None:
            start, joules = before, 0.0
        joules += now.watts * (now.time_s - before.time_s)
        if any(rises[place] for place in radio):
            used_s = now.time_s
        span_s = now.time_s - start.time_s
        quiet = not radio or now.time_s - used_s >= quiet_s
        if span_s >= window_s and (quiet or span_s >= LONGEST * window_s):
            total = tuple(b - a for a, b in zip(start.counts, now.counts, strict=True))
            yield Window(span_s, joules, total)
            start = None
