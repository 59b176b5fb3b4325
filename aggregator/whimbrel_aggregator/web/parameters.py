"""Parameters from outside: each is checked here, and one that nobody knows is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from whimbrel_aggregator.forward.selection import Selection
from whimbrel_aggregator.query import DEFAULT_LIMIT, MAX_LIMIT, EventQuery
from whimbrel_aggregator.timetext import MAX_TIME_NS, MIN_TIME_NS, parse_time
from whimbrel_aggregator.web.answers import RefusedError
from whimbrel_protocol.errors import FieldError

YES: Final = ("true", "1")
NO: Final = ("false", "0")
_INTEGER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_LONGEST_TIME: Final = 64


def query_of(request: web.Request, known: tuple[str, ...]) -> Mapping[str, str]:
    """Return the query parameters.

    Raises:
        RefusedError: one is unknown, or given twice.
    """
    given = request.query
    for name in given:
        if name not in known:
            listed = ", ".join(known) if known else "none"
            raise RefusedError(400, name, given[name], f"is no parameter here (known: {listed})")
        if len(given.getall(name)) > 1:
            raise RefusedError(400, name, given[name], "must be given once")
    return given


def integer_of(given: Mapping[str, str], name: str, default: int, *, low: int, high: int) -> int:
    """Return an integer parameter within its bounds.

    Raises:
        RefusedError: it is something else.
    """
    text = given.get(name)
    if text is None:
        return default
    if _INTEGER.fullmatch(text) is None or not low <= int(text) <= high:
        raise RefusedError(400, name, text, f"must be an integer from {low} to {high}")
    return int(text)


def flag_of(given: Mapping[str, str], name: str) -> bool:
    """Return a yes-or-no parameter, absent meaning no.

    Raises:
        RefusedError: it is something else.
    """
    text = given.get(name, NO[0])
    if text not in (*YES, *NO):
        raise RefusedError(400, name, text, f"must be one of {', '.join((*YES, *NO))}")
    return text in YES


def limit_of(given: Mapping[str, str]) -> int:
    """Return ``limit``."""
    return integer_of(given, "limit", DEFAULT_LIMIT, low=1, high=MAX_LIMIT)


def event_query_of(given: Mapping[str, str], *, now_ns: int) -> EventQuery:
    """Return the question about events that the parameters make.

    Raises:
        FieldError: one of them breaks its rule.
    """

    def patterns(name: str) -> tuple[str, ...]:
        return (given[name],) if name in given else ()

    return EventQuery(
        selection=Selection.of(
            tenants=patterns("tenant"),
            stores=patterns("store"),
            zones=patterns("zone"),
            types=patterns("type"),
            where="query",
        ),
        since_ns=_time_of(given, "since", MIN_TIME_NS, now_ns),
        until_ns=_time_of(given, "until", MAX_TIME_NS, now_ns),
    )


async def object_of(request: web.Request) -> dict[str, Any]:
    """Return the request's JSON object.

    Raises:
        RefusedError: another content type (415), no JSON object (400), or too long (413).
    """
    if request.content_type != "application/json":
        raise RefusedError(415, "Content-Type", request.content_type, "must be application/json")
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise RefusedError(413, "body", "more", "must be at most 64 KiB") from error
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            400, "body", body[:80].decode(errors="replace"), "must be JSON"
        ) from error
    if not isinstance(value, dict):
        raise RefusedError(400, "body", value, "must be a JSON object")
    return value


def _time_of(given: Mapping[str, str], name: str, default: int, now_ns: int) -> int:
    if name not in given:
        return default
    text = given[name]
    if len(text) > _LONGEST_TIME:
        raise FieldError(f"query.{name}", text, f"must be at most {_LONGEST_TIME} characters")
    return parse_time(f"query.{name}", text, now_ns=now_ns)
