import hashlib
from typing import Any

import pytest

from whimbrel_protocol.batch import decode_events, encode_events
from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.errors import LocalProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.importdigest import ImportDigest


def event(row: int, **data: Any) -> Event:
    return Event(
        type="t", source="s", time_ns=row, data=data, extensions={"import": "i", "importrow": row}
    )


def digest_of(events: list[Event]) -> tuple[int, str]:
    digest = ImportDigest()
    for each in events:
        digest.add(each)
    return digest.count, digest.text


EVENTS = [event(0, b=1, a={"z": 1, "y": [{"d": 1, "c": 2}]}), event(1, a=2.5), event(2)]


def test_the_chain_is_the_one_in_the_specification() -> None:
    row = dump_value(
        ["t", "s", 1, {"a": 2.5}, 2, None, None, None, {"import": "i", "importrow": 1}]
    )
    start = hashlib.sha256(b"whimbrel import 1").digest()
    assert digest_of([EVENTS[1]]) == (1, hashlib.sha256(start + row).hexdigest())


def test_order_content_and_count_all_matter() -> None:
    whole = digest_of(EVENTS)
    assert digest_of([EVENTS[1], EVENTS[0], EVENTS[2]]) != whole
    assert digest_of(EVENTS[:2]) != whole
    assert digest_of([*EVENTS[:2], event(2, a=1)]) != whole
    assert digest_of([*EVENTS[:2], event(2, a=1.0)]) != digest_of([*EVENTS[:2], event(2, a=1)])


def test_the_order_of_keys_does_not_matter() -> None:
    turned = event(0, a={"y": [{"c": 2, "d": 1}], "z": 1}, b=1)
    assert digest_of([turned, *EVENTS[1:]]) == digest_of(EVENTS)


def test_what_comes_out_of_a_frame_has_the_same_digest() -> None:
    assert digest_of(decode_events(encode_events(EVENTS))) == digest_of(EVENTS)


def test_it_goes_on_from_a_checkpoint() -> None:
    first = ImportDigest()
    first.add(EVENTS[0])
    second = ImportDigest(first.count, first.digest)
    for each in EVENTS[1:]:
        second.add(each)
    assert (second.count, second.text) == digest_of(EVENTS)


@pytest.mark.parametrize(("count", "state"), [(-1, bytes(32)), (0, b"short")])
def test_a_state_that_is_none_is_refused(count: int, state: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        ImportDigest(count, state)
