"""Durable intake in this process, against SQLite doing the least that keeps events durable.

Both sides get the same groups, one after the other, and each group is on the disk before the next
is given. The reference writes finished JSON texts: it validates nothing, numbers nothing, checks
nothing. Both run on the same file system, in turns, so that a busy disk meets both.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Final

from whimbrel_protocol.event import Event
from whimbrel_sim.storemix import store_events

from .corpora import MIX_SEED, batches, json_of
from .figures import Bench, Better, Key, Measurement, Reading
from .inprocess import open_buffer

GROUP: Final = 100
ROUNDS: Final = 4
"""Both sides take turns so often; the disk's mood changes within seconds."""


def measure(bench: Bench) -> list[Reading]:
    """Read the intake's rate over that of plain SQLite."""
    events = list(store_events(MIX_SEED, bench.size(50_000, 2_000)))
    groups = batches(events, GROUP)
    ours_s = plain_s = 0.0
    for number in range(ROUNDS):
        plain_s += plain_sqlite_s(bench.folder / f"plain-{number}.db", groups)
        folder = bench.folder / f"buffer-{number}"
        folder.mkdir()
        ours_s += asyncio.run(_accept_s(folder, groups))
    count = ROUNDS * len(groups) * GROUP
    bench.say(f"{count / ours_s:,.0f} events/s, plain SQLite {count / plain_s:,.0f}")
    return [
        Reading(
            "intake_vs_sqlite",
            plain_s / ours_s,
            f"{count / ours_s:,.0f} events/s over {count / plain_s:,.0f} of sqlite3 executemany "
            f"(integer key, finished JSON), WAL, FULL, default checkpoint; groups of {GROUP}",
        )
    ]


def plain_sqlite_s(path: Path, groups: Sequence[Sequence[Event]]) -> float:
    """Return how long plain SQLite takes to make the groups durable, one by one."""
    texts = [[json_of(event) for event in group] for group in groups]
    key = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        begin = perf_counter()
        for group in texts:
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO events VALUES (?, ?)", enumerate(group, key))
            connection.execute("COMMIT")
            key += len(group)
        return perf_counter() - begin


async def _accept_s(folder: Path, groups: Sequence[Sequence[Event]]) -> float:
    async with open_buffer(folder) as (buffer, _):
        begin = perf_counter()
        for group in groups:
            await buffer.accept(group)
        return perf_counter() - begin


MEASUREMENTS: Final = (
    Measurement(
        name="intake",
        keys=(Key("intake_vs_sqlite", "ratio", Better.HIGHER, 0.6),),
        measure=measure,
    ),
)
