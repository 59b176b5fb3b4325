import json
import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.intake.jsontext import OddNumberError, decode_json, odd_number, parse_json
from whimbrel_protocol.errors import FieldError


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("1e999", "event", "1e999"),
        ('{"data": {"price": -1e309}}', "data.price", "-1e309"),
        ('[{"a": 1}, {"a": {"b": [0.5, NaN]}}]', "[1].a.b[1]", "NaN"),
        ('{"a": 1.0, "b": Infinity, "c": 1e999}', "b", "Infinity"),
        ("9" * 400 + ".0", "event", "9" * 77 + "..."),
        ('{"x\\ty": -Infinity}', "x\ty", "-Infinity"),
    ],
)
def test_the_first_odd_number_is_named(text: str, field: str, value: str) -> None:
    with pytest.raises(OddNumberError) as caught:
        parse_json(text.encode())
    assert (caught.value.field, caught.value.value) == (field, value)
    assert str(caught.value).startswith(f"{field} is {value}: must be a finite number")


def test_the_greatest_floats_are_kept() -> None:
    greatest = sys.float_info.max
    assert decode_json(f"[{greatest!r}, -{greatest!r}, 5e-324]") == [greatest, -greatest, 5e-324]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_a_value_is_taken_exactly_when_all_its_numbers_are_finite(value: Any) -> None:
    text = json.dumps(value)
    if all_finite(value):
        assert decode_json(text) == value
    else:
        with pytest.raises(OddNumberError) as caught:
            decode_json(text)
        assert odd_number(caught.value.whole) is not None


def all_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(all_finite, value.values()))
    return not isinstance(value, list) or all(map(all_finite, value))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"[1,]", b"NaN1"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(FieldError) as caught:
        parse_json(body)
    assert caught.value.field == "body"
