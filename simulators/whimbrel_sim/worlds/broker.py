"""A broker as MQTT 3.1.1 allows it to be at its worst, and the connections to it.

It acknowledges what it then drops, forgets everything when it restarts, gives messages out twice,
late, or after hours, keeps the connections of clients that are long gone, and lets anybody publish
anything anywhere.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from .network import CONNECT_TIMEOUT_S, SILENCE_S, WORLD, Message, Path
from .timeline import Timeline

QUEUE_LIMIT: Final = 1_000
"""Messages that wait for one client; Mosquitto's own limit."""

FIRST_PACKETS_S: Final = (0.0, 1.0, 3.0, 7.0)
"""A SYN is sent again after a second, then twice as long each time (RFC 6298 sections 2 and 5.5)."""

NOTED_DIGITS: Final = 8
"""Hexadecimal digits of a payload's SHA-256 that the timeline has: enough to see a difference."""


class NoConnectionError(Exception):
    """A connection could not be made; ``kind`` is a failure class's name."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(slots=True)
class Manners:
    """How bad the broker is.

    Attributes:
        drop: share of deliveries that it drops after its PUBACK.
        duplicate: share that it gives out twice.
        late: share that comes once more, after up to ``late_s``.
        late_s: see above.
        queue_limit: messages that wait for one client; more are dropped.
        ghosts: connections of clients that vanished stay for ever.
        connects_per_s: more connections are refused as overload; 0 means any number.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    late_s: float = 6 * 3600.0
    queue_limit: int = QUEUE_LIMIT
    ghosts: bool = False
    connects_per_s: int = 0


class Connection:
    """One client's connection, both ends of it."""

    def __init__(
        self,
        broker: WorldBroker,
        client: str,
        path: Path,
        *,
        filters: Sequence[str],
        take: Callable[[Message], None],
        broken: Callable[[str, str], None],
    ) -> None:
        self._broker = broker
        self._path = path
        self._take = take
        self._broken = broken
        self.client = client
        self.filters = tuple(filters)
        self.here = True  # the client's end
        self.there = True  # the broker's end
        self._up = path.pipe(up=True, deliver=self._arrived)
        self._down = path.pipe(up=False, deliver=self._delivered)
        path.when_broken(self, self.reset)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send a message; nothing tells whether it arrives."""
        if self.here:
            self._up.send(Message(topic, payload, retain))

    def deliver(self, message: Message) -> bool:
        """Send a message to the client; False when too many wait."""
        if self._down.waiting >= self._broker.manners.queue_limit:
            return False
        self._down.send(message)
        return True

    def _arrived(self, message: Message) -> None:
        if self.there:
            self._broker.arrived(self, message)

    def _delivered(self, message: Message) -> None:
        if self.here:
            self._broker.delivered(self, message)
            self._take(message)

    def close(self) -> None:
        """End it in an orderly way: what was sent before still arrives."""
        if self.here:
            self.here = False
            self._path.close(self._down)
            self._path.loop.call_later(1.0, self._end_when_all_is_sent, context=WORLD)

    def _end_when_all_is_sent(self) -> None:
        if self.there and self._up.waiting:
            self._path.loop.call_later(1.0, self._end_when_all_is_sent, context=WORLD)
        else:
            self._end_there()

    def vanish(self) -> None:
        """Take the client's end away without a word; the broker finds out late or never."""
        if self.here:
            self.here = False
            self._path.close(self._down)
            if not self._broker.manners.ghosts:
                wait_s = self._path.random.random() * SILENCE_S
                self._path.loop.call_later(wait_s, self._end_there, context=WORLD)

    def reset(self, kind: str = "REFUSED", why: str = "the connection was broken") -> None:
        """Break it at both ends; what is on the way is lost."""
        self._path.close(self._up)
        self._end_there()
        self.break_here(kind, why)

    def break_here(self, kind: str, why: str) -> None:
        """Let the client find out that it is over."""
        if self.here:
            self.here = False
            self._path.close(self._down)
            self._broken(kind, why)

    def _end_there(self) -> None:
        if self.there:
            self.there = False
            self._path.close(self._up)
            self._path.when_broken(self, None)
            self._broker.left(self)


async def _knock(path: Path) -> None:
    """Wait until a first packet gets through, as TCP does; raises NoConnectionError in the end."""
    begun_s = path.loop.time()
    for after_s in FIRST_PACKETS_S:
        await asyncio.sleep(begun_s + after_s - path.loop.time())
        if not path.weather.closed:
            return
    await asyncio.sleep(begun_s + CONNECT_TIMEOUT_S - path.loop.time())
    raise NoConnectionError("NO_LINK", "nobody answers")


