"""Headers: what they say of times and zones; their bytes are tested with the frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.header import (
    FrameHeader,
    header_array,
    name_zones,
    read_header,
    read_range,
)
from whimbrel_protocol.names import Address

ADDRESS = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")


def _header(*, time_min_s: int = 0, time_max_s: int = 0) -> FrameHeader:
    return FrameHeader(
        address=ADDRESS,
        lane="normal",
        epoch=7,
        first=1,
        span=1,
        count=1,
        time_min_s=time_min_s,
        time_max_s=time_max_s,
    )


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_the_times_of_a_header_enclose_its_events(times_ns: list[int]) -> None:
    header = _header(time_min_s=min(times_ns) // 10**9, time_max_s=max(times_ns) // 10**9)
    read = read_header(header_array(header))
    assert read == header
    assert -(2**63) <= read.time_min_ns <= min(times_ns)
    assert max(times_ns) <= read.time_max_ns < 2**63
    assert min(times_ns) - read.time_min_ns < 10**9
    assert read.time_max_ns - max(times_ns) < 10**9


def test_zones_are_named_up_to_three() -> None:
    assert name_zones([None, None]) == ()
    assert name_zones(["front", None, "cold", "front"]) == ("cold", "front")
    assert name_zones(["c", "b", "a"]) == ("a", "b", "c")
    assert name_zones(["c", "b", "a", "d"]) is None


def test_what_most_frames_do_not_say_takes_no_place() -> None:
    assert len(header_array(_header())) == 13
    assert len(header_array(_header(time_max_s=1))) == 14


def test_the_range_is_read_without_the_rest() -> None:
    places = header_array(_header())
    covered = read_range([*places[:9], "another", "version"])
    assert (covered.address, covered.epoch, covered.first, covered.span) == (ADDRESS, 7, 1, 1)
    for missing in range(1, 9):
        with pytest.raises(RemoteProtocolError):
            read_range(places[:missing])
