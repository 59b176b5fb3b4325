import pytest

from whimbrel_protocol.event import Event
from whimbrel_sim.workloads.stream import Merged, take_events


class Listed:
    """A stream of given times."""

    def __init__(self, source: str, *times: int) -> None:
        self._left = [Event(type="x", source=source, time_ns=time) for time in times]

    def next_time_ns(self) -> int | None:
        return self._left[0].time_ns if self._left else None

    def take(self) -> Event:
        return self._left.pop(0)

    def take_until(self, time_ns: int) -> list[Event]:
        raise NotImplementedError


def seen(events: list[Event]) -> list[tuple[str, int]]:
    return [(event.source, event.time_ns) for event in events]


def test_streams_merge_by_time_and_equal_times_by_place() -> None:
    merged = Merged([Listed("a", 1, 5, 5), Listed("b"), Listed("c", 0, 5)])
    assert merged.next_time_ns() == 0
    assert seen(merged.take_until(4)) == [("c", 0), ("a", 1)]
    assert merged.next_time_ns() == 5
    assert seen(merged.take_until(5)) == [("a", 5), ("a", 5), ("c", 5)]
    assert merged.next_time_ns() is None
    assert merged.take_until(10**9) == []
    with pytest.raises(IndexError):
        merged.take()


def test_a_time_limit_is_not_included() -> None:
    assert len(list(take_events(Listed("a", 1, 2, 3), 3))) == 2
    assert len(list(take_events(Listed("a", 1, 2, 3)))) == 3
