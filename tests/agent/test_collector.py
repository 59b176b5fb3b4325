import gc
from collections.abc import Iterator

import pytest

from whimbrel_agent.collector import YOUNG_OBJECTS, spare_the_collector
from whimbrel_agent.intake.bodies import LineReader


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_was_imported_is_not_searched_again_and_new_cycles_are_still_found() -> None:
    spare_the_collector()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] == YOUNG_OBJECTS
    assert gc.isenabled()
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1


def test_events_leave_nothing_behind_for_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        reader = LineReader(now_ns=1)
        line = b'{"type": "t", "source": "s", "zone": "z", "data": {"v": [1, {"w": 2}]}}\n'
        slices = list(reader.feed(line * 200))
        assert sum(len(part.events) for part in slices) == 200
        del slices, reader
        assert gc.collect() == 0
    finally:
        gc.enable()
