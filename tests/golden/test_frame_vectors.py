"""Golden vectors of frames and messages: every released form keeps decoding, byte for byte.

A failing test here means that the wire format changed: add a version, never edit a vector.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from whimbrel_protocol import messages
from whimbrel_protocol.envelope import open_message, seal_message
from whimbrel_protocol.frame import open_frame, seal_frame
from whimbrel_protocol.header import FrameHeader, InnerGap
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import ClockQuality, Order
from whimbrel_protocol.names import Address

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"
FRAMES = sorted((VECTORS / "frames").glob("*.json"))
MESSAGES = sorted((VECTORS / "messages").glob("*.json"))
LATER = ", detail=<Detail.FULL: 0>"
"""Fields that older vectors do not show, since they came later, with what they have when absent."""


def _header(fields: dict[str, Any]) -> FrameHeader:
    address = Address(
        **{part: fields.pop(part) for part in ("tenant", "region", "store", "device")}
    )
    fields["order"] = Order(fields["order"])
    fields["clock"] = ClockQuality(fields["clock"])
    fields["gaps"] = tuple(InnerGap(*gap) for gap in fields["gaps"])
    fields["zones"] = None if fields["zones"] is None else tuple(fields["zones"])
    fields["boot_id"] = bytes.fromhex(fields["boot_id"])
    fields["dictionary"] = bytes.fromhex(fields["dictionary"])
    fields["extra"] = {int(key): value for key, value in fields["extra"].items()}
    return FrameHeader(address=address, **fields)


def test_there_are_vectors() -> None:
    assert len(FRAMES) >= 10
    assert len(MESSAGES) >= 5


@pytest.mark.parametrize("path", FRAMES, ids=lambda path: path.stem)
def test_a_frame_vector_seals_and_opens_to_the_same(path: Path) -> None:
    vector = json.loads(path.read_text())
    key = PrivateKey(bytes.fromhex(vector["seed"]))
    data = bytes.fromhex(vector["frame"])
    frame = open_frame(data)
    frame.verify(key.public)
    assert frame.header == _header(dict(vector["header"]))
    assert frame.columns.hex() == vector["columns"]
    assert frame.digest.hex() == vector["digest"]
    assert seal_frame(frame.header, frame.columns, key) == data
    if vector["sequences"] is not None:
        assert list(frame.header.sequences()) == vector["sequences"]


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_a_message_vector_seals_and_opens_to_the_same(path: Path) -> None:
    vector = json.loads(path.read_text())
    key = PrivateKey(bytes.fromhex(vector["seed"]))
    data = bytes.fromhex(vector["message"])
    opened = open_message(data)
    opened.signed.verify(key.public)
    assert type(opened.message) in messages.MESSAGE_TYPES
    assert repr(opened.message).replace(LATER, "") == vector["value"]
    assert opened.signed.payload.hex() == vector["payload"]
    assert seal_message(opened.message, key) == data
