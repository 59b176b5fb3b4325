"""The top-k rule: of each window, the events with the greatest values go on as they are. Pure."""

from __future__ import annotations

from typing import Any

from whimbrel_agent.rules.marks import NO_NUMBER, TOO_LARGE, marked, odd
from whimbrel_agent.rules.numbers import (
    Number,
    getters_of,
    held_event,
    loaded_event,
    numbers_of,
)
from whimbrel_agent.rules.values import Moment, RuleConfig, Step
from whimbrel_agent.rules.windows import Open, Windowed
from whimbrel_protocol.event import Event

__all__ = ["TopK"]

_Leaders = tuple[tuple[Number, bytes], ...]
"""Value and event, greatest first; of equals the one that came first."""


class TopK(Windowed):
    """Sends the k greatest of each window and key; the first of them stands for the others."""

    def __init__(self, config: RuleConfig) -> None:
        super().__init__(config)
        assert config.by is not None
        self._name = config.name
        self._getters = getters_of((config.by,))
        self._k = config.k

    def take(self, state: tuple[Open, ...] | None, event: Event, now: Moment) -> Step:
        """Take an event."""
        numbers = numbers_of(event, self._getters)
        if numbers is None:
            return odd(state, event, self._name, NO_NUMBER)
        packed = held_event(event)
        if packed is None:
            return odd(state, event, self._name, TOO_LARGE)
        return self._taken(
            state, event, now,
            lambda window: self._leading(window.content or (), numbers[0], packed),
            reason="ranked",
        )  # fmt: skip

    def pack(self, state: tuple[Open, ...]) -> Any:
        """Give the state as a list."""
        return [
            [
                *(one.start_ns, one.count, one.first_ns, one.last_ns),
                [list(leader) for leader in one.content],
            ]
            for one in state
        ]

    def unpack(self, packed: Any, now: Moment) -> tuple[Open, ...]:
        """Read the list; windows wait for their ends anew."""
        return tuple(
            Open(
                *(start_ns, self._timing.due_ns(start_ns, now), count, first_ns, last_ns),
                tuple(tuple(leader) for leader in leaders),
            )
            for start_ns, count, first_ns, last_ns, leaders in packed
        )

    def _leading(self, leaders: _Leaders, number: Number, packed: bytes) -> _Leaders:
        if len(leaders) >= self._k and number <= leaders[-1][0]:
            return leaders
        place = sum(1 for value, _ in leaders if value >= number)
        return (*leaders[:place], (number, packed), *leaders[place:])[: self._k]

    def _events(self, window: Open) -> tuple[Event, ...]:
        """Mark the leaders: the others stand for themselves, the first for all the rest."""
        others = len(window.content) - 1
        first, *rest = (loaded_event(packed) for _, packed in window.content)
        name, count = self._name, window.count - others
        return (
            marked(first, name, count, window.first_ns, window.last_ns),
            *(marked(event, name, 1, event.time_ns) for event in rest),
        )
