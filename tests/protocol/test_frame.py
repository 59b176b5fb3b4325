"""Frames."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_protocol import cborform, cose
from whimbrel_protocol.errors import LocalProtocolError, RemoteProtocolError
from whimbrel_protocol.frame import FRAME_KIND, open_frame, open_range, seal_frame
from whimbrel_protocol.header import (
    MAX_TIME_S,
    MIN_TIME_S,
    FrameHeader,
    InnerGap,
    UnsupportedVersionError,
    gap_header,
    name_zones,
)
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import LANES, ClockQuality, GapReason, Order
from whimbrel_protocol.limits import MAX_FRAME_EVENTS, MAX_SPAN
from whimbrel_protocol.names import Address

KEY = PrivateKey(bytes(range(32)))
ADDRESS = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")
HEADER = FrameHeader(
    address=ADDRESS,
    lane="normal",
    epoch=1 << 40 | 12345,
    first=12_346,
    span=500,
    count=500,
    time_min_s=1_700_000_000,
    time_max_s=1_700_000_100,
    mono_ms=12_345_678_901,
    boot_id=b"\x01\x02\x03\x04",
    clock=ClockQuality.SYNCED,
)


@st.composite
def headers(draw: st.DrawFn) -> FrameHeader:
    gaps, at, gapped = [], 0, 0
    for _ in range(draw(st.integers(0, 5))):
        offset = at + draw(st.integers(0, 50))
        count = draw(st.integers(1, 50))
        gaps.append(InnerGap(offset, count, draw(st.sampled_from(list(GapReason)))))
        at, gapped = offset + count, gapped + count
    span = max(1, at + draw(st.integers(0, 100)))
    time_min = draw(st.integers(MIN_TIME_S, MAX_TIME_S - 2**20))
    return replace(
        HEADER,
        lane=draw(st.sampled_from(LANES)),
        order=draw(st.sampled_from(list(Order))),
        epoch=draw(st.integers(1, 2**63 - 1)),
        first=draw(st.integers(1, 2**62)),
        span=span,
        count=span - gapped,
        gaps=tuple(gaps),
        time_min_s=time_min,
        time_max_s=time_min + draw(st.integers(0, 2**20)),
        zones=name_zones(draw(st.lists(st.sampled_from(["a", "cold", "dairy", "till-area"])))),
        dictionary=draw(st.sampled_from([b"", bytes(32)])),
        extra=draw(st.dictionaries(st.integers(100, 200), st.text(max_size=5), max_size=3)),
    )


@given(headers(), st.binary(max_size=100).map(b"\x20".__add__))
def test_a_sealed_frame_opens_to_the_same_header_and_columns(
    header: FrameHeader, columns: bytes
) -> None:
    frame = open_frame(seal_frame(header, columns, KEY))
    frame.verify(KEY.public)
    assert frame.header == header
    assert frame.columns == columns
    sequences = list(frame.header.sequences())
    assert len(sequences) == header.count
    assert sequences == sorted(set(sequences))


def test_sealing_twice_gives_the_same_bytes() -> None:
    assert seal_frame(HEADER, b"columns", KEY) == seal_frame(HEADER, b"columns", KEY)


@pytest.mark.parametrize("zones", [(), ("cold",), ("cold", "front", "till-area"), None])
def test_everything_but_the_columns_of_a_typical_frame_is_under_200_bytes(
    zones: tuple[str, ...] | None,
) -> None:
    header = replace(HEADER, zones=zones)
    assert len(seal_frame(header, bytes(8_000), KEY)) - 8_000 <= 190


def test_columns_that_declare_more_than_a_frame_may_hold_are_refused() -> None:
    for columns in (b"\x12\x81\x80\x80\x02", b"\x10" + b"\xff" * 12):
        with pytest.raises(RemoteProtocolError):
            open_frame(seal_frame(HEADER, columns, KEY))


def test_columns_of_a_form_that_is_not_known_here_are_left_to_who_knows_them() -> None:
    for columns in (b"", b"\x1f" + b"\xff" * 12, b"\x22" + b"\xff" * 12):
        assert open_frame(seal_frame(HEADER, columns, KEY)).columns == columns


def test_a_gap_frame_carries_a_long_span_and_no_event() -> None:
    header = gap_header(
        ADDRESS,
        lane="bulk",
        order=Order.IN_ORDER,
        epoch=9,
        first=7,
        span=MAX_SPAN,
        reason=GapReason.EVICTED,
    )
    frame = open_frame(seal_frame(header, b"", KEY))
    assert frame.header.count == 0
    assert frame.header.last == MAX_SPAN + 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 499},
        {"span": 501},
        {"first": 0},
        {"gaps": (InnerGap(0, 1, 1),)},
        {"gaps": (InnerGap(499, 2, 1),), "count": 498},
        {"gaps": (InnerGap(5, 2, 1), InnerGap(6, 1, 1)), "count": 497},
        {"span": MAX_FRAME_EVENTS + 1, "count": MAX_FRAME_EVENTS + 1},
        {"boot_id": b"short"},
        {"time_max_s": 0},
        {"time_max_s": MAX_TIME_S + 1},
        {"time_min_s": MIN_TIME_S - 1},
    ],
)
def test_a_header_that_contradicts_itself_is_refused_on_both_sides(
    wrong: dict[str, object],
) -> None:
    header = replace(HEADER, **wrong)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        seal_frame(header, b"", KEY)


def _remote(place: int | str, value: object) -> bytes:
    """Seal the frame with another value at a place (a number) or under a key (``key N``)."""
    header = replace(HEADER, extra={99: "label"})
    parts = cborform.load(cose.parse(seal_frame(header, b"c", KEY)).payload, "frame")
    if isinstance(place, int):
        parts[1][place] = value
    else:
        parts[1][13][int(place.removeprefix("key "))] = value
    return cose.sign(cborform.dump(parts), KEY)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (1, None),
        (1, "Acme"),
        (3, "all"),
        (4, 7),
        (5, 8),
        (5, True),
        (6, 0),
        (7, 2**63),
        (8, 0),
        (8, 2**41),
        (9, 2**63),
        (10, -1),
        (11, b"short"),
        (12, 9),
        (13, []),
        (13, {"text": 1}),
        ("key 1", 600),
        ("key 2", [[1, 2]]),
        ("key 2", [["a", 2, 3]]),
        ("key 3", -1),
        ("key 4", "Zone 1"),
        ("key 4", ["a", "b", "c", "d"]),
        ("key 4", False),
        ("key 4", None),
        ("key 5", b"short"),
    ],
)
def test_a_header_from_outside_that_breaks_a_rule_is_refused(
    place: int | str, value: object
) -> None:
    with pytest.raises(RemoteProtocolError):
        open_frame(_remote(place, value))


def test_a_header_of_too_few_or_too_many_places_is_refused() -> None:
    parts = cborform.load(cose.parse(seal_frame(HEADER, b"c", KEY)).payload, "frame")
    wrong: list[object] = [parts[1][:12], [*parts[1], {}], {}, 1]
    for header in wrong:
        with pytest.raises(RemoteProtocolError):
            open_frame(cose.sign(cborform.dump([0, header, b"c"]), KEY))


def test_an_unknown_version_is_told_apart_from_garbage() -> None:
    data = _remote(0, 2)
    with pytest.raises(UnsupportedVersionError, match="version 2"):
        open_frame(data)
    covered = open_range(cose.parse(data))
    assert (covered.address, covered.lane, covered.order) == (ADDRESS, "normal", Order.IN_ORDER)
    assert (covered.epoch, covered.first, covered.span) == (1 << 40 | 12345, 12_346, 500)


def test_unknown_optional_fields_survive() -> None:
    assert open_frame(_remote("key 98", 7)).header.extra == {98: 7, 99: "label"}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80",
        b"\xff",
        b"\x9f\x00\xff",
        cborform.dump([FRAME_KIND, {}, b""]),
        cborform.dump([FRAME_KIND, {1: 1}, "text"]),
        cborform.dump([16, {1: 1}]),
        b"\x81" * 200 + b"\x00",
        b"\xd8\x1c\x81\xd8\x1d\x00",
        b"\x9b" + b"\xff" * 8,
    ],
)
def test_a_signed_payload_that_is_no_frame_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        open_frame(cose.sign(payload, KEY))


@given(st.binary(max_size=200))
def test_any_signed_bytes_end_in_a_frame_or_a_protocol_error(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        open_frame(cose.sign(payload, KEY))
