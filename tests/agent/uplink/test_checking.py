"""The check of our own frames."""

from __future__ import annotations

from dataclasses import replace

from whimbrel_agent.buffer.values import FrameRef
from whimbrel_agent.uplink.checking import fault_of
from whimbrel_protocol.frame import open_frame, seal_frame
from whimbrel_protocol.header import gap_header
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import GapReason, Order
from worlds.uplink import ADDRESS

KEY = PrivateKey(b"d" * 32)
HEADER = gap_header(
    ADDRESS,
    lane="normal",
    order=Order.IN_ORDER,
    epoch=1 << 40,
    first=11,
    span=5,
    reason=GapReason.EVICTED,
)
DATA = seal_frame(HEADER, b"", KEY)
REF = FrameRef(
    id=1,
    address=ADDRESS,
    epoch=HEADER.epoch,
    lane="normal",
    first=11,
    span=5,
    count=0,
    digest=open_frame(DATA).digest,
    size_bytes=len(DATA),
    order=Order.IN_ORDER,
    published=True,
)


def test_what_was_sealed_is_sound() -> None:
    assert fault_of(DATA, REF, KEY.public) is None


def test_every_flipped_byte_of_the_signed_part_is_found() -> None:
    for place in range(len(DATA)):
        flipped = DATA[:place] + bytes([DATA[place] ^ 1]) + DATA[place + 1 :]
        names_another_key = 8 <= place < 16
        assert (fault_of(flipped, REF, KEY.public) is None) == names_another_key


def test_a_frame_of_an_earlier_key_is_left_alone() -> None:
    assert fault_of(DATA, REF, PrivateKey(b"e" * 32).public) is None


def test_another_frame_in_its_place_is_found() -> None:
    assert fault_of(DATA, replace(REF, first=12), KEY.public) is not None
