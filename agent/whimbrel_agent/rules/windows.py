"""Windows in time: when they open and close, whatever the clocks say. Pure.

A window begins at a multiple of its length since 1970 UTC, by the events' own times. It closes

* when an event of the same key comes whose time is ``lateness`` past its end, or
* on the monotonic clock: when the wall clock should be there, and never later than length plus
  lateness after it was opened. So an event from 2099 opens a window that is closed a minute later
  like any other.

An event for a window that was closed already opens it once more: its summary stands for the late
ones alone, and the counts of both add up. Nothing is dropped for being late.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from whimbrel_agent.rules.values import Moment, RuleConfig, Step
from whimbrel_protocol.event import Event

__all__ = ["MAX_OPEN", "Open", "Timing", "Windowed"]

MAX_OPEN: Final = 3
"""Windows that one key may have open: the present one, one that waits for late events, and one that
a wrong clock opened. Beyond it the one that was opened first closes."""

MIN_WAIT_NS: Final = 1_000_000_000
"""A window of old events is kept open so long for more of them."""


@dataclass(frozen=True, slots=True)
class Open:
    """An open window.

    Attributes:
        start_ns: where it begins.
        due_ns: it closes then by the monotonic clock.
        count: raw events in it.
        first_ns, last_ns: the least and the greatest of their times.
        content: what the rule gathers.
    """

    start_ns: int
    due_ns: int
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0
    content: Any = field(default=None)

    def taking(self, time_ns: int, content: Any) -> Open:
        """Give the window with one more event."""
        first = self.first_ns if self.count and self.first_ns < time_ns else time_ns
        last = self.last_ns if self.count and self.last_ns > time_ns else time_ns
        return Open(self.start_ns, self.due_ns, self.count + 1, first, last, content)


class Timing:
    """Which window an event belongs to, and which ones are over."""

    def __init__(self, config: RuleConfig) -> None:
        self._length_ns = int(config.window_s * 1e9)
        self._lateness_ns = int(config.lateness_s * 1e9)

    def opened(self, time_ns: int, now: Moment) -> Open:
        """Open the window for an event of this time."""
        start_ns = time_ns - time_ns % self._length_ns
        return Open(start_ns, self.due_ns(start_ns, now))

    def due_ns(self, start_ns: int, now: Moment) -> int:
        """When a window closes by the monotonic clock, counted from now."""
        longest_ns = self._length_ns + self._lateness_ns
        wait_ns = start_ns + longest_ns - now.wall_ns
        return now.mono_ns + max(min(MIN_WAIT_NS, longest_ns), min(wait_ns, longest_ns))

    def place(self, windows: tuple[Open, ...], time_ns: int) -> int | None:
        """Give the place of the open window that an event belongs to."""
        start_ns = time_ns - time_ns % self._length_ns
        for place, window in enumerate(windows):
            if window.start_ns == start_ns:
                return place
        return None

    def split(
        self, windows: tuple[Open, ...], time_ns: int
    ) -> tuple[tuple[Open, ...], tuple[Open, ...]]:
        """Part the windows that an event of this time closes from those that stay."""
        past_ns = time_ns - self._length_ns - self._lateness_ns
        over = tuple(one for one in windows if one.start_ns <= past_ns)
        if not over:
            return (), windows
        return over, tuple(one for one in windows if one.start_ns > past_ns)


class Windowed(ABC):
    """What rules over windows share; each says what it gathers and what becomes of a window."""

    def __init__(self, config: RuleConfig) -> None:
        self._timing = Timing(config)

    @abstractmethod
    def _events(self, window: Open) -> tuple[Event, ...]:
        """Give what a closed window sends."""

    def _taken(
        self,
        state: tuple[Open, ...] | None,
        event: Event,
        now: Moment,
        gathered: Callable[[Open], Any],
        *,
        reason: str,
    ) -> Step:
        """Put an event into its window, and send those that it closes."""
        over, windows = self._timing.split(state or (), event.time_ns)
        place = self._timing.place(windows, event.time_ns)
        if place is None:
            if len(windows) >= MAX_OPEN:
                over, windows = (*over, windows[0]), windows[1:]
            windows = (*windows, self._timing.opened(event.time_ns, now))
            place = len(windows) - 1
        window = windows[place].taking(event.time_ns, gathered(windows[place]))
        windows = (*windows[:place], window, *windows[place + 1 :])
        return Step(windows, sent=self.close(over), reason=reason)

    def due(self, state: tuple[Open, ...], now: Moment) -> Step | None:
        """Close what the monotonic clock says is over."""
        over = tuple(one for one in state if one.due_ns <= now.mono_ns)
        if not over:
            return None
        left = tuple(one for one in state if one.due_ns > now.mono_ns)
        return Step(left or None, sent=self.close(over))

    def close(self, state: tuple[Open, ...]) -> tuple[Event, ...]:
        """Close all windows."""
        return tuple(event for one in state for event in self._events(one))

    def deadline_ns(self, state: tuple[Open, ...]) -> int | None:
        """When the first window closes."""
        return min((one.due_ns for one in state), default=None)

    def held(self, state: tuple[Open, ...]) -> int:
        """Raw events in open windows."""
        return sum(one.count for one in state)
