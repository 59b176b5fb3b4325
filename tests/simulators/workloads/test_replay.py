from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import pytest

from whimbrel_protocol.event import Event
from whimbrel_sim.bench.corpora import CLIMATE_FILES, find_data
from whimbrel_sim.workloads import Merged, StoreDay
from whimbrel_sim.workloads.files import BadLine, climate_rows
from whimbrel_sim.workloads.replay import MAX_NAMED, Replay, ReplayError
from whimbrel_sim.workloads.stream import take_events

START_NS = 2_000 * 10**9


def rows_of(*rows: int | str) -> Callable[[], Iterator[Event | BadLine]]:
    """Events at given nanoseconds, and bad lines."""

    def rows_again() -> Iterator[Event | BadLine]:
        for number, row in enumerate(rows, 1):
            if isinstance(row, str):
                yield BadLine("file", number, row)
            else:
                yield Event(type="x", source="s", time_ns=row, data={"was": row})

    return rows_again


def times(replay: Replay) -> list[int]:
    return [event.time_ns - START_NS for event in take_events(replay)]


def test_events_are_moved_to_the_start_at_the_speed() -> None:
    rows = rows_of(100, 160, 400)
    assert times(Replay(rows, start_ns=START_NS)) == [0, 60, 300]
    assert times(Replay(rows, start_ns=START_NS, speed=2)) == [0, 30, 150]
    assert times(Replay(rows, start_ns=START_NS, speed=0.5)) == [0, 120, 600]


def test_times_are_exact_over_years() -> None:
    years_ns = 10 * 365 * 86_400 * 10**9 + 1
    assert times(Replay(rows_of(0, years_ns), start_ns=START_NS)) == [0, years_ns]


def test_rounds_follow_after_a_mean_wait() -> None:
    replay = Replay(rows_of(100, 160, 400), start_ns=START_NS, loops=2)
    assert times(replay) == [0, 60, 300, 450, 510, 750]
    assert replay.next_time_ns() is None
    for_ever = Replay(rows_of(7), start_ns=START_NS, loops=None)
    endless = list(islice(take_events(for_ever), 5))
    assert {other.time_ns - one.time_ns for one, other in pairwise(endless)} == {10**9}


def test_bad_lines_are_counted_and_named_once() -> None:
    replay = Replay(rows_of("no number", 5, "no time", 9), start_ns=START_NS, loops=3)
    assert len(times(replay)) == 6
    assert replay.bad_count == 2
    assert [str(line) for line in replay.bad_lines] == ["file 1: no number", "file 3: no time"]


def test_so_many_bad_lines_are_named_and_no_more() -> None:
    rows = ["bad"] * (MAX_NAMED + 50)
    replay = Replay(rows_of(*rows, 1), start_ns=START_NS)
    assert replay.bad_count == MAX_NAMED + 50
    assert len(replay.bad_lines) == MAX_NAMED


def test_a_file_without_events_is_an_error() -> None:
    with pytest.raises(ReplayError, match="2 bad lines, first file 1: one"):
        Replay(rows_of("one", "two"), start_ns=START_NS, loops=None)
    with pytest.raises(ReplayError, match="0 bad lines"):
        Replay(rows_of(), start_ns=START_NS)


def test_time_never_runs_back() -> None:
    replay = Replay(rows_of(100, 50, 60, 130), start_ns=START_NS)
    assert times(replay) == [0, 0, 0, 30]
    assert replay.back_count == 2


def test_what_is_due_is_taken_by_time() -> None:
    replay = Replay(rows_of(100, 160, 400), start_ns=START_NS)
    assert [event.data["was"] for event in replay.take_until(START_NS + 60)] == [100, 160]
    assert replay.next_time_ns() == START_NS + 300
    assert len(replay.take_until(START_NS + 10**9)) == 1
    with pytest.raises(IndexError):
        replay.take()


def test_a_replay_merges_with_a_store_day() -> None:
    store_day = StoreDay(1)
    replay = Replay(rows_of(0, 10**9), start_ns=store_day.start_ns)
    events = Merged([store_day.stream(), replay]).take_until(store_day.start_ns + 60 * 10**9)
    assert sum(event.type == "x" for event in events) == 2
    assert all(one.time_ns <= other.time_ns for one, other in pairwise(events))


def test_speed_and_rounds_have_limits() -> None:
    with pytest.raises(ValueError, match="speed"):
        Replay(rows_of(1), start_ns=0, speed=0)
    with pytest.raises(ValueError, match="loops"):
        Replay(rows_of(1), start_ns=0, loops=0)


@pytest.mark.skipif(find_data(Path.cwd()) is None, reason="no data sets here")
def test_a_data_set_is_replayed_in_a_minute() -> None:
    folder = find_data(Path.cwd())
    assert folder is not None
    paths = [folder / CLIMATE_FILES[0]]
    replay = Replay(lambda: climate_rows(paths), start_ns=START_NS, speed=10_000)
    events = list(take_events(replay))
    assert len(events) == 8_143
    assert replay.bad_count == 0
    assert events[-1].time_ns - START_NS < 60 * 10**9
