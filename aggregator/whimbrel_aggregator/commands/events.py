"""``whimbrel-aggregator events``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp

from whimbrel_aggregator import exits
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.commands.access import Region, region
from whimbrel_aggregator.commands.failures import UnreachableError, UsageError, guarded
from whimbrel_aggregator.commands.tables import plain_text
from whimbrel_aggregator.config import AggregatorConfig
from whimbrel_aggregator.configfile import load_config
from whimbrel_aggregator.timetext import format_time, parse_time

PAGE: Final = 500
RECONNECT_S: Final = 1.0
"""Between two tries to reach an aggregator that is being restarted."""

_COLUMNS: Final = (("TIME", 27), ("STORE", 20), ("DEVICE", 12), ("ZONE", 10), ("TYPE", 16))


def run(options: argparse.Namespace) -> int:
    """Print events."""
    return guarded(lambda: asyncio.run(_run(options)))


async def _run(options: argparse.Namespace) -> int:
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit is {options.limit}, must be at least 1")
    config = load_config(options.config)
    params = _params(options)
    shown = _table_line if options.format == "table" else _json_line
    if options.format == "table":
        print(_line([head for head, _ in _COLUMNS], "DATA"), flush=True)
    left = options.limit
    events = _followed(config, params) if options.follow else _paged(config, params, options.limit)
    async for event in events:
        _print(shown, event, flush=options.follow)
        if left is not None:
            left -= 1
            if not left:
                break
    return exits.DONE


def _params(options: argparse.Namespace) -> dict[str, str]:
    """Return the request's parameters; relative times are fixed once, for all pages."""
    now_ns = SystemClock().wall_ns()
    params = {}
    for name in ("tenant", "store", "zone", "type"):
        if getattr(options, name) is not None:
            params[name] = getattr(options, name)
    for name in ("since", "until"):
        text = getattr(options, name)
        if text is not None:
            params[name] = format_time(parse_time(f"--{name}", text, now_ns=now_ns))
    return params


async def _paged(
    config: AggregatorConfig, params: dict[str, str], limit: int | None
) -> AsyncIterator[dict[str, Any]]:
    unreadable = 0
    given = {**params, "limit": str(min(limit or PAGE, PAGE))}
    async with region(config) as found:
        while True:
            page = await found.ask("GET", "/v1/events", params=given)
            unreadable += page["unreadable"]
            for event in page["events"]:
                yield event
            if page["next"] is None:
                break
            given["cursor"] = page["next"]
    if unreadable:
        print(
            f"whimbrel-aggregator: {unreadable} frames could not be read; see "
            "'forwarders parked unreadable'",
            file=sys.stderr,
        )


async def _followed(
    config: AggregatorConfig, params: dict[str, str]
) -> AsyncIterator[dict[str, Any]]:
    async with region(config) as found:
        if not found.running:
            raise UnreachableError("no aggregator runs: nothing new can come; leave --follow out")
        last_id: str | None = None
        told = False
        while True:
            try:
                async for event, event_id in _stream(found, params, last_id):
                    told = False
                    last_id = event_id or last_id
                    yield event
            except (aiohttp.ClientError, TimeoutError, UnreachableError) as error:
                if not told:
                    print(f"whimbrel-aggregator: stream broke ({error})", file=sys.stderr)
                told = True
            await asyncio.sleep(RECONNECT_S)


async def _stream(
    found: Region, params: dict[str, str], last_id: str | None
) -> AsyncIterator[tuple[dict[str, Any], str | None]]:
    """Read server-sent events (WHATWG HTML, 9.2) as this API writes them."""
    event_id: str | None = None
    given = {**params, "follow": "true"}
    async with found.stream("/v1/events", params=given, last_id=last_id) as lines:
        async for raw in lines:
            line = raw.decode().rstrip("\n")
            if line.startswith("id: "):
                event_id = line[4:]
            elif line.startswith("data: "):
                yield json.loads(line[6:]), event_id
                event_id = None


def _print(shown: Callable[[dict[str, Any]], str], event: dict[str, Any], *, flush: bool) -> None:
    print(shown(event), flush=flush)


def _json_line(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _table_line(event: dict[str, Any]) -> str:
    values = [
        event["time"],
        f"{event['tenant']}/{event['store']}",
        event["device"],
        event.get("zone", "-"),
        event["type"],
    ]
    return _line(values, json.dumps(event["data"], ensure_ascii=False))


def _line(values: list[str], data: str) -> str:
    cells = [
        plain_text(value).ljust(width) for value, (_, width) in zip(values, _COLUMNS, strict=True)
    ]
    return "  ".join([*cells, plain_text(data)])
