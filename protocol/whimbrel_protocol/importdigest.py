"""The digest by which both ends of a bulk import agree that it arrived: all of it, in order.

Every event of an import carries two extensions: ``import``, the import's id, and ``importrow``,
its place in it from 0. Over the events in that order runs a chain::

    h(0)   = SHA-256("whimbrel import 1")
    h(n+1) = SHA-256(h(n) || row(n))

where ``row`` is the CBOR array ``[type, source, time_ns, data, lane, zone, subject, dedup_key,
extensions]`` of the event, all nine fields present (null where there is none), ``lane`` its
number, and the keys of every map, also inside values, in the order of their UTF-8 bytes. Count
and ``h(count)`` name the import's content exactly; the state fits a checkpoint.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.errors import LocalProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import LANE_NUMBERS

__all__ = ["IMPORT_EXTENSION", "ROW_EXTENSION", "ImportDigest"]

IMPORT_EXTENSION: Final = "import"
ROW_EXTENSION: Final = "importrow"

DIGEST_BYTES: Final = 32
_START: Final = hashlib.sha256(b"whimbrel import 1").digest()


class ImportDigest:
    """Count and chain of the events added so far.

    Args:
        count: how many events were added before, when it goes on from a checkpoint.
        state: the 32 bytes that ``digest`` gave then.

    Raises:
        LocalProtocolError: the state is not 32 bytes, or the count below zero.
    """

    def __init__(self, count: int = 0, state: bytes = _START) -> None:
        if len(state) != DIGEST_BYTES or count < 0:
            raise LocalProtocolError(
                f"import state of {len(state)} bytes after {count} events: must be "
                f"{DIGEST_BYTES} bytes after 0 or more"
            )
        self.count = count
        self.digest = state

    def add(self, event: Event) -> None:
        """Add the next event of the import."""
        self.digest = hashlib.sha256(self.digest + _row(event)).digest()
        self.count += 1

    @property
    def text(self) -> str:
        """The digest as people compare it: 64 hexadecimal digits."""
        return self.digest.hex()


def _row(event: Event) -> bytes:
    return dump_value(
        (
            event.type,
            event.source,
            event.time_ns,
            _sorted(event.data),
            LANE_NUMBERS[event.lane],
            event.zone,
            event.subject,
            event.dedup_key,
            _sorted(event.extensions),
        )
    )


def _sorted(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        # code points sort like their UTF-8 bytes
        return {
            key: _sorted(item) if type(item) in (dict, list) else item
            for key, item in sorted(value.items(), key=_key_of)
        }
    if kind is list:
        return [_sorted(item) if type(item) in (dict, list) else item for item in value]
    return value


def _key_of(item: tuple[str, Any]) -> str:
    return item[0]
