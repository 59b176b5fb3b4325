"""Bytes on the wire: whole MQTT payloads, that is sealed frames, of batches of one size.

Frames are made by the protocol's own functions with the header that an agent writes: names of
usual length, zones, a grown sequence number, a boot id, clock quality. The MQTT packet around a
payload (topic and a few bytes) is not counted, neither here nor in the references.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

import zstandard

from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.codecs import CODECS
from whimbrel_protocol.epoch import make_epoch
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import seal_frame
from whimbrel_protocol.header import FrameHeader, name_zones
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import ClockQuality
from whimbrel_protocol.lead import write_lead
from whimbrel_protocol.names import Address
from whimbrel_protocol.rows import pack_event
from whimbrel_sim.storemix import store_events

from .corpora import MIX_SEED, batches, climate_events, json_of, till_events
from .figures import Bench, Better, Key, Measurement, Reading

BATCH: Final = 500
SMALL_BATCH: Final = 20

ADDRESS: Final = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")
_FIRST: Final = 1_000_000  # a sequence as after weeks, whose bytes count too
_EPOCH: Final = make_epoch(12, 0x8F3A_11C2_7D)
_MONO_MS: Final = 86_400 * 10**3
_BOOT_ID: Final = bytes.fromhex("5f1e8a90")
_KEY: Final = PrivateKey(bytes(range(32)))  # for figures only; a signature's size is fixed


def sealed(
    events: Sequence[Event],
    *,
    first: int = _FIRST,
    address: Address = ADDRESS,
    epoch: int = _EPOCH,
    key: PrivateKey = _KEY,
    columns: bytes | None = None,
) -> bytes:
    """Seal events of one lane into a frame as an agent does.

    ``columns`` are those of the events where they are known already.
    """
    if columns is None:
        columns = encode_events(events)
    times = [event.time_ns for event in events]
    header = FrameHeader(
        address=address,
        lane=events[0].lane,
        epoch=epoch,
        first=first,
        span=len(events),
        count=len(events),
        time_min_s=min(times) // 10**9,
        time_max_s=max(times) // 10**9,
        mono_ms=_MONO_MS,
        boot_id=_BOOT_ID,
        clock=ClockQuality.SYNCED,
        zones=name_zones(event.zone for event in events),
    )
    return seal_frame(header, columns, key)


def measure_mix(bench: Bench) -> list[Reading]:
    """Read the wire bytes of the built-in store mix."""
    return list(_per_event("mix", list(store_events(MIX_SEED, bench.size(50_000, 2_000)))))


def measure_climate(bench: Bench) -> list[Reading]:
    """Read the wire bytes of the room climate data set."""
    assert bench.data is not None
    return list(_per_event("climate", _some(bench, climate_events(bench.data))))


def measure_tills(bench: Bench) -> list[Reading]:
    """Read the wire bytes of the invoice lines."""
    assert bench.data is not None
    return list(_per_event("tills", _some(bench, till_events(bench.data))))


def measure_overhead(bench: Bench) -> list[Reading]:
    """Read what a frame costs beside its columns, and one event alone."""
    bench.say("frame of 500 events of the store mix, and each of its events alone")
    events = list(store_events(MIX_SEED, BATCH))
    columns = encode_events(events)
    frame = sealed(events, columns=columns)
    zones = sorted({event.zone for event in events if event.zone is not None})
    one_zone = [replace(event, zone=zones[0]) for event in events]
    one_zone_bytes = len(sealed(one_zone)) - len(encode_events(one_zone))
    alone = {len(sealed([event])): event for event in events}
    smallest, largest = alone[min(alone)], alone[max(alone)]
    return [
        Reading(
            "frame_overhead_bytes",
            len(frame) - len(columns),
            f"frame of {len(frame)} bytes, {len(columns)} of them columns; {len(zones)} zones; "
            f"with one zone {one_zone_bytes}; 64 are the signature",
        ),
        Reading(
            "single_event_bytes",
            sum(len(sealed([event])) for event in events) / len(events),
            f"mean of {len(events)} events sealed alone, as unsigned JSON "
            f"{sum(len(json_of(event)) for event in events) / len(events):.0f}; "
            f"{smallest.type} {min(alone)}, {largest.type} {max(alone)}; without the words "
            f"{sum(len(_sealed_without_words(event)) for event in events) / len(events):.0f}",
        ),
    ]


def _sealed_without_words(event: Event) -> bytes:
    """Seal an event as if none of its names were among the words."""
    row = pack_event(event)
    columns = min(write_lead(CODECS["row"], len(row)) + row, *_plain(event), key=len)
    return sealed([event], columns=columns)


def _plain(event: Event) -> list[bytes]:
    return [encode_events([event], codec=codec) for codec in ("none", "lz4", "zstd")]


def _some(bench: Bench, events: Iterator[Event]) -> list[Event]:
    return list(islice(events, 2_000 if bench.quick else None))


def _per_event(name: str, events: Sequence[Event]) -> Iterator[Reading]:
    for size, suffix in ((BATCH, ""), (SMALL_BATCH, ".at_20")):
        runs = batches(events, size)
        count = size * len(runs)
        wire_bytes = sum(len(sealed(run, first=_FIRST + i * size)) for i, run in enumerate(runs))
        yield Reading(
            f"wire_bytes_per_event.{name}{suffix}",
            wire_bytes / count,
            f"{count} events in batches of {size}; {_others(runs, count)}",
        )


def _others(runs: Sequence[Sequence[Event]], count: int) -> str:
    """Say what the same batches cost as JSON, unsigned and unnumbered."""
    bodies = [b"\n".join(json_of(event) for event in run) for run in runs]
    plain = sum(map(len, bodies)) / count
    zipped = sum(len(gzip.compress(body, 6)) for body in bodies) / count
    pack = zstandard.ZstdCompressor(level=19)
    best = sum(len(pack.compress(body)) for body in bodies) / count
    return f"as JSON {plain:.1f}, gzip-6 {zipped:.1f}, zstd-19 {best:.1f}"


def _keys(name: str, target: float | None) -> tuple[Key, ...]:
    key = f"wire_bytes_per_event.{name}"
    unit = "bytes/event"
    return (Key(key, unit, Better.LOWER, target), Key(f"{key}.at_20", unit, Better.LOWER))


MEASUREMENTS: Final = (
    Measurement(
        name="wire.climate", keys=_keys("climate", 10), measure=measure_climate, needs_data=True
    ),
    Measurement(
        name="wire.tills", keys=_keys("tills", 16.5), measure=measure_tills, needs_data=True
    ),
    Measurement(name="wire.mix", keys=_keys("mix", None), measure=measure_mix),
    Measurement(
        name="wire.overhead",
        keys=(
            Key("frame_overhead_bytes", "bytes", Better.LOWER, 200),
            Key("single_event_bytes", "bytes", Better.LOWER, 260),
        ),
        measure=measure_overhead,
    ),
)
