"""The loop's memory of ranges and heads, which is never stale.

Entries are dropped before a commit begins and put back after it. What is missing must be read
behind the commits under way; it is not kept when another commit began meanwhile. So even an
append whose caller was cancelled leaves nothing here that the journal would not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from .lru import LruDict
from .values import Append, AppendResult, Committed, PartitionKey, StreamKey, StreamRecord, Unknown

CACHED_STREAMS: Final = 20_000
"""Streams whose ranges stay in memory: about 700 bytes each, 14 MB."""

CACHED_HEADS: Final = 20_000


class StateCache:
    """Ranges of streams and heads of partitions. For the event loop's thread."""

    def __init__(self) -> None:
        self._streams: LruDict[StreamKey, StreamRecord] = LruDict(CACHED_STREAMS)
        self._heads: LruDict[PartitionKey, int] = LruDict(CACHED_HEADS)
        self.begun = 0

    def begin(self, appends: Iterable[Append]) -> None:
        """Forget what a commit that begins now may change."""
        self.begun += 1
        for append in appends:
            self._heads.drop(append.partition)
            for update in append.streams:
                self._streams.drop(update.key)

    def begin_anything(self) -> None:
        """Forget all streams: which of them will change is not known."""
        self.begun += 1
        self._streams.clear()

    def done(self, appends: Iterable[Append], results: Iterable[AppendResult]) -> None:
        """Remember what a commit made."""
        for append, result in zip(appends, results, strict=True):
            if isinstance(result, Unknown):
                continue
            self._heads.put(append.partition, result.head)
            if isinstance(result, Committed):
                for update in append.streams:
                    self._streams.put(update.key, StreamRecord(update.key, update.ranges))

    def streams(self, keys: Sequence[StreamKey]) -> dict[StreamKey, StreamRecord]:
        """Return those that are in memory."""
        found = ((key, self._streams.get(key)) for key in keys)
        return {key: record for key, record in found if record is not None}

    def heads(self, keys: Sequence[PartitionKey]) -> dict[PartitionKey, int]:
        """Return those that are in memory."""
        found = ((key, self._heads.get(key)) for key in keys)
        return {key: head for key, head in found if head is not None}

    def keep_streams(self, records: Iterable[StreamRecord], *, begun: int) -> None:
        """Remember what was read, unless a commit began since the counter was ``begun``."""
        if begun == self.begun:
            for record in records:
                self._streams.put(record.key, record)

    def keep_heads(self, heads: dict[PartitionKey, int], *, begun: int) -> None:
        """Remember what was read, unless a commit began since the counter was ``begun``."""
        if begun == self.begun:
            for key, head in heads.items():
                self._heads.put(key, head)
