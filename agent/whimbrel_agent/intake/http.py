"""The HTTP intake: ``POST /v1/events`` answers when the events are safe, not before.

Bodies: one JSON object or an array (``application/json``), NDJSON (``application/x-ndjson``),
CBOR (``application/cbor``: a map, an array or a sequence of maps), CloudEvents structured
(``application/cloudevents+json``), batched (``application/cloudevents-batch+json``) and in
binary mode (``ce-`` headers).

``?on_error=refuse`` (the default) takes all events of a body or none. ``?on_error=skip`` takes
the good ones and lists the bad ones; an NDJSON body may then be of any size, since it is taken
slice by slice, and an answer that is no 202 still says what was accepted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import (
    MAX_GROUP_EVENTS,
    AcceptError,
    BufferError,  # noqa: A004  ours
    GroupTooBigError,
    KeyReusedError,
)
from whimbrel_agent.intake.answers import MAX_LISTED_PROBLEMS, Outcome, refusal_of
from whimbrel_agent.intake.bodies import (
    LineReader,
    LineTooLongError,
    Problem,
    Slice,
    ToEvent,
    items_of,
    parse_cbor,
    without_odd_numbers,
)
from whimbrel_agent.intake.cloudevents import binary_event, cloud_event, is_json_type
from whimbrel_agent.intake.idempotency import (
    MAX_REQUEST_KEY_BYTES,
    fingerprint,
    fingerprints_of,
    keys_of,
    request_prefix,
)
from whimbrel_agent.intake.jsontext import OddNumberError, parse_json
from whimbrel_agent.intake.lines import event_of
from whimbrel_agent.localhttp.message import HttpError, Request, Response, json_response
from whimbrel_agent.ports import Clock
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import validate_event

__all__ = ["EventIntake"]

MAX_WHOLE_BYTES: Final = 1024 * 1024
"""A body that can only be decoded as a whole (JSON, CBOR, CloudEvents): decoded it may take
seventy times its size. NDJSON has no such bound."""

MAX_ATOMIC_BYTES: Final = 4 * 1024 * 1024
"""An NDJSON body that is taken whole or not at all; its events must fit one transaction."""

SLICE_EVENTS: Final = 500
"""Events of one NDJSON body that are committed together with ``on_error=skip``; about what one
read of the socket brings, so that memory stays flat."""

_NDJSON: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
_CLOUD_EVENT: Final = "application/cloudevents+json"
_CLOUD_BATCH: Final = "application/cloudevents-batch+json"
_CBOR: Final = frozenset({"application/cbor", "application/cbor-seq"})
_JSON: Final = "application/json"
_WHOLE: Final = frozenset({_JSON, _CLOUD_EVENT, _CLOUD_BATCH, *_CBOR})
_KNOWN_TYPES: Final = (
    f"{_JSON}, application/x-ndjson, application/cbor, {_CLOUD_EVENT}, {_CLOUD_BATCH}"
)


class EventIntake:
    """Takes events by HTTP into the buffer.

    Args:
        buffer: where they are kept.
        clock: gives the time of events that bring none.
    """

    def __init__(self, buffer: Buffer, clock: Clock) -> None:
        self._buffer = buffer
        self._clock = clock
        self.counters: Counter[str] = Counter()

    async def handle(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            HttpError: it is refused.
        """
        match request.path:
            case "/v1/events":
                _allow(request, "POST")
                self.counters["requests"] += 1
                try:
                    return await self.post(request)
                except HttpError as exc:
                    self.counters[f"answered_{exc.status}"] += 1
                    raise
            case "/healthz":
                _allow(request, "GET")
                return json_response(200, {"status": "ok"})
            case _:
                raise HttpError(404, f"nothing is at {request.path[:80]!r}: post to /v1/events")

    async def post(self, request: Request) -> Response:
        """Take the events of one request.

        Raises:
            HttpError: they are refused, wholly or (``on_error=skip``) in part.
        """
        skip = _skips(request)
        key = _key(request)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise HttpError(415, "content-encoding is not supported: send the body as it is")
        outcome = Outcome("line" if request.media_type in _NDJSON else "index")
        try:
            await self._take_body(request, outcome, key, skip=skip)
        except HttpError as exc:
            if skip:  # what went in before stays in
                self.counters["events"] += outcome.count
                exc.details = {**exc.details, **outcome.members()}
            raise
        members = outcome.members()
        self.counters["events"] += outcome.count
        self.counters["repeated"] += outcome.repeated
        self.counters["refused"] += outcome.refused
        if outcome.refused and not outcome.count:
            raise HttpError(400, "no event of the body was accepted", members)
        return json_response(202, members)

    async def _take_body(
        self, request: Request, outcome: Outcome, key: str | None, *, skip: bool
    ) -> None:
        if request.media_type not in _NDJSON:
            await self._take(await self._items(request), outcome, key, skip=skip)
        elif skip:
            await self._take_lines(request, outcome, key)
        else:
            await self._take(await self._all_lines(request), outcome, key, skip=False)

    async def _take_lines(self, request: Request, outcome: Outcome, key: str | None) -> None:
        waiting = Slice()

        async def take(part: Slice) -> None:
            nonlocal waiting
            _join(waiting, part)
            if len(waiting.events) + len(waiting.problems) >= SLICE_EVENTS:
                taken, waiting = waiting, Slice()
                await self._take(taken, outcome, key, skip=True)

        await _read_lines(request, self._clock.wall_ns(), take)
        await self._take(waiting, outcome, key, skip=True)

    async def _all_lines(self, request: Request) -> Slice:
        whole = Slice()

        async def take(part: Slice) -> None:
            _join(whole, part)
            if len(whole.events) > MAX_GROUP_EVENTS:
                raise HttpError(
                    413,
                    f"the body has over {MAX_GROUP_EVENTS} events, too many to be taken all or "
                    "none: send it in parts, or with ?on_error=skip",
                )
            if len(whole.problems) > MAX_LISTED_PROBLEMS:
                raise _nothing_accepted(whole.problems)

        await _read_lines(request, self._clock.wall_ns(), take, limit_bytes=MAX_ATOMIC_BYTES)
        return whole

    async def _items(self, request: Request) -> Slice:
        now_ns = self._clock.wall_ns()
        binary = "ce-specversion" in request.headers
        if not binary and request.media_type not in _WHOLE:
            raise HttpError(
                415, f"content-type is {request.media_type[:80]!r}: must be one of {_KNOWN_TYPES}"
            )
        body = await request.body.read(MAX_WHOLE_BYTES)
        try:
            if binary:
                return _binary(request, body, now_ns)
            part = items_of(*_whole(request.media_type, body), now_ns)
        except FieldError as exc:
            return Slice(problems=[Problem.of(0, exc)])
        part.fingerprints = [fingerprint(body)] * len(part.events)
        return part

    async def _take(self, part: Slice, outcome: Outcome, key: str | None, *, skip: bool) -> None:
        """Accept a slice: its good events, or all or none of them."""
        prefix = None if key is None else request_prefix(key)
        while part.events and (skip or not part.problems):
            try:
                accepted = await self._buffer.accept(
                    part.events,
                    keys=keys_of(part.events, prefix, part.places),
                    fingerprints=(
                        None if key is None else fingerprints_of(part.events, part.fingerprints)
                    ),
                )
            except AcceptError as exc:
                part = _sift(part, exc)
            except GroupTooBigError as exc:
                if not skip or len(part.events) == 1:
                    raise refusal_of(exc) from exc
                first, part = _halves(part)
                await self._take(first, outcome, key, skip=True)
            except KeyReusedError as exc:
                raise _reused(key, part.places[exc.index]) from exc
            except BufferError as exc:
                raise refusal_of(exc) from exc
            else:
                outcome.accept(accepted)
                break
        else:
            # nothing went in: name everything that is wrong, not only what was found first
            part = _sift(part, None)
        outcome.refuse(part.problems)


