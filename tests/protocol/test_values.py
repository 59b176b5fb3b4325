from decimal import Decimal
from typing import Any

import pytest

from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.values import check_key, check_text, check_value, join_path


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 0, -1, 2**63, -(2**64), 2**256 - 1, 0.1, float("inf")),
        *(Decimal("-0.00"), Decimal("9" * 76), Decimal("1E+6144")),
        *("", "é" * 300, "\U0001f600" * 70, b"", b"x" * 300),
        *([], [1, [2.0, None]], {}, {"k" * 256: {"é": [b"z"]}}, [[]] * 30),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_the_bound_is_never_below_the_packed_size(value: Any) -> None:
    assert check_value("v", value) >= len(dump_value(value))


def test_text_is_measured_in_utf8_bytes() -> None:
    assert check_text("v", "é", 2) == 2
    with pytest.raises(FieldError, match="1 to 2 bytes"):
        check_text("v", "éa", 2)


def test_a_key_is_any_text_of_bounded_length() -> None:
    assert check_key("data", "a.b c\n") == 6
    with pytest.raises(FieldError):
        check_key("data", 1)


def test_a_path_stays_printable() -> None:
    assert join_path("data", "price") == "data.price"
    assert join_path("data", "a\nb") == "data.'a\\nb'"
