"""What of numeric series goes first, and what stands for it."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.buffer.thinning import MIN_HALVED, Step, thin
from whimbrel_protocol.event import SUMMARY_COUNT, SUMMARY_FROM, Event, validate_event

Item = tuple[int, Event]


def reading(number: int, *, source: str = "fridge-1", **data: object) -> Event:
    values = data or {"celsius": 4 + number / 10, "unit": "C"}
    return Event(type="temperature", source=source, time_ns=number * 10**9, data=values)


def series(count: int, *, first: int = 1, **more: object) -> list[Item]:
    return [(first + n, reading(n, **more)) for n in range(count)]  # type: ignore[arg-type]


def test_every_other_value_goes_and_the_newest_stays() -> None:
    items = series(7)
    kept = thin(items, Step.HALVE)
    assert kept == [items[0], items[2], items[4], items[6]]
    assert thin(series(8), Step.HALVE) == series(8)[1::2]


def test_few_values_are_not_halved() -> None:
    assert thin(series(MIN_HALVED - 1), Step.HALVE) is None
    assert thin(series(MIN_HALVED), Step.HALVE) is not None


def test_a_summary_takes_the_last_place_and_says_what_it_is() -> None:
    items = series(5, first=11)
    ((sequence, summary),) = thin(items, Step.SUMMARISE) or []
    assert sequence == 15
    assert summary.data == {
        "celsius": 4.2, "celsius_min": 4.0, "celsius_max": 4.4, "unit": "C",
    }  # fmt: skip
    assert summary.extensions == {SUMMARY_COUNT: 5, SUMMARY_FROM: 0}
    assert summary.time_ns == items[-1][1].time_ns
    validate_event(summary)


def test_each_source_is_a_series_of_its_own_and_order_is_kept() -> None:
    items = [(n + 1, reading(n // 2, source=f"fridge-{n % 2}", watts=float(n))) for n in range(20)]
    halved = thin(items, Step.HALVE) or []
    assert [sequence for sequence, _ in halved] == [3, 4, 7, 8, 11, 12, 15, 16, 19, 20]
    summed = thin(items, Step.SUMMARISE) or []
    assert [sequence for sequence, _ in summed] == [19, 20]


def test_what_is_no_series_of_numbers_stays() -> None:
    sales = [(n, reading(n, sku=f"A{n}", price=2.5)) for n in range(10)]
    flags = [(n, reading(n, open=n % 2 == 0)) for n in range(10)]
    endless = [(n, reading(n, watts=math.inf if n == 3 else 1.0)) for n in range(10)]
    labelled = [(n, replace(reading(n), extensions={"trace": n})) for n in range(10)]
    for items in (sales, flags, endless, labelled):
        assert thin(items, Step.HALVE) is None
        assert thin(items, Step.SUMMARISE) is None


def test_a_summary_is_not_summed_up_again() -> None:
    once = thin(series(9), Step.SUMMARISE) or []
    again = thin([*once, (10, reading(10))], Step.SUMMARISE)
    assert again is None


def test_names_that_are_taken_are_left_alone() -> None:
    items = [(n, reading(n, watts=float(n), watts_min=0.0)) for n in range(6)]
    assert thin(items, Step.SUMMARISE) is None
    long = [(n, replace(reading(n), data={"w" * 254: float(n)})) for n in range(6)]
    assert thin(long, Step.SUMMARISE) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=True), st.text(max_size=3)),
        ),
        max_size=40,
    ),
    st.sampled_from(Step),
)
def test_what_is_kept_is_in_order_valid_and_within_the_values(
    values: list[tuple[str, object]], step: Step
) -> None:
    items = [
        (n + 1, reading(n, source=source, value=value)) for n, (source, value) in enumerate(values)
    ]
    kept = thin(items, step)
    if kept is None:
        return
    assert 0 < len(kept) < len(items)
    assert [sequence for sequence, _ in kept] == sorted({sequence for sequence, _ in kept})
    last = {event.source: sequence for sequence, event in items}
    assert set(last.values()) <= {sequence for sequence, _ in kept}
    for sequence, event in kept:
        validate_event(event)
        if SUMMARY_COUNT not in event.extensions:
            assert (sequence, event) in items or event.data != event.data
            continue
        given_values = [v for source, v in values if source == event.source]
        assert event.extensions[SUMMARY_COUNT] == len(given_values)
        assert event.data["value_min"] == min(given_values)  # type: ignore[type-var]
        assert event.data["value_max"] == max(given_values)  # type: ignore[type-var]
