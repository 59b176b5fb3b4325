"""Durable intake by HTTP into a real agent process, answered after the sync, while it seals.

The uplink is down. The producers are two connections that post one body after the other and
share the machine's two cores with the agent; what the agent does not take at once, it seals.
"""

from __future__ import annotations

from typing import Final

from whimbrel_sim.storemix import store_events

from .corpora import MIX_SEED, batches
from .figures import Bench, Better, Key, Measurement, Reading
from .intake import GROUP, plain_sqlite_s
from .plant import Plant
from .posting import bodies_of, post_all

BODY: Final = 200
CONNECTIONS: Final = 2


def measure(bench: Bench) -> list[Reading]:
    """Read the rate of accepted events, and its ratio to plain SQLite."""
    assert bench.mosquitto is not None
    events = list(store_events(MIX_SEED, bench.size(100_000, 2_000)))
    groups = batches(events, GROUP)
    bodies = bodies_of(events, BODY)
    plain_s = plain_sqlite_s(bench.folder / "plain-1.db", groups)
    with Plant(bench.folder, bench.mosquitto) as plant:
        post_all(plant.intake, bodies[:5])  # the first posts meet a cold interpreter
        spent_s = post_all(plant.intake, bodies, connections=CONNECTIONS)
    plain_s += plain_sqlite_s(bench.folder / "plain-2.db", groups)
    rate, plain_rate = len(events) / spent_s, 2 * len(groups) * GROUP / plain_s
    bench.say(f"{rate:,.0f} events/s, plain SQLite in process {plain_rate:,.0f}")
    compared = (
        f"{CONNECTIONS} connections, NDJSON bodies of {BODY} ({sum(map(len, bodies)) / len(events):.0f} "
        f"bytes/event); plain SQLite in process, groups of {GROUP}: {plain_rate:,.0f} events/s"
    )
    return [
        Reading("intake_http_events_per_s", rate, compared),
        Reading("intake_http_vs_sqlite", rate / plain_rate, compared),
    ]


MEASUREMENTS: Final = (
    Measurement(
        name="intake.http",
        keys=(
            Key("intake_http_events_per_s", "events/s", Better.HIGHER, portable=False),
            Key("intake_http_vs_sqlite", "ratio", Better.HIGHER, 0.15),
        ),
        measure=measure,
        needs_mosquitto=True,
    ),
)
