from __future__ import annotations

from whimbrel_aggregator.ingest.strangers import MAX_HOLDS_PER_S, MAX_STRANGERS, Strangers
from whimbrel_protocol.names import Address

SECOND = 10**9


def address(number: int) -> Address:
    return Address(tenant="acme", region="eu-1", store="store-1", device=f"till-{number}")


def test_a_device_is_told_once_per_hold_time() -> None:
    strangers = Strangers(hold_s=60)
    at = 100 * SECOND
    assert strangers.may_hold(address(1), now_ns=at)
    assert not strangers.may_hold(address(1), now_ns=at + 59 * SECOND)
    assert strangers.may_hold(address(1), now_ns=at + 60 * SECOND)


def test_a_clock_that_steps_back_does_not_silence_us() -> None:
    strangers = Strangers(hold_s=60)
    assert strangers.may_hold(address(1), now_ns=100 * SECOND)
    assert strangers.may_hold(address(1), now_ns=50 * SECOND)


def test_a_flood_of_names_is_answered_at_a_bounded_rate() -> None:
    strangers = Strangers(hold_s=60)
    told = sum(strangers.may_hold(address(n), now_ns=7 * SECOND + n) for n in range(10_000))
    assert told == MAX_HOLDS_PER_S
    assert strangers.may_hold(address(10_001), now_ns=8 * SECOND)


def test_what_is_remembered_is_bounded_and_the_newest_stay() -> None:
    strangers = Strangers(hold_s=60)
    for number in range(MAX_STRANGERS + 5):
        strangers.note(address(number), b"k" * 8, "not enrolled", now_ns=number)
    strangers.note(address(MAX_STRANGERS), b"j" * 8, "another key", now_ns=9_999)
    listed = strangers.list()
    assert len(listed) == MAX_STRANGERS
    assert address(0) not in {one.address for one in listed}
    last = listed[-1]
    assert (last.address, last.key_id, last.messages) == (address(MAX_STRANGERS), b"j" * 8, 2)
    assert (last.first_ns, last.last_ns) == (MAX_STRANGERS, 9_999)
    strangers.forget()
    assert strangers.list() == []
