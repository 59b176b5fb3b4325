from typing import Any

import pytest

from whimbrel_agent.intake.lines import event_of
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event

NOW_NS = 1_700_000_000_000_000_000


def test_every_field_reaches_the_event() -> None:
    value = {
        "type": "pos.line",
        "source": "till-3",
        "time_ns": 5,
        "data": {"sku": "A"},
        "zone": "front",
        "subject": "A",
        "lane": "high",
        "dedup_key": "k",
        "extensions": {"a": 1},
    }
    assert event_of(value, NOW_NS) == Event(
        type="pos.line",
        source="till-3",
        time_ns=5,
        data={"sku": "A"},
        zone="front",
        subject="A",
        lane="high",
        dedup_key="k",
        extensions={"a": 1},
    )


def test_an_event_without_a_time_gets_the_time_of_acceptance() -> None:
    assert event_of({"type": "t", "source": "s"}, NOW_NS).time_ns == NOW_NS


def test_a_time_may_be_text() -> None:
    event = event_of({"type": "t", "source": "s", "time": "1970-01-01T00:00:02Z"}, NOW_NS)
    assert event.time_ns == 2_000_000_000


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"source": "s"}, "type"),
        ({"type": "t"}, "source"),
        ({"type": "t", "time_ns": 1}, "source"),
        ({"type": "t", "source": "s", "subjct": "x"}, "subjct"),
        ({"type": "t", "source": "s", "time": "x"}, "time"),
        ({"type": "t", "source": "s", "time": 17}, "time"),
        ({"type": "t", "source": "s", "time": "1970-01-01T00:00:02Z", "time_ns": 1}, "time"),
        ({"type": "t", "source": "s", 7: 1}, "7"),
        ([], "event"),
        (["time_ns"], "event"),
        ("time_ns", "event"),
        (None, "event"),
        (7, "event"),
    ],
)
def test_what_is_no_event_is_refused_by_field(value: Any, field: str) -> None:
    with pytest.raises(FieldError) as caught:
        event_of(value, NOW_NS)
    assert caught.value.field == field
