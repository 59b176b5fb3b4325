"""Edge rules before a real buffer: accepted = counted in what is sent + held, whatever happens."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from buffers.harness import Shop, assert_sound
from edgerules.series import reading, rule
from whimbrel_agent.buffer.database import DiskFullError
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferFullError
from whimbrel_agent.rules.gate import RuleGate, open_gate
from whimbrel_agent.rules.marks import count_of
from whimbrel_agent.rules.values import RuleConfig
from whimbrel_protocol.event import Event

STEPS = 60
CHOICES: list[dict[str, Any]] = [
    {"do": "deadband", "fields": ["v"], "band": 1},
    {"do": "window", "fields": ["v"], "window_s": 10, "max_keys": 3},
    {"do": "swinging-door", "fields": ["v"], "band": 1, "hold_s": 20},
    {"do": "top-k", "by": "v", "k": 2, "window_s": 10},
]


class Life:
    """One device's life from a seed: accepts, repetitions, restarts, full disks, new rules."""

    def __init__(self, seed: int, path: Path) -> None:
        self.chance = random.Random(seed)
        self.shop = Shop(path, chance=random.Random(seed))
        self.choice = self.chance.choice(CHOICES)
        self.answered: dict[bytes, tuple[Event, int]] = {}
        self.second = 0.0
        self.skipped = 0

    def config(self) -> RuleConfig:
        settings = dict(self.choice)
        return rule(settings.pop("do"), **settings)

    def event(self) -> Event:
        self.second += self.chance.random() * 5
        self.shop.clock.advance(self.chance.random() * 5)
        away = self.chance.choice([0, 0, 0, -30, 1e6])
        source = self.chance.choice("abcd")
        return reading(self.chance.randrange(6), self.second + away, source=source)

    async def accept(self, buffer: Buffer) -> None:
        fresh = {self.chance.randbytes(8): self.event() for _ in range(self.chance.randrange(4))}
        known = self.chance.sample(sorted(self.answered), min(2, len(self.answered)))
        items = [*fresh.items(), *((key, self.answered[key][0]) for key in known)]
        self.chance.shuffle(items)
        keys, events = [key for key, _ in items], [event for _, event in items]
        with self.disk(buffer):
            try:
                places = await buffer.accept(events, keys=keys)
            except BufferFullError:
                return
        for key, event, place in zip(keys, events, places, strict=True):
            assert place.repeated is (key in self.answered)
            if place.repeated:
                assert place.sequence == self.answered[key][1]
            self.answered[key] = (event, place.sequence)

    @contextmanager
    def disk(self, buffer: Buffer) -> Iterator[None]:
        """Be full at the commit, now and then."""
        database = buffer._state.database
        if self.chance.random() < 0.2:
            with pytest.MonkeyPatch.context() as patch:
                full = DiskFullError("the disk is full")

                def expect(_takes: object) -> None:
                    raise full

                patch.setattr(database, "_expect", expect)
                yield
        else:
            yield

    async def live(self) -> None:
        steps = 0
        while steps < STEPS:
            async with self.shop.buffer() as buffer:
                gate = await open_gate(buffer, [self.config()], self.shop.clock)
                assert gate is not None
                for _ in range(self.chance.randrange(1, 15)):
                    steps += 1
                    await self.accept(buffer)
                    if self.chance.random() < 0.3:
                        await gate.close_due()
                    if self.chance.random() < 0.1:
                        await buffer.seal_all()
                await self.check(buffer, gate)
                if self.chance.random() < 0.3:
                    others = [choice for choice in CHOICES if choice is not self.choice]
                    self.skipped += self.lost_counts(gate)
                    self.choice = self.chance.choice(others)

    def lost_counts(self, gate: RuleGate) -> int:
        """What a deadband that goes takes with it: the count since its last event."""
        do = self.choice["do"]
        return int(gate.figures()["r"]["held"]) if do == "deadband" else 0

    async def check(self, buffer: Buffer, gate: RuleGate) -> None:
        sent = [exported.event async for exported in buffer.export()]
        counted = sum(count_of(event.extensions) for event in sent)
        held = gate.figures()["r"]["held"]
        assert counted + held + self.skipped == len(self.answered)
        await assert_sound(buffer)


@pytest.mark.parametrize("seed", range(12))
async def test_every_answered_event_is_counted_once(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await Life(seed, Path(folder) / "buffer.db").live()
