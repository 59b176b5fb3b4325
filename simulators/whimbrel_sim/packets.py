"""MQTT 3.1.1 packets on a byte stream: enough framing to tell publications and their answers.

OASIS MQTT 3.1.1, sections 2.2 (fixed header), 3.3 (PUBLISH) and 3.4 (PUBACK). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PUBLISH: Final = 3
PUBACK: Final = 4

MAX_PACKET_BYTES: Final = 4 * 1024 * 1024
"""Far above what Whimbrel sends; a stream that claims more is not MQTT."""

_DUP: Final = 0x08
_RETAIN: Final = 0x01
_LENGTH_BYTES: Final = 4


class PacketError(Exception):
    """The byte stream is not MQTT 3.1.1."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One control packet: its bytes, and where its body starts."""

    data: bytes
    body_at: int

    @property
    def kind(self) -> int:
        """The packet type, such as :data:`PUBLISH`."""
        return self.data[0] >> 4

    @property
    def qos(self) -> int:
        """The quality of service of a PUBLISH."""
        return self.data[0] >> 1 & 3

    @property
    def retained(self) -> bool:
        """Whether a PUBLISH has the retain flag."""
        return bool(self.data[0] & _RETAIN)

    @property
    def topic(self) -> str:
        """The topic of a PUBLISH."""
        return self.data[self.body_at + 2 : self._topic_end].decode("utf-8", "replace")

    @property
    def packet_id(self) -> int | None:
        """The id of a PUBLISH with QoS above 0, or of an acknowledgement; else None."""
        if self.kind == PUBLISH:
            at = self._topic_end
            return int.from_bytes(self.data[at : at + 2], "big") if self.qos else None
        if self.kind == PUBACK:
            return int.from_bytes(self.data[self.body_at : self.body_at + 2], "big")
        return None

    @property
    def payload(self) -> bytes:
        """What a PUBLISH carries."""
        return self.data[self._topic_end + (2 if self.qos else 0) :]

    def repeated(self) -> Packet:
        """Return the same PUBLISH marked as sent again, where its QoS allows that."""
        flag = _DUP if self.qos else 0
        return Packet(bytes([self.data[0] | flag]) + self.data[1:], self.body_at)

    @property
    def _topic_end(self) -> int:
        at = self.body_at
        return at + 2 + int.from_bytes(self.data[at : at + 2], "big")


def puback(packet_id: int) -> Packet:
    """Return the acknowledgement of a PUBLISH with QoS 1."""
    return Packet(bytes([PUBACK << 4, 2]) + packet_id.to_bytes(2, "big"), 2)


class PacketReader:
    """Cuts a byte stream into packets; the rest of a packet comes with later bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """Take bytes and return the packets that are whole now.

        Raises:
            PacketError: a length that MQTT does not allow, or one beyond MAX_PACKET_BYTES.
        """
        self._buffer += data
        packets = []
        while (size := self._size()) is not None and len(self._buffer) >= sum(size):
            body_at, length = size
            packets.append(Packet(bytes(self._buffer[: body_at + length]), body_at))
            del self._buffer[: body_at + length]
        return packets

    def _size(self) -> tuple[int, int] | None:
        """Return the sizes of the first packet's fixed header and of its body."""
        length = 0
        for index, byte in enumerate(self._buffer[1 : 1 + _LENGTH_BYTES]):
            length |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if length > MAX_PACKET_BYTES:
                    raise PacketError(f"packet of {length} bytes, at most {MAX_PACKET_BYTES}")
                return 2 + index, length
        if len(self._buffer) > _LENGTH_BYTES:
            raise PacketError("remaining length of more than 4 bytes")
        return None
