"""Counts the radio's wakes and its time awake from the moments it was used: a machine.

Nobody tells the agent when the radio sleeps. It is reckoned from the profile: awake from each use
until ``tail_s`` after it. MQTT keep-alives are uses that the client library makes by itself; they
are reckoned from the silence between uses while a link is up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from whimbrel_agent.energy.model import Work

__all__ = ["RadioAccount"]


@dataclass(slots=True)
class _Counts:
    wakes: int = 0
    awake_s: float = 0.0
    keepalive_wakes: int = 0
    keepalive_awake_s: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0
    frames: int = 0


class RadioAccount:
    """What the radio did since the account was opened.

    Args:
        tail_s: how long the radio stays awake after a use.
        keepalive_s: a link that is up and silent for so long sends a sign of life; 0: never.
    """

    def __init__(self, *, tail_s: float, keepalive_s: float = 0.0) -> None:
        self._tail_s = tail_s
        self._keepalive_s = keepalive_s
        self._used_s: float | None = None
        self._used_by_keepalive = False
        self._linked = False
        self._counts = _Counts()

    def linked(self, now_s: float) -> None:
        """Say that a link was made; the packets of that are a use."""
        self._use(now_s)
        self._linked = True

    def unlinked(self, now_s: float) -> None:
        """Say that the link is gone: no keep-alives any more."""
        self._catch_up(now_s)
        self._linked = False

    def sent(self, size_bytes: int, now_s: float) -> None:
        """Count one message that was handed to the broker."""
        self._use(now_s)
        self._counts.bytes_up += size_bytes
        self._counts.frames += 1

    def received(self, size_bytes: int, now_s: float) -> None:
        """Count one message that came in."""
        self._use(now_s)
        self._counts.bytes_down += size_bytes
        self._counts.frames += 1

    def work(self, now_s: float) -> Work:
        """Return the counts up to now, the running tail as far as it went."""
        self._catch_up(now_s)
        counts = self._counts
        running_s = self._tail_until(now_s)
        by_keepalive_s = running_s if self._used_by_keepalive else 0.0
        return Work(
            radio_wakes=counts.wakes,
            radio_awake_s=counts.awake_s + running_s,
            keepalive_wakes=counts.keepalive_wakes,
            keepalive_awake_s=counts.keepalive_awake_s + by_keepalive_s,
            bytes_up=counts.bytes_up,
            bytes_down=counts.bytes_down,
            frames=counts.frames,
        )

    def _use(self, now_s: float) -> None:
        self._catch_up(now_s)
        self._note(now_s, by_keepalive=False)

    def _catch_up(self, now_s: float) -> None:
        """Reckon the keep-alives that a silent link has sent since its last use."""
        if not self._linked or not self._keepalive_s or self._used_s is None:
            return
        pings = math.floor((now_s - self._used_s) / self._keepalive_s)
        if pings <= 0:
            return
        first_s = self._used_s + self._keepalive_s
        self._note(first_s, by_keepalive=True)
        rest = pings - 1
        if rest:  # they are all alike: after a night of them no loop
            asleep = self._keepalive_s > self._tail_s
            awake_s = rest * min(self._keepalive_s, self._tail_s)
            self._add(rest if asleep else 0, awake_s, by_keepalive=True)
            self._used_s = first_s + rest * self._keepalive_s

    def _note(self, now_s: float, *, by_keepalive: bool) -> None:
        """Close the tail of the use before, and open one."""
        before_s = self._used_s
        asleep = before_s is None or now_s - before_s > self._tail_s
        self._add(0, self._tail_until(now_s), by_keepalive=self._used_by_keepalive)
        self._add(1 if asleep else 0, 0.0, by_keepalive=by_keepalive)
        self._used_s = now_s
        self._used_by_keepalive = by_keepalive

    def _tail_until(self, now_s: float) -> float:
        return 0.0 if self._used_s is None else min(now_s - self._used_s, self._tail_s)

    def _add(self, wakes: int, awake_s: float, *, by_keepalive: bool) -> None:
        self._counts.wakes += wakes
        self._counts.awake_s += awake_s
        if by_keepalive:
            self._counts.keepalive_wakes += wakes
            self._counts.keepalive_awake_s += awake_s
