"""Events and rules that tests of rules share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whimbrel_agent.rules.engine import Batch, Engine
from whimbrel_agent.rules.settings import stored_rule
from whimbrel_agent.rules.values import Moment, RuleConfig
from whimbrel_agent.settings import ConfigError, Table
from whimbrel_protocol.event import Event

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_100 * SECOND_NS
"""A multiple of a minute, and of 100 s."""


def rule(do: str, **settings: Any) -> RuleConfig:
    """A rule as it would be read from a file, over every event of type ``t``."""
    return stored_rule({"name": "r", "when": 'type == "t"', "do": do, **settings})


def problem_of(settings: dict[str, Any]) -> str:
    """What is said about a rule that cannot be used."""
    try:
        stored_rule(settings)
    except ConfigError as error:
        return str(error)
    return ""


def reading(
    value: Any, second: float = 0, *, source: str = "s", lane: str = "normal", **more: Any
) -> Event:
    """One value, so many seconds after the start."""
    return Event(
        type="t",
        source=source,
        time_ns=START_NS + int(second * SECOND_NS),
        data={"v": value, **more},
        lane=lane,
    )


def at(second: float) -> Moment:
    """Both clocks, so many seconds after the start."""
    return Moment(START_NS + int(second * SECOND_NS), int((100 + second) * SECOND_NS))


class Desk:
    """An engine whose every step is durable at once."""

    def __init__(self, *rules: RuleConfig) -> None:
        self.engine = Engine(rules)

    def take(self, event: Event, second: float | None = None) -> list[Event]:
        """Offer an event when it happened (or at another second); give what is sent."""
        own = (event.time_ns - START_NS) / SECOND_NS
        now = at(own if second is None else second)
        place = self.engine.place_of(event)
        if place < 0:
            return [event]
        batch = Batch(self.engine, now)
        step = batch.take(place, event)
        self.engine.adopt(batch)
        return [*step.sent, *([] if step.passed is None else [step.passed])]

    def take_all(self, events: list[Event]) -> list[Event]:
        return [sent for event in events for sent in self.take(event)]

    def tick(self, second: float) -> list[Event]:
        """Let the clocks come to this second."""
        now = at(second)
        batch = Batch(self.engine, now)
        sent = batch.close_due(self.engine.series_due(now))
        self.engine.adopt(batch)
        return sent

    def close(self) -> list[Event]:
        """Close everything."""
        batch = Batch(self.engine, at(0))
        sent = batch.close_all(1_000)
        self.engine.adopt(batch)
        return sent

    def figures(self, name: str = "r") -> dict[str, Any]:
        found = {rule.config.name: rule.figures() for rule in self.engine.rules}
        return found[name]


def values(events: list[Event]) -> list[Any]:
    return [event.data["v"] for event in events]


def table_of(values: dict[str, Any]) -> Table:
    return Table(Path("agent.toml"), "", values)
