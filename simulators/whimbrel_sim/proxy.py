"""A bad network on purpose: a TCP proxy that understands MQTT 3.1.1, if it may.

It stands between clients and their broker. To bytes and connections it does what its
:class:`~whimbrel_sim.fleets.links.Link` says: delay, bandwidth, flipped bits, resets, silence. To
publications it does what :class:`Faults` says, in both directions: drop, duplicate and reorder
them. Its PUBACKs stay consistent: what it drops it acknowledges itself (as a broker does whose
queue is full), and of a duplicate only one acknowledgement goes back, so neither side can tell the
proxy from a broker that loses and doubles. With ``mqtt=False`` it passes any bytes, TLS too.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final, Self

from .fleets.channel import Channel, LinkResetError
from .fleets.links import GOOD_LINK, Door, Link, Way
from .packets import PUBACK, PUBLISH, Packet, PacketError, PacketReader, puback

_READ_BYTES: Final = 64 * 1024
_HOLD_S: Final = 0.2
"""A publication held back to be overtaken goes on after this long even when none follows."""

_BACKLOG: Final = 2_048
"""A whole fleet may come back at the same moment."""

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of zero: close() sends RST

PORTAL_PAGE: Final = (
    b"HTTP/1.1 302 Found\r\nLocation: http://portal.invalid/login\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)
"""What a captive portal says to whoever comes, whatever they speak."""


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
    """Listens on ``host`` (loopback) and ``port`` and passes everything on to a broker.

    Attributes:
        up: faults from the client to the broker; may be changed at any time.
        down: faults from the broker to the client.
        counts: publications by direction and fate, such as ``up.dropped``; bytes, such as
            ``up.bytes``; connections, such as ``joined``, ``refused``, ``silenced``.
    """

    def __init__(
        self, *, port: int, broker_host: str, broker_port: int, random: Random,
        up: Faults = NO_FAULTS, down: Faults = NO_FAULTS, link: Link = GOOD_LINK,
        host: str = "127.0.0.1", mqtt: bool = True,
    ) -> None:  # fmt: skip
        self.host = host
        self.port = port
        self.up = up
        self.down = down
        self.counts: Counter[str] = Counter()
        self.random = random
        self.mqtt = mqtt
        self._link = link
        self._broker = (broker_host, broker_port)
        self._server: asyncio.Server | None = None
        self._sessions: dict[asyncio.Task[None], _Session] = {}
        self._is_open = True

    @property
    def url(self) -> str:
        """Where the client connects, as its configuration wants it."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def link(self) -> Link:
        """What happens to bytes and connections now; :meth:`set_link` changes it."""
        return self._link

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._sessions)

    async def __aenter__(self) -> Self:
        if self._link.door is not Door.REFUSED:
            await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._deafen()
        await self.cut()

    async def cut(self) -> None:
        """Break every connection and refuse new ones until :meth:`mend`."""
        self._is_open = False
        await self._break_all()

    def mend(self) -> None:
        """Let connections in again."""
        self._is_open = True

    async def set_link(self, link: Link) -> None:
        """Let the network be like this from now on.

        Raises:
            OSError: the port was taken by somebody else while nobody listened.
        """
        before, self._link = self._link, link
        if link.door is before.door:
            return
        if link.door is Door.REFUSED:
            self._deafen()
        elif before.door is Door.REFUSED:
            await self._listen()
        if link.door is Door.HALF_OPEN:
            for session in self._sessions.values():
                session.fall_silent()
        elif link.door is not Door.OPEN:
            await self._break_all()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, backlog=_BACKLOG
        )

    def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _break_all(self) -> None:
        sessions = list(self._sessions)
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        session = self._sessions[task] = _Session(self, reader, writer)
        try:
            if self._is_open:
                await session.run(self._link.door, self._broker)
        except asyncio.CancelledError:
            self.counts["cut"] += 1  # by cut(); nobody else knows of this task
        finally:
            del self._sessions[task]
            _close(writer, orderly=session.orderly)


