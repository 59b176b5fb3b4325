"""Which messages that a local broker repeats were committed before. Pure.

A broker sends again, marked as repetitions, what it has seen no acknowledgement for. Some of that
was committed: the acknowledgements were lost with the process or the connection. Two rules find
these; both rest on what was made durable in the same transaction as the messages' events:

* exact: the last ``REMEMBERED`` messages, by a digest of packet id, topic and payload;
* by order: brokers send in order and mostly count packet ids up, so a repetition whose id lies at
  or behind that of the last message committed was committed too. This is believed only after
  ``TRUSTED_RUN`` messages in a row whose ids rose: a broker that uses the lowest free id over
  and over never gets there, and its repetitions beyond the exact ones are taken again.

The state, big-endian: last id (2 bytes), run (4), then digests of 6 bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

__all__ = ["REMEMBERED", "TRUSTED_RUN", "Redelivery", "Seen"]

REMEMBERED: Final = 41
"""Digests that fit a checkpoint of the buffer (256 bytes)."""

TRUSTED_RUN: Final = 1_000
"""More than any common broker has unacknowledged at once, so more ids than it would reuse."""

_DIGEST_BYTES: Final = 6
_HEAD_BYTES: Final = 6
_IDS: Final = 65_536
_MAX_RUN: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Seen:
    """What is kept of one message at QoS 1: its packet id and a digest."""

    mid: int
    digest: bytes

    @classmethod
    def of(cls, mid: int, topic: bytes, payload: bytes) -> Seen:
        """Make one from the message."""
        digest = blake2b(mid.to_bytes(2, "big"), digest_size=_DIGEST_BYTES)
        digest.update(len(topic).to_bytes(2, "big"))
        digest.update(topic)
        digest.update(payload)
        return cls(mid, digest.digest())


class Redelivery:
    """The memory of what was committed."""

    def __init__(self, state: bytes = b"") -> None:
        self._last = int.from_bytes(state[:2], "big")
        self._run = int.from_bytes(state[2:_HEAD_BYTES], "big")
        digests = state[_HEAD_BYTES:]
        self._recent = deque(
            (digests[at : at + _DIGEST_BYTES] for at in range(0, len(digests), _DIGEST_BYTES)),
            maxlen=REMEMBERED,
        )

    def committed(self, seen: Seen) -> bool:
        """Say whether a message that is marked as a repetition was committed before."""
        if seen.digest in self._recent:
            return True
        return self._run >= TRUSTED_RUN and (self._last - seen.mid) % _IDS < _IDS // 2

    def after(self, group: Sequence[Seen]) -> Redelivery:
        """Give the memory as it is once these, in the order they came, are committed too."""
        later = Redelivery()
        later._last, later._run = self._last, self._run
        later._recent = deque(self._recent, maxlen=REMEMBERED)
        for seen in group:
            ahead = (seen.mid - later._last) % _IDS
            rose = 0 < ahead < _IDS // 2
            later._run = min(later._run + 1, _MAX_RUN) if rose else 0
            later._last = seen.mid
            later._recent.append(seen.digest)
        return later

    def pack(self) -> bytes:
        """Give the state, at most 252 bytes."""
        head = self._last.to_bytes(2, "big") + self._run.to_bytes(4, "big")
        return head + b"".join(self._recent)
