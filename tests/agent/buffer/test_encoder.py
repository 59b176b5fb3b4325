"""Batches encoded as power and data ask for."""

from __future__ import annotations

import random
from collections import Counter

from whimbrel_agent.buffer.codecchoice import CodecTerms
from whimbrel_agent.buffer.encoder import Encoder
from whimbrel_agent.decisions.replaying import decide_again
from whimbrel_agent.plain import plain
from whimbrel_agent.power.modes import CodecEffort
from whimbrel_protocol.batch import decode_events, encode_events
from whimbrel_protocol.event import Event

CHANCE = random.Random(5)
SALES = [
    Event(
        type="sale", source=f"till-{n % 7}", time_ns=10**18 + n * 10**9,
        data={"total": CHANCE.randrange(10_000) / 100, "text": CHANCE.choice("abcdef") * 9},
    )
    for n in range(1000)
]  # fmt: skip
PICTURES = [
    Event(type="p", source="s", time_ns=n, data={"t": CHANCE.randbytes(900).decode("latin-1")})
    for n in range(20)
]
MANY = [
    Event(
        type="r", source="s", time_ns=10**18 + n * 10**9,
        data={name: CHANCE.randrange(400) for name in ("a", "b", "c", "d", "e", "f", "g")},
    )
    for n in range(1000)
]  # fmt: skip
LIGHT = CodecTerms(effort=CodecEffort.LIGHT)


def encoded(events: list[Event], terms: CodecTerms, *, present: bool = True) -> bytes:
    encoder, counters = Encoder(), Counter[str]()
    encoder.terms = terms
    columns = encoder.encode(events, counters, 1.0, present=present)
    assert sum(counters.values()) == 1
    for one in encoder.journal.last():
        assert decide_again(one.by, plain(one.inputs)) == plain(one.decision)
    return columns


def test_whatever_is_chosen_the_events_come_back() -> None:
    for events in (SALES, SALES[:3], SALES[:1], MANY, PICTURES):
        for terms in (CodecTerms(), LIGHT):
            assert decode_events(encoded(events, terms)) == events


def test_full_effort_is_what_the_protocol_does_by_itself() -> None:
    for count in (1, 20, 1000):
        assert encoded(SALES[:count], CodecTerms()) == encode_events(SALES[:count])


def test_light_effort_costs_a_few_bytes() -> None:
    for events in (SALES, MANY):
        full, light = len(encoded(events, CodecTerms())), len(encoded(events, LIGHT))
        assert light < full * 1.05
    assert encoded(MANY, LIGHT) != encoded(MANY, CodecTerms())


def test_what_an_ended_process_left_is_encoded_alike_whatever_the_power() -> None:
    assert encoded(MANY, LIGHT, present=False) == encode_events(MANY)


def test_the_codec_that_came_out_is_counted() -> None:
    encoder, counters = Encoder(), Counter[str]()
    encoder.encode(SALES, counters, 1.0, present=True)
    encoder.encode(SALES[:1], counters, 1.0, present=True)
    assert counters["codec_zstd"] == 1
    assert sum(counters.values()) == 2