class _Session:
    """One client's connection.

    Attributes:
        orderly: whether one of the two ended it; else it is reset.
    """

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._channels: list[Channel] = []
        self._silent = False
        self.orderly = False

    async def run(self, door: Door, broker: tuple[str, int]) -> None:
        """Let the connection live its life."""
        counts = self._proxy.counts
        if door is Door.OPEN:
            await self._join(broker)
        elif door is Door.HALF_OPEN:
            counts["silenced"] += 1
            await _read_to_end(self._reader)
        elif door is Door.CAPTIVE:
            counts["captured"] += 1
            await self._play_portal()
        else:
            counts["refused"] += 1

    def fall_silent(self) -> None:
        """Carry nothing any more, not even the end of one side to the other."""
        self._silent = True
        self._proxy.counts["silenced"] += 1
        for channel in self._channels:
            channel.fall_silent()

    async def _play_portal(self) -> None:
        with suppress(OSError):
            if await self._reader.read(_READ_BYTES):
                self._writer.write(PORTAL_PAGE)
                await self._writer.drain()
                self.orderly = True

    async def _join(self, broker: tuple[str, int]) -> None:
        try:
            broker_reader, broker_writer = await asyncio.open_connection(*broker)
        except OSError:
            self._proxy.counts["broker_away"] += 1
            return
        self._proxy.counts["joined"] += 1
        up = self._pipe("up", broker_writer)
        down = self._pipe("down", self._writer)
        up.back, down.back = down, up
        try:
            if self._silent:  # the network went while the broker was being reached
                up.channel.fall_silent()
                down.channel.fall_silent()
            async with asyncio.TaskGroup() as group:
                jobs = [
                    group.create_task(up.run(self._reader), name="proxy.up"),
                    group.create_task(down.run(broker_reader), name="proxy.down"),
                ]
                done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
                self.orderly = all(job.result() for job in done)
                if self._silent:  # the other side is not told
                    await asyncio.wait(jobs)
                for job in jobs:
                    job.cancel()
        finally:
            for pipe in (up, down):
                pipe.channel.close()
            _close(broker_writer, orderly=self.orderly)

    def _pipe(self, name: str, writer: asyncio.StreamWriter) -> _Pipe:
        proxy = self._proxy

        def way() -> Way:
            return proxy.link.up if name == "up" else proxy.link.down

        channel = Channel(name, way, writer, random=proxy.random, counts=proxy.counts)
        self._channels.append(channel)
        return _Pipe(proxy, name, channel)


class _Pipe:
    """One direction of one connection."""

    back: _Pipe
    """The other direction: acknowledgements made here go out there."""

    def __init__(self, proxy: Proxy, name: str, channel: Channel) -> None:
        self._proxy = proxy
        self._name = name
        self.channel = channel
        self.doubled: dict[int, bool] = {}  # ids answered twice; whether the first answer passed
        self._held: Packet | None = None
        self._release: asyncio.TimerHandle | None = None

    async def run(self, reader: asyncio.StreamReader) -> bool:
        """Pass on what comes until the connection ends; say whether it ended in order."""
        packets = PacketReader()
        orderly = False
        with suppress(OSError, PacketError):
            while data := await reader.read(_READ_BYTES):
                if self._proxy.mqtt:
                    for packet in packets.feed(data):
                        await self._pass(packet)
                else:
                    self.channel.send(data)
                await self.channel.room()
            await self.channel.flush()
            orderly = True
        if self._release is not None:
            self._release.cancel()
        return orderly

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
        """Send one packet in this direction; nothing when the other end has gone.

        Raises:
            LinkResetError: the network lost the connection at it.
        """
        self.channel.send(packet.data)

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
            try:
                self.write(held)
            except LinkResetError:
                self.channel.break_off()

    def _count(self, fate: str) -> None:
        self._proxy.counts[f"{self._name}.{fate}"] += 1


async def _read_to_end(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(_READ_BYTES):
            pass


def _close(writer: asyncio.StreamWriter, *, orderly: bool) -> None:
    """Close a connection: after what was written, or at once with a reset."""
    if orderly:
        writer.close()
        return
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
