import pytest

from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.errors import FieldError, RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_EVENT_BYTES, MAX_FRAME_EVENTS
from whimbrel_protocol.rows import pack_event, pack_events, unpack_event, unpack_events

EVENT = Event(type="t", source="s", time_ns=5, data={"v": 1.5})
FULL = Event(
    type="t",
    source="s",
    time_ns=-5,
    data={"b": None, "a": [1]},
    zone="z",
    subject="u",
    lane="bulk",
    dedup_key="d",
    extensions={"x": 1},
)


def test_rows_come_back_with_key_order() -> None:
    for trusted in (False, True):
        assert repr(unpack_events(pack_events([EVENT, FULL]), trusted=trusted)) == repr(
            [EVENT, FULL]
        )
    assert unpack_event(pack_event(FULL)) == FULL


def test_a_group_with_a_bad_event_gives_no_bytes() -> None:
    bad = Event(type="t", source="s", time_ns=5, data={"v": object()})
    with pytest.raises(FieldError):
        pack_events([EVENT, bad])


@pytest.mark.parametrize(
    "row",
    [
        [],
        ["t", "s", 1],
        ["t", "s", 1, {}, 4],
        ["t", "s", 1, {}, -1],
        ["t", "s", 1, {}, True],
        ["t", "s", 1, {}, 2, "all"],
        ["t", "s", 1, []],
        ["t", "s", 1.0, {}],
        [None, "s", 1, {}],
        [[], "s", 1, {}],
        ["t", "s", 1, {"k": {"": 1}}],
        ["t", "s", 1, {}, 2, None, None, None, [], None],
        ["t", "s", 1, {}, 2, None, None, None, []],
        ["t", "s", 10**5_000, {}],
        ["t", "s", 1, {"v": 10**5_000}],
        ["t", "s", 1, {}, 10**5_000],
        ["t", "s", 1, [10**5_000]],
        "row",
    ],
)
def test_a_row_that_is_no_event_is_refused(row: object) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack_event(dump_value(row))
    with pytest.raises(RemoteProtocolError):
        unpack_events(dump_value([row]))


def test_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(RemoteProtocolError, match="at most"):
        unpack_event(bytes(MAX_EVENT_BYTES + 1))
    with pytest.raises(RemoteProtocolError, match="at most"):
        unpack_events(dump_value([0] * (MAX_FRAME_EVENTS + 1)))
    with pytest.raises(RemoteProtocolError):
        unpack_events(dump_value({}))
