"""Messages of a local broker to events. Pure.

A message's topic is the event's source. Its payload, by what it is:

=========================================  =====================================================
JSON object with ``type`` and ``source``   a whole event as for HTTP, unless the rule sets a type
any other JSON object                      ``data``
any other JSON                             ``data = {"value": ...}``
other UTF-8 text                           ``data = {"text": ...}``
anything else                              ``data = {"bytes": ...}``
=========================================  =====================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from whimbrel_agent.config import TopicRule
from whimbrel_agent.intake.jsontext import parse_json
from whimbrel_agent.intake.lines import event_of
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event

__all__ = ["DEFAULT_TYPE", "matches", "message_event", "rule_for"]

DEFAULT_TYPE: Final = "mqtt.message"


def message_event(topic: str, payload: bytes, rule: TopicRule, now_ns: int) -> Event:
    """Give the event that a message means; its limits are not checked yet.

    Raises:
        FieldError: an empty payload, or an object that is a whole event but a bad one.
    """
    if not payload:
        raise FieldError("payload", payload, "is empty: that clears a retained topic, no fact")
    data = _data(payload)
    if rule.type is None and "type" in data and "source" in data:
        whole = {"lane": rule.lane, **data}
        if rule.zone is not None:
            whole.setdefault("zone", rule.zone)
        return event_of(whole, now_ns)
    return Event(
        type=rule.type or DEFAULT_TYPE,
        source=topic,
        time_ns=now_ns,
        data=data,
        lane=rule.lane,
        zone=rule.zone,
    )


def rule_for(topic: str, rules: Sequence[TopicRule]) -> TopicRule | None:
    """Give the first rule whose filter matches a topic."""
    return next((rule for rule in rules if matches(rule.filter, topic)), None)


def matches(topic_filter: str, topic: str) -> bool:
    """Say whether a topic filter matches a topic (MQTT 3.1.1, section 4.7)."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("#", "+"):
        return False
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(given) or level not in ("+", given[place]):
            return False
    return len(wanted) == len(given)


def _data(payload: bytes) -> dict[str, Any]:
    try:
        value = parse_json(payload)
    except FieldError:
        try:
            return {"text": payload.decode()}
        except UnicodeDecodeError:
            return {"bytes": payload}
    return value if type(value) is dict else {"value": value}
