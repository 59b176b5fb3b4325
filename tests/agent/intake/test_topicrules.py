from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.config import TopicRule
from whimbrel_agent.intake.topicrules import matches, message_event, rule_for
from whimbrel_protocol.errors import FieldError

NOW_NS = 1_700_000_000_000_000_000
PLAIN = TopicRule(filter="zigbee/#")


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        (b'{"state": "ON", "type": "lamp"}', {"state": "ON", "type": "lamp"}),
        (b"[1, 2]", {"value": [1, 2]}),
        (b"21.5", {"value": 21.5}),
        (b"online", {"text": "online"}),
        (b"\xff\x00", {"bytes": b"\xff\x00"}),
    ],
)
def test_a_payload_becomes_data_by_what_it_is(payload: bytes, data: dict[str, Any]) -> None:
    event = message_event("zigbee/lamp", payload, PLAIN, NOW_NS)
    assert event.data == data
    assert (event.type, event.source, event.time_ns) == ("mqtt.message", "zigbee/lamp", NOW_NS)


def test_a_whole_event_is_taken_as_it_is_with_the_rules_lane_and_zone() -> None:
    rule = TopicRule(filter="#", lane="high", zone="front")
    event = message_event("x", b'{"type": "t", "source": "s", "time_ns": 5}', rule, NOW_NS)
    assert (event.type, event.source, event.time_ns) == ("t", "s", 5)
    assert (event.lane, event.zone) == ("high", "front")
    own = message_event("x", b'{"type": "t", "source": "s", "lane": "bulk"}', rule, NOW_NS)
    assert own.lane == "bulk"


def test_a_rule_with_a_type_takes_every_object_as_data() -> None:
    rule = TopicRule(filter="#", type="door")
    event = message_event("door/1", b'{"type": "t", "source": "s"}', rule, NOW_NS)
    assert (event.type, event.source) == ("door", "door/1")
    assert event.data == {"type": "t", "source": "s"}


@pytest.mark.parametrize("payload", [b"", b'{"type": "t", "source": "s", "odd": 1}'])
def test_what_is_no_event_is_refused_by_field(payload: bytes) -> None:
    with pytest.raises(FieldError):
        message_event("x", payload, PLAIN, NOW_NS)


def test_the_first_matching_rule_wins() -> None:
    rules = [TopicRule(filter="a/+", type="one"), TopicRule(filter="a/#", type="two")]
    assert rule_for("a/b", rules) == rules[0]
    assert rule_for("a/b/c", rules) == rules[1]
    assert rule_for("b", rules) is None


LEVEL = st.sampled_from(["a", "b", "", "$SYS", "+", "#"])


@given(st.lists(LEVEL, min_size=1, max_size=4), st.lists(LEVEL, min_size=1, max_size=4))
def test_matching_agrees_with_paho(wanted: list[str], given_: list[str]) -> None:
    topic_filter = "/".join(wanted)
    topic = "/".join(level.replace("+", "x").replace("#", "y") for level in given_)
    if "#" in wanted[:-1] or not topic or not topic_filter:
        return
    assert matches(topic_filter, topic) == paho.topic_matches_sub(topic_filter, topic)
