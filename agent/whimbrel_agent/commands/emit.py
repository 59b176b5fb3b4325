"""``whimbrel-agent emit``: one event from arguments, or many from standard input."""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any, Final

from whimbrel_agent import exits
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.commands.failures import UsageError, guarded, say
from whimbrel_agent.commands.outlet import Outlet, open_outlet
from whimbrel_agent.configfile import load_config
from whimbrel_agent.intake.bodies import MAX_LINE_BYTES
from whimbrel_agent.intake.mapping import KINDS
from whimbrel_agent.localhttp.client import Answer
from whimbrel_protocol.cbor import dump_value

SLICE_LINES: Final = 500
SLICE_WAIT_NS: Final = 500_000_000
"""Lines of a pipe are handed over in slices of so many, or after so long: one fsync for many."""

READ_BYTES: Final = 64 * 1024
BUSY_STATUSES: Final = frozenset({429, 503, 507})
MAX_BUSY_WAITS: Final = 600
"""About ten minutes of an agent that says it is busy or full; then the pipe's reader gives up."""

_STATUS_OF: Final = {400: exits.REFUSED, 413: exits.REFUSED, 507: exits.BUFFER, 503: exits.BUFFER}


def run(options: argparse.Namespace) -> int:
    """Hand events over."""
    return guarded(lambda: _emit(options))


def _emit(options: argparse.Namespace) -> int:
    if options.stdin:
        if options.data or options.type or options.source:
            raise UsageError("--stdin reads whole events: give no other fields with it")
        with open_outlet(load_config(options.config)) as outlet:
            return _Pipe(outlet, as_json=options.json).run(sys.stdin.fileno())
    event = _event(options)
    with open_outlet(load_config(options.config)) as outlet:
        answer = outlet.post(dump_value(event), "application/cbor", query={}, headers={})
    members = json.loads(answer.body)
    if answer.status != 202:
        say(_problem(members))
        return _STATUS_OF.get(answer.status, exits.REFUSED)
    if options.json:
        print(json.dumps(members))
    else:
        place = members["accepted"][0]
        again = " (accepted before)" if members["repeated"] else ""
        if place.get("ruled"):
            print(f"accepted: held by an edge rule, which sends what it makes of it{again}")
        else:
            print(f"accepted: {place['lane']} {place['first']} of epoch {place['epoch']}{again}")
    return exits.DONE


def _event(options: argparse.Namespace) -> dict[str, Any]:
    if not options.type or not options.source:
        raise UsageError("an event needs --type and --source (or use --stdin)")
    fields = {
        "type": options.type,
        "source": options.source,
        "lane": options.lane,
        "data": dict(_member(text) for text in options.data),
        "subject": options.subject,
        "zone": options.zone,
        "time": options.time,
        "dedup_key": options.id,
    }
    return {field: value for field, value in fields.items() if value is not None}


def _member(text: str) -> tuple[str, Any]:
    name, mark, value = text.partition("=")
    key, colon, kind = name.rpartition(":")
    if not colon or kind not in KINDS:
        key, kind = name, "text"
    if not mark or not key:
        raise UsageError(f"{text!r} is no KEY=VALUE; kinds are {', '.join(KINDS)}")
    try:
        return key, KINDS[kind](value)
    except (ArithmeticError, ValueError, KeyError) as exc:
        raise UsageError(f"{key} is {value!r}: must be of kind {kind}") from exc


def _problem(members: dict[str, Any]) -> str:
    for refused in members.get("refused", ()):
        return f"{refused['field']} is {refused['value']}: {refused['rule']}"
    return str(members.get("error", "the event was not accepted"))


class _Pipe:
    """Carries the lines of a pipe into an outlet, each once."""

    def __init__(self, outlet: Outlet, *, as_json: bool) -> None:
        self._outlet = outlet
        self._json = as_json
        # one name for the whole run: a slice that is handed over again is recognised
        self._run = uuid.uuid4().hex
        self._lines = 0
        self._accepted = 0
        self._refused = 0

    def run(self, descriptor: int) -> int:
        status = exits.DONE
        for body in _slices(descriptor):
            answer = self._hand_over(body)
            members = json.loads(answer.body)
            self._account(members)
            self._lines += body.count(b"\n")
            if answer.status not in (202, 400):
                say(str(members.get("error", answer.status)))
                status = _STATUS_OF.get(answer.status, exits.REFUSED)
                break
        self._report()
        return status or (exits.REFUSED if self._refused else exits.DONE)

    def _hand_over(self, body: bytes) -> Answer:
        headers = {"idempotency-key": f"{self._run}-{self._lines}"}
        for _ in range(MAX_BUSY_WAITS):
            answer = self._outlet.post(
                body, "application/x-ndjson", query={"on_error": "skip"}, headers=headers
            )
            if answer.status not in BUSY_STATUSES:
                break
            threading.Event().wait(float(answer.headers.get("retry-after", "1")))
        return answer

    def _account(self, members: dict[str, Any]) -> None:
        self._accepted += members.get("count", 0)
        self._refused += members.get("refused_count", 0)
        for refused in members.get("refused", ()):
            say(
                f"line {self._lines + refused['line']}: {refused['field']} is "
                f"{refused['value']}: {refused['rule']}"
            )

    def _report(self) -> None:
        if self._json:
            print(json.dumps({"count": self._accepted, "refused_count": self._refused}))
        else:
            print(f"{self._accepted} events accepted, {self._refused} lines refused")


def _slices(descriptor: int) -> Iterator[bytes]:
    """Yield whole lines of a descriptor, some at a time, soon after they have come."""
    clock = SystemClock()
    waiting = b""
    since_ns = clock.mono_ns()
    while True:
        left_s = max(0.0, (since_ns + SLICE_WAIT_NS - clock.mono_ns()) / 1e9) if waiting else None
        ready, _, _ = select.select([descriptor], [], [], left_s)
        piece = os.read(descriptor, READ_BYTES) if ready else b""
        if ready and not piece:
            break
        if piece and not waiting:
            since_ns = clock.mono_ns()
        waiting += piece
        late = clock.mono_ns() - since_ns >= SLICE_WAIT_NS
        if late or len(waiting) > MAX_LINE_BYTES or waiting.count(b"\n") >= SLICE_LINES:
            end = waiting.rfind(b"\n") + 1
            # a line without end goes on its own, to be refused by its length
            end = len(waiting) if not end and len(waiting) > MAX_LINE_BYTES else end
            if end:
                yield waiting[:end]
                waiting = waiting[end:]
            since_ns = clock.mono_ns()
    if waiting:
        yield waiting if waiting.endswith(b"\n") else waiting + b"\n"