class WorldBroker:
    """See the module."""

    def __init__(
        self, name: str, loop: asyncio.AbstractEventLoop, random: Random, timeline: Timeline
    ) -> None:
        self.name = name
        self.up = True
        self.manners = Manners()
        self.counts: Counter[str] = Counter()
        self.taps: list[Callable[[Connection, Message], None]] = []
        self._loop = loop
        self._random = random
        self._timeline = timeline
        self._devices: dict[str, dict[Connection, None]] = {}
        self._wide: dict[Connection, None] = {}
        self._everybody: dict[Connection, None] = {}
        self._retained: dict[str, Message] = {}
        self._second = -1
        self._connects = 0

    async def connect(
        self,
        client: str,
        path: Path,
        filters: Sequence[str],
        take: Callable[[Message], None],
        broken: Callable[[str, str], None],
    ) -> Connection:
        """Connect and subscribe.

        Raises:
            NoConnectionError: with the kind of failure.
        """
        await _knock(path)
        weather = path.weather
        await asyncio.sleep(4 * weather.delay_s + path.random.random() * weather.jitter_s)
        if path.weather.refused or not self.up:
            raise NoConnectionError("REFUSED", "connection refused")
        if path.weather.closed:
            await asyncio.sleep(CONNECT_TIMEOUT_S)
            raise NoConnectionError("NO_LINK", "nobody answers any more")
        if self._is_overloaded():
            self.counts["overloaded"] += 1
            raise NoConnectionError("OVERLOADED", "server is busy")
        connection = Connection(self, client, path, filters=filters, take=take, broken=broken)
        self._subscribe(connection)
        self._timeline.tell(self.name, "connected", client=client)
        return connection

    def _is_overloaded(self) -> bool:
        if not self.manners.connects_per_s:
            return False
        second = int(self._loop.time())
        if second != self._second:
            self._second, self._connects = second, 0
        self._connects += 1
        return self._connects > self.manners.connects_per_s

    def _subscribe(self, connection: Connection) -> None:
        self._everybody[connection] = None
        for one in connection.filters:
            if one.startswith("wb/1/down/") and one.endswith("/+"):
                self._devices.setdefault(one[:-2], {})[connection] = None
            else:
                self._wide[connection] = None
            for topic, message in self._retained.items():
                if matches(one, topic):
                    connection.deliver(message._replace(retained=True))

    def left(self, connection: Connection) -> None:
        """Forget a connection."""
        self._wide.pop(connection, None)
        self._everybody.pop(connection, None)
        for one in connection.filters:
            own = self._devices.get(one[:-2])
            if own is not None:
                own.pop(connection, None)
        self._timeline.tell(self.name, "left", client=connection.client)

    def restart(self) -> None:
        """Lose every connection and everything that was kept."""
        self._timeline.tell(self.name, "restart")
        self._retained.clear()
        for connection in list(self._everybody):
            connection.reset()

    def go_down(self) -> None:
        """Stop serving."""
        self.up = False
        self.restart()

    def come_up(self) -> None:
        """Serve again, empty."""
        self.up = True
        self._timeline.tell(self.name, "up")

    def throw_out(self, connection: Connection) -> None:
        """Break one connection from the broker's side."""
        connection.reset()

    # ------------------------------------------------------------------ messages

    def arrived(self, source: Connection, message: Message) -> None:
        """Take a publication (the PUBACK goes out here) and do with it as the manners say."""
        self.counts["published"] += 1
        self._note("<-", source, message)
        for tap in self.taps:
            tap(source, message)
        if message.retained:
            self._keep(message)
        self._give_out(message._replace(retained=False))
        manners = self.manners
        if manners.late and self._random.random() < manners.late:
            wait_s = self._random.random() * manners.late_s
            late = message._replace(retained=False)
            self._loop.call_later(wait_s, self._give_out, late, context=WORLD)

    def _keep(self, message: Message) -> None:
        if message.payload:
            self._retained[message.topic] = message
        else:  # section 3.3.1.3: an empty one takes back what was kept
            self._retained.pop(message.topic, None)

    def delivered(self, connection: Connection, message: Message) -> None:
        """Note what came to a client."""
        self._note("->", connection, message)

    def _note(self, way: str, connection: Connection, message: Message) -> None:
        digest = hashlib.sha256(message.payload).hexdigest()[:NOTED_DIGITS]
        self._timeline.note(self.name, f"{way} {connection.client} {message.topic} {digest}")

    def _give_out(self, message: Message) -> None:
        if not self.up:
            return
        manners = self.manners
        for connection in self._subscribers(message.topic):
            if manners.drop and self._random.random() < manners.drop:
                self.counts["dropped"] += 1
                continue
            if not connection.deliver(message):
                self.counts["overflowed"] += 1
            elif manners.duplicate and self._random.random() < manners.duplicate:
                self.counts["duplicated"] += 1
                connection.deliver(message)

    def _subscribers(self, topic: str) -> list[Connection]:
        found = list(self._devices.get(topic.rpartition("/")[0], ()))
        found += [c for c in self._wide if any(matches(one, topic) for one in c.filters)]
        return found


def matches(topic_filter: str, topic: str) -> bool:
    """Say whether a topic matches a filter (MQTT 3.1.1, section 4.7)."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("#", "+"):
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)
