from decimal import Decimal
from typing import Any

import pytest

from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.columns import column, kinds
from whimbrel_protocol.columns.decimals import fits_decimals, read_decimals, write_decimals
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter
from whimbrel_protocol.errors import RemoteProtocolError

COLUMNS: dict[str, tuple[list[Any], int]] = {
    "null": ([None] * 3, kinds.NULL),
    "bool": ([True, False, True], kinds.BOOL),
    "int": ([1, -(2**63), 2**63 - 1], kinds.INT),
    "big int": ([1, 2**63, -(2**256)], kinds.CBOR),
    "float": ([1.1e300, 2.5], kinds.FLOAT),
    "float of two decimals": ([1.0, 2.25], kinds.FLOAT_DECIMAL + 2),
    "text": (["1", "2", "3", "4"], kinds.TEXT),
    "one text": (["a"] * 3, kinds.TEXT_ONE),
    "new texts": (["a", "b", ""], kinds.TEXT_NEW),
    "few texts": (["a", "b", "a"], kinds.TEXT_FEW),
    "optional": ([None, 1.5, None], kinds.OPTIONAL),
    "bytes": ([b"", b"ab", b"\x00"], kinds.BYTES),
    "decimal": ([Decimal(1), Decimal("1.0"), Decimal("-0.01"), Decimal("1E+9")], kinds.DECIMAL),
    "minus zero": ([Decimal("-0.0"), Decimal(1)], kinds.CBOR),
    "long decimal": ([Decimal("1" * 30)], kinds.CBOR),
    "lists and maps": ([[1], {"a": None}, []], kinds.CBOR),
    "all sorts": (
        [1, True, 1.0, Decimal(1), "1", b"1", None, [1], 2**64, Decimal("-0"), False, 2],
        kinds.PARTS,
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_every_kind_gives_back_its_values(name: str) -> None:
    values, kind = COLUMNS[name]
    out = BodyWriter()
    column.write_column(out, values)
    assert out.head[0] == kind
    reader = BodyReader(out.finish()[0])
    assert repr(column.read_column(reader, len(values))) == repr(values)
    reader.close()


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"\x0e", b""),
        (b"\x27", b""),
        (b"\x09\x02\x06\x02", b"\x40"),
        (b"\x09\x01\x17\x00", b""),
        (b"\x09\x09\x07\x00", b""),
        (b"\x09\x01\x07\x09\x01\x07\x00", b""),
        (b"\x09\x01\x07\x08\x01\x00\x07", b""),
        (b"\x0a\x07\x02\x07", b""),
        (b"\x0a\x17\x02\x07", b""),
        (b"\x0a\x27\x02\x07", b""),
        (b"\x0b", b"a"),
        (b"\x0c", b"a\x00"),
        (b"\x0d\x00\x07", b""),
        (b"\x0d\x03\x07", b"a\x00b\x00c\x00"),
        (b"\x0d\x01\x07", b"a\x00"),
        (b"\x08\x01\x10\x07\x07", b""),
        (b"\x01\x00\x04", b""),
        (b"\x05\x00\x02", b""),
        (b"\x05\x00\x01", b""),
        (b"\x06\x00\x80\xc0\x01\x00\x00", b""),
        (b"\x07\x02", dump_value([1])),
        (b"\x07\x01", dump_value({})),
        (b"\x07\x81\x80\x80\x01", b""),
        (b"\x08\x02\x00\x09\x03\x00\x10", b""),
        (b"\x08\x02\x00\x01\x00\x00", b""),
        (b"\x08\x01\x00\x00\x02", b""),
        (b"\x08\x01\x08\x00\x00", b""),
        (b"\x08\x00\x00\x00", b""),
    ],
)
def test_a_column_that_breaks_a_rule_is_refused(head: bytes, text: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        column.read_column(BodyReader(bytes([len(head), len(text), 0]) + head + text), 2)


def test_mixed_columns_of_earlier_writers_are_still_read() -> None:
    head = bytes([8, 3, 0, 1, 2])  # MIXED of NULL, BOOL and INT
    head += bytes([4, 0, 2])  # choices: packed, from 0, 2 bits
    head += bytes([0, 2]) + bytes([0, 10])  # constants true and 5
    body = BodyReader(bytes([len(head), 0, 0]) + head + bytes([0b00011000]))
    assert column.read_column(body, 3) == [None, True, 5]
    body.close()


def test_decimals_keep_their_exponents() -> None:
    values = [Decimal("1.50"), Decimal("1.5"), Decimal(-3), Decimal("0.00")]
    assert fits_decimals(values)
    out = BodyWriter()
    write_decimals(out, values)
    assert repr(read_decimals(BodyReader(out.finish()[0]), 4)) == repr(values)
