from decimal import Decimal
from typing import Any

import pytest

from whimbrel_protocol.cbor import dump_value, load_value
from whimbrel_protocol.errors import RemoteProtocolError


@pytest.mark.parametrize(
    "value",
    [
        *(Decimal("-0"), Decimal("-0.00"), Decimal("0E+9"), Decimal("1.10"), Decimal(-5)),
        *(Decimal("9" * 76 + "E-6144"), 2**256 - 1, -(2**256), -0.0, float("nan")),
        *("Ă", [Decimal("-0.0"), "Ă"], {"k": Decimal(1)}),
    ],
    ids=repr,
)
def test_values_that_a_library_could_bend_come_back_exactly(value: Any) -> None:
    assert repr(load_value(dump_value(value))) == repr(value)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "0102",  # trailing byte
        "9b0000000100000000",  # array of four thousand million
        "bb0000000100000000",
        "5b0000000100000000",
        "7b7fffffffffffffff",
        "9f01ff",  # indefinite length
        "a2616101616102",  # key twice
        "a10101",  # key that is no text
        "c074323031332d30332d32315432303a30343a30305a",  # date
        "c11a514b67b0",
        "c5821a7fffffff01",  # bigfloat
        "d81c81d81d00",  # shared reference to itself
        "d81e820103",  # fraction
        "d82361612b",  # regular expression
        "d90102820102",  # set
        "d9010081d81900",  # string reference
        "d9d9f701",
        "d9010c83000101",  # extended decimal, coefficient 1
        "d9010c83000102",
        "c48201fb3ff0000000000000",
        "c4823bffffffffffffffff01",
        "a1c25a00010000" + "ff" * 65_536 + "01",  # a key too long to print
        "81" * 40 + "01",
        "61ff",
        "63eda080",  # lone surrogate
    ],
    ids=lambda data: data[:24] or "empty",
)
def test_anything_outside_the_dialect_is_refused(data: str) -> None:
    with pytest.raises(RemoteProtocolError):
        load_value(bytes.fromhex(data))
