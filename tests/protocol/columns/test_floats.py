import random

import pytest

from whimbrel_protocol.columns import floats, kinds
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter
from whimbrel_protocol.errors import RemoteProtocolError

RNG = random.Random(4)
NAN, INF = float("nan"), float("inf")

COLUMNS: dict[str, tuple[list[float], int]] = {
    "prices": ([RNG.randrange(1, 5_000) / 100 for _ in range(200)], floats.DECIMAL),
    "whole": ([float(RNG.randrange(50)) for _ in range(50)], floats.DECIMAL),
    "fifteen decimals": (
        [float(f"0.00{RNG.randrange(10**14, 10**15)}") for _ in range(50)],
        floats.DECIMAL,
    ),
    "printed means": ([float(f"{RNG.randrange(9_000) / 12:.15g}") for _ in range(99)], floats.MEAN),
    "means": ([RNG.randrange(9_000) / 3 for _ in range(99)], floats.RATIO),
    "noise": ([RNG.gauss(0, 1) for _ in range(50)], floats.BITS),
    "huge": ([1e300, -1e300, 2.0], floats.BITS),
    "tiny": ([5e-324, 1.0, 2.0], floats.BITS),
    "minus zero": ([0.0] * 9 + [-0.0] + [1.5] * 9, floats.DECIMAL | 0x80),
    "all minus zero": ([-0.0] * 5, floats.BITS),
    "odd ones": ([1.25] * 9 + [NAN, INF] + [2.5] * 9, floats.DECIMAL | 0x80),
    "odd one first": ([-INF] + [2.5, 2.25] * 9, floats.DECIMAL | 0x80),
    "only nan": ([NAN] * 3, floats.BITS),
    "at 53 bits": ([2.0**53, 2.0**53 - 1, 0.5], floats.BITS),
    "fifteen digits": ([99999999999.9999, 1.5, 0.25, 3.125], floats.DECIMAL),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_every_form_gives_back_its_values_to_the_bit(name: str) -> None:
    values, form = COLUMNS[name]
    out = BodyWriter()
    floats.write_floats(out, values)
    reader = BodyReader(out.finish()[0])
    if form == floats.DECIMAL:
        exponent = reader.head.byte() - kinds.FLOAT_DECIMAL
        back = floats.read_decimal_floats(reader, len(values), exponent)
    else:
        assert bytes(out.head[:2]) == bytes([kinds.FLOAT, form])
        reader.head.byte()
        back = floats.read_floats(reader, len(values))
    assert list(map(repr, back)) == list(map(repr, values))
    reader.close()


@pytest.mark.parametrize(
    "head",
    [
        b"\x04\x00",
        b"\x80\x00\x00",
        b"\x01\x17\x00\x00",
        b"\x02\x00\x00\x00",
        b"\x03\x81\x80\x80\x80\x80\x80\x80\x01\x00\x00",
        b"\x01\x00\x00\x80\x80\x80\x80\x80\x80\x80\x20",
        b"\x81\x00\x00\x00\x00",
        b"\x81\x00\x00\x00\x01\x00\x04\x00\x00",
        b"\x81\x00\x00\x00\x01\x00\x01\x00\x00",
        b"\x81\x00\x00\x00\x03\x00\x00\x00\x00",
    ],
    ids=bytes.hex,
)
def test_a_float_column_that_breaks_a_rule_is_refused(head: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        floats.read_floats(BodyReader(bytes([len(head), 0, 0]) + head), 2)
