"""A bad network on purpose: a TCP proxy that understands MQTT 3.1.1.

It stands between one client and its broker and can cut the link, be silent, slow it down, and
drop, duplicate and reorder publications in both directions. Its PUBACKs stay consistent: what it
drops it acknowledges itself (as a broker does whose queue is full), and of a duplicate only one
acknowledgement goes back, so neither side can tell the proxy from a broker that loses and doubles.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final, Self

from .packets import PUBACK, PUBLISH, Packet, PacketError, PacketReader, puback

_READ_BYTES: Final = 64 * 1024
_HOLD_S: Final = 0.2
"""A publication held back to be overtaken goes on after this long even when none follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What happens to publications in one direction; chances are in 0..1, per publication."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_s: float = 0.0
    """Mean of an exponential delay before each publication; order is kept."""


NO_FAULTS: Final = Faults()


class Proxy:
    """Listens on loopback ``port`` and passes everything on to a broker.

    Attributes:
        up: faults from the client to the broker; may be changed at any time.
        down: faults from the broker to the client.
        counts: publications by direction and fate, such as ``up.dropped``.
    """

    def __init__(
        self, *, port: int, broker_host: str, broker_port: int, random: Random,
        up: Faults = NO_FAULTS, down: Faults = NO_FAULTS,
    ) -> None:  # fmt: skip
        self.port = port
        self.up = up
        self.down = down
        self.counts: Counter[str] = Counter()
        self.random = random
        self._broker = (broker_host, broker_port)
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        self._is_open = True

    @property
    def url(self) -> str:
        """Where the client connects, as its configuration wants it."""
        return f"mqtt://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Break every connection and refuse new ones until :meth:`mend`."""
        self._is_open = False
        sessions = list(self._sessions)
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    def mend(self) -> None:
        """Let connections in again."""
        self._is_open = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.current_task()
        assert session is not None
        self._sessions.add(session)
        try:
            if self._is_open:
                await self._join(reader, writer)
        except asyncio.CancelledError:
            self.counts["cut"] += 1  # by cut(); nobody else knows of this task
        finally:
            self._sessions.discard(session)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            broker_reader, broker_writer = await asyncio.open_connection(*self._broker)
        except OSError:
            self.counts["broker_away"] += 1
            return
        up = _Pipe(self, "up", broker_writer)
        down = _Pipe(self, "down", writer)
        up.back, down.back = down, up
        try:
            async with asyncio.TaskGroup() as group:
                jobs = [
                    group.create_task(up.run(reader), name="proxy.up"),
                    group.create_task(down.run(broker_reader), name="proxy.down"),
                ]
                await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
                for job in jobs:
                    job.cancel()
        finally:
            broker_writer.transport.abort()


class _Pipe:
    """One direction of one connection."""

    back: _Pipe
    """The other direction: acknowledgements made here go out there."""

    def __init__(self, proxy: Proxy, name: str, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._name = name
        self._writer = writer
        self.doubled: dict[int, bool] = {}  # ids answered twice; whether the first answer passed
        self._held: Packet | None = None
        self._release: asyncio.TimerHandle | None = None

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Pass on what comes until the connection ends on either side."""
        packets = PacketReader()
        with suppress(OSError, PacketError):
            while data := await reader.read(_READ_BYTES):
                for packet in packets.feed(data):
                    await self._pass(packet)
                await self._writer.drain()
        if self._release is not None:
            self._release.cancel()

    async def _pass(self, packet: Packet) -> None:
        if packet.kind == PUBACK and self._is_surplus(packet):
            return
        if packet.kind != PUBLISH or packet.qos > 1:
            self.write(packet)
            return
        if packet.packet_id is not None:
            self.back.doubled.pop(packet.packet_id, None)  # a new use of the id
        faults = self._proxy.up if self._name == "up" else self._proxy.down
        random = self._proxy.random
        if faults.delay_s:
            await asyncio.sleep(random.expovariate(1 / faults.delay_s))
        if random.random() < faults.drop:
            self._drop(packet)
            return
        if random.random() < faults.reorder and self._held is None:
            self._hold(packet)
            return
        self._count("passed")
        self.write(packet)
        if random.random() < faults.duplicate:
            self._repeat(packet)
        self._let_go()

    def write(self, packet: Packet) -> None:
        """Send one packet in this direction; nothing when the other end has gone."""
        if not self._writer.transport.is_closing():
            self._writer.write(packet.data)

    def _is_surplus(self, packet: Packet) -> bool:
        packet_id = packet.packet_id
        if packet_id is None or packet_id not in self.doubled:
            return False
        if self.doubled[packet_id]:
            del self.doubled[packet_id]
            return True
        self.doubled[packet_id] = True
        return False

    def _drop(self, packet: Packet) -> None:
        self._count("dropped")
        packet_id = packet.packet_id
        if packet_id is not None:
            self.back.write(puback(packet_id))

    def _repeat(self, packet: Packet) -> None:
        self._count("duplicated")
        packet_id = packet.packet_id
        if packet_id is not None:
            self.back.doubled[packet_id] = False
        self.write(packet.repeated())

    def _hold(self, packet: Packet) -> None:
        self._count("reordered")
        self._held = packet
        self._release = asyncio.get_running_loop().call_later(_HOLD_S, self._let_go)

    def _let_go(self) -> None:
        if self._release is not None:
            self._release.cancel()
            self._release = None
        held, self._held = self._held, None
        if held is not None:
            self._count("let_go")
            self.write(held)

    def _count(self, fate: str) -> None:
        self._proxy.counts[f"{self._name}.{fate}"] += 1
