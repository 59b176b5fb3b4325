from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_aggregator.forward.jsonvalues import (
    MAX_SAFE_INTEGER,
    compact_json,
    from_json_value,
    to_json_value,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**256), 2**256)
    | st.floats()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4) | st.sampled_from(
    ["$int", "$bytes", "$$int", "$", "$decimal", "$float"]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, Decimal):
        return bool(one.as_tuple() == other.as_tuple())
    return bool(one == other)


@given(VALUES)
def test_every_value_comes_back_exactly_through_json_text(value: Any) -> None:
    text = compact_json(to_json_value(value))
    assert same(from_json_value(json.loads(text)), value)


@pytest.mark.parametrize(
    ("value", "json_value"),
    [
        (MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
        (MAX_SAFE_INTEGER + 1, {"$int": "9007199254740992"}),
        (Decimal("19.90"), {"$decimal": "19.90"}),
        (b"\x00\xff", {"$bytes": "AP8="}),
        (math.inf, {"$float": "inf"}),
        ({"$int": "7"}, {"$$int": "7"}),
        ({"$int": "7", "other": 1}, {"$int": "7", "other": 1}),
    ],
)
def test_the_form_of_what_json_cannot_carry(value: Any, json_value: Any) -> None:
    assert to_json_value(value) == json_value


@pytest.mark.parametrize("value", [{"$int": 7}, {"$int": "x"}, {"$what": "7"}, {"$bytes": "*"}])
def test_a_wrong_tagged_form_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        from_json_value(value)
