"""Top-k: the greatest of a window, as they were, standing for all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgerules.series import START_NS, Desk, reading, rule, values
from whimbrel_agent.rules.marks import COUNT, FROM, TO


def test_the_greatest_go_on_and_the_first_stands_for_the_rest() -> None:
    desk = Desk(rule("top-k", by="v", k=2, window_s=100, key=[]))
    desk.take_all([reading(v, n, source=f"s{n}") for n, v in enumerate([3, 9, 1, 9, 5])])
    first, second = desk.close()
    assert (first.data["v"], first.source, second.data["v"], second.source) == (9, "s1", 9, "s3")
    assert first.extensions[COUNT] == 4
    assert second.extensions[COUNT] == 1
    assert first.extensions[FROM] == START_NS
    assert first.extensions[TO] == START_NS + 4 * 10**9


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=30), st.integers(1, 8))
def test_they_are_the_greatest(numbers: list[int], k: int) -> None:
    desk = Desk(rule("top-k", by="v", k=k, window_s=100))
    desk.take_all([reading(v, n) for n, v in enumerate(numbers)])
    sent = desk.close()
    assert values(sent) == sorted(numbers, reverse=True)[:k]
    assert sum(event.extensions[COUNT] for event in sent) == len(numbers)


def test_windows_close_as_for_summaries() -> None:
    desk = Desk(rule("top-k", by="v", k=1, window_s=10, lateness_s=0))
    assert desk.take(reading(1, 5)) == []
    assert values(desk.take(reading(2, 15))) == [1]
    assert values(desk.tick(20)) == [2]


def test_what_it_cannot_rank_goes_on_as_it_is() -> None:
    desk = Desk(rule("top-k", by="v"))
    assert len(desk.take_all([reading("x"), reading(1, note="x" * 2000)])) == 2
