from decimal import Decimal
from typing import Any

import pytest

from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.columns import column
from whimbrel_protocol.columns.decimals import fits_decimals, read_decimals, write_decimals
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter
from whimbrel_protocol.errors import RemoteProtocolError

COLUMNS: dict[str, tuple[list[Any], int]] = {
    "null": ([None] * 3, column.NULL),
    "bool": ([True, False, True], column.BOOL),
    "int": ([1, -(2**63), 2**63 - 1], column.INT),
    "big int": ([1, 2**63, -(2**256)], column.CBOR),
    "float": ([1.0, 2.5], column.FLOAT),
    "text": (["a", "b"], column.TEXT),
    "bytes": ([b"", b"ab", b"\x00"], column.BYTES),
    "decimal": ([Decimal(1), Decimal("1.0"), Decimal("-0.01"), Decimal("1E+9")], column.DECIMAL),
    "minus zero": ([Decimal("-0.0"), Decimal(1)], column.CBOR),
    "long decimal": ([Decimal("1" * 30)], column.CBOR),
    "lists and maps": ([[1], {"a": None}, []], column.CBOR),
    "all sorts": (
        [1, True, 1.0, Decimal(1), "1", b"1", None, [1], 2**64, Decimal("-0"), False, 2],
        column.MIXED,
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
        (b"\x09", b""),
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


def test_decimals_keep_their_exponents() -> None:
    values = [Decimal("1.50"), Decimal("1.5"), Decimal(-3), Decimal("0.00")]
    assert fits_decimals(values)
    out = BodyWriter()
    write_decimals(out, values)
    assert repr(read_decimals(BodyReader(out.finish()[0]), 4)) == repr(values)
