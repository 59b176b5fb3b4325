from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.intake.timetext import time_ns_of_text
from whimbrel_protocol.errors import FieldError


def test_all_nine_digits_of_a_second_are_kept() -> None:
    assert time_ns_of_text("time", "1970-01-01T00:00:01.000000007Z") == 1_000_000_007


def test_an_offset_is_taken_off() -> None:
    assert time_ns_of_text("time", "1970-01-01T02:00:00+02:00") == 0
    assert time_ns_of_text("time", "1969-12-31T23:30:00.5-00:30") == 500_000_000


@given(
    st.datetimes(min_value=datetime(1678, 1, 1), max_value=datetime(2261, 12, 31)),  # noqa: DTZ001
    st.integers(-23 * 60, 23 * 60),
)
def test_agrees_with_the_standard_library(moment: datetime, offset_min: int) -> None:
    local = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    micros = (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert time_ns_of_text("time", local.isoformat()) == micros * 1_000


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22",
        "2026-11-22T09:30:00",  # no offset: whose time would it be
        "2026-02-30T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T23:59:60Z",
        "2026-11-22T09:30:00.Z",
        "2026-11-22T09:30:00.1234567891Z",
        "2026-11-22T09:30:00+24:00",
        "1600-01-01T00:00:00Z",
        "2300-01-01T00:00:00Z",
        "\u0662026-11-22T09:30:00Z",  # arabic digit
        "now",
        "",
        17,
        None,
    ],
)
def test_what_is_no_moment_is_refused_by_name(text: object) -> None:
    with pytest.raises(FieldError) as caught:
        time_ns_of_text("time", text)
    assert caught.value.field == "time"
