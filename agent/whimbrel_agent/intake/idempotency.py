"""Keys by which the buffer recognises an event that a producer hands over again.

Each kind of key has a prefix of its own, so that no two kinds can meet:

* ``e`` + 16 bytes: the event's own id (CloudEvents ``id``, or ``dedup_key``) within its source;
* ``r`` + 16 bytes + index: the ``Idempotency-Key`` of a request and the event's place in it.

An event's own id wins over the key of the request: it stays the same when a till repeats a sale
inside another request. The digests are BLAKE2b of the named parts, each with its length in
front, so that no two pairs run into one another.

A request's key is for one body. What its events came as (the line of an NDJSON body, else the
whole body) is remembered as a fingerprint beside each key, and another content under the same
key is refused. An event's own id has none: a till may stamp or order a repeated sale anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from whimbrel_protocol.event import Event

__all__ = [
    "MAX_REQUEST_KEY_BYTES",
    "event_key",
    "fingerprint",
    "fingerprints_of",
    "keys_of",
    "request_prefix",
]

MAX_REQUEST_KEY_BYTES: Final = 255
"""Bytes of an ``Idempotency-Key`` header; longer than any UUID or order number in use."""


def event_key(source: str, event_id: str) -> bytes:
    """Give the key of an event's own id within its source."""
    return b"e" + _digest(
        source.encode(errors="surrogatepass"), event_id.encode(errors="surrogatepass")
    )


def request_prefix(idempotency_key: str) -> bytes:
    """Give what all keys of one request begin with."""
    return b"r" + _digest(idempotency_key.encode(errors="surrogateescape"))


def keys_of(
    events: Sequence[Event], prefix: bytes | None = None, places: Sequence[int] | None = None
) -> list[bytes | None] | None:
    """Give one key per event (None where it has none), or None when no event has one.

    Args:
        events: the events, in order.
        prefix: from ``request_prefix`` when the request had a key.
        places: each event's place in the request; needed with ``prefix`` only.
    """
    if prefix is not None and places is not None:
        return [
            prefix + place.to_bytes(4, "big") if event.dedup_key is None else _own_key(event)
            for event, place in zip(events, places, strict=True)
        ]
    if all(event.dedup_key is None for event in events):
        return None
    return [None if event.dedup_key is None else _own_key(event) for event in events]


def fingerprint(content: bytes) -> int:
    """Give a number of 63 bits, never 0, that other content has by a freak chance only."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big") >> 1 or 1


def fingerprints_of(events: Sequence[Event], fingerprints: Sequence[int]) -> list[int]:
    """Give the fingerprints to compare: none (0) for events with an id of their own."""
    return [
        print_ if event.dedup_key is None else 0
        for event, print_ in zip(events, fingerprints, strict=True)
    ]


def _own_key(event: Event) -> bytes | None:
    # not validated yet: an id or source of another type is refused at acceptance
    if type(event.dedup_key) is str and type(event.source) is str:
        return event_key(event.source, event.dedup_key)
    return None


def _digest(*parts: bytes) -> bytes:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()
