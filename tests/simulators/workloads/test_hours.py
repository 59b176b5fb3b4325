from random import Random

import pytest

from whimbrel_sim.workloads.hours import BLACK_FRIDAY, ORDINARY, Day

HOUR_MS = 3_600_000
DAYS = [ORDINARY, BLACK_FRIDAY, Day(opens_h=0, closes_h=24, rush=(1,) * 24, utc_offset_h=-5)]
ABROAD = Day(opens_h=9, closes_h=18, rush=tuple(range(1, 25)), utc_offset_h=9)


def test_a_wait_goes_on_at_the_next_opening() -> None:
    evening = 19 * HOUR_MS + 1_800_000
    assert ORDINARY.later(evening, 600_000) == evening + 600_000
    assert ORDINARY.later(evening, HOUR_MS) == (24 + 8) * HOUR_MS + 1_800_000
    assert ORDINARY.later(evening, 1_800_000) == (24 + 8) * HOUR_MS
    assert ORDINARY.later(2 * HOUR_MS, 5) == 8 * HOUR_MS + 5
    assert ORDINARY.later(23 * HOUR_MS, 5) == (24 + 8) * HOUR_MS + 5


@pytest.mark.parametrize("day", [*DAYS, ABROAD])
def test_the_wait_can_be_read_from_the_two_times(day: Day) -> None:
    rng = Random(4)
    time_ms = day.later(20_000 * 24 * HOUR_MS, 0)
    for _ in range(2_000):
        wait_ms = int(rng.expovariate(1 / (2 * HOUR_MS)))
        after_ms = day.later(time_ms, wait_ms)
        assert day.is_open(after_ms)
        assert day.opened_ms(after_ms) - day.opened_ms(time_ms) == wait_ms
        time_ms = after_ms


def test_hours_are_those_of_the_store() -> None:
    assert not ABROAD.is_open(9 * HOUR_MS)  # 18 there
    assert ABROAD.is_open(0)  # 9 there
    assert ABROAD.rush_at(0) == 10


def test_a_day_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="within 0 to 24"):
        Day(opens_h=20, closes_h=8, rush=(1,) * 24)
    with pytest.raises(ValueError, match="24 factors"):
        Day(opens_h=8, closes_h=20, rush=(1,) * 23)
