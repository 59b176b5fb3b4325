"""What events say they stand for."""

from __future__ import annotations

from dataclasses import replace

from edgerules.series import reading
from whimbrel_agent.rules.marks import COUNT, FROM, RULE, TO, count_of, marked, odd
from whimbrel_protocol.limits import MAX_DATA_KEYS


def test_an_event_keeps_its_own_extensions() -> None:
    event = replace(reading(1), extensions={"site": "A"})
    found = marked(event, "r", 3, 5, 9)
    assert found.extensions == {"site": "A", RULE: "r", COUNT: 3, FROM: 5, TO: 9}
    assert (found.data, found.time_ns) == (event.data, event.time_ns)


def test_one_that_stands_for_itself_says_no_times() -> None:
    event = reading(1)
    assert odd(None, event, "r", "no-number").passed == replace(
        event, extensions={RULE: "r", COUNT: 1}
    )


def test_one_that_would_pass_a_limit_stays_as_it_is() -> None:
    event = replace(reading(1), extensions={f"k{n}": n for n in range(MAX_DATA_KEYS)})
    assert marked(event, "r", 1, event.time_ns) is event


def test_an_event_without_marks_stands_for_itself() -> None:
    assert [count_of({}), count_of({COUNT: 4}), count_of({COUNT: "4"})] == [1, 4, 1]
