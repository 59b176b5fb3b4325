"""What a trial says: lines, each a promise with the figures that it was judged by. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that a run must show.

    Attributes:
        name: the promise, in words.
        passed: whether it held.
        said: the figures, with their limit.
        timed: it rests on the clock, so that a busy machine may fail it; the others are facts.
    """

    name: str
    passed: bool
    said: str
    timed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport:
    """What came of one part.

    Attributes:
        part: its name on the command line.
        lines: what it had to show.
        figures: what was measured, for machines.
        skipped: why it was not run; empty when it was.
    """

    part: str
    lines: tuple[Line, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Whether every line held; a part that was skipped broke none."""
        return all(line.passed for line in self.lines)

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of the lines that did not hold."""
        return tuple(line.name for line in self.lines if not line.passed)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a report."""
        return {
            "part": self.part,
            "passed": None if self.skipped else self.passed,
            "skipped": self.skipped,
            "lines": [
                {"name": line.name, "passed": line.passed, "said": line.said, "timed": line.timed}
                for line in self.lines
            ],
            "figures": self.figures,
        }


def part_from_json(members: dict[str, Any]) -> PartReport:
    """Return the report that :meth:`PartReport.to_json` wrote."""
    return PartReport(
        part=members["part"],
        lines=tuple(Line(**line) for line in members["lines"]),
        figures=members["figures"],
        skipped=members["skipped"],
    )


def table(report: PartReport) -> str:
    """Return a part's lines as text for people."""
    if report.skipped:
        return f"{report.part}: skipped, {report.skipped}"
    width = max((len(line.name) for line in report.lines), default=0)
    rows = [
        f"  {'yes' if line.passed else 'NO '}  {line.name:{width}}  {line.said}"
        for line in report.lines
    ]
    return "\n".join([f"{report.part}:", *rows])


def share(values: Sequence[float], part: float) -> float:
    """Return the value that ``part`` (0..1) of all values do not exceed; not a number without any."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def middle(values: Sequence[float]) -> float:
    """Return the median; not a number without any."""
    return median(values) if values else float("nan")


def change(before: float, after: float) -> float:
    """Return by which part of ``before`` a figure rose (above 0) or fell; 0 where there was none."""
    return (after - before) / before if before else 0.0
