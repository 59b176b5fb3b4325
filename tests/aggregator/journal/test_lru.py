from __future__ import annotations

from whimbrel_aggregator.journal.lru import LruDict


def test_the_entry_not_used_for_longest_goes_first() -> None:
    known: LruDict[str, int] = LruDict(2)
    known.put("a", 1)
    known.put("b", 2)
    assert known.get("a") == 1
    known.put("c", 3)
    assert known.get("b") is None
    assert (known.get("a"), known.get("c"), len(known)) == (1, 3, 2)


def test_entries_can_be_dropped_and_cleared() -> None:
    known: LruDict[str, int] = LruDict(2)
    known.put("a", 1)
    known.drop("a")
    known.drop("a")
    assert known.get("a") is None
    known.put("b", 2)
    known.clear()
    assert len(known) == 0