def _allow(request: Request, method: str) -> None:
    if request.method != method:
        raise HttpError(
            405,
            f"{request.path} takes {method}, not {request.method}",
            headers=(("allow", method),),
        )


def _skips(request: Request) -> bool:
    for name in request.query:
        if name != "on_error":
            raise HttpError(400, f"query field {name[:80]!r} is not known (known: on_error)")
    choice = request.query.get("on_error", "refuse")
    if choice not in ("refuse", "skip"):
        raise HttpError(400, f"on_error is {choice[:80]!r}: must be refuse or skip")
    return choice == "skip"


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_REQUEST_KEY_BYTES:
        raise HttpError(
            400, f"idempotency-key has {len(key)} bytes: must be 1 to {MAX_REQUEST_KEY_BYTES}"
        )
    return key


def _reused(key: str | None, place: int) -> HttpError:
    rule = "must be new for each body; repeat a request with the same bytes"
    return HttpError(
        422,
        f"idempotency-key {key!r} was used before with another body: it {rule}",
        {"field": "idempotency-key", "value": key, "rule": rule, "place": place},
    )


async def _read_lines(
    request: Request,
    now_ns: int,
    take: Callable[[Slice], Awaitable[None]],
    *,
    limit_bytes: int | None = None,
) -> None:
    """Read an NDJSON body to its end and hand on what each piece completes."""
    reader = LineReader(now_ns, keyed="idempotency-key" in request.headers)
    size_bytes = 0
    try:
        while (piece := await request.body.piece()) is not None:
            size_bytes += len(piece)
            if limit_bytes is not None and size_bytes > limit_bytes:
                raise HttpError(
                    413,
                    f"the body is over {limit_bytes} bytes, too much to be taken all or none: "
                    "send it in parts, or with ?on_error=skip",
                )
            for part in reader.feed(piece):
                await take(part)
            await asyncio.sleep(0)  # bytes that are here already must not keep the loop from others
        for part in reader.finish():
            await take(part)
    except LineTooLongError as exc:
        raise HttpError(413, str(exc), {"line": exc.line}) from exc


