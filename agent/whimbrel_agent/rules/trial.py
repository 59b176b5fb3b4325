"""Rules tried on events of a file: what would be sent, and what that saves. Pure.

The clocks follow the events' times, so that windows close as they would on the device.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from whimbrel_agent.intake.export import fields_of
from whimbrel_agent.plain import plain
from whimbrel_agent.rules.engine import Batch, Engine
from whimbrel_agent.rules.values import Moment, RuleConfig
from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import LANES

__all__ = ["Outcome", "Trial", "line_of"]

FRAME_EVENTS: Final = 500
"""Events packed together when bytes are counted, as a steady agent's frames are."""


@dataclass(slots=True)
class Volume:
    """Events, their bytes as JSON lines, and as packed columns."""

    events: int = 0
    json_bytes: int = 0
    packed_bytes: int = 0
    _waiting: dict[str, list[Event]] = field(default_factory=lambda: {lane: [] for lane in LANES})

    def add(self, event: Event) -> None:
        """Count an event."""
        self.events += 1
        self.json_bytes += len(line_of(event)) + 1
        waiting = self._waiting[event.lane]
        waiting.append(event)
        if len(waiting) >= FRAME_EVENTS:
            self._pack(event.lane)

    def finish(self) -> None:
        """Count what waits for its frame to be full."""
        for lane in LANES:
            self._pack(lane)

    def figures(self) -> dict[str, int]:
        """Give the three counts."""
        return {
            "events": self.events,
            "json_bytes": self.json_bytes,
            "packed_bytes": self.packed_bytes,
        }

    def _pack(self, lane: str) -> None:
        events, self._waiting[lane] = self._waiting[lane], []
        if events:
            self.packed_bytes += len(encode_events(events))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial came to."""

    raw: dict[str, int]
    sent: dict[str, int]
    rules: dict[str, dict[str, Any]]
    untouched: int

    def saved_percent(self, name: str) -> float:
        """Say how much less is sent, of events or of one kind of bytes."""
        return 100.0 * (1 - self.sent[name] / self.raw[name]) if self.raw[name] else 0.0

    def to_json(self) -> dict[str, Any]:
        """Give everything, with what is saved."""
        return {
            "raw": self.raw,
            "sent": self.sent,
            "saved_percent": {name: round(self.saved_percent(name), 1) for name in self.raw},
            "untouched": self.untouched,
            "rules": self.rules,
        }


class Trial:
    """Runs rules over events.

    Args:
        rules: the rules, in their order.
    """

    def __init__(self, rules: Sequence[RuleConfig]) -> None:
        self._engine = Engine(rules)
        self._raw = Volume()
        self._sent = Volume()
        self._untouched = 0
        self._mono_ns = 0
        self._last_ns: int | None = None

    def run(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield what would be sent, in its order."""
        for event in events:
            self._raw.add(event)
            for sent in self._take(event):
                self._sent.add(sent)
                yield sent
        for sent in Batch(self._engine, self._now()).close_all(len(LANES) * 2**20):
            self._sent.add(sent)
            yield sent

    def outcome(self) -> Outcome:
        """Give the figures, once all was run."""
        self._raw.finish()
        self._sent.finish()
        rules = {rule.config.name: rule.figures() for rule in self._engine.rules}
        return Outcome(self._raw.figures(), self._sent.figures(), rules, self._untouched)

    def _take(self, event: Event) -> Iterator[Event]:
        if self._last_ns is not None:
            self._mono_ns += max(0, event.time_ns - self._last_ns)
        self._last_ns = event.time_ns
        now = self._now()
        due = self._engine.series_due(now)
        if due:
            batch = Batch(self._engine, now)
            yield from batch.close_due(due)
            self._engine.adopt(batch)
        place = self._engine.place_of(event)
        if place < 0:
            self._untouched += 1
            yield event
            return
        batch = Batch(self._engine, now)
        step = batch.take(place, event)
        self._engine.adopt(batch)
        yield from step.sent
        if step.passed is not None:
            yield step.passed

    def _now(self) -> Moment:
        return Moment(self._last_ns or 0, self._mono_ns)


def line_of(event: Event) -> str:
    """Give an event as a line of JSON, as the intake reads it."""
    return json.dumps(plain(fields_of(event)), separators=(",", ":"))
