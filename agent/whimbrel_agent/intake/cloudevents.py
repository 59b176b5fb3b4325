"""CloudEvents 1.0 to events: structured JSON, batches, and HTTP binary mode.

============================  ==========================================================
CloudEvents                   event
============================  ==========================================================
``id``                        ``dedup_key``
``source`` ``type``           the same
``subject``                   the same
``time``                      ``time_ns``; absent: the wall clock of acceptance
``data``, a JSON object       ``data``
``data``, any other JSON      ``data = {"value": ...}``
``data_base64``, binary data  ``data = {"bytes": ...}``
extensions ``lane``, ``zone``  ``lane``, ``zone``
other attributes              ``extensions``, with ``dataschema``, and ``datacontenttype``
                              where it is not ``application/json``
============================  ==========================================================

An attribute that is null counts as absent, as the JSON format of CloudEvents says.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from whimbrel_agent.intake.timetext import time_ns_of_text
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event

__all__ = ["binary_event", "cloud_event", "is_json_type"]

_REQUIRED: Final = ("specversion", "id", "source", "type")
_FIELDS: Final = frozenset({*_REQUIRED, "subject", "time", "lane", "zone"})
_DATA: Final = frozenset({"data", "data_base64"})
_ATTRIBUTE: Final = re.compile(r"[a-z0-9]{1,64}", re.ASCII)
_HEADER_PREFIX: Final = "ce-"


def is_json_type(media_type: str) -> bool:
    """Say whether a media type (lower case, no parameters) holds JSON."""
    return media_type in {"application/json", "text/json"} or media_type.endswith("+json")


def cloud_event(value: Any, now_ns: int) -> Event:
    """Give the event that one structured CloudEvent means; its limits are not checked yet.

    Raises:
        FieldError: a rule of CloudEvents 1.0 or of the mapping is broken.
    """
    if type(value) is not dict:
        raise FieldError("event", value, "must be a CloudEvents object")
    attributes = {key: item for key, item in value.items() if item is not None and key not in _DATA}
    return _event(attributes, _structured_data(value), now_ns)


def binary_event(headers: Mapping[str, str], data: dict[str, Any], now_ns: int) -> Event:
    """Give the event of an HTTP request in binary mode.

    Args:
        headers: all request headers, lower-case names; ``ce-`` ones become attributes with
            their percent-encoding undone, ``content-type`` becomes ``datacontenttype``.
        data: the body, already mapped (see the module's table).
        now_ns: the time of an event that brings none.

    Raises:
        FieldError: a rule of CloudEvents 1.0 or of the mapping is broken.
    """
    attributes: dict[str, Any] = {
        name.removeprefix(_HEADER_PREFIX): _unquoted(name, text)
        for name, text in headers.items()
        if name.startswith(_HEADER_PREFIX)
    }
    if "content-type" in headers:
        attributes["datacontenttype"] = headers["content-type"]
    return _event(attributes, data, now_ns)


def _unquoted(name: str, text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as exc:
        raise FieldError(name, text, "must be percent-encoded UTF-8") from exc


def _event(attributes: dict[str, Any], data: dict[str, Any], now_ns: int) -> Event:
    for name in _REQUIRED:
        if name not in attributes:
            raise FieldError(name, None, "is required in a CloudEvent")
    if attributes["specversion"] != "1.0":
        raise FieldError("specversion", attributes["specversion"], "must be '1.0'")
    return Event(
        type=attributes["type"],
        source=attributes["source"],
        time_ns=(time_ns_of_text("time", attributes["time"]) if "time" in attributes else now_ns),
        data=data,
        zone=attributes.get("zone"),
        subject=attributes.get("subject"),
        lane=attributes.get("lane", "normal"),
        dedup_key=attributes["id"],
        extensions=_extensions(attributes),
    )


def _extensions(attributes: dict[str, Any]) -> dict[str, Any]:
    extensions = {}
    for name, value in attributes.items():
        if name in _FIELDS:
            continue
        if type(name) is not str or _ATTRIBUTE.fullmatch(name) is None:
            shown = name if type(name) is str and name.isprintable() and name else repr(name)
            raise FieldError(
                shown[:80], value, "is no attribute name: 1 to 64 of a-z and 0-9 (CloudEvents 3.1)"
            )
        if type(value) not in (str, bool, int):
            raise FieldError(name, value, "must be text, a boolean or an integer")
        if name == "datacontenttype" and value == "application/json":
            continue
        extensions[name] = value
    return extensions


def _structured_data(value: dict[str, Any]) -> dict[str, Any]:
    data = value.get("data")
    encoded = value.get("data_base64")
    if encoded is None:
        if data is None:
            return {}
        return data if type(data) is dict else {"value": data}
    if data is not None:
        raise FieldError("data_base64", encoded, "must not stand beside data: give one of them")
    if type(encoded) is not str:
        raise FieldError("data_base64", encoded, "must be base64 text")
    try:
        return {"bytes": base64.b64decode(encoded, validate=True)}
    except (binascii.Error, ValueError) as exc:
        raise FieldError("data_base64", encoded, f"must be base64 text ({exc})") from exc
