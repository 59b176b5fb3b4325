"""The local control socket: what the command line asks of a running agent.

Only the agent's own user may open it (mode 0600). It speaks HTTP:

==============================  =======================================================
``GET /v1/status``              the agent's figures (``status.Status``)
``GET /v1/explain``             what waits for what, and the last decisions
``POST /v1/events``             as on the intake: ``emit``
``POST /v1/drain``              seal all, then wait until the region has settled it;
                                ``?timeout_s=`` at most so long
``GET /v1/buffer``              figures and the first pending frames of each lane
``POST /v1/buffer/verify``      recompute everything
``GET /v1/buffer/export``       every event still here, ``?format=ndjson|cbor``, streamed
``GET /v1/imports/ID``          the checkpoint of an import, CBOR byte string or null
``POST /v1/imports/ID``         one slice of an import, see ``bulk``
==============================  =======================================================
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferError, BufferStats  # noqa: A004  ours
from whimbrel_agent.decisions.explanation import Explanation
from whimbrel_agent.intake.answers import RETRY_BUSY_S, refusal_of
from whimbrel_agent.intake.export import EXPORT_TYPES, exported
from whimbrel_agent.intake.http import EventIntake
from whimbrel_agent.intake.importslice import CHECKPOINT_PREFIX, SliceToAccept
from whimbrel_agent.localhttp.limits import HttpLimits
from whimbrel_agent.localhttp.message import HttpError, Request, Response, json_response
from whimbrel_agent.plain import plain
from whimbrel_agent.rules.opening import Rules
from whimbrel_agent.rules.rawrange import range_of, raw_lines
from whimbrel_agent.status import Status
from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.lanes import LANES

__all__ = ["CONTROL_LIMITS", "Control"]

CONTROL_LIMITS: Final = HttpLimits(max_connections=16, send_timeout_s=120.0)
"""A few commands at once; a reader of an export may pause to write its disk."""

SHOWN_FRAMES: Final = 20
"""Pending frames per lane that ``GET /v1/buffer`` lists."""

IMPORT_FREE_SHARE: Final = 0.25
"""An import waits while less of the buffer than this is free: old rows have time, and must not
push out what the tills sell meanwhile."""

MAX_DRAIN_S: Final = 24 * 3600.0
_DRAIN_LOOK_S: Final = 0.1
_IMPORT_PATH: Final = "/v1/imports/"
_IMPORT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_CBOR: Final = "application/cbor"

_Route = Callable[[Request], Awaitable[Response]]


class Control:
    """Answers the command line.

    Args:
        buffer: the agent's buffer.
        intake: takes the events of ``emit``.
        status: gives the figures of now.
        sealed: called after a drain made frames, so that they are sent.
        rules: whose windows a drain closes, and whose raw events are fetched.
        explain: gives what waits for what; None: nobody knows.
    """

    def __init__(
        self,
        buffer: Buffer,
        intake: EventIntake,
        status: Callable[[], Awaitable[Status]],
        sealed: Callable[[], None],
        rules: Rules | None = None,
        *,
        explain: Callable[[], Awaitable[Explanation]] | None = None,
    ) -> None:
        self._buffer = buffer
        self._intake = intake
        self._status = status
        self._sealed = sealed
        self._rules = Rules() if rules is None else rules
        self._explain = explain
        self._imports: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._routes: dict[str, tuple[str, _Route]] = {
            "/v1/status": ("GET", self._show_status),
            "/v1/explain": ("GET", self._show_explanation),
            "/v1/events": ("POST", intake.post),
            "/v1/drain": ("POST", self._drain),
            "/v1/buffer": ("GET", self._inspect),
            "/v1/buffer/verify": ("POST", self._verify),
            "/v1/buffer/export": ("GET", self._export),
            "/v1/raw": ("GET", self._raw),
        }

    async def handle(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            HttpError: it is refused.
        """
        try:
            if request.path.startswith(_IMPORT_PATH):
                return await self._import(request)
            method, route = self._routes.get(request.path, ("", None))
            if route is None:
                raise HttpError(404, f"nothing is at {request.path[:80]!r}")
            if request.method != method:
                raise HttpError(
                    405,
                    f"{request.path} takes {method}, not {request.method}",
                    headers=(("allow", method),),
                )
            return await route(request)
        except BufferError as exc:
            raise refusal_of(exc) from exc

    async def _show_status(self, _request: Request) -> Response:
        return json_response(200, (await self._status()).to_json())

    async def _show_explanation(self, _request: Request) -> Response:
        if self._explain is None:
            raise HttpError(404, "nobody here decides anything")
        return json_response(200, (await self._explain()).to_json())

    async def _inspect(self, _request: Request) -> Response:
        stats = await self._buffer.stats()
        frames = {
            lane: [plain(frame) for frame in await self._buffer.pending(lane, 0, SHOWN_FRAMES)]
            for lane in LANES
        }
        return json_response(200, {"buffer": plain(stats), "first_frames": frames})

    async def _verify(self, _request: Request) -> Response:
        return json_response(200, plain(await self._buffer.verify()))

    async def _export(self, request: Request) -> Response:
        form = request.query.get("format", "ndjson")
        if form not in EXPORT_TYPES:
            raise HttpError(
                400, f"format is {form[:80]!r}: must be one of {', '.join(EXPORT_TYPES)}"
            )
        return Response(
            200, media_type=EXPORT_TYPES[form], stream=exported(self._buffer.export(), form)
        )

    async def _raw(self, request: Request) -> Response:
        if self._rules.raw is None:
            raise HttpError(404, "no raw events are kept: set raw_days in a rule")
        source, from_ns, to_ns = range_of(request.query)
        events = self._rules.raw.read(source, from_ns, to_ns)
        return Response(200, media_type=EXPORT_TYPES["ndjson"], stream=raw_lines(events))

    async def _drain(self, request: Request) -> Response:
        timeout_s = _seconds(request.query.get("timeout_s", "60"))
        if self._rules.gate is not None:
            await self._rules.gate.close_all()
        sealed = await self._buffer.seal_all()
        if sealed:
            self._sealed()
        stats = await self._drained(timeout_s)
        pending = _pending(stats)
        return json_response(
            200,
            {
                "drained": pending == 0,
                "pending": pending,
                "sealed_frames": sealed,
                "ledger": [plain(lane.ledger) for lane in stats.lanes],
            },
        )

    async def _drained(self, timeout_s: float) -> BufferStats:
        """Wait until nothing is pending, or the time is over; give the figures then."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        # polled: settling is rare and a drain is an operator's act, so no one else signals it
        while _pending(stats := await self._buffer.stats()) and loop.time() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_LOOK_S)
        return stats

    async def _import(self, request: Request) -> Response:
        name = request.path.removeprefix(_IMPORT_PATH)
        if _IMPORT_ID.fullmatch(name) is None:
            raise HttpError(
                400, f"import id is {name[:80]!r}: must be 1 to 64 of A-Z a-z 0-9 . _ -"
            )
        checkpoint = CHECKPOINT_PREFIX + name
        if request.method == "GET":
            value = await self._buffer.checkpoint(checkpoint)
            return Response(200, dump_value(value), _CBOR)
        if request.method != "POST":
            raise HttpError(405, "an import takes GET and POST", headers=(("allow", "GET, POST"),))
        try:
            part = SliceToAccept.unpack(await request.body.read(CONTROL_LIMITS.max_body_bytes))
        except RemoteProtocolError as exc:
            raise HttpError(400, f"the slice cannot be read: {exc}") from exc
        async with self._imports[name]:
            return await self._accept(checkpoint, part)

    async def _accept(self, checkpoint: str, part: SliceToAccept) -> Response:
        if await self._buffer.checkpoint(checkpoint) != part.expected:
            raise HttpError(409, "the import has gone on elsewhere: read its checkpoint again")
        stats = await self._buffer.stats()
        if stats.free_bytes < stats.max_bytes * IMPORT_FREE_SHARE:
            raise HttpError(
                429,
                f"the buffer has {stats.free_bytes} bytes free, an import leaves "
                f"{IMPORT_FREE_SHARE:.0%} of it to others: it goes on when the link has drained it",
                headers=(("retry-after", str(RETRY_BUSY_S)),),
            )
        # past the rules: an import's count and digest are of the events as they were read
        accepted = await self._buffer.keep(part.events, checkpoint=(checkpoint, part.checkpoint))
        return json_response(200, {"count": len(accepted)})


def _pending(stats: BufferStats) -> int:
    return sum(lane.ledger.pending for lane in stats.lanes)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError as exc:
        raise HttpError(400, f"timeout_s is {text[:40]!r}: must be seconds") from exc
    if not 0 <= seconds <= MAX_DRAIN_S:
        raise HttpError(400, f"timeout_s is {text[:40]!r}: must be 0 to {MAX_DRAIN_S:g}")
    return seconds
