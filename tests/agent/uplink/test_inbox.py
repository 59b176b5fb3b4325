"""What is believed of what comes in."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.ports import Delivery
from whimbrel_agent.uplink.counts import COUNTERS, Counts
from whimbrel_agent.uplink.inbox import DownMessage, Refused, check_down
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.messages import (
    DictionaryAnswer,
    DictionaryOffer,
    DictionaryStatus,
    Hold,
    Resume,
)
from worlds.uplink import ADDRESS, OTHER_KEY, REGION_KEY, down

HOLD = Hold(ADDRESS, "wait", 5)
GOOD = down(HOLD)


def check(delivery: Delivery) -> DownMessage | Refused:
    return check_down(delivery, addresses={ADDRESS}, region_key=REGION_KEY.public)


def test_a_true_message_is_taken() -> None:
    assert check(GOOD) == HOLD


def test_a_true_word_on_dictionaries_is_taken_and_an_offer_is_none() -> None:
    word = DictionaryAnswer(ADDRESS, bytes(8), ((b"a name. ", DictionaryStatus.KEPT),))
    assert check(down(word)) == word
    offer = seal_message(DictionaryOffer(ADDRESS, b"x"), REGION_KEY)
    assert check(replace(down(word), payload=offer)) == Refused("down_unexpected")


def test_each_lie_has_its_counter() -> None:
    stranger = replace(ADDRESS, device="till-2")
    resume = seal_message(Resume(ADDRESS, bytes(16), 0, ()), REGION_KEY)
    lies = {
        "down_retained": replace(GOOD, retained=True),
        "down_wrong_key": down(HOLD, key=OTHER_KEY),
        "down_misaddressed": down(replace(HOLD, address=stranger)),
        "down_malformed": replace(GOOD, topic="wb/1/down/acme/store-1/till-1/nonsense"),
        "down_unexpected": replace(GOOD, payload=resume),
    }
    assert {name: check(lie) for name, lie in lies.items()} == {
        name: Refused(name) for name in lies
    }
    wrong_topic = replace(GOOD, topic=GOOD.topic.replace("hold", "receipt"))
    assert check(wrong_topic) == Refused("down_misaddressed")


@given(st.integers(0, len(GOOD.payload) - 1), st.integers(1, 255))
def test_no_changed_byte_is_believed(place: int, change: int) -> None:
    payload = bytearray(GOOD.payload)
    payload[place] ^= change
    refused = check(replace(GOOD, payload=bytes(payload)))
    assert isinstance(refused, Refused)
    Counts().add(refused.counter)


@given(st.binary(max_size=200), st.text(max_size=80))
def test_garbage_is_refused(payload: bytes, topic: str) -> None:
    assert check(replace(GOOD, payload=payload)) == Refused("down_malformed")
    assert isinstance(check(replace(GOOD, topic=topic)), Refused)


def test_every_counter_says_what_it_counts() -> None:
    assert all(COUNTERS.values())
