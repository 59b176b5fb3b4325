"""The OpenAPI 3.1 document of the API; tests hold the running server to it."""

from __future__ import annotations

from typing import Any, Final

from whimbrel_aggregator.query import MAX_PAGE_BYTES
from whimbrel_aggregator.registry.records import MAX_LABEL_CHARACTERS, PUBLIC_KEY_PATTERN
from whimbrel_aggregator.web.schemas import (
    COUNT,
    DEVICE_PLACE,
    FLAG,
    LIMIT,
    MAYBE_TEXT,
    MONTH,
    NAME,
    PATTERN,
    TEXT,
    TIME,
    USAGE_PLACE,
    object_of,
    schemas,
)

_ERRORS: Final = {
    400: "A parameter or the body breaks a rule; the error says which.",
    401: "The bearer token is missing or wrong.",
    403: "Asked under a name that is not this machine's, without a token.",
    404: "There is no such thing, or no such position in this journal.",
    409: "It is there already, with other content.",
    413: "The body is too long.",
    415: "The body is not application/json.",
    503: "Not now; try again later.",
}


def document(*, version: str, region: str) -> dict[str, Any]:
    """Return the document for one aggregator."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Whimbrel aggregator",
            "version": version,
            "description": "Committed events, devices and forwarders of one region.",
        },
        "security": [{"token": []}, {}],
        "paths": {
            "/healthz": {"get": _get("Whether the process lives.", object_of(alive="boolean"))},
            "/readyz": {"get": _ready()},
            "/metrics": {"get": _metrics()},
            "/openapi.json": {"get": _get("This document.", {"type": "object"})},
            "/v1/status": {"get": _get("The region's figures.", {"type": "object"})},
            "/v1/events": {"get": _events()},
            "/v1/devices": {"get": _list_devices(), "post": _add_device(region)},
            "/v1/devices/{tenant}/{store}/{device}": {"delete": _remove_device()},
            "/v1/strangers": {
                "get": _get(
                    "Devices heard since the start that are not enrolled, the last one first.",
                    _list_of("strangers", "Stranger"),
                )
            },
            **_forwarding(),
            "/v1/usage": {"get": _usage()},
            "/v1/flow": {"get": _get("What devices may send now.", _ref("Flow"))},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
        },
    }


def _forwarding() -> dict[str, Any]:
    return {
        "/v1/forwarders": {
            "get": _get("Every consumer of the journal.", _list_of("forwarders", "Forwarder"))
        },
        "/v1/forwarders/{name}": {
            "delete": _act(
                "Forget a consumer and its cursors.", [_path("name", NAME)], "detached", TEXT
            )
        },
        "/v1/forwarders/{name}/rebind": {
            "post": _act(
                "Bind its cursors to the journal's present generation, after a restore.",
                [_path("name", NAME)],
                "rebound",
                TEXT,
            )
        },
        "/v1/skipped": {"get": _list_skipped()},
        "/v1/skipped/{id}": {
            "delete": _act(
                "Forget a run of skipped frames: it was replayed, or is not wanted.",
                [_path("id", {"type": "integer", "minimum": 1, "maximum": 2**53 - 1})],
                "dropped",
                COUNT,
            )
        },
        "/v1/parked": {"get": _list_parked()},
        "/v1/parked/{id}": {
            "delete": _act(
                "Forget a parked event.",
                [_path("id", {"type": "integer", "minimum": 1, "maximum": 2**53 - 1})],
                "unparked",
                COUNT,
            )
        },
    }


_PAGE: Final = (
    "A page may end before its limit, even be empty: what is looked at and what is answered at once "
    f"are bounded (at most {MAX_PAGE_BYTES >> 20} MiB of events, or one event). Go on with 'next' "
    "until it is null."
)


def _events() -> dict[str, Any]:
    page = {
        "type": "object",
        "required": ["events", "next", "unreadable"],
        "properties": {
            "events": {"type": "array", "items": _ref("Event")},
            "next": MAYBE_TEXT,
            "unreadable": COUNT,
        },
    }
    operation = _get(
        "Committed events: a page, or with follow=true a stream of server-sent events.",
        {**page, "description": _PAGE},
        parameters=[
            _query("tenant", PATTERN, "Pattern with * and ?."),
            _query("store", PATTERN, "Pattern with * and ?."),
            _query("zone", PATTERN, "Pattern with * and ?."),
            _query("type", {"type": "string", "minLength": 1, "maxLength": 256}, "Pattern."),
            _query("since", TIME, "Events that happened at or after it."),
            _query("until", TIME, "Events that happened before it."),
            _query("limit", LIMIT, f"Events in a page, and {MAX_PAGE_BYTES >> 20} MiB at most."),
            _query("cursor", TEXT, "The next of the page before; an unknown one is answered 404."),
            _query("follow", FLAG, "Stream what is committed from now on, or since a time."),
            {
                "name": "Last-Event-ID",
                "in": "header",
                "schema": TEXT,
                "description": "With follow: go on after this event.",
            },
        ],
    )
    operation["responses"]["200"]["content"]["text/event-stream"] = {"schema": TEXT}
    operation["responses"] |= _errors(404)
    return operation


def _list_devices() -> dict[str, Any]:
    schema = _list_of("devices", "Device")
    schema["properties"]["next"] = MAYBE_TEXT
    return _get(
        "Enrolled devices, in the order of their keys.",
        schema,
        parameters=[
            _query("tenant", NAME, "Of this tenant."),
            _query("store", NAME, "Of stores with this name."),
            _query("removed", FLAG, "Removed ones too."),
            _query("after", DEVICE_PLACE, "The next of the page before: tenant/store/device."),
            _query("limit", LIMIT, "Devices in a page."),
        ],
    )


def _add_device(region: str) -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["tenant", "store", "device", "public_key"],
        "additionalProperties": False,
        "properties": {
            "tenant": NAME,
            "store": NAME,
            "device": NAME,
            "region": {"const": region},
            "public_key": {"type": "string", "pattern": f"^{PUBLIC_KEY_PATTERN}$"},
            "label": {
                "type": "string",
                "maxLength": MAX_LABEL_CHARACTERS,
                "pattern": "^[^\\u0000-\\u001f\\u007f]*$",
            },
            "replace": {"type": "boolean", "default": False},
        },
    }
    return {
        "summary": "Enrol a device with its public key.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _json("It was enrolled already, or its key was replaced.", _ref("Device")),
            "201": _json("It is enrolled now.", _ref("Device")),
            **_errors(400, 401, 403, 409, 413, 415),
        },
    }


def _remove_device() -> dict[str, Any]:
    return {
        "summary": "Take a device's right to speak; what it delivered stays.",
        "parameters": [_path(name, NAME) for name in ("tenant", "store", "device")],
        "responses": {
            "200": _json("It is removed.", _ref("Device")),
            **_errors(400, 401, 403, 404),
        },
    }


def _list_parked() -> dict[str, Any]:
    schema = _list_of("parked", "Parked")
    schema["properties"]["next"] = {"type": ["integer", "null"]}
    return _get(
        "Events that a sink refused for good, and frames that could not be read.",
        schema,
        parameters=[
            _query("forwarder", NAME, "Of this forwarder; 'unreadable' for frames."),
            _query("after", {**COUNT, "maximum": 2**53 - 1}, "The next of the page before."),
            _query("limit", LIMIT, "Events in a page."),
        ],
    )


def _list_skipped() -> dict[str, Any]:
    schema = _list_of("skipped", "Skipped")
    schema["properties"]["next"] = {"type": ["integer", "null"]}
    return _get(
        "Runs of frames that routes passed on lower rungs of their ladders, oldest first.",
        schema,
        parameters=[
            _query("forwarder", NAME, "Of this forwarder."),
            _query("after", {**COUNT, "maximum": 2**53 - 1}, "The next of the page before."),
            _query("limit", LIMIT, "Runs in a page."),
        ],
    )


def _usage() -> dict[str, Any]:
    schema = _list_of("usage", "Usage")
    schema["properties"] |= {"month": TEXT, "next": MAYBE_TEXT}
    return _get(
        "What was committed in a month, in the order of the names.",
        schema,
        parameters=[
            _query("month", MONTH, "Such as 2026-11; absent: the present one (UTC)."),
            _query("per", {"enum": ["region", "tenant", "store", "device"]}, "Of this kind."),
            _query("tenant", NAME, "Of this tenant."),
            _query("after", USAGE_PLACE, "The next of the page before."),
            _query("limit", LIMIT, "Names in a page."),
        ],
    )


def _ready() -> dict[str, Any]:
    schema = object_of(ready="boolean", reason="string")
    operation = _get("Whether events can be taken now.", schema)
    operation["responses"]["503"] = _json("Not now, for this reason.", schema)
    return operation


def _metrics() -> dict[str, Any]:
    operation = _get("Figures for Prometheus.", TEXT)
    operation["responses"]["200"]["content"] = {"text/plain": {"schema": TEXT}}
    return operation


def _act(
    summary: str, parameters: list[dict[str, Any]], key: str, kind: dict[str, Any]
) -> dict[str, Any]:
    schema = {"type": "object", "required": [key], "properties": {key: kind}}
    return {
        "summary": summary,
        "parameters": parameters,
        "responses": {"200": _json("Done.", schema), **_errors(400, 401, 403, 404)},
    }


def _get(
    summary: str,
    schema: dict[str, Any],
    *,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": parameters or [],
        "responses": {"200": _json("The answer.", schema), **_errors(400, 401, 403)},
    }


def _errors(*statuses: int) -> dict[str, Any]:
    # the journal may be busy, full or failing behind any of them
    return {str(status): _json(_ERRORS[status], _ref("Error")) for status in (*statuses, 503)}


def _json(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _query(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": text}


def _path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _list_of(key: str, name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [key],
        "properties": {key: {"type": "array", "items": _ref(name)}},
    }
