"""Events by their time: one device's, several merged, and what a simulation asks of either.

A simulation in virtual time asks when the next event is due and takes those that are; nothing is
drawn before it is needed, and how much is taken at once changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Protocol

from whimbrel_protocol.event import Event

__all__ = ["Merged", "Stream", "take_events"]


class Stream(Protocol):
    """Events in time order, from now on."""

    def next_time_ns(self) -> int | None:
        """Give the time of the next event, None when there are no more."""
        ...

    def take(self) -> Event:
        """Take the next event; there must be one."""
        ...

    def take_until(self, time_ns: int) -> list[Event]:
        """Take all events up to and including a time: those that are due then."""
        ...


class Merged:
    """Several streams as one, in time order; at equal times the one that was named first."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams
        times = ((stream.next_time_ns(), at) for at, stream in enumerate(streams))
        self._agenda = [(time_ns, at) for time_ns, at in times if time_ns is not None]
        heapify(self._agenda)

    def next_time_ns(self) -> int | None:
        """Give the time of the next event, None when no stream has more."""
        return self._agenda[0][0] if self._agenda else None

    def take(self) -> Event:
        """Take the next event.

        Raises:
            IndexError: there are no more.
        """
        at = self._agenda[0][1]
        stream = self._streams[at]
        event = stream.take()
        time_ns = stream.next_time_ns()
        if time_ns is None:
            heappop(self._agenda)
        else:
            heapreplace(self._agenda, (time_ns, at))
        return event

    def take_until(self, time_ns: int) -> list[Event]:
        """Take all events up to and including a time."""
        taken = []
        agenda = self._agenda
        while agenda and agenda[0][0] <= time_ns:
            taken.append(self.take())
        return taken


def take_events(stream: Stream, end_ns: int | None = None) -> Iterator[Event]:
    """Take events one by one, up to but not including ``end_ns``; None for as many as there are."""
    while (time_ns := stream.next_time_ns()) is not None:
        if end_ns is not None and time_ns >= end_ns:
            return
        yield stream.take()
