"""Frames."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_protocol import cborform, cose
from whimbrel_protocol.errors import LocalProtocolError, RemoteProtocolError
from whimbrel_protocol.frame import (
    FRAME_KIND,
    FrameHeader,
    InnerGap,
    UnsupportedVersionError,
    gap_header,
    open_frame,
    seal_frame,
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
    time_min_ns=1_700_000_000_000_000_000,
    time_max_ns=1_700_000_100_000_000_000,
    mono_ns=12_345_678_901_234,
    boot_id=b"\x01\x02\x03\x04\x05\x06\x07\x08",
    clock=ClockQuality.SYNCED,
    codec=2,
    raw_size_bytes=20_000,
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
    time_min = draw(st.integers(-(2**63), 2**63 - 2**40))
    return replace(
        HEADER,
        lane=draw(st.sampled_from(LANES)),
        order=draw(st.sampled_from(list(Order))),
        epoch=draw(st.integers(1, 2**63 - 1)),
        first=draw(st.integers(1, 2**62)),
        span=span,
        count=span - gapped,
        gaps=tuple(gaps),
        time_min_ns=time_min,
        time_max_ns=time_min + draw(st.integers(0, 2**40)),
        zones=tuple(draw(st.lists(st.sampled_from(["cold", "till-area"]), unique=True))),
        dictionary=draw(st.sampled_from([b"", bytes(32)])),
        extra=draw(st.dictionaries(st.integers(100, 200), st.text(max_size=5), max_size=3)),
    )


@given(headers(), st.binary(max_size=100))
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


def test_everything_but_the_columns_of_a_typical_frame_is_under_200_bytes() -> None:
    assert len(seal_frame(HEADER, bytes(8_000), KEY)) - 8_000 <= 200


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
        {"time_max_ns": 0},
        {"raw_size_bytes": 2**31},
    ],
)
def test_a_header_that_contradicts_itself_is_refused_on_both_sides(
    wrong: dict[str, object],
) -> None:
    header = replace(HEADER, **wrong)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        seal_frame(header, b"", KEY)


def _remote(change: dict[int, object]) -> bytes:
    parts = cborform.load(cose.parse(seal_frame(HEADER, b"c", KEY)).payload, "frame")
    for key, value in change.items():
        if value is None:
            del parts[1][key]
        else:
            parts[1][key] = value
    return cose.sign(cborform.dump(parts), KEY)


@pytest.mark.parametrize(
    "change",
    [
        {2: None},
        {2: "Acme"},
        {4: "all"},
        {5: 7},
        {6: 4},
        {6: True},
        {8: 0},
        {9: 2**63},
        {10: 0},
        {11: 600},
        {12: [[1, 2]]},
        {12: [["a", 2, 3]]},
        {14: -1},
        {16: b"short"},
        {17: 9},
        {18: ["Zone 1"]},
        {18: ["z"] * 65},
        {19: 256},
        {20: b"short"},
        {21: 2**40},
    ],
)
def test_a_header_from_outside_that_breaks_a_rule_is_refused(change: dict[int, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        open_frame(_remote(change))


def test_an_unknown_version_is_told_apart_from_garbage() -> None:
    with pytest.raises(UnsupportedVersionError, match="version 2"):
        open_frame(_remote({1: 2}))


def test_unknown_optional_fields_survive() -> None:
    assert open_frame(_remote({99: "label"})).header.extra == {99: "label"}


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
