from typing import Any

import pytest
from cloudevents.core.bindings.http import to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from whimbrel_agent.intake.cloudevents import binary_event, cloud_event
from whimbrel_agent.intake.jsontext import parse_json
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event

NOW_NS = 1_700_000_000_000_000_000
MINIMAL = {"specversion": "1.0", "id": "1", "source": "/tills/3", "type": "sale"}


def test_the_reference_library_writes_what_we_read() -> None:
    theirs = CloudEvent(
        {**MINIMAL, "subject": "A-17", "lane": "high", "zone": "front", "cashier": "7"},
        {"total": 12.5},
    )
    message = to_structured(theirs, JSONFormat())
    event = cloud_event(parse_json(message.body), NOW_NS)
    assert (event.type, event.source, event.dedup_key) == ("sale", "/tills/3", "1")
    assert (event.subject, event.lane, event.zone) == ("A-17", "high", "front")
    assert event.data == {"total": 12.5}
    assert event.extensions["cashier"] == "7"


def test_without_a_time_it_is_the_time_of_acceptance() -> None:
    assert cloud_event(MINIMAL, NOW_NS) == Event(
        type="sale", source="/tills/3", time_ns=NOW_NS, dedup_key="1"
    )


def test_data_that_is_no_object_stands_under_value() -> None:
    assert cloud_event({**MINIMAL, "data": [1, 2]}, NOW_NS).data == {"value": [1, 2]}


def test_binary_data_stands_under_bytes() -> None:
    assert cloud_event({**MINIMAL, "data_base64": "AAE="}, NOW_NS).data == {"bytes": b"\0\1"}


def test_null_attributes_count_as_absent() -> None:
    event = cloud_event({**MINIMAL, "subject": None, "time": None, "more": None}, NOW_NS)
    assert event.subject is None
    assert event.extensions == {}


def test_binary_mode_undoes_percent_encoding() -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "a%20b",
        "ce-source": "/k%C3%BChl",
        "ce-type": "t",
        "ce-time": "1970-01-01T00:00:01Z",
        "content-type": "application/json",
        "host": "localhost",
    }
    event = binary_event(headers, {"a": 1}, NOW_NS)
    assert (event.dedup_key, event.source, event.time_ns) == ("a b", "/kühl", 1_000_000_000)
    assert event.extensions == {}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": None}, "id"),
        ({"source": None}, "source"),
        ({"type": None}, "type"),
        ({"specversion": None}, "specversion"),
        ({"specversion": "0.3"}, "specversion"),
        ({"time": "yesterday"}, "time"),
        ({"BadName": "x"}, "BadName"),
        ({"ext": {"a": 1}}, "ext"),
        ({"ext": 1.5}, "ext"),
        ({"data_base64": "!"}, "data_base64"),
        ({"data_base64": 1}, "data_base64"),
        ({"data_base64": "AAE=", "data": 1}, "data_base64"),
    ],
)
def test_a_broken_rule_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldError) as caught:
        cloud_event({**MINIMAL, **change}, NOW_NS)
    assert caught.value.field == field


def test_a_header_that_is_no_utf8_is_named() -> None:
    headers = {f"ce-{name}": text for name, text in MINIMAL.items()} | {"ce-subject": "%ff"}
    with pytest.raises(FieldError) as caught:
        binary_event(headers, {}, NOW_NS)
    assert caught.value.field == "ce-subject"
