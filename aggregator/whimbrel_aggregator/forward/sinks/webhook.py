"""The webhook sink: batches of CloudEvents posted to one URL.

Guarantee: keyed. Every event always carries the same ``id`` (and identity attributes), and a
batch an ``Idempotency-Key`` made from the ids in it, so a receiver can tell what it has.

======================================  ================================================
answer                                  what happens
======================================  ================================================
2xx                                     the events are settled
408, 425, 429, 5xx, 3xx, none in time   tried again later, after ``Retry-After`` at the least
any other 4xx                           the batch is halved until the events that the
                                        receiver refuses stand alone; those are parked
======================================  ================================================

Each request is signed with every secret of the secret file (two during a change of secrets):
``Whimbrel-Signature: t=<Unix seconds>,v1=<hex>`` where v1 is HMAC-SHA256 over ``<t>.<body>``.
Redirects are not followed: events go nowhere else than configured.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

import aiohttp

from whimbrel_aggregator.forward.cloudevents import BATCH_CONTENT_TYPE, to_json_line
from whimbrel_aggregator.forward.policy import MAX_REFUSED_IN_A_ROW
from whimbrel_aggregator.forward.port import Batch, Guarantee, Outcome, Poison, SinkConfigError
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.ports import Clock, Runner
from whimbrel_aggregator.reading import CommittedEvent, Position
from whimbrel_aggregator.secretfile import SecretFileError, read_secrets

NS_PER_S: Final = 1_000_000_000
MAX_BODY_BYTES: Final = 1024 * 1024
"""What common receivers take in one request; a batch that is longer goes in several."""

MAX_ANSWER_BYTES: Final = 2_048
"""How much of an answer is read; the rest is not waited for."""

MAX_CONNECTIONS: Final = 8
"""At most this many sockets to the receiver."""

RETRIED_STATUSES: Final = frozenset({408, 425, 429})
"""4xx that speak about the moment, not about the events (RFC 9110, RFC 8470, RFC 6585)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status (0: nothing did), its text, and the wish to be left alone."""

    status: int
    text: str
    wish_s: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the receiver has the events."""
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Whether the receiver will never take what was posted."""
        return 400 <= self.status < 500 and self.status not in RETRIED_STATUSES


class WebhookSink:
    """Posts to one URL; see the module. Implements ``forward.port.Sink``."""

    guarantee = Guarantee.KEYED

    def __init__(
        self,
        url: str,
        *,
        secret_file: Path | None,
        batch_events: int,
        timeout_s: float,
        runner: Runner,
        clock: Clock,
    ) -> None:
        self.max_batch_events = batch_events
        self._url = url
        self._secret_file = secret_file
        self._timeout_s = timeout_s
        self._runner = runner
        self._clock = clock
        self._secrets: tuple[bytes, ...] = ()
        self._session: aiohttp.ClientSession | None = None

    async def open(self, generation: bytes) -> None:  # noqa: ARG002 - a webhook knows no positions
        """Read the secrets and make ready to connect."""
        if self._secret_file is not None:
            try:
                self._secrets = tuple(s.encode() for s in read_secrets(self._secret_file))
            except SecretFileError as error:
                raise SinkConfigError(str(error)) from error
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            auto_decompress=False,  # an answer is never worth unpacking
        )

    async def position(self, partition: PartitionKey) -> Position | None:  # noqa: ARG002
        """Return None: a receiver cannot be asked."""
        return None

    async def deliver(self, batch: Batch) -> Outcome:
        """Post the batch, in pieces where it is too long or partly refused."""
        lines = await self._runner.run(partial(_lines, batch.events))
        pieces = deque(_pieces(lines))
        settled = 0
        poison: list[Poison] = []
        while pieces:
            first, last = pieces.popleft()
            answer = await self._post(batch.events[first:last], lines[first:last])
            if answer.accepted:
                settled = last
            elif not answer.refused:
                return _unsettled(settled, poison, answer)
            elif last - first > 1:
                middle = (first + last) // 2
                pieces.extendleft([(middle, last), (first, middle)])
            else:
                settled = last
                poison.append(Poison(batch.events[first], f"{answer.status}: {answer.text}"))
                if len(poison) == settled >= MAX_REFUSED_IN_A_ROW:
                    return _unsettled(settled, poison, answer)
        return Outcome(settled=settled, poison=tuple(poison))

    async def idle(self) -> None:
        """Do nothing: connections look after themselves."""

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, events: Sequence[CommittedEvent], lines: Sequence[bytes]) -> Answer:
        if self._session is None:
            raise AssertionError("deliver before open")
        body = b"[" + b",".join(lines) + b"]"
        headers = {
            "Content-Type": f"{BATCH_CONTENT_TYPE}; charset=utf-8",
            "Idempotency-Key": idempotency_key(events),
            "User-Agent": "whimbrel-aggregator",
        }
        if self._secrets:
            stamp_s = self._clock.wall_ns() // NS_PER_S
            headers["Whimbrel-Signature"] = sign(body, stamp_s, self._secrets)
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                if 200 <= response.status < 300:
                    return Answer(response.status, "")  # accepted, whatever follows
                text = await _bounded_text(response)
                wish_s = self._wish_s(response.headers.get("Retry-After"))
                return Answer(response.status, text, wish_s)
        except TimeoutError:
            return Answer(0, f"no answer within {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Answer(0, f"{type(error).__name__}: {error}")

    def _wish_s(self, text: str | None) -> float | None:
        """Read Retry-After (RFC 9110 section 10.2.3): seconds or a date; nonsense is no wish."""
        if text is None:
            return None
        if text.strip().isdecimal():
            return float(text[:12])
        try:
            moment_s = parsedate_to_datetime(text).timestamp()
        except (ValueError, OverflowError):
            return None
        return max(0.0, moment_s - self._clock.wall_ns() / NS_PER_S)


def idempotency_key(events: Sequence[CommittedEvent]) -> str:
    """Return the key of a request: one event's id, or a digest of the identities in it."""
    if len(events) == 1:
        return quote(events[0].id, safe="/:@!$&'()*+,;=-._~")
    digest = hashlib.sha256("\n".join(event.identity for event in events).encode())
    return f"sha256-{digest.hexdigest()}"


