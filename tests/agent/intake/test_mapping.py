import math
from decimal import Decimal
from typing import Any

import pytest

from whimbrel_agent.intake.mapping import Column, RowMapping
from whimbrel_protocol.errors import FieldError

NOW_NS = 1_700_000_000_000_000_000


def test_every_column_becomes_data_unless_it_is_used_otherwise() -> None:
    mapping = RowMapping(
        type="t", time_column="at", subject_column="sku", zone_column="zone", zone="back"
    )
    row = {"at": "1970-01-01T00:00:01Z", "sku": "A", "zone": "", "qty": "3"}
    event = mapping.event_of(row, "imp", 7, NOW_NS)
    assert event.data == {"qty": "3"}
    assert (event.time_ns, event.subject, event.zone) == (1_000_000_000, "A", "back")
    assert (event.source, event.lane) == ("imp", "bulk")
    assert event.extensions == {"import": "imp", "importrow": 7}


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("as-is", "007", "007"),
        ("text", "", ""),
        ("text", 7, "7"),
        ("int", "-7", -7),
        ("int", "", None),
        ("float", "2.5", 2.5),
        ("float", "-inf", -math.inf),
        ("decimal", "2.50", Decimal("2.50")),
        ("bool", "Yes", True),
        ("json", '{"a": [1]}', {"a": [1]}),
        ("int", None, None),
    ],
)
def test_a_kind_turns_a_cell_into_a_value(kind: str, cell: Any, value: Any) -> None:
    mapping = RowMapping(type="t", columns=(Column("n", "c", kind),))
    data = mapping.event_of({"c": cell}, "i", 0, NOW_NS).data
    assert data == {"n": value}
    assert type(data["n"]) is type(value)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("int", "1.5"),
        ("float", "x"),
        ("float", "1e999"),
        ("decimal", "x"),
        ("bool", "2"),
        ("json", "{"),
        ("json", "[1e999]"),
    ],
)
def test_a_cell_of_another_kind_is_refused_by_column(kind: str, cell: str) -> None:
    mapping = RowMapping(type="t", columns=(Column("n", "c", kind),))
    with pytest.raises(FieldError) as caught:
        mapping.event_of({"c": cell}, "i", 0, NOW_NS)
    assert caught.value.field == "c"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("2.50", 2.5),
        ("007", "007"),
        ("+3", "+3"),
        ("1e5", "1e5"),
        ("-0", "-0"),
        ("", ""),
        ("1234567890123456789", "1234567890123456789"),
    ],
)
def test_only_what_is_exactly_a_number_is_inferred(text: str, value: Any) -> None:
    data = RowMapping(type="t", infer=True).event_of({"c": text}, "i", 0, NOW_NS).data
    assert data == {"c": value}
    assert type(data["c"]) is type(value)


@pytest.mark.parametrize(
    ("time_format", "zone", "cell", "time_ns"),
    [
        ("unix", None, "1.000000001", 1_000_000_001),
        ("unix-ms", None, 1500, 1_500_000_000),
        ("unix-us", None, "7", 7_000),
        ("unix-ns", None, "7", 7),
        ("%d.%m.%Y %H:%M", "Europe/Berlin", "01.07.2011 02:00", 1_309_478_400_000_000_000),
        ("%Y-%m-%d %H:%M:%S%z", None, "1970-01-01 01:00:00+0100", 0),
    ],
)
def test_times_are_read_as_they_are_meant(
    time_format: str, zone: str | None, cell: Any, time_ns: int
) -> None:
    mapping = RowMapping(type="t", time_column="c", time_format=time_format, time_zone=zone)
    assert mapping.event_of({"c": cell}, "i", 0, NOW_NS).time_ns == time_ns


@pytest.mark.parametrize(
    ("time_format", "cell"),
    [
        ("unix", "soon"),
        ("unix", "NaN"),
        ("unix-ns", "1.5"),
        ("%Y", "x"),
        ("%Y-%m-%d", "2026-01-01"),  # nobody said where
        ("rfc3339", "2026-01-01"),
    ],
)
def test_a_time_that_is_none_is_refused_by_column(time_format: str, cell: str) -> None:
    mapping = RowMapping(type="t", time_column="c", time_format=time_format)
    with pytest.raises(FieldError) as caught:
        mapping.event_of({"c": cell}, "i", 0, NOW_NS)
    assert caught.value.field == "c"


def test_a_missing_column_is_named_with_those_there_are() -> None:
    with pytest.raises(FieldError, match="there are: a, b"):
        RowMapping(type="t", time_column="c").event_of({"a": 1, "b": 2}, "i", 0, NOW_NS)


def test_whole_events_keep_their_own_fields() -> None:
    row = {"type": "x", "source": "y", "time_ns": 5, "extensions": {"a": 1}, "dedup_key": "k"}
    event = RowMapping(type=None).event_of(row, "imp", 0, NOW_NS)
    assert (event.type, event.source, event.time_ns, event.dedup_key) == ("x", "y", 5, "k")
    assert event.lane == "bulk"
    assert event.extensions == {"a": 1, "import": "imp", "importrow": 0}
    own = RowMapping(type=None).event_of({**row, "lane": "high"}, "imp", 0, NOW_NS)
    assert own.lane == "high"
