"""A blocking MQTT 3.1.1 client of one socket, for loads that a library would slow down.

It publishes a run of messages before it reads their acknowledgements. OASIS MQTT 3.1.1,
sections 3.1 (CONNECT), 3.3 (PUBLISH), 3.4 (PUBACK), 3.8 (SUBSCRIBE).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from time import perf_counter
from typing import Final, Self

from whimbrel_sim.packets import PUBACK, PUBLISH, Packet, PacketReader

RUN: Final = 1_000
"""Messages on their way at once; their ids are 1 to this."""

TIMEOUT_S: Final = 60.0

_CONNACK: Final = 2
_SUBACK: Final = 9
_READ_BYTES: Final = 256 * 1024


class MqttClientError(Exception):
    """The broker refused, or hung up."""


class MqttClient:
    """Connected while its context lasts, with a clean session."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self._name = name
        self._socket = socket.create_connection((host, port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = PacketReader()
        self._arrived: list[Packet] = []
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + _text(name)  # clean session, no keep-alive
        self._socket.sendall(_packet(0x10, body))
        if self._next(_CONNACK).data[-1]:
            raise MqttClientError(f"the broker refused {name}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def publish_all(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish at QoS 1 and return once the broker has acknowledged all."""
        left = iter(messages)
        while run := list(islice(left, RUN)):
            self._socket.sendall(
                b"".join(
                    _packet(0x32, _text(topic) + number.to_bytes(2, "big") + payload)
                    for number, (topic, payload) in enumerate(run, 1)
                )
            )
            for _ in run:
                self._next(PUBACK)

    def subscribe(self, filters: Sequence[str], *, qos: int = 0) -> None:
        """Subscribe and wait for the broker's word."""
        wanted = b"".join(_text(one) + bytes([qos]) for one in filters)
        self._socket.sendall(_packet(0x82, b"\x00\x01" + wanted))
        if 0x80 in self._next(_SUBACK).data[4:]:
            raise MqttClientError(f"the broker refused {self._name} a subscription")

    def messages(self, *, timeout_s: float) -> Iterator[Packet]:
        """Yield what is delivered.

        Raises:
            MqttClientError: the last message that was wanted did not come in time.
        """
        deadline = perf_counter() + timeout_s
        while True:
            try:
                yield self._next(PUBLISH, deadline=deadline)
            except TimeoutError:
                raise MqttClientError(
                    f"{self._name} waited {timeout_s:g} s for a message that did not come"
                ) from None

    def wait_for(self, topic: str, *, timeout_s: float) -> float:
        """Read until a message on ``topic`` comes; returns its ``perf_counter`` time."""
        for packet in self.messages(timeout_s=timeout_s):
            if packet.topic == topic:
                break
        return perf_counter()

    def _next(self, kind: int, *, deadline: float | None = None) -> Packet:
        """Return the next packet of a kind; others before it are let go."""
        while True:
            while self._arrived:
                packet = self._arrived.pop()
                if packet.kind == kind:
                    return packet
            if deadline is not None:
                self._socket.settimeout(max(0.01, deadline - perf_counter()))
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise MqttClientError(f"the broker hung up on {self._name}")
            self._arrived = self._reader.feed(data)[::-1]


def _packet(head: int, body: bytes) -> bytes:
    """Put the fixed header with its variable length in front of a body."""
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes([head, *digits]) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
