"""How worlds look on a terminal: a timeline, what was checked, tables of outcomes, lists."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from .faults import KINDS
from .invariants.violation import Invariant
from .outcome import COUNTED, Outcome, Totals, worst_first
from .scenario import load_scenario, names
from .timeline import MARK_AT

MAX_ROWS: Final = 25
"""Of a table of outcomes; those left out are counted below it."""

_COLUMNS: Final = ("accepted", "committed", "gapped", "kills")

_QUIET: Final = ("connected ", "left ")
"""Lines that a readable timeline does without."""

_STYLES: Final = ("green", "blue", "magenta", "bright_green", "bright_blue", "bright_magenta")
_WHO_AT: Final = 17
_WHO_ENDS: Final = 39


def is_main(line: str) -> bool:
    """Say whether a line of a trace belongs into a readable timeline."""
    return line[MARK_AT] == " " and not line[_WHO_ENDS + 1 :].startswith(_QUIET)


def told(line: str) -> Text:
    """Return a line of a timeline in colours, one for everybody whom it may be about."""
    who = line[_WHO_AT:].split(" ", 1)[0]
    text = Text(line[:MARK_AT], style="dim", no_wrap=True, overflow="ellipsis")
    text.append(line[MARK_AT:], style=_style_of(who))
    return text


def _style_of(who: str) -> str:
    if who == "audit":
        return "bold red"
    if who == "world":
        return "bold"
    if who.startswith("broker-"):
        return "yellow"
    if "/" not in who:
        return "cyan"
    return _STYLES[zlib.crc32(who.encode()) % len(_STYLES)]


def verdict(outcome: Outcome) -> RenderableType:
    """Return what was checked of one world, and its digest."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for one in Invariant:
        name = one.name.lower()
        times = sum(breach.what == name for breach in outcome.breaches)
        held = Text("held", style="green")
        table.add_row(
            name, one.value, Text(f"broken, {times} times", style="bold red") if times else held
        )
    counts = ", ".join(f"{name} {outcome.counts.get(name, 0)}" for name in COUNTED)
    faults = ", ".join(f"{kind} {times}" for kind, times in outcome.faults.items()) or "none"
    parts: list[RenderableType] = [
        table,
        f"{outcome.virtual_s:.0f} s of the world in {outcome.cpu_s:.2f} s of a processor",
        f"counts: {counts}",
        f"faults: {faults}",
        f"digest: {outcome.digest}",
    ]
    return Group(*parts, *_failures([outcome]))


def outcomes_table(outcomes: Sequence[Outcome]) -> RenderableType:
    """Return a table, failures first, with the commands that replay them."""
    table = Table("seed", "broken", *_COLUMNS, "faults", "world s", "cpu s", "digest", box=None)
    table.padding = (0, 1, 0, 0)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[2:-1]:
        column.justify = "right"
    ordered = worst_first(outcomes)
    for one in ordered[:MAX_ROWS]:
        broken = Text(", ".join(one.broken) or "-", style="bold red" if one.failed else "green")
        counts = [str(one.counts.get(name, 0)) for name in _COLUMNS]
        counts.append(str(sum(one.faults.values())))
        times = [f"{one.virtual_s:.0f}", f"{one.cpu_s:.2f}"]
        table.add_row(str(one.seed), broken, *counts, *times, one.digest[:8])
    left = len(ordered) - MAX_ROWS
    more = [f"... and {left} more"] if left > 0 else []
    return Group(table, *more, *_failures([one for one in ordered[:MAX_ROWS] if one.failed]))


def _failures(outcomes: Sequence[Outcome]) -> list[Text]:
    lines = []
    for one in outcomes:
        lines += [Text(f"seed {one.seed}: {breach}", style="red") for breach in one.breaches[:3]]
        if one.error:
            lines.append(Text(one.traceback.rstrip() or one.error, style="red"))
        if one.failed:
            lines.append(Text(f"replay: {one.replay}", style="bold"))
    return lines


def totals_table(totals: Totals) -> Table:
    """Return the sums over many worlds."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("worlds", f"{totals.worlds:,}")
    table.add_row("failed", Text(str(totals.failed), style="bold red" if totals.failed else ""))
    for name in COUNTED:
        table.add_row(name, f"{totals.counts.get(name, 0):,}")
    table.add_row("faults", f"{sum(totals.faults.values()):,}")
    table.add_row("device-hours", f"{totals.device_s / 3600:,.1f}")
    table.add_row("device-hours per processor second", f"{totals.device_hours_per_s:.3f}")
    table.add_row("processor seconds per world", f"{totals.cpu_s_per_world:.3f}")
    return table


def scenarios_table() -> Table:
    """Return the scenarios that come with the package, with their stories."""
    table = Table("scenario", "minutes", "devices", "story", box=None)
    for name in names():
        scenario = load_scenario(name)
        fleet = scenario.fleet
        devices = fleet.regions * fleet.stores * fleet.devices
        story = " ".join(scenario.story.split())
        table.add_row(name, f"{scenario.duration_s / 60:g}", str(devices), story)
    return table


def faults_table() -> Table:
    """Return the kinds of faults with what they mean and their settings' defaults."""
    table = Table("kind", "strikes", "meaning", "settings", box=None)
    for name, kind in KINDS.items():
        settings = ", ".join(f"{key} = {value:g}" for key, value in kind.settings.items())
        table.add_row(name, kind.targets, kind.meaning, settings)
    return table


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[str], None]]:
    """Show a bar on stderr; yields what takes one step and says how it stands."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total, said="")
        yield lambda said: progress.update(task, advance=1, said=said)
