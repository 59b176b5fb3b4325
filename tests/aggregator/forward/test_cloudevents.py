from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from committed.journal import EPOCH, START_NS, address, event
from whimbrel_aggregator.forward.cloudevents import (
    to_cloudevent,
    to_json_batch,
    to_json_line,
    uri_reference,
)
from whimbrel_aggregator.forward.jsonvalues import from_json_value
from whimbrel_aggregator.reading import CommittedEvent, Position
from whimbrel_protocol.lanes import ClockQuality


def committed(**fields: Any) -> CommittedEvent:
    one = event(1, **fields)
    return CommittedEvent(
        event=one,
        id=one.dedup_key or f"acme/store-1/till-1/{EPOCH}/normal/7",
        address=address(),
        epoch=EPOCH,
        sequence=7,
        position=Position(3, 2),
        received_ns=START_NS,
        clock=ClockQuality.RTC,
        fork=False,
    )


def test_the_cloudevents_package_reads_what_is_written() -> None:
    one = committed(subject="A-17", zone="front", time_ns=START_NS + 123_456_789)
    read = JSONFormat().read(CloudEvent, to_json_line(one))
    assert read.get_id() == one.id
    assert read.get_source() == "till-1"
    assert read.get_subject() == "A-17"
    time = read.get_time()
    assert time is not None
    assert time.isoformat() == "2026-11-22T10:00:00.123456+00:00"
    assert read.get_extension("zone") == "front"
    assert read.get_extension("timequality") == "rtc"
    assert read.get_extension("sequence") == "00000000000000000007"
    assert read.get_data() == {"number": 1, "price": 1.25}


def test_the_cloudevents_package_reads_an_event_as_an_http_message() -> None:
    headers = {"content-type": "application/cloudevents+json"}
    message = HTTPMessage(headers=headers, body=to_json_line(committed()).encode())
    read = from_http_event(message)
    assert read.get_type() == "pos.line"


def test_a_batch_is_an_array_of_events() -> None:
    batch = json.loads(to_json_batch([committed(), committed(dedup_key="k")]))
    assert [one["id"] for one in batch] == [committed().id, "k"]


def test_nanoseconds_are_kept_in_the_time() -> None:
    assert to_cloudevent(committed(time_ns=1))["time"] == "1970-01-01T00:00:00.000000001Z"


def test_values_that_json_cannot_carry_come_back() -> None:
    data = {"price": Decimal("19.90"), "raw": b"\x01", "big": 2**70}
    assert from_json_value(to_cloudevent(committed(data=data))["data"]) == data


def test_extensions_that_cloudevents_forbids_travel_together() -> None:
    extensions = {"traceparent": "00-1", "count": 3, "Upper": 1, "store": "mine", "deep": {"a": 1}}
    made = to_cloudevent(committed(extensions=extensions))
    assert (made["traceparent"], made["count"], made["store"]) == ("00-1", 3, "store-1")
    assert json.loads(made["moreextensions"]) == {"Upper": 1, "store": "mine", "deep": {"a": 1}}
    JSONFormat().read(CloudEvent, json.dumps(made))


def test_a_source_that_is_no_uri_reference_is_percent_encoded() -> None:
    assert uri_reference("till 3 ünd 50%") == "till%203%20%C3%BCnd%2050%25"
    assert uri_reference("https://shop.example/tills/3?x=%20#a") == (
        "https://shop.example/tills/3?x=%20#a"
    )
