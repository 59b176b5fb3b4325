from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_aggregator.timetext import MAX_TIME_NS, MIN_TIME_NS, format_time, parse_time
from whimbrel_protocol.errors import FieldError

HOUR_NS = 3_600 * 10**9


@given(st.integers(MIN_TIME_NS, MAX_TIME_NS))
def test_a_formatted_time_reads_back_to_the_nanosecond(time_ns: int) -> None:
    assert parse_time("since", format_time(time_ns), now_ns=0) == time_ns


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T01:00:00.5+01:00", 5 * 10**8),
        ("1970-01-02", 24 * HOUR_NS),
        ("now", 5 * HOUR_NS),
        ("-2h", 3 * HOUR_NS),
        ("-1w", 5 * HOUR_NS - 7 * 24 * HOUR_NS),
        ("0001-01-01T00:00:00Z", MIN_TIME_NS),
        ("9999-12-31T23:59:59Z", MAX_TIME_NS),
        ("-999999999w", MIN_TIME_NS),
    ],
)
def test_times_are_read(text: str, time_ns: int) -> None:
    assert parse_time("since", text, now_ns=5 * HOUR_NS) == time_ns


@pytest.mark.parametrize(
    "text",
    ["", "2026-13-01", "2026-11-22T10:00:00", "2026-11-22T25:00:00Z", "2h", "-2y", "yesterday"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(FieldError, match="since"):
        parse_time("since", text, now_ns=0)
