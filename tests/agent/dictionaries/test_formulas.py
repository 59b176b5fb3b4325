"""Numbers that can be computed from two others are found; others are not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buffers.learning import learn_from
from whimbrel_agent.dictionaries.formulas import MAX_KEYS, MAX_ROWS, MAX_SEEN, MAX_TYPES, Formulas
from whimbrel_agent.dictionaries.learning import Learner
from whimbrel_agent.dictionaries.sharing import Sharing
from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.dictionaries import Dictionary
from whimbrel_protocol.event import Event
from whimbrel_protocol.formulas import Formula
from whimbrel_protocol.shared import Shared


def readings(
    count: int, derived: Callable[[float, float], Any], *, seed: int = 1, kind: str = "climate"
) -> list[Event]:
    """A room that warms and cools, and what its sensor derives."""
    chance = random.Random(seed)
    celsius, humidity = 20.0, 40.0
    events = []
    for number in range(count):
        celsius = round(min(28.0, max(15.0, celsius + chance.uniform(-0.3, 0.3))), 2)
        humidity = round(min(70.0, max(20.0, humidity + chance.uniform(-0.8, 0.8))), 2)
        data = {
            "celsius": celsius, "humidity": humidity, "co2": 400 + chance.randrange(900),
            "derived": derived(celsius, humidity), "open": bool(number % 2),
        }  # fmt: skip
        events.append(Event(type=kind, source="room-1", time_ns=number * 10**9, data=data))
    return events


def dew_point(celsius: float, humidity: float) -> float:
    """Magnus's formula, with all digits of a double."""
    ratio = math.log(humidity / 100) + 17.62 * celsius / (243.12 + celsius)
    return 243.12 * ratio / (17.62 - ratio)


def found(events: list[Event], *, size: int = 50) -> list[Formula]:
    formulas = Formulas()
    for at in range(0, len(events), size):
        formulas.saw(events[at : at + size])
    return formulas.found()


def test_a_smooth_function_of_two_readings_is_found() -> None:
    [formula] = found(readings(2_000, dew_point))
    assert (formula.type, formula.key) == ("climate", "derived")
    assert {formula.first.key, formula.second.key} == {"celsius", "humidity"}
    said = formula.predict([21.5, 17.25], [45.0, 33.3])
    assert said == pytest.approx([dew_point(21.5, 45.0), dew_point(17.25, 33.3)], rel=1e-4)


def test_a_function_of_one_reading_is_found() -> None:
    [formula] = found(readings(600, lambda celsius, _: celsius * 1.8 + 32))
    assert (formula.first.key, formula.second.key) == ("celsius", "celsius")
    assert formula.degree == 1
    [said] = formula.predict([21.5], [21.5])
    assert said == pytest.approx(21.5 * 1.8 + 32, rel=1e-12)


def test_a_product_that_is_rounded_is_found() -> None:
    events = readings(600, lambda celsius, humidity: round(celsius * humidity, 2))
    [formula] = found(events)
    assert formula.key == "derived"
    [said] = formula.predict([20.12], [41.37])
    assert round(said * 100) == round(20.12 * 41.37 * 100)


def test_nothing_is_found_where_nothing_follows() -> None:
    chance = random.Random(5)
    assert found(readings(600, lambda *_: chance.random())) == []
    assert found(readings(600, lambda *_: 7.5)) == []
    assert found(readings(10, dew_point)) == []


def test_numbers_that_are_no_doubles_and_values_that_are_no_numbers_are_passed_over() -> None:
    events = readings(600, dew_point)
    for number, event in enumerate(events):
        if number % 7 == 3:
            event.data["celsius"] = [None, "warm", math.nan, 2**60, True][number % 5]
    [formula] = found(events)
    assert formula.key == "derived"


def test_samples_are_bounded_and_spread_over_all_that_came() -> None:
    formulas = Formulas()
    for kind in range(2 * MAX_TYPES):
        formulas.saw(readings(3_000, dew_point, kind=f"climate-{kind}"))
    looked_at = [samples for samples in formulas._samples.values() if samples.keys]
    assert len(looked_at) == MAX_TYPES
    for samples in looked_at:
        assert MAX_ROWS / 2 <= len(samples.rows) < MAX_ROWS
    wide = {f"k{n}": float(n) for n in range(3 * MAX_KEYS)}
    fresh = Formulas()
    fresh.saw([Event(type="wide", source="s", time_ns=0, data=wide)])
    assert len(fresh._samples["wide"].keys) == MAX_KEYS


def test_types_without_numbers_are_passed_over() -> None:
    formulas = Formulas()
    for kind in range(2 * MAX_TYPES):
        data = {"open": True, "people": 7, "name": "front"}
        formulas.saw([Event(type=f"door-{kind}", source="s", time_ns=0, data=data)] * 100)
    assert formulas.found() == []
    formulas.saw(readings(600, dew_point))
    assert [formula.key for formula in formulas.found()] == ["derived"]
    for kind in range(2 * MAX_SEEN):
        formulas.saw([Event(type=f"odd-{kind}", source="s", time_ns=0, data={})])
    assert len(formulas._samples) == MAX_SEEN


numbers = st.one_of(st.floats(), st.integers(-(2**80), 2**80), st.none(), st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=24, max_size=80))
def test_whatever_comes_is_borne(rows: list[tuple[Any, Any, Any]]) -> None:
    formulas = Formulas()
    first = (1.5, 2.5, 3.5)
    for a, b, c in [first, *rows, *rows]:
        formulas.saw([Event(type="t", source="s", time_ns=0, data={"a": a, "b": b, "c": c})])
    for formula in formulas.found():
        assert all(map(math.isfinite, formula.coefficients))


def test_the_same_events_give_the_same_formulas() -> None:
    assert found(readings(900, dew_point)) == found(readings(900, dew_point))


def test_a_learner_s_dictionary_has_the_formula_and_frames_use_it() -> None:
    events = readings(6_000, dew_point)
    learned = learn_from(events[at : at + 100] for at in range(0, len(events), 100))
    assert [formula.key for formula in learned.dictionary.shared.formulas] == ["derived"]
    sizes = list(map(len, learned.columns))
    assert sum(sizes[-4:]) < 0.9 * sum(sizes[:4])


def test_a_restarted_learner_keeps_the_formulas_of_before_until_it_has_its_own() -> None:
    first, events = Learner(), readings(3_000, dew_point)
    for at in range(0, 3_000, 100):
        run = events[at : at + 100]
        first.saw(run, encode_events(run), None)
    present = first.learn(None)
    assert isinstance(present, Dictionary)
    assert present.shared.formulas
    restarted = Sharing()
    assert restarted.found(present.shared) == Shared((), present.shared.formulas)
    events = readings(3_000, dew_point, seed=2)
    for at in range(0, 3_000, 100):  # a new fit takes the place of the old one
        restarted.saw(events[at : at + 100], present.shared)
    [formula] = restarted.found(present.shared).formulas
    assert formula.key == "derived"
    assert formula not in present.shared.formulas
