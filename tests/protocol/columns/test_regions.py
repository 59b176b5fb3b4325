import pytest

from whimbrel_protocol.columns.budget import Budget
from whimbrel_protocol.columns.regions import (
    BodyReader,
    BodyWriter,
    Region,
    put_varint,
    put_zigzag,
    read_varint,
)
from whimbrel_protocol.errors import LocalProtocolError, RemoteProtocolError
from whimbrel_protocol.limits import MAX_FRAME_CBOR_BYTES, MAX_FRAME_ROWS_BYTES


@pytest.mark.parametrize("value", [0, 1, 127, 128, 2**32, 2**63, 2**64 - 1])
def test_varints_come_back(value: int) -> None:
    out = bytearray()
    put_varint(out, value)
    assert read_varint(bytes(out), 0) == (value, len(out))


@pytest.mark.parametrize("value", [0, -1, 1, -(2**63), 2**63 - 1])
def test_signed_numbers_come_back(value: int) -> None:
    out = bytearray()
    put_zigzag(out, value)
    assert Region(bytes(out)).zigzag() == value


@pytest.mark.parametrize(
    "data", ["", "80", "8000", "ffffffffffffffffff02", "8080808080808080808001"]
)
def test_a_varint_that_is_cut_or_too_long_is_refused(data: str) -> None:
    with pytest.raises(RemoteProtocolError):
        read_varint(bytes.fromhex(data), 0)


def test_a_body_is_read_to_its_end_and_no_further() -> None:
    out = BodyWriter()
    out.head += b"h"
    out.text += b"a\x00b\x00"
    out.planes += b"pp"
    out.noise += b"n"
    data, cuts = out.finish()
    assert [data[at : at + 1] for at in cuts] == [b"a", b"p", b"n"]
    body = BodyReader(data)
    assert body.head.byte() == ord("h")
    with pytest.raises(RemoteProtocolError):
        body.head.byte()
    with pytest.raises(RemoteProtocolError, match="left over"):
        body.close()
    assert body.text.until(b"\x00", 2) == [b"a", b"b"]
    with pytest.raises(RemoteProtocolError):
        body.text.until(b"\x00", 1)
    with pytest.raises(RemoteProtocolError):
        body.planes.take(3)
    assert body.planes.take(2) + body.noise.take(1) == b"ppn"
    body.close()


@pytest.mark.parametrize("data", [b"", b"\x05\x00\x00", b"\x00\x01\x00", b"\x00\x00\xff\x01"])
def test_regions_larger_than_the_body_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        BodyReader(data)


@pytest.mark.parametrize("error", [LocalProtocolError, RemoteProtocolError])
def test_a_budget_ends_in_the_error_of_its_side(
    error: type[LocalProtocolError | RemoteProtocolError],
) -> None:
    budget = Budget(error)
    budget.spend_cbor(MAX_FRAME_CBOR_BYTES)
    budget.spend_rows(MAX_FRAME_ROWS_BYTES)
    with pytest.raises(error):
        budget.spend_cbor(1)
    with pytest.raises(error):
        budget.spend_rows(1)
