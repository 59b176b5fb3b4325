"""Decoding gives back exactly what was encoded, for any events within the limits.

``repr`` tells apart what ``==`` does not: 1, 1.0 and True; 0.0 and -0.0; Decimal("1") and
Decimal("1.0"); the order of keys; and it makes NaN equal to NaN.
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whimbrel_protocol.batch import columns_info, decode_events, encode_events
from whimbrel_protocol.columns.reading import read_body
from whimbrel_protocol.columns.roster import KnownSeries, KnownShape, Roster, series_of
from whimbrel_protocol.columns.writing import write_body
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.limits import MAX_DECIMAL_EXPONENT, MAX_FRAME_EVENTS
from whimbrel_protocol.rows import pack_event, pack_events, unpack_event, unpack_events
from whimbrel_protocol.shared import Shared

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
_decimals = st.builds(
    lambda sign, coefficient, exponent: Decimal(
        (sign, tuple(map(int, str(coefficient))), exponent)
    ),
    st.integers(0, 1),
    st.one_of(st.integers(0, 1000), st.integers(0, 10**76 - 1)),
    st.one_of(st.integers(-4, 4), st.integers(-MAX_DECIMAL_EXPONENT, MAX_DECIMAL_EXPONENT)),
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**256), 2**256 - 1),
    st.integers(-5, 5),
    st.floats(),
    st.floats(-1000, 1000).map(lambda value: round(value, 2)),
    st.sampled_from([0.0, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, 1e308]),
    _decimals,
    _texts,
    st.sampled_from(["", "0", "007", "12", "a\x00b", "\x00"]),
    st.binary(max_size=20),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def _frames(draw: st.DrawFn) -> list[Event]:
    """Frames of a few series whose keys, types and sources repeat, as real ones do."""
    keys = draw(st.lists(_keys, min_size=1, max_size=5, unique=True))
    column = {
        key: draw(st.sampled_from([_scalars, _values, st.none() | st.floats()])) for key in keys
    }
    lane = draw(st.sampled_from(LANES))
    names = st.sampled_from(draw(st.lists(_keys, min_size=1, max_size=3)))
    optional_texts = st.none() | _texts.filter(bool)
    zones = st.sampled_from([None, "a", "front-1"])

    def data() -> dict[str, Any]:
        picked = draw(st.permutations(keys))[: draw(st.integers(0, len(keys)))]
        return {key: draw(column[key]) for key in picked}

    return [
        Event(
            type=draw(names),
            source=draw(names),
            time_ns=draw(st.integers(-(2**63), 2**63 - 1)),
            data=data(),
            zone=draw(zones),
            subject=draw(optional_texts),
            lane=lane,
            dedup_key=draw(optional_texts),
            extensions=data() if draw(st.integers(0, 4)) == 0 else {},
        )
        for _ in range(draw(st.integers(0, 12)))
    ]


@st.composite
def _columns(draw: st.DrawFn) -> list[Event]:
    """One long column of one kind, so that every encoding of it gets its turn."""
    kind = draw(
        st.sampled_from(
            [
                st.integers(-(2**63), 2**63 - 1),
                st.integers(0, 3),
                st.integers(1_000_000, 1_000_500),
                st.sampled_from([7, 7, 7, 7, 90_000, -5]),
                st.integers(0, 400).map(lambda n: 721.25 + n / 4),
                st.integers(1, 900).map(lambda n: float(f"{n / 3:.15g}")),
                st.integers(1, 900).map(lambda n: n / 7),
                st.integers(1, 10**15).map(lambda n: n / 10**17),
                st.floats(),
                st.sampled_from([0.5, -0.0, 0.0, 1.5, float("nan")]),
                st.integers(0, 99).map("item {}".format),
                st.integers(0, 9_999).map("{:06d}".format),
                st.integers(0, 2**62).map(str),
                st.booleans(),
                st.integers(0, 10**6).map(lambda n: Decimal(n).scaleb(-2)),
                st.none() | st.integers(0, 9),
            ]
        )
    )
    values = draw(st.lists(kind, min_size=1, max_size=60))
    repeats = draw(st.integers(1, 4))
    step = draw(st.sampled_from([1, 60 * 10**9, 10**6]))
    return [
        Event(type="t", source="s", time_ns=at * step, data={"v": value})
        for at, value in enumerate(value for value in values for _ in range(repeats))
    ]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(_frames(), st.randoms(use_true_random=False), st.integers(0, 8))
def test_frames_come_back_whatever_a_dictionary_knows_of_their_series(
    events: list[Event], chosen: random.Random, strangers: int
) -> None:
    series = {series_of(event) for event in events}
    known = [one for one in sorted(series, key=repr) if chosen.random() < 0.7]
    shape = KnownShape("stranger", 0, ("a",), ())
    known += [KnownSeries(shape, f"s{number}", None) for number in range(strangers)]
    chosen.shuffle(known)
    shared = Shared(roster=Roster(tuple(known)))
    lane = LANES.index(events[0].lane) if events else 0
    assert repr(read_body(write_body(events, lane, shared=shared).raw, shared)) == repr(events)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    events=st.one_of(_frames(), _columns()), codec=st.sampled_from(["none", "lz4", "zstd", "auto"])
)
def test_columns_give_back_exactly_what_went_in(events: list[Event], codec: str) -> None:
    data = encode_events(events, codec=codec)
    assert repr(decode_events(data)) == repr(events)
    assert encode_events(events, codec=codec) == data
    assert repr(decode_events(encode_events(events, codec=codec, light=True))) == repr(events)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(events=_frames())
def test_rows_give_back_exactly_what_went_in(events: list[Event]) -> None:
    assert repr(unpack_events(pack_events(events))) == repr(events)
    assert repr([unpack_event(pack_event(event)) for event in events]) == repr(events)


@pytest.mark.parametrize("count", [0, 1, 2, 255, 256, 257, MAX_FRAME_EVENTS])
def test_frames_of_every_size_give_back_exactly_what_went_in(count: int) -> None:
    rng = random.Random(count)
    events = [
        Event(
            type=rng.choice(["climate", "door"]),
            source=f"room-{rng.randrange(5)}",
            time_ns=1_700_000_000_000_000_000 + at * 60_000_000_000 + rng.randrange(3) * 10**6,
            data={"value": round(rng.gauss(21, 3), 2), "n": rng.choice([None, at, "x", 1.0])},
        )
        for at in range(count)
    ]
    data = encode_events(events)
    assert repr(decode_events(data)) == repr(events)
    assert repr(decode_events(encode_events(events, light=True))) == repr(events)
    assert columns_info(data)[1] > 0
    assert repr(
        [event for each in events[:9] for event in decode_events(encode_events([each]))]
    ) == (repr(events[:9]))


@settings(deadline=None)
@given(noise=st.binary(min_size=1, max_size=5_000), codec=st.sampled_from(["lz4", "zstd", "auto"]))
def test_incompressible_data_grows_by_almost_nothing(noise: bytes, codec: str) -> None:
    event = Event(type="blob", source="camera", time_ns=1, data={"bytes": noise})
    plain = encode_events([event], codec="none")
    assert len(encode_events([event], codec=codec)) <= len(plain) * 1.001 + 8
