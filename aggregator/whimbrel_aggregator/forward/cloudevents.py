"""Committed events as CloudEvents 1.0 JSON: one form for webhook, files, API and CLI.

Attributes: ``id`` is the producer's, else ``tenant/store/device/epoch/lane/sequence``; ``source``
is the producer's, percent-encoded where it is not a URI reference; ``time`` is the device's raw
time to the nanosecond, UTC. Extension attributes: ``tenant``, ``store``, ``device``, ``region``,
``zone``, ``lane``, ``epoch`` and ``sequence`` (twenty digits, so that they order as text),
``timequality``, ``receivedtime``, ``position`` (frame offset and place in the partition, for
resuming) and ``fork`` (only when true).

A producer's extensions become attributes where CloudEvents allows their name and value; the
others, and those that would hide one of ours, travel as JSON in ``moreextensions``.
Values that JSON cannot carry follow ``jsonvalues``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

from whimbrel_aggregator.forward.jsonvalues import compact_json, to_json_value
from whimbrel_aggregator.reading import CommittedEvent
from whimbrel_aggregator.timetext import format_time

CONTENT_TYPE: Final = "application/cloudevents+json"
BATCH_CONTENT_TYPE: Final = "application/cloudevents-batch+json"

OWN_ATTRIBUTES: Final = frozenset(
    {
        *("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"),
        *("tenant", "store", "device", "region", "zone", "lane", "epoch", "sequence"),
        *("timequality", "receivedtime", "position", "fork", "moreextensions"),
    }
)

_ATTRIBUTE_NAME: Final = re.compile(r"[a-z0-9]{1,64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INT32: Final = 2**31

_URI_CHARACTERS: Final = "/:?#[]@!$&'()*+,;=-._~%"
_BARE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def to_cloudevent(committed: CommittedEvent) -> dict[str, Any]:
    """Return one event as a JSON object in CloudEvents form."""
    event, address = committed.event, committed.address
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": committed.id,
        "source": uri_reference(event.source),
        "type": event.type,
        "time": format_time(event.time_ns),
        "datacontenttype": "application/json",
        "tenant": address.tenant,
        "region": address.region,
        "store": address.store,
        "device": address.device,
        "lane": event.lane,
        "epoch": f"{committed.epoch:020d}",
        "sequence": f"{committed.sequence:020d}",
        "timequality": committed.clock.name.lower(),
        "receivedtime": format_time(committed.received_ns),
        "position": str(committed.position),
    }
    if event.subject is not None:
        attributes["subject"] = event.subject
    if event.zone is not None:
        attributes["zone"] = event.zone
    if committed.fork:
        attributes["fork"] = True
    if event.extensions:
        _add_extensions(attributes, event.extensions)
    attributes["data"] = to_json_value(event.data)
    return attributes


def to_json_line(committed: CommittedEvent) -> str:
    """Return one event as a line of NDJSON, without its end."""
    return compact_json(to_cloudevent(committed))


def to_json_batch(events: Iterable[CommittedEvent]) -> bytes:
    """Return events in the CloudEvents JSON batch format (an array), UTF-8."""
    return f"[{','.join(map(to_json_line, events))}]".encode()


@lru_cache(maxsize=4_096)  # a store has a few sources, each in thousands of events
def uri_reference(text: str) -> str:
    """Return a producer's source as a URI reference; one that is already is not changed."""
    return quote(_BARE_PERCENT.sub("%25", text), safe=_URI_CHARACTERS)


def _add_extensions(attributes: dict[str, Any], extensions: dict[str, Any]) -> None:
    more = {}
    for name, value in extensions.items():
        if name not in OWN_ATTRIBUTES and _ATTRIBUTE_NAME.fullmatch(name) and _is_simple(value):
            attributes[name] = value
        else:
            more[name] = to_json_value(value)
    if more:
        attributes["moreextensions"] = compact_json(more)


def _is_simple(value: Any) -> bool:
    if type(value) is int:
        return -_INT32 <= value < _INT32
    if type(value) is str:
        return bool(value) and _CONTROL.search(value) is None
    return type(value) is bool
