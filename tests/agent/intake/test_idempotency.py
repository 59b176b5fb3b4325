from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.intake.idempotency import (
    event_key,
    fingerprint,
    fingerprints_of,
    keys_of,
    request_prefix,
)
from whimbrel_protocol.event import Event


def event(dedup_key: str | None = None) -> Event:
    return Event(type="t", source="s", time_ns=1, dedup_key=dedup_key)


def test_the_same_id_of_another_source_is_another_event() -> None:
    assert event_key("a", "1") != event_key("b", "1")


def test_parts_do_not_run_into_one_another() -> None:
    assert event_key("ab", "c") != event_key("a", "bc")


def test_an_events_own_id_wins_over_the_requests_key() -> None:
    keys = keys_of([event("id"), event()], request_prefix("k"), [1, 2])
    assert keys == [event_key("s", "id"), request_prefix("k") + b"\0\0\0\2"]


def test_an_events_own_id_is_not_compared() -> None:
    assert fingerprints_of([event("id"), event()], [1, 2]) == [0, 2]


@given(st.binary())
def test_a_fingerprint_fits_sqlites_integers_and_is_never_none(content: bytes) -> None:
    assert 1 <= fingerprint(content) < 2**63
    assert fingerprint(content) != fingerprint(content + b"x")


def test_events_without_any_key_have_none() -> None:
    assert keys_of([event(), event()]) is None
    assert keys_of([event(), event("x")]) == [None, event_key("s", "x")]


@given(st.text(), st.text())
def test_kinds_of_keys_never_meet(first: str, second: str) -> None:
    assert event_key(first, second)[:1] != request_prefix(first)[:1]