def _nothing_accepted(problems: Sequence[Problem]) -> HttpError:
    outcome = Outcome("line")
    outcome.refuse(problems)
    return HttpError(
        400, "no event of the body was accepted; it was read no further", outcome.members()
    )


def _join(into: Slice, part: Slice) -> None:
    if not into.events and not into.problems:
        into.events, into.places, into.problems = part.events, part.places, part.problems
        into.fingerprints = part.fingerprints
        return
    into.events += part.events
    into.places += part.places
    into.fingerprints += part.fingerprints
    into.problems += part.problems


def _halves(part: Slice) -> tuple[Slice, Slice]:
    middle = len(part.events) // 2
    return (
        Slice(
            part.events[:middle], part.places[:middle], part.fingerprints[:middle], part.problems
        ),
        Slice(part.events[middle:], part.places[middle:], part.fingerprints[middle:]),
    )


def _sift(part: Slice, refused: AcceptError | None) -> Slice:
    """Move every event that breaks a limit to the problems."""
    sifted = Slice(problems=list(part.problems))
    items = zip(part.events, part.places, part.fingerprints, strict=True)
    for index, (event, place, print_) in enumerate(items):
        try:
            validate_event(event)
            if refused is not None and index == refused.index:
                raise refused.error
        except FieldError as exc:
            sifted.problems.append(Problem.of(place, exc))
        else:
            sifted.events.append(event)
            sifted.places.append(place)
            sifted.fingerprints.append(print_)
    return sifted


def _whole(media_type: str, body: bytes) -> tuple[Any, ToEvent]:
    if media_type in _CBOR:
        return parse_cbor(body), event_of
    to_event: ToEvent = event_of if media_type == _JSON else cloud_event
    try:
        value = parse_json(body)
    except OddNumberError as exc:
        value, to_event = exc.whole, without_odd_numbers(to_event)
    if media_type == _JSON:
        return value, to_event
    if (type(value) is list) is not (media_type == _CLOUD_BATCH):
        kind = "an array" if media_type == _CLOUD_BATCH else "one object"
        raise FieldError("body", value, f"must be {kind} in {media_type}")
    return value, to_event


def _binary(request: Request, body: bytes, now_ns: int) -> Slice:
    data: Any = {}
    if body and is_json_type(request.media_type or "application/json"):
        value = parse_json(body)
        data = value if type(value) is dict else {"value": value}
    elif body:
        data = {"bytes": body}
    part = Slice()
    part.add(0, None, lambda _value, now: binary_event(request.headers, data, now), now_ns)
    return part
