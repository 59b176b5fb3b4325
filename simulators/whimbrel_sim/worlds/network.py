"""The network between a machine and a broker: a path with weather, and pipes that obey it.

What is modelled is TCP as programs see it: in order, late, and gone with the connection. Loss of
single messages and reordering are worse than TCP; a broker in between may do both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

SILENCE_S: Final = 90.0
"""A connection that brings nothing is given up after one and a half keep-alives of 60 s."""

GAP_S: Final = 1e-6
"""Between two messages on one connection."""

CONNECT_TIMEOUT_S: Final = 10.0

Breaker = Callable[[str, str], None]
"""Breaks a connection; is given the failure class's name and the reason."""

WORLD: Final = Context()
"""The context of callbacks that belong to no process."""


class Message(NamedTuple):
    """One publication on its way."""

    topic: str
    payload: bytes
    retained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What befalls a path.

    Attributes:
        delay_s: one way, at the least.
        jitter_s: further delay, drawn for each message.
        loss: share of messages that vanish.
        reorder: share of messages that others may pass.
        bandwidth_bytes_s: each way; None means that size costs nothing.
        up_closed: nothing goes towards the broker.
        down_closed: nothing comes from it.
        captive: connections are taken and lead nowhere.
        refused: somebody answers that there is no broker.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    bandwidth_bytes_s: float | None = None
    up_closed: bool = False
    down_closed: bool = False
    captive: bool = False
    refused: bool = False

    def joined(self, other: Weather) -> Weather:
        """Both at once."""
        rates = [r for r in (self.bandwidth_bytes_s, other.bandwidth_bytes_s) if r is not None]
        return Weather(
            delay_s=self.delay_s + other.delay_s,
            jitter_s=self.jitter_s + other.jitter_s,
            loss=max(self.loss, other.loss),
            reorder=max(self.reorder, other.reorder),
            bandwidth_bytes_s=min(rates, default=None),
            up_closed=self.up_closed or other.up_closed,
            down_closed=self.down_closed or other.down_closed,
            captive=self.captive or other.captive,
            refused=self.refused or other.refused,
        )

    @property
    def closed(self) -> bool:
        """Whether something is certain not to arrive."""
        return self.up_closed or self.down_closed or self.captive


class Pipe:
    """One direction of one connection."""

    __slots__ = ("_deliver", "_last_s", "_path", "_stalled", "_up", "dead", "waiting")

    def __init__(self, path: Path, *, up: bool, deliver: Callable[[Message], None]) -> None:
        self._path = path
        self._up = up
        self._deliver = deliver
        self._last_s = 0.0
        self._stalled: list[Message] = []
        self.dead = False
        self.waiting = 0

    def send(self, message: Message) -> None:
        """Let a message set out."""
        if self.dead:
            return
        self.waiting += 1
        if self._is_closed():
            self._stalled.append(message)
            return
        self._set_out(message)

    def weather_changed(self) -> None:
        """Let what waited set out, if it may."""
        if self._stalled and not self.dead and not self._is_closed():
            stalled, self._stalled = self._stalled, []
            for message in stalled:
                self._set_out(message)

    def _is_closed(self) -> bool:
        weather = self._path.weather
        return weather.captive or (weather.up_closed if self._up else weather.down_closed)

    def _set_out(self, message: Message) -> None:
        path, weather = self._path, self._path.weather
        if weather.loss and path.random.random() < weather.loss:
            path.lost += 1
            self.waiting -= 1
            return
        now_s = path.loop.time()
        delay_s = weather.delay_s + path.random.random() * weather.jitter_s
        if weather.reorder and path.random.random() < weather.reorder:
            arrives_s = now_s + delay_s + path.random.random() * 5.0
        else:
            # a burst does not arrive at one instant
            arrives_s = max(self._last_s + GAP_S, now_s + delay_s)
            if weather.bandwidth_bytes_s is not None:
                arrives_s += len(message.payload) / weather.bandwidth_bytes_s
            self._last_s = arrives_s
        path.loop.call_at(arrives_s, self._arrive, message, context=WORLD)

    def _arrive(self, message: Message) -> None:
        self.waiting -= 1
        if not self.dead:
            self._deliver(message)


def nobody() -> None:
    """Listen for nobody."""


class Path:
    """A machine's way to a broker: weather of its own, and the connections that use it.

    Attributes:
        told: tells whoever runs there what its kernel does: there is a network again.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, random: Random) -> None:
        self.name = name
        self.loop = loop
        self.random = random
        self.fair = Weather(delay_s=0.02, jitter_s=0.04)
        self.weather = self.fair
        self.lost = 0
        self.told = nobody
        self._faults: dict[object, Weather] = {}
        self._pipes: dict[Pipe, None] = {}
        self._breakers: dict[object, Breaker] = {}
        self._closings = 0

    def add(self, fault: object, weather: Weather) -> None:
        """Let a fault begin."""
        was_closed = self.weather.closed
        self._faults[fault] = weather
        self._changed()
        if self.weather.closed and not was_closed:
            self._closings += 1
            self.loop.call_later(SILENCE_S, self._silent_since, self._closings, context=WORLD)

    def remove(self, fault: object) -> None:
        """Let a fault end."""
        if self._faults.pop(fault, None) is not None:
            was_closed = self.weather.closed
            self._changed()
            if was_closed and not self.weather.closed:
                self._closings += 1

    def _changed(self) -> None:
        weather = self.fair
        for fault in self._faults.values():
            weather = weather.joined(fault)
        self.weather = weather
        for pipe in list(self._pipes):
            pipe.weather_changed()

    def _silent_since(self, closings: int) -> None:
        if closings == self._closings:
            self.reset("NO_LINK", "nothing came for too long")

    def reset(self, kind: str = "REFUSED", why: str = "the connection was broken") -> None:
        """Break every connection; ``kind`` is a failure class's name."""
        for breaker in list(self._breakers.values()):
            breaker(kind, why)

    def pipe(self, *, up: bool, deliver: Callable[[Message], None]) -> Pipe:
        """Return a new pipe over this path."""
        pipe = Pipe(self, up=up, deliver=deliver)
        self._pipes[pipe] = None
        return pipe

    def close(self, pipe: Pipe) -> None:
        """Take a pipe away; what is in it is lost."""
        pipe.dead = True
        self._pipes.pop(pipe, None)

    def when_broken(self, key: object, breaker: Breaker | None) -> None:
        """Say what a broken path does to a connection; None takes it back."""
        if breaker is None:
            self._breakers.pop(key, None)
        else:
            self._breakers[key] = breaker
