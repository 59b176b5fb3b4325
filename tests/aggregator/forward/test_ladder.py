from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whimbrel_aggregator.forward.ladder import (
    DWELL_S,
    Ladder,
    Rung,
    Rungs,
    asked_of_devices,
    silent_lanes,
    thinned_lanes,
)

ALL = Rungs(sampled_after_s=100, summarised_after_s=200, store_only_after_s=300, shed_after_s=400)


def along(ages: list[float], rungs: Rungs = ALL, *, step_s: float = DWELL_S) -> list[Rung]:
    """The rungs on which a route stands as its backlog's age goes through these."""
    ladder, stood = Ladder(), []
    for number, age_s in enumerate(ages):
        ladder = ladder.moved(rungs, age_s, now_s=number * step_s)
        stood.append(ladder.rung)
    return stood


def test_without_rungs_everything_is_forwarded_however_late() -> None:
    assert Ladder().moved(Rungs(), 1e9, now_s=5.0) == Ladder()


def test_what_is_asked_of_devices_ends_with_summaries() -> None:
    assert [asked_of_devices(rung).name for rung in Rung] == [
        "FULL", "SAMPLED", "SUMMARISED", "SUMMARISED", "SUMMARISED",
    ]  # fmt: skip


def test_it_steps_down_with_the_age_of_the_backlog_and_at_once() -> None:
    assert along([99, 100, 250, 399, 400]) == [
        Rung.FULL,
        Rung.SAMPLED,
        Rung.SUMMARISED,
        Rung.STORE_ONLY,
        Rung.SHED,
    ]
    assert along([1_000]) == [Rung.SHED]


def test_it_steps_up_one_rung_at_a_time_below_half_the_age() -> None:
    assert along([300, 150, 149, 99, 49]) == [
        Rung.STORE_ONLY,
        Rung.STORE_ONLY,
        Rung.SUMMARISED,
        Rung.SAMPLED,
        Rung.FULL,
    ]


def test_it_stays_on_a_rung_for_a_while() -> None:
    assert along([300, 0, 0, 0], step_s=DWELL_S / 3) == [Rung.STORE_ONLY] * 3 + [Rung.SUMMARISED]


def test_rungs_that_it_was_not_given_are_left_out() -> None:
    only = Rungs(store_only_after_s=60)
    assert along([59, 60, 29], only) == [Rung.FULL, Rung.STORE_ONLY, Rung.FULL]


def test_it_says_why() -> None:
    down = Ladder().moved(ALL, 230.4, now_s=0.0)
    assert down.reason == "the backlog is 230 s old, summarised from 200 s on"
    up = down.moved(ALL, 20, now_s=DWELL_S)
    assert up.reason == "the backlog is 20 s old, summarised ends below half its age"
    assert up.moved(ALL, 20, now_s=2 * DWELL_S).reason == ""


@given(st.lists(st.floats(0, 1_000), max_size=50))
def test_a_steady_backlog_finds_a_rung_and_stays_there(ages: list[float]) -> None:
    ladder = Ladder()
    for number, age_s in enumerate(ages):
        ladder = ladder.moved(ALL, age_s, now_s=float(number))
    steady = ages[-1] if ages else 0.0
    seen = []
    for number in range(20):
        ladder = ladder.moved(ALL, steady, now_s=1_000 + number * DWELL_S)
        seen.append(ladder.rung)
    assert len(set(seen[10:])) == 1


def test_critical_is_never_left_out() -> None:
    for rung in Rung:
        assert "critical" not in thinned_lanes(rung)
        assert silent_lanes(rung) <= thinned_lanes(rung)
    assert silent_lanes(Rung.STORE_ONLY) == {"normal", "bulk"}
    assert silent_lanes(Rung.SHED) == {"high", "normal", "bulk"}
