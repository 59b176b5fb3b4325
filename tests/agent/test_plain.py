import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.plain import plain
from whimbrel_protocol.lanes import ClockQuality, GapReason
from whimbrel_protocol.names import Address

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def test_names_replace_numbers_of_enums() -> None:
    assert plain({GapReason.LOST_AFTER_RECEIPT: ClockQuality.SYNCED}) == {
        "lost-after-receipt": "synced"
    }


def test_dataclasses_are_objects_by_field() -> None:
    address = Address(tenant="a", region="b", store="c", device="d")
    assert plain([address]) == [{"tenant": "a", "region": "b", "store": "c", "device": "d"}]


def test_what_json_lacks_becomes_text() -> None:
    assert plain((b"\xff", Decimal("1.10"), float("nan"), float("-inf"))) == [
        "ff",
        "1.10",
        "NaN",
        "-Infinity",
    ]


@given(VALUES)
def test_every_value_of_an_event_has_a_strict_json_form(value: object) -> None:
    json.dumps(plain(value), allow_nan=False)


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(TypeError, match="no plain form"):
        plain(object())
