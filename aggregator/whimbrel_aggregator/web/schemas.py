"""The schemas of the API's values, for :mod:`.openapi`; parameters are checked by some of them."""

from __future__ import annotations

from typing import Any, Final

from whimbrel_aggregator.query import DEFAULT_LIMIT, MAX_LIMIT
from whimbrel_protocol.messages import Detail

NAME: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": "^[a-z0-9][a-z0-9_-]{0,31}$",
    "not": {"const": "all"},
}
PATTERN: Final[dict[str, Any]] = {"type": "string", "pattern": "^[a-z0-9_*?-]{1,32}$"}
FLAG: Final[dict[str, Any]] = {"type": "string", "enum": ["true", "false", "1", "0"]}
COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
TEXT: Final[dict[str, Any]] = {"type": "string"}
MAYBE_COUNT: Final[dict[str, Any]] = {"type": ["integer", "null"], "minimum": 0}
MAYBE_TEXT: Final[dict[str, Any]] = {"type": ["string", "null"]}
DEVICE_PLACE: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": "^[a-z0-9][a-z0-9_-]{0,31}(/[a-z0-9][a-z0-9_-]{0,31}){2}$",
}
MONTH: Final[dict[str, Any]] = {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"}
USAGE_PLACE: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": "^[a-z0-9][a-z0-9_-]{0,31}(/[a-z0-9][a-z0-9_-]{0,31}){0,2}$",
}
LIMIT: Final[dict[str, Any]] = {
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_LIMIT,
    "default": DEFAULT_LIMIT,
}
MOMENT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
TIME: Final[dict[str, Any]] = {
    "type": "string",
    "maxLength": 64,
    "anyOf": [
        {"format": "date-time"},
        {"format": "date"},
        {"pattern": "^-[0-9]{1,9}[smhdw]$"},
        {"const": "now"},
    ],
}


def schemas() -> dict[str, Any]:
    """Return the schemas of what is answered, by name."""
    return {
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": object_of(field="string", value="string", rule="string")},
        },
        "Event": {
            "type": "object",
            "description": "A CloudEvents 1.0 event in the JSON format.",
            "required": ["specversion", "id", "source", "type", "time", "data", "tenant", "store"],
            "properties": {
                "specversion": {"const": "1.0"},
                "time": MOMENT,
                "data": {"type": "object"},
                **dict.fromkeys(("id", "source", "type", "tenant", "store", "device"), TEXT),
                **dict.fromkeys(("region", "lane", "epoch", "sequence", "position"), TEXT),
            },
        },
        "Device": {
            "type": "object",
            "required": ["tenant", "store", "device", "region", "public_keys", "enrolled"],
            "properties": {
                **dict.fromkeys(("tenant", "store", "device", "region", "label"), TEXT),
                "public_keys": {"type": "array", "items": TEXT},
                "enrolled": MOMENT,
                "removed": MAYBE_TEXT,
                "seen": MAYBE_TEXT,
                "streams": COUNT,
                "forks": COUNT,
            },
        },
        "Stranger": {
            "type": "object",
            "description": "Its address is what it claims: nothing of it was believed.",
            "required": ["tenant", "region", "store", "device", "key_id", "why", "messages"],
            "properties": {
                **dict.fromkeys(("tenant", "region", "store", "device", "key_id", "why"), TEXT),
                "messages": COUNT,
                **dict.fromkeys(("first_heard", "last_heard"), MOMENT),
            },
        },
        **_forwarding(),
        **_flow(),
    }


def _forwarding() -> dict[str, Any]:
    return {
        "Forwarder": {
            "type": "object",
            "required": ["name", "state", "reason", "lag_frames"],
            "properties": {
                **dict.fromkeys(("name", "state", "reason"), TEXT),
                "guarantee": MAYBE_TEXT,
                **dict.fromkeys(("delivered", "parked", "retries", "lag_frames"), COUNT),
                "lag_bytes": MAYBE_COUNT,
                "lag_age_s": {"type": ["number", "null"], "minimum": 0},
                "breaker": {"enum": ["closed", "open", "half-open", None]},
                **dict.fromkeys(("breaker_opened", "skipped_frames", "skipped_events"), COUNT),
                "rung": MAYBE_TEXT,
                "rung_reason": TEXT,
                "asked_of_devices": {"enum": [one.name.lower() for one in Detail]},
                "retry_in_s": {"type": "number", "minimum": 0},
            },
        },
        "Skipped": {
            "type": "object",
            "required": ["id", "forwarder", "tenant", "store", "rung", "frames", "events"],
            "properties": {
                **dict.fromkeys(("id", "first_offset", "last_offset", "frames", "events"), COUNT),
                **dict.fromkeys(("forwarder", "tenant", "store", "rung"), TEXT),
                **dict.fromkeys(("since", "until"), MOMENT),
            },
        },
        "Parked": {
            "type": "object",
            "required": ["id", "forwarder", "tenant", "store", "event_id", "reason"],
            "properties": {
                "id": COUNT,
                **dict.fromkeys(("forwarder", "tenant", "store", "event_id", "reason"), TEXT),
            },
        },
    }


def _flow() -> dict[str, Any]:
    return {
        "Usage": {
            "type": "object",
            "description": "Committed in one month (UTC) by a tenant, store or device.",
            "required": ["per", "frames", "events", "bytes"],
            "properties": {
                "per": {"enum": ["region", "tenant", "store", "device"]},
                **dict.fromkeys(("tenant", "store", "device"), MAYBE_TEXT),
                **dict.fromkeys(("frames", "events", "bytes"), COUNT),
                **dict.fromkeys(("quota_bytes", "quota_events"), MAYBE_COUNT),
            },
        },
        "Flow": {
            "type": "object",
            "required": ["credit_bytes", "reason", "holding", "starved_devices", "returning"],
            "properties": {
                **dict.fromkeys(("credit_bytes", "starved_devices"), COUNT),
                "reason": TEXT,
                "holding": {"type": "object", "additionalProperties": TEXT},
                "returning": {"type": "object"},
            },
        },
    }


def object_of(**kinds: str) -> dict[str, Any]:
    """Return the schema of an object with these fields, each of a JSON type."""
    return {
        "type": "object",
        "required": list(kinds),
        "properties": {name: {"type": kind} for name, kind in kinds.items()},
    }
