"""How figures are written for people: lines, columns, times, sizes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["columns", "line", "link_lines", "moment", "outlook_lines", "size", "span"]

_NS: Final = 1_000_000_000
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def line(name: str, text: str) -> str:
    """Give a line of a table with a name before it."""
    return f"{name:<16}{text}"


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Give rows with their cells below each other, the first one to the left."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        first, *rest = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *rest]).rstrip()


def moment(wall_ns: int) -> str:
    """Give a time as RFC 3339 text."""
    when = datetime.fromtimestamp(wall_ns // _NS, UTC)
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """Give a duration in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def size(size_bytes: float) -> str:
    """Give a number of bytes in the unit that suits it."""
    for unit in _UNITS:
        if size_bytes < 1024 or unit == _UNITS[-1]:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    raise AssertionError


def link_lines(window: Mapping[str, Any]) -> Iterator[str]:
    """Give what is known of the link, and what limits it: ``WindowFigures`` in plain form."""
    if window["rate_bytes_per_s"] is not None:
        measured = f"{window['rate_bytes_per_s'] * 8 / 1000:,.0f} kbit/s"
        if window["queueing_s"] is not None:
            measured += (
                f", {1000 * window['base_delay_s']:.0f} ms and {1000 * window['queueing_s']:.0f} ms "
                "in queues"
            )
        yield line("link", f"{measured}, background window {size(window['background_bytes'])}")
    if window["cap_bytes_per_s"] is not None:
        rate = f"{window['cap_bytes_per_s'] * 8 / 1000:,g} kbit/s"
        yield line("rate limit", f"{rate}, {window['cap_reason']}")
    if window["budget_left_bytes"] is not None:
        left = window["budget_left_bytes"]
        yield line("this month", f"{size(max(0, left))} left of {window['link_class']}")
    if window["replay_bytes_per_s"] is not None:
        rate = f"{window['replay_bytes_per_s'] * 8 / 1000:,g} kbit/s"
        yield line("replay limit", f"{rate} for the backlog, of {window['link_class']}")


def outlook_lines(buffer: Mapping[str, Any]) -> Iterator[str]:
    """Give how long an outage may last and how long draining takes: ``BufferStats``."""
    outage_s, drain_s = buffer["outage_left_s"], buffer["drain_left_s"]
    rate = size(buffer["sealed_bytes_per_s"])
    yield line(
        "outlook",
        "nothing has come in lately"
        if outage_s is None
        else f"at {rate} a second of late, the region may be away for {span(outage_s)}",
    )
    if drain_s is None:
        yield line("backlog", "is not getting less at the rates of late")
    elif drain_s:
        yield line("backlog", f"drained in {span(drain_s)} at the rates of late")
