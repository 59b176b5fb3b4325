"""Thousands of devices that come back together: each gets a time to start. Pure.

A device asks the region before it sends anything (resume). One that was away gets the next free
start; starts are ``1 / starts_per_s`` apart (a token bucket as virtual scheduling, ITU-T I.371
annex A), and up to ``BURST_S`` worth of them may be taken at once. A device whose start lies ahead
is told how long to wait; it keeps its place while it waits, so that a lost message, or asking
early, changes nothing. A place that was not taken within a minute of its time is void: where a
return is cut short, the next one is paced like any other. So the whole return takes the number of devices over ``starts_per_s``,
and each device knows its part of that when it asks first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil
from typing import Final, Generic, TypeVar

K = TypeVar("K")

BURST_S: Final = 1.0
"""Starts of so many seconds may be taken at once; waits are whole seconds on the wire, so that
any one second may see up to twice the rate."""

AWAY_S: Final = 60.0
"""A device that was heard within this time is not returning: it only asks again."""

MAX_PLACES: Final = 100_000
"""Devices that are remembered, waiting or heard: some 15 MB. Of more, the one that was heard least
recently is forgotten; it gets another place when it asks."""


@dataclass(frozen=True, slots=True)
class ReturnFigures:
    """How a return goes.

    Attributes:
        waiting: devices that were given a start which they have not taken yet.
        starts_per_s: how many may start in a second.
        last_start_s: in how many seconds the last of them may start; 0 without any.
        started: starts since the process began.
    """

    waiting: int
    starts_per_s: float
    last_start_s: float
    started: int


def starts_per_s(devices: int, *, share_per_s: float, least_per_s: float) -> float:
    """Return how many of a fleet's devices may start in a second."""
    return max(least_per_s, devices * share_per_s)


class Returning(Generic[K]):
    """Gives starts to devices. ``now_s`` is the monotonic clock, in seconds.

    Attributes:
        rate_per_s: starts in a second; may be changed at any time, for starts not given yet.
    """

    def __init__(self, rate_per_s: float) -> None:
        self.rate_per_s = rate_per_s
        self._next_s = float("-inf")
        self._starts: OrderedDict[K, float] = OrderedDict()
        self._heard: OrderedDict[K, float] = OrderedDict()
        self._started = 0

    def wait_s(self, device: K, now_s: float) -> int:
        """Return for how many whole seconds an asking device must wait; 0: it starts now."""
        start_s = self._starts.get(device)
        if start_s is None or start_s + AWAY_S < now_s:  # it never came for that one
            if self.heard_lately(device, now_s):
                self.heard(device, now_s)
                return 0
            start_s = max(self._next_s, now_s - BURST_S)
            self._next_s = start_s + 1 / self.rate_per_s
        if start_s > now_s:
            self._remember(self._starts, device, start_s)
            return ceil(start_s - now_s)
        self._starts.pop(device, None)
        self._started += 1
        self.heard(device, now_s)
        return 0

    def heard_lately(self, device: K, now_s: float) -> bool:
        """Say whether a device is here already."""
        heard_s = self._heard.get(device)
        return heard_s is not None and now_s - heard_s < AWAY_S

    def heard(self, device: K, now_s: float) -> None:
        """Note that a device delivers."""
        self._remember(self._heard, device, now_s)

    def figures(self, now_s: float) -> ReturnFigures:
        """Return how it goes."""
        # a device that never came for its start holds nobody up; it is listed for a while longer
        waiting = [start_s for start_s in self._starts.values() if start_s + AWAY_S > now_s]
        last_s = max(waiting, default=now_s)
        return ReturnFigures(len(waiting), self.rate_per_s, max(0.0, last_s - now_s), self._started)

    @staticmethod
    def _remember(places: OrderedDict[K, float], device: K, at_s: float) -> None:
        places[device] = at_s
        places.move_to_end(device)
        if len(places) > MAX_PLACES:
            places.popitem(last=False)
