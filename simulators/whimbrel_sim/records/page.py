"""The record of very many runs as a page for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from .slices import IMAGES, WORLDS, Slice, added_up

HEAD = """\
# Record of simulated worlds and disk images

Written by `scripts/soak` from [`world-record.json`](world-record.json); do not edit. Each world
is a whole fleet with its region, broken by chance and checked event by event; its seed decides
everything. Each image is what a disk may hold after a crash, opened and checked.
`scripts/soak check 3` adds the record up again and replays three of its seeds.

"""
MAX_FAILURES = 50


def as_markdown(slices: Sequence[Slice]) -> str:
    """Return the page."""
    worlds = [one for one in slices if one.kind == WORLDS]
    others = [one for one in slices if one.kind == IMAGES]
    parts = [HEAD + _worlds(worlds)]
    if others:
        parts.append("## Disk images and failing disks\n\n" + _images(others))
    parts.append("## Faults that struck\n\n" + _faults(slices))
    parts.append("## Programs\n\n" + _programs(slices))
    parts.append("## Failures\n\n" + _failures(slices))
    return "\n".join(parts)


def _worlds(slices: Sequence[Slice]) -> str:
    rows = [
        _row(scenario, [one for one in slices if one.of == scenario])
        for scenario in sorted({one.of for one in slices})
    ]
    rows.append(_row("**together**", slices))
    heads = ("scenario", "worlds", "failed", "events accepted", "device-hours", "kills", "faults")
    return _table((*heads, "processor hours"), rows)


def _row(name: str, slices: Sequence[Slice]) -> list[str]:
    sums = added_up(slices).get(WORLDS, {})
    struck = sum(sum(one.faults.values()) for one in slices)
    return [
        name,
        *(f"{sums.get(key, 0):,.0f}" for key in ("count", "failed", "accepted")),
        f"{sums.get('device_s', 0) / 3600:,.0f}",
        f"{sums.get('kills', 0):,.0f}",
        f"{struck:,}",
        f"{sums.get('cpu_s', 0) / 3600:,.2f}",
    ]


def _images(slices: Sequence[Slice]) -> str:
    sums = added_up(slices)[IMAGES]
    shown = [[name, f"{sums[name]:,.0f}"] for name in sums if name not in {"count", "failed"}]
    rows = [*shown, ["**together**", f"{sums['count']:,.0f}"], ["broken", f"{sums['failed']:,.0f}"]]
    return _table(("file and crash", "images"), rows)


def _faults(slices: Iterable[Slice]) -> str:
    struck: Counter[str] = Counter()
    for one in slices:
        struck.update(one.faults)
    return _table(("fault", "times"), [[name, f"{struck[name]:,}"] for name in sorted(struck)])


def _programs(slices: Sequence[Slice]) -> str:
    rows = []
    for program in dict.fromkeys(one.program for one in slices):
        own = [one for one in slices if one.program == program]
        commits = ", ".join(dict.fromkeys(one.commit for one in own))
        runs, failed = sum(one.count for one in own), sum(len(one.failures) for one in own)
        rows.append([f"`{program}`", commits, f"{runs:,}", str(failed)])
    return _table(("program", "commits", "runs", "failed"), rows)


def _failures(slices: Sequence[Slice]) -> str:
    rows = [
        [one.of, str(seed), ", ".join(broken), one.commit]
        for one in slices
        for seed, broken in one.failures
    ]
    if not rows:
        return "None.\n"
    left = len(rows) - MAX_FAILURES
    more = f"\n... and {left} more.\n" if left > 0 else ""
    return _table(("of", "seed", "broken", "commit"), rows[:MAX_FAILURES]) + more


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
