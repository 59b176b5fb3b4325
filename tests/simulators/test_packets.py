from __future__ import annotations

import pytest

from whimbrel_sim.packets import PUBACK, PUBLISH, Packet, PacketError, PacketReader, puback


def publish(topic: str, payload: bytes, *, qos: int = 1, packet_id: int = 5) -> bytes:
    """PUBLISH by the standard's section 3.3."""
    body = len(topic).to_bytes(2, "big") + topic.encode()
    body += (packet_id.to_bytes(2, "big") if qos else b"") + payload
    length, rest = b"", len(body)
    while True:
        length += bytes([rest & 0x7F | (0x80 if rest > 0x7F else 0)])
        rest >>= 7
        if not rest:
            return bytes([PUBLISH << 4 | qos << 1]) + length + body


def one(data: bytes) -> Packet:
    (packet,) = PacketReader().feed(data)
    return packet


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 20_000, 120_000])
def test_a_publish_is_read_whole(size: int) -> None:
    packet = one(publish("wb/1/live", bytes(size)))
    assert (packet.kind, packet.qos, packet.topic, packet.packet_id) == (PUBLISH, 1, "wb/1/live", 5)
    assert packet.payload == bytes(size)


def test_a_publish_of_qos_0_has_no_id() -> None:
    packet = one(publish("t", b"x", qos=0))
    assert packet.packet_id is None
    assert packet.payload == b"x"


def test_packets_are_found_however_the_stream_is_cut() -> None:
    data = publish("t", b"x" * 300) + puback(9).data + publish("t", b"y")
    reader = PacketReader()
    packets = [packet for byte in data for packet in reader.feed(bytes([byte]))]
    assert b"".join(packet.data for packet in packets) == data
    assert [packet.kind for packet in packets] == [PUBLISH, PUBACK, PUBLISH]


def test_an_acknowledgement_names_its_publish() -> None:
    assert one(puback(0x1234).data).packet_id == 0x1234


def test_a_repeated_publish_says_so_and_is_else_the_same() -> None:
    packet = one(publish("t", b"x"))
    again = one(packet.repeated().data)
    assert again.data[0] == packet.data[0] | 0x08
    assert again.data[1:] == packet.data[1:]


@pytest.mark.parametrize("data", [b"\x30\xff\xff\xff\xff\x01", b"\x30\xff\xff\xff\x7f"])
def test_an_endless_length_is_refused(data: bytes) -> None:
    with pytest.raises(PacketError):
        PacketReader().feed(data)
