"""Histograms are found where they say more than other forms do, and within a dictionary's bounds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

import pytest

from whimbrel_agent.dictionaries.hindsight import Known
from whimbrel_agent.dictionaries.histograms import LEAST_VALUES, StreamValues
from whimbrel_agent.dictionaries.trials import cut_of, finish, judge_shared
from whimbrel_protocol.batch import decode_events, encode_events
from whimbrel_protocol.columns.histograms import SHARE_BITS, Histogram, Histograms
from whimbrel_protocol.columns.roster import Roster, series_of
from whimbrel_protocol.dictionaries import Dictionary, join_content
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import (
    MAX_BINS,
    MAX_HISTOGRAM_BINS,
    MAX_HISTOGRAMS,
    MAX_TABLES_BYTES,
)
from whimbrel_protocol.shared import NOTHING_SHARED, Shared, read_shared, write_shared
from whimbrel_protocol.tables import Table

WHOLE = 1 << SHARE_BITS
MS = 10**6
S = 10**9

Value = Callable[[random.Random, int], int | str | float]


def frames(
    count: int, size: int, times: Value | None = None, /, **values: Value
) -> list[list[Event]]:
    """Frames of events, each a minute after the one before or when ``times`` says."""
    chance = random.Random(7)
    made = []
    for n in range(count * size):
        data = {key: value(chance, n) for key, value in values.items()}
        time_ns = 60 * n * S if times is None else int(times(chance, n))
        made.append(Event(type="t", source="s", time_ns=time_ns, data=data))
    return [made[at : at + size] for at in range(0, len(made), size)]


def found(
    some: Sequence[list[Event]], shared: Shared = NOTHING_SHARED, before: Known | None = None
) -> Histograms:
    """What is found in frames, of which the newest quarter is judged on."""
    values = StreamValues(shared, before or {})
    cut = cut_of(len(some))
    for events in some[:cut]:
        values.saw(events)
    for events in some[cut:]:
        values.judge(events)
    return finish(values.found())


def of_key(histograms: Histograms, key: str = "v") -> Histogram:
    [one] = [one for one in histograms.all if one.place == ("t", key, 0)]
    return one


def outside(one: Histogram) -> float:
    """The share of what is in no bin."""
    return 1 - sum(each.share for each in one.bins) / WHOLE


def skewed(chance: random.Random, _: int) -> int:
    return min(int(chance.expovariate(0.6)), 12)


def size_of(some: Iterable[list[Event]], shared: Shared) -> int:
    """What frames take with this shared; they must come back."""
    dictionary = Dictionary(join_content(b"", shared)) if shared else None
    at_hand = {} if dictionary is None else {dictionary.name: dictionary}
    sizes = []
    for events in some:
        sizes.append(len(columns := encode_events(events, dictionary=dictionary)))
        assert decode_events(columns, at_hand) == events
    return sum(sizes)


# ------------------------------------------------------------------ what is found


def test_how_often_small_numbers_come() -> None:
    some = frames(24, 60, v=skewed)
    one = of_key(found(some))
    assert (one.differences, one.step, one.base) == (False, 1, 0)
    assert [each.share for each in one.bins[:3]] == sorted(
        (each.share for each in one.bins[:3]), reverse=True
    )
    zeros = sum(event.data["v"] == 0 for events in some for event in events) / (24 * 60)
    assert one.bins[0].bits == 0
    assert one.bins[0].share / WHOLE == pytest.approx(zeros, rel=0.05)


def test_frames_that_come_later_are_smaller_by_it() -> None:
    some = frames(48, 60, v=skewed)
    shared = Shared(histograms=found(some[:24]))
    assert size_of(some[24:], shared) < size_of(some[24:], NOTHING_SHARED)


def test_times_of_milliseconds_are_steps_of_a_few_wide_bins() -> None:
    def at_random(chance: random.Random, n: int) -> int:
        return n * 10 * S + chance.randrange(10_000) * MS

    some = frames(24, 60, at_random, wait=lambda chance, _: chance.randrange(60_000) * MS)
    histograms = found(some)
    wait = of_key(histograms, "wait")
    assert (wait.step, wait.differences) == (MS, False)
    assert 1 <= len(wait.bins) <= 8
    [times] = [one for one in histograms.all if one.place == ("", "", 0)]
    assert (times.step, times.differences) == (MS, True)
    assert 1 <= len(times.bins) <= 16
    assert max(one.bits for one in times.bins) > 8


@pytest.mark.parametrize(
    "value",
    [
        lambda _chance, _n: 5,
        lambda chance, _n: chance.getrandbits(64) - 2**63,
        lambda chance, _n: chance.getrandbits(60) * 3 + 2**40,
        lambda _chance, n: f"{n * 7_919}-{n}",
    ],
    ids=["constant", "noise", "thirds of noise", "texts"],
)
def test_there_is_none_where_other_forms_are_as_short(value: Value) -> None:
    assert not found(frames(24, 60, v=value))


def test_there_is_none_of_too_few_values() -> None:
    size = LEAST_VALUES // 3
    assert not found(frames(3, size, v=skewed)).all
    assert of_key(found(frames(3, size + size // 2 + 1, v=skewed))).bins


def test_values_that_came_once_leave_a_share_to_those_that_never_came() -> None:
    one = of_key(
        found(frames(24, 60, v=lambda c, n: c.getrandbits(50) if n % 30 == 0 else skewed(c, n)))
    )
    assert outside(one) > 0.8 / 30


def test_a_walk_is_told_by_its_differences() -> None:
    at = [500_000]

    def walk(chance: random.Random, _: int) -> int:
        at[0] += chance.choice((-3, -1, -1, 0, 0, 0, 0, 1, 1, 2))
        return at[0]

    one = of_key(found(frames(24, 60, v=walk)))
    assert one.differences
    assert 499_000 < one.before < 501_000
    steps = {one.base + each.start for each in one.bins if not each.bits}
    assert {-1, 0, 1} <= steps


def test_streams_of_one_column_and_of_a_shape_s_times_have_places_of_their_own() -> None:
    def at(source: str, event_type: str, n: int, late: int) -> Event:
        return Event(type=event_type, source=source, time_ns=n * S + late, data={"v": n % 3})

    chance = random.Random(1)
    some = [
        [
            at(f"s{n % 4}", "ab"[n % 2], 200 * frame + n, int(chance.expovariate(1) * 9) * MS)
            for n in range(120)
        ]
        for frame in range(16)
    ]
    roster = Roster(tuple(sorted({series_of(one) for one in some[0]}, key=repr)))
    places = {one.place for one in found(some, Shared(roster=roster)).all}
    assert {("", "times", 0), ("", "times", 1)} <= places


# ------------------------------------------------------------------ bounds


def test_bins_of_many_keys_stay_within_a_dictionary() -> None:
    chance = random.Random(2)
    words = {f"k{n}": [chance.getrandbits(40) for _ in range(90)] for n in range(60)}
    keys: dict[str, Value] = {
        key: (lambda chance, _, some=some: chance.choice(some))  # type: ignore[misc]
        for key, some in words.items()
    }
    histograms = found(frames(8, 150, **keys))
    assert MAX_BINS * 0.9 < sum(len(one.bins) for one in histograms.all) <= MAX_BINS
    assert read_shared(write_shared(Shared(histograms=histograms))).histograms == histograms


def test_there_are_no_more_histograms_than_a_dictionary_may_have() -> None:
    keys: dict[str, Value] = {f"k{n:03}": skewed for n in range(MAX_HISTOGRAMS + 9)}
    histograms = found(frames(8, 60, **keys))
    assert len(histograms.all) == MAX_HISTOGRAMS
    assert read_shared(write_shared(Shared(histograms=histograms))).histograms == histograms


def test_one_histogram_has_a_bound_too() -> None:
    chance = random.Random(2)
    words = [chance.getrandbits(50) for _ in range(MAX_HISTOGRAM_BINS + 200)]
    some = frames(16, 500, v=lambda chance, _: words[min(int(chance.expovariate(0.003)), 1_220)])
    one = of_key(found(some))
    assert 100 < len(one.bins) <= MAX_HISTOGRAM_BINS
    assert all(each.share >= 1 for each in one.bins)
    assert outside(one) > 0


@pytest.mark.parametrize("far", [2**40, 2**50, -(2**50)])
@pytest.mark.parametrize("frame", [3, 23])
def test_a_value_far_away_changes_little(far: int, frame: int) -> None:
    some = frames(24, 60, v=skewed)
    usual = of_key(found(some))
    some[frame][9].data["v"] = far
    one = of_key(found(some))
    assert one.bits_a_value == pytest.approx(usual.bits_a_value, rel=0.05)
    shared = Shared(histograms=Histograms([one]))
    assert size_of(some, shared) < size_of(some, NOTHING_SHARED)


@pytest.mark.parametrize("far", [2**62, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("frame", [3, 23])
def test_one_at_the_end_of_64_bits_does_no_harm(far: int, frame: int) -> None:
    some = frames(24, 60, v=skewed)
    some[frame][9].data["v"] = far
    shared = Shared(histograms=found(some))
    assert size_of(some, shared) <= size_of(some, NOTHING_SHARED)


def test_a_dictionary_that_is_full_of_tables_has_no_room_for_them() -> None:
    rows: dict[str, tuple[()]] = {
        f"{random.Random(n).randbytes(16).hex()}": () for n in range(1_980)
    }
    full = Shared((Table("t", "text", (), rows),))
    assert MAX_TABLES_BYTES - 200 < len(write_shared(full)) <= MAX_TABLES_BYTES
    keys: dict[str, Value] = {f"k{n}": skewed for n in range(20)}
    recent = [(encode_events(events), None) for events in frames(12, 60, **keys)]
    known = [Dictionary(one.content) for one in finish(judge_shared(recent, b"", full, None))]
    assert any(one.shared.tables for one in known)


def test_times_of_the_last_of_many_shapes_have_a_place_that_can_be_told() -> None:
    chance = random.Random(1)

    def frame(number: int) -> list[Event]:
        start = number * 10**13
        shapes = [*sorted([*range(260)] * 3), *[259] * 200]
        late = [start + n * chance.choice((1, 2, 3, 5)) * S for n in range(len(shapes))]
        return [
            Event(type=f"t{shape:03}", source="s", time_ns=time_ns, data={"v": 1})
            for shape, time_ns in zip(shapes, late, strict=True)
        ]

    some = [frame(number) for number in range(5)]
    roster = Roster(tuple(sorted({series_of(one) for one in some[0]}, key=repr)))
    shared = Shared(roster=roster, histograms=found(some, Shared(roster=roster)))
    assert read_shared(write_shared(shared)) == shared


# ------------------------------------------------------------------ texts of a table


ARTICLES = [f"{n * 7_919 % 100_003:05}-{n}" for n in range(2_000)]
ALL_OF_THEM = Shared((Table("t", "v", (), dict.fromkeys(sorted(ARTICLES), ())),))


def articles(new: float) -> Value:
    """Articles, most of them out of fifty and some that come for the first time."""
    fresh = iter(ARTICLES[50:])
    return lambda chance, _: (
        next(fresh) if chance.random() < new else ARTICLES[chance.randrange(50)]
    )


@pytest.mark.parametrize("new", [0.02, 0.1, 0.3])
def test_texts_that_come_for_the_first_time_keep_a_share(new: float) -> None:
    one = of_key(found(frames(24, 60, v=articles(new)), ALL_OF_THEM))
    [first] = [each for each in one.bins if each.start == 0 and one.base == 0]
    assert first.bits == 0  # number 0: not a row
    assert first.share / WHOLE > 0.8 * new


def test_a_text_that_no_table_knows_costs_little_then() -> None:
    some = frames(24, 60, v=articles(0.1))
    shared = Shared(ALL_OF_THEM.tables, histograms=found(some, ALL_OF_THEM))
    known = [ARTICLES[random.Random(n).randrange(50)] for n in range(60)]

    def frame(new: int) -> list[Event]:
        texts = [*known[new:], *(f"another-{n}" for n in range(new))]
        return [
            Event(type="t", source="s", time_ns=60 * n * S, data={"v": text})
            for n, text in enumerate(texts)
        ]

    few = size_of([frame(1)], shared) - size_of([frame(0)], shared)
    assert few < len("another-0") + 6
    assert size_of([frame(5)], shared) - size_of([frame(1)], shared) < 4 * 6


def test_what_tables_knew_before_is_not_new() -> None:
    some = frames(24, 60, v=articles(0.3))
    everything = set(ARTICLES)
    one = of_key(found(some, ALL_OF_THEM, {0: everything}))
    assert not any(each.start == 0 for each in one.bins) or one.base > 0
    known = {0: everything}
    found(some, ALL_OF_THEM, known)
    assert known == {0: everything}  # and the caller's stays as it is


def test_the_same_frames_give_the_same_histograms() -> None:
    some = frames(12, 60, v=skewed, w=articles(0.1))
    assert found(some, ALL_OF_THEM) == found(some, ALL_OF_THEM)
