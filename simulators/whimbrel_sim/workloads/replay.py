"""Replay: events of files again, moved to another time and at another speed.

What this is: any rows (see ``files``) as a stream of a simulation or a demo. The rule it keeps:
distances in time stay in proportion, and no line is lost silently: a bad one is counted, and the
first hundred are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Final

from whimbrel_protocol.event import Event

from .files import BadLine

__all__ = ["MAX_NAMED", "Replay", "ReplayError"]

MAX_NAMED: Final = 100
"""So many bad lines are named; all are counted. A file of another form would fill the memory."""

_LONE_PAUSE_NS: Final = 1_000_000_000
"""Between two rounds of a file with a single event."""


class ReplayError(Exception):
    """Nothing can be replayed: no line of the file is an event."""


class Replay:
    """Rows as a stream.

    Args:
        rows: opens them from the beginning; called once a round.
        start_ns: when the first event happens, nanoseconds since 1970 UTC.
        speed: 2.0 for half of the waits.
        loops: rounds, None for ever. A round follows the one before after a mean wait.

    Raises:
        ReplayError: the rows have no event.
        ValueError: a speed that is not over 0, or no rounds.

    Attributes:
        bad_count: lines that were no events, as far as the first round was read.
        bad_lines: the first of them.
        back_count: events older than the one before them, as far as the first round was read;
            they happen at the time of the one before.
    """

    def __init__(
        self,
        rows: Callable[[], Iterator[Event | BadLine]],
        *,
        start_ns: int,
        speed: float = 1.0,
        loops: int | None = 1,
    ) -> None:
        if not speed > 0:
            raise ValueError(f"speed is {speed}: must be over 0")
        if loops is not None and loops < 1:
            raise ValueError(f"loops is {loops}: must be at least 1, or None for ever")
        self._open = rows
        self._slowness = 1 / Fraction(speed)
        self._start_ns = start_ns
        self._loops = loops
        self.bad_count = 0
        self.back_count = 0
        self.bad_lines: list[BadLine] = []
        self._events = self._rounds()
        self._next: Event | None = next(self._events, None)
        if self._next is None:
            first = f", first {self.bad_lines[0]}" if self.bad_lines else ""
            raise ReplayError(f"no line is an event ({self.bad_count} bad lines{first})")

    def next_time_ns(self) -> int | None:
        """Give the time of the next event, None after the last."""
        return None if self._next is None else self._next.time_ns

    def take(self) -> Event:
        """Take the next event.

        Raises:
            IndexError: there are no more.
        """
        event = self._next
        if event is None:
            raise IndexError("the replay is over")
        self._next = next(self._events, None)
        return event

    def take_until(self, time_ns: int) -> list[Event]:
        """Take all events up to and including a time."""
        taken = []
        while self._next is not None and self._next.time_ns <= time_ns:
            taken.append(self.take())
        return taken

    def _rounds(self) -> Iterator[Event]:
        start_ns = self._start_ns
        number = 0
        while self._loops is None or number < self._loops:
            first_ns = last_ns = None
            count = 0
            for event in self._good_events(count_bad=number == 0):
                if first_ns is None:
                    first_ns = last_ns = event.time_ns
                assert last_ns is not None
                if event.time_ns < last_ns and number == 0:
                    self.back_count += 1
                last_ns = max(last_ns, event.time_ns)
                count += 1
                yield replace(event, time_ns=start_ns + self._scaled(last_ns - first_ns))
            if first_ns is None or last_ns is None:
                return
            span_ns = last_ns - first_ns
            pause_ns = span_ns // (count - 1) if count > 1 else _LONE_PAUSE_NS
            start_ns += self._scaled(span_ns + max(pause_ns, 1))
            number += 1

    def _good_events(self, *, count_bad: bool) -> Iterator[Event]:
        for row in self._open():
            if isinstance(row, Event):
                yield row
            elif count_bad:
                self.bad_count += 1
                if len(self.bad_lines) < MAX_NAMED:
                    self.bad_lines.append(row)

    def _scaled(self, span_ns: int) -> int:
        return round(span_ns * self._slowness)
