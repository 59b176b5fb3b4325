"""A day of a sensor at 1 Hz through rules, buffer and raw store: few bytes, no point outside the band."""

from __future__ import annotations

import json
import math
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from buffers.harness import Shop, all_pending, assert_sound
from documents import ROOT
from whimbrel_agent.buffer.runner import DirectRunner
from whimbrel_agent.buffer.values import LaneConfig
from whimbrel_agent.intake.export import fields_of
from whimbrel_agent.plain import plain
from whimbrel_agent.rules.gate import open_gate
from whimbrel_agent.rules.marks import COUNT
from whimbrel_agent.rules.rawrange import range_of, raw_lines
from whimbrel_agent.rules.rawstore import RawStore
from whimbrel_agent.rules.settings import stored_rule
from whimbrel_protocol.event import Event
from whimbrel_sim.bench.corpora import climate_events

SECOND_NS = 1_000_000_000
DAY_S = 86_400
START_NS = 1_700_006_400 * SECOND_NS  # a midnight
GROUP_S = 30  # as a gateway posts
RAW_BYTES = 64 * 2**20
DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Sensor:
    """A day of readings, the fields that a rule thins, and its band."""

    events: Sequence[Event]
    fields: tuple[str, ...]
    band: float


def cold_room() -> Sensor:
    """A cold room: compressor cycles of some 25 min, doors that open, a noisy probe."""
    chance = random.Random(20_261_122)
    celsius, cooling, door_s = 4.0, False, 0
    events = []
    for second in range(DAY_S):
        if not door_s and chance.random() < 1 / 2_400:
            door_s = chance.randrange(20, 120)
        door_s = max(0, door_s - 1)
        cooling = celsius > 5.0 or (cooling and celsius > 3.0)
        celsius += 0.0012 + 0.01 * (door_s > 0) - 0.0032 * cooling
        read = round(celsius + chance.gauss(0, 0.02), 2)
        events.append(reading("cold-1", second, {"celsius": read, "probe": "A7"}))
    return Sensor(events, ("celsius",), 0.15)


def room_from(folder: Path) -> Sensor:
    """A real room's first day: its rows a minute apart joined by lines, with a probe's noise."""
    chance = random.Random(20_261_123)
    rows = [
        event.data for event, _ in zip(climate_events(folder), range(DAY_S // 60 + 1), strict=False)
    ]
    events = []
    for minute, (row, after) in enumerate(pairwise(rows)):
        for second in range(60):
            part = second / 60
            data = {
                name: round(row[name] + (after[name] - row[name]) * part + chance.gauss(0, 0.02), 2)
                for name in ("temperature", "humidity")
            }
            events.append(reading("room-1", 60 * minute + second, data))
    return Sensor(events, ("temperature", "humidity"), 0.15)


def reading(source: str, second: int, data: dict[str, object]) -> Event:
    return Event(type="t", source=source, time_ns=START_NS + second * SECOND_NS, data=data)


@dataclass
class Day:
    """What became of a day: the frames' bytes, the events in them, what `raw` gives for hours."""

    sealed_bytes: int
    sent: list[Event]
    hours: dict[int, list[dict[str, object]]]


async def a_day(sensor: Sensor, folder: Path, *, ruled: bool) -> Day:
    """Post the day as it comes; frames are sealed once an hour, or when they are full."""
    shop = Shop(folder / "buffer.db")
    shop.clock.wall = START_NS
    raw = RawStore(folder / "raw.db", RAW_BYTES, shop.clock, DirectRunner())
    rule = stored_rule({
        "name": "lines", "when": 'type == "t"', "do": "swinging-door",
        "fields": list(sensor.fields), "band": sensor.band, "raw_days": 2,
    })  # fmt: skip
    lanes = {"normal": LaneConfig(linger_s=3600)}
    async with shop.buffer(lanes=lanes, max_bytes=64 * 2**20) as buffer:
        gate = await open_gate(buffer, [rule] if ruled else [], shop.clock, raw)
        for start in range(0, len(sensor.events), GROUP_S):
            shop.clock.advance(GROUP_S)
            await buffer.accept(sensor.events[start : start + GROUP_S])
            await buffer.seal_due(shop.clock.mono_ns())
        if gate is not None:
            await gate.close_all()
        await buffer.seal_all()
        await assert_sound(buffer)
        sealed_bytes = sum(ref.size_bytes for ref in await all_pending(buffer))
        sent = [exported.event async for exported in buffer.export()]
    hours = {hour: [line async for line in fetched(raw, sensor, hour)] for hour in (0, 9, 23)}
    await raw.close()
    return Day(sealed_bytes, sent, hours)


async def fetched(raw: RawStore, sensor: Sensor, hour: int) -> AsyncIterator[dict[str, object]]:
    """Ask for an hour as `whimbrel-agent raw` does."""
    begin, end = (
        datetime.fromtimestamp(START_NS // SECOND_NS + 3600 * at, UTC).isoformat()
        for at in (hour, hour + 1)
    )
    query = {"source": sensor.events[0].source, "from": begin, "to": end}
    async for piece in raw_lines(raw.read(*range_of(query))):
        for line in piece.splitlines():
            yield json.loads(line)


def worst_error(sensor: Sensor, sent: Sequence[Event]) -> float:
    """Draw lines between what was sent, and give the greatest distance of a raw point from them."""
    worst, knots = 0.0, iter(pairwise(sent))
    left, right = next(knots)
    for event in sensor.events:
        while event.time_ns > right.time_ns:
            left, right = next(knots)
        part = (event.time_ns - left.time_ns) / (right.time_ns - left.time_ns)
        for name in sensor.fields:
            drawn = left.data[name] + (right.data[name] - left.data[name]) * part
            worst = max(worst, abs(event.data[name] - drawn))
    return worst


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cold room", "real room"])
async def test_a_day_keeps_its_shape_in_a_tenth_of_the_bytes(kind: str, tmp_path: Path) -> None:
    if kind == "real room" and not DATA.is_dir():
        pytest.skip("../shared/data is not there")
    sensor = cold_room() if kind == "cold room" else room_from(DATA)
    assert len(sensor.events) == DAY_S
    (tmp_path / "plain").mkdir()
    plain_day = await a_day(sensor, tmp_path / "plain", ruled=False)
    day = await a_day(sensor, tmp_path, ruled=True)
    assert len(plain_day.sent) == DAY_S
    assert day.sealed_bytes <= 0.1 * plain_day.sealed_bytes
    assert worst_error(sensor, day.sent) <= sensor.band
    assert sum(event.extensions[COUNT] for event in day.sent) == DAY_S
    for hour, lines in day.hours.items():
        own = sensor.events[3600 * hour : 3600 * (hour + 1)]
        assert lines == [plain(fields_of(event)) for event in own]
    assert math.isclose(worst_error(sensor, plain_day.sent), 0.0, abs_tol=1e-9)
