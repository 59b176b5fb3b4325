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
        (b"\x24", b""),  # no such kind
        (b"\x08\x02\x06\x02", b"\x40"),  # PARTS: a float without its kind
        (b"\x08\x01\x17\x00", b""),  # a choice outside
        (b"\x08\x09\x07\x00", b""),  # more parts than kinds
        (b"\x08\x00\x07", b""),  # no part
        (b"\x08\x02\x07\x00\x00", b""),  # nothing in the second part
        (b"\x08\x01\x07\x08\x01\x07\x00", b""),  # PARTS in PARTS
        (b"\x08\x01\x07\x09\x07\x00", b""),  # OPTIONAL in PARTS
        (b"\x09\x07\x02\x07", b""),  # OPTIONAL: no value
        (b"\x09\x17\x02\x07", b""),  # no null
        (b"\x09\x27\x02\x07", b""),  # neither
        (b"\x0a", b"a"),  # TEXT_ONE without an end
        (b"\x0b", b"a\x00"),  # TEXT_NEW of two
        (b"\x0c\x00\x07", b""),  # TEXT_FEW of none
        (b"\x0c\x01\x17", b"a\x00"),  # of one
        (b"\x0c\x03\x07", b"a\x00b\x00c\x00"),  # of more than values
        (b"\x0c\x02\x37", b"a\x00b\x00"),  # a code outside
        (b"\x01\x27", b""),  # BOOL of 2
        (b"\x05\x17", b""),  # BYTES without bytes
        (b"\x05\x00\x01", b""),  # of negative length
        (b"\x06\x00\x80\xc0\x01\x00\x00", b""),  # DECIMAL: exponent
        (b"\x07\x02", dump_value([1])),  # CBOR of one value
        (b"\x07\x01", dump_value({})),  # of no array
        (b"\x07\x81\x80\x80\x01", b""),  # beyond the limit
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
