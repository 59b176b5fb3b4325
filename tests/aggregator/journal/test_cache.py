from __future__ import annotations

from regions.frames import append_of, new_frame, stream
from whimbrel_aggregator.journal.cache import StateCache
from whimbrel_aggregator.journal.values import Committed, Conflict, StreamRecord, Unknown
from whimbrel_protocol.sequences import RangeSet

KEY = stream()
APPEND = append_of([new_frame(KEY, 11)], head=1, settled={KEY: RangeSet([(1, 10)])})


def test_nothing_is_known_while_a_commit_may_change_it() -> None:
    cache = StateCache()
    cache.keep_streams([StreamRecord(KEY, RangeSet([(1, 10)]))], begun=0)
    cache.keep_heads({KEY.partition: 1}, begun=0)
    assert cache.streams([KEY])
    cache.begin([APPEND])
    assert cache.streams([KEY]) == {}
    assert cache.heads([KEY.partition]) == {}
    cache.done([APPEND], [Committed(2)])
    assert list(cache.streams([KEY])[KEY].ranges) == [(1, 20)]
    assert cache.heads([KEY.partition]) == {KEY.partition: 2}


def test_what_was_read_before_a_commit_began_is_not_kept() -> None:
    cache = StateCache()
    begun = cache.begun
    cache.begin([APPEND])
    cache.keep_streams([StreamRecord(KEY, RangeSet([(1, 10)]))], begun=begun)
    cache.keep_heads({KEY.partition: 1}, begun=begun)
    assert cache.streams([KEY]) == {}
    assert cache.heads([KEY.partition]) == {}


def test_a_conflict_teaches_the_head_and_doubt_teaches_nothing() -> None:
    cache = StateCache()
    cache.begin([APPEND])
    cache.done([APPEND], [Conflict(9)])
    assert cache.heads([KEY.partition]) == {KEY.partition: 9}
    assert cache.streams([KEY]) == {}
    cache.begin([APPEND])
    cache.done([APPEND], [Unknown("who knows")])
    assert cache.heads([KEY.partition]) == {}


def test_folding_forgets_every_stream() -> None:
    cache = StateCache()
    cache.keep_streams([StreamRecord(KEY, RangeSet())], begun=0)
    cache.begin_anything()
    assert cache.streams([KEY]) == {}
    assert cache.begun == 1
