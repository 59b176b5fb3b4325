"""Bytes of columns alone once a device has learned: after its first 2,000 events.

One device seals runs of one size with the agent's own learner, and uses a dictionary from the frame
after the one that it was learned at, as when the region answers at once. What the dictionaries cost on
the way is said beside the figure and not part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from whimbrel_agent.dictionaries.learning import Learner
from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.dictionaries import Dictionary, pack_dictionary
from whimbrel_protocol.event import Event
from whimbrel_sim.storemix import STATED_BYTES, store_events

from .corpora import MIX_SEED, batches, climate_events, till_events
from .figures import Bench, Better, Key, Measurement, Reading

BATCHES: Final = ((500, ""), (20, ".at_20"))
FIRST_EVENTS: Final = 2_000
QUICK_EVENTS: Final = 1_200
MIX_EVENTS: Final = 30_000

TIMES_STATED: Final = 1.35
"""So many times the information of a store's events their columns may take."""


def measure_climate(bench: Bench) -> list[Reading]:
    """Read the columns of the room climate data set."""
    assert bench.data is not None
    return _readings(bench, "climate", climate_events(bench.data))


def measure_tills(bench: Bench) -> list[Reading]:
    """Read the columns of the invoice lines."""
    assert bench.data is not None
    return _readings(bench, "tills", till_events(bench.data))


def measure_mix(bench: Bench) -> list[Reading]:
    """Read the columns of the built-in store mix."""
    return _readings(bench, "mix", iter(store_events(MIX_SEED, MIX_EVENTS)))


def _readings(bench: Bench, name: str, source: Iterator[Event]) -> list[Reading]:
    events = list(islice(source, QUICK_EVENTS if bench.quick else None))
    passed_over = min(FIRST_EVENTS, len(events) // 2)
    return [
        _reading(f"steady_bytes_per_event.{name}{suffix}", batches(events, size), passed_over)
        for size, suffix in BATCHES
    ]


def _reading(key: str, runs: Sequence[Sequence[Event]], passed_over: int) -> Reading:
    learner = Learner()
    dictionary: Dictionary | None = None
    seen = counted = column_bytes = plain_bytes = made = sent_bytes = 0
    for run in runs:
        columns = encode_events(run, dictionary=dictionary)
        if seen >= passed_over:
            counted += len(run)
            column_bytes += len(columns)
            plain_bytes += len(encode_events(run))
        seen += len(run)
        learner.saw(run, columns, dictionary)
        learned = learner.learn(dictionary) if learner.is_due else None
        if learned is not None:
            dictionary = learned
            made += 1
            sent_bytes += len(pack_dictionary(learned.content))
    return Reading(
        key,
        column_bytes / counted,
        f"{counted} events after the first {seen - counted}; without dictionaries "
        f"{plain_bytes / counted:.1f}; {made} learned, {sent_bytes:,} bytes to send them",
    )


def _measurement(
    name: str,
    measure: Callable[[Bench], list[Reading]],
    targets: tuple[float | None, float | None],
    *,
    needs_data: bool,
) -> Measurement:
    keys = tuple(
        Key(f"steady_bytes_per_event.{name}{suffix}", "bytes/event", Better.LOWER, target)
        for (_, suffix), target in zip(BATCHES, targets, strict=True)
    )
    return Measurement(name=f"steady.{name}", keys=keys, measure=measure, needs_data=needs_data)


MEASUREMENTS: Final = (
    _measurement("climate", measure_climate, (7.0, 10.5), needs_data=True),
    _measurement("tills", measure_tills, (8.0, 12.0), needs_data=True),
    _measurement("mix", measure_mix, (TIMES_STATED * STATED_BYTES, None), needs_data=False),
)