def sign(body: bytes, stamp_s: int, secrets: Sequence[bytes]) -> str:
    """Return the signature header's value; see the module."""
    message = b"%d.%s" % (stamp_s, body)
    digests = (hmac.new(secret, message, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join([f"t={stamp_s}", *(f"v1={digest}" for digest in digests)])


def _lines(events: Sequence[CommittedEvent]) -> list[bytes]:
    return [to_json_line(event).encode() for event in events]


def _pieces(lines: Sequence[bytes]) -> list[tuple[int, int]]:
    """Cut a batch into ranges whose bodies are at most MAX_BODY_BYTES (one event at least)."""
    pieces = []
    first = size_bytes = 0
    for place, line in enumerate(lines):
        size_bytes += len(line) + 1
        if size_bytes > MAX_BODY_BYTES and place > first:
            pieces.append((first, place))
            first, size_bytes = place, len(line) + 1
    return [*pieces, (first, len(lines))]


def _unsettled(settled: int, poison: Sequence[Poison], answer: Answer) -> Outcome:
    reason = f"receiver answered {answer.status}: {answer.text}" if answer.status else answer.text
    return Outcome(settled=settled, poison=tuple(poison), retry=reason, wish_s=answer.wish_s)


async def _bounded_text(response: aiohttp.ClientResponse) -> str:
    data = b""
    while len(data) < MAX_ANSWER_BYTES:
        part = await response.content.read(MAX_ANSWER_BYTES - len(data))
        if not part:
            break
        data += part
    else:
        response.close()  # the rest of a long answer is not waited for
    return data.decode(errors="replace").strip()
