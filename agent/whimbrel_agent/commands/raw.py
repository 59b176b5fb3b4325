"""``whimbrel-agent raw``: raw events that rules kept on the device, by source and time."""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from whimbrel_agent import exits
from whimbrel_agent.buffer.runner import DirectRunner
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.commands.failures import UsageError, guarded
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.configfile import load_config
from whimbrel_agent.localhttp.client import LocalClient, NoAgentError
from whimbrel_agent.localhttp.message import HttpError
from whimbrel_agent.rules.opening import RAW_FILE
from whimbrel_agent.rules.rawrange import range_of, raw_lines
from whimbrel_agent.rules.rawstore import RawStore


def run(options: argparse.Namespace) -> int:
    """Show a range of raw events."""
    return guarded(lambda: _show(options, load_config(options.config)))


def _show(options: argparse.Namespace, config: AgentConfig) -> int:
    query = {"source": options.source, "from": options.begin, "to": options.end}
    try:
        range_of(query)
    except HttpError as error:
        raise UsageError(str(error)) from error
    for line in _lines(query, config):
        print(line.decode() if options.json else _row(json.loads(line)))
    sys.stdout.flush()
    return exits.DONE


def _row(event: dict[str, Any]) -> str:
    return f"{event['time_ns']}  {event['type']}  {json.dumps(event['data'])}"


def _lines(query: dict[str, str], config: AgentConfig) -> Iterator[bytes]:
    rest = b""
    for piece in _pieces(query, config):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _pieces(query: dict[str, str], config: AgentConfig) -> Iterator[bytes]:
    fields = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    try:
        with LocalClient(config.control.socket) as client:
            yield from client.stream("GET", f"/v1/raw?{fields}")
    except NoAgentError:
        yield from _offline(query, config)


def _offline(query: dict[str, str], config: AgentConfig) -> list[bytes]:
    """Read the file itself: no agent writes it now."""
    path = config.buffer.path.with_name(RAW_FILE)
    if not path.exists():
        raise UsageError(f"{path} is not there: no rule has kept raw events (raw_days)")
    store = RawStore(path, config.raw_max_bytes, SystemClock(), DirectRunner())

    async def read() -> list[bytes]:
        try:
            return [piece async for piece in raw_lines(store.read(*range_of(query)))]
        except sqlite3.Error as error:
            raise UsageError(f"{path} cannot be read: {error}") from error
        finally:
            await store.close()

    return asyncio.run(read())
