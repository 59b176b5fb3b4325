"""When a dictionary is made, and whether it pays."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from buffers.harness import sales
from whimbrel_agent.dictionaries.learning import (
    FIRST_FRAMES,
    MAX_SAMPLE_BYTES,
    SAMPLE_BYTES,
    Learner,
)
from whimbrel_agent.dictionaries.training import LEARNED_BYTES, SIZES_BYTES, train
from whimbrel_agent.dictionaries.trials import TIMES_COST, Trial, judge
from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.dictionaries import Dictionary
from whimbrel_protocol.event import Event


def fed(frames: int, size: int = 20, present: Dictionary | None = None) -> Learner:
    learner = Learner()
    for number in range(frames):
        events = sales(size, number * size)
        learner.saw(events, encode_events(events, dictionary=present), present)
    return learner


def test_what_it_saves_in_as_many_frames_as_were_seen_must_be_twice_its_cost() -> None:
    for saved, take in ((TIMES_COST * 1_000 - 1, False), (TIMES_COST * 1_000, True)):
        trial = Trial(
            frames=100, judged=1, present_bytes=saved, learned_bytes=0, cost_bytes=100_000
        )
        judgement = judge(trial)
        assert judgement.take is take
        assert f"saves {saved} bytes a frame, {saved * 100} in 100 frames" in judgement.reason


def test_a_dictionary_that_makes_frames_larger_is_not_taken() -> None:
    assert not judge(Trial(10**9, 4, 100, 101, 1)).take


def test_trials_become_rarer_with_each() -> None:
    learner, tried = Learner(), []
    for number in range(1, 200):
        events = sales(20, number * 20)
        learner.saw(events, encode_events(events), None)
        if learner.is_due:
            tried.append(number)
            learner.learn(None)
    assert tried == [FIRST_FRAMES * 2**n for n in range(6)]


def test_the_same_frames_give_the_same_dictionary_and_it_pays() -> None:
    late, again = fed(512), fed(512)
    learned = late.learn(None)
    assert learned is not None
    assert late.last.reason.startswith("pays")
    other = again.learn(None)
    assert other is not None
    assert other.content == learned.content


def test_where_nothing_repeats_there_is_nothing_to_learn() -> None:
    learner = Learner()
    for number in range(16):
        chance = random.Random(number)
        events = [
            Event(
                type=chance.randbytes(8).hex(),
                source=chance.randbytes(8).hex(),
                time_ns=chance.getrandbits(62),
                data={chance.randbytes(8).hex(): chance.randbytes(2_000)},
            )
            for _ in range(2)
        ]
        learner.saw(events, encode_events(events), None)
    assert learner.learn(None) is None
    assert learner.last.reason.startswith("does not pay")


def test_the_smaller_of_two_that_do_the_same_is_taken() -> None:
    learner = Learner()
    for number in range(200):  # readings: only their names repeat, and those fit in 4 KiB
        chance = random.Random(number)
        events = [
            replace(event, data={"celsius": chance.random(), "lux": chance.random()})
            for event in sales(20, 20 * number)
        ]
        learner.saw(events, encode_events(events), None)
    learned = learner.learn(None)
    assert learned is not None
    assert len(learned.content) <= min(SIZES_BYTES)


def test_one_like_the_present_one_is_not_taken() -> None:
    present = fed(512).learn(None)
    assert present is not None
    assert fed(520, present=present).learn(present) is None


def test_single_events_are_learned_from_as_columns() -> None:
    learned = fed(600, size=1).learn(None)
    assert learned is not None
    [event] = sales(1, 9_999)
    columns = encode_events([event], dictionary=learned)
    assert len(columns) < len(encode_events([event])) * 0.7


def test_samples_are_the_newest_within_their_bounds() -> None:
    learner = Learner()
    for number in range(40):
        events = sales(600, number * 600)
        learner.saw(events, encode_events(events), None)
    sizes = [len(one) for one in learner._samples]
    assert max(sizes) <= MAX_SAMPLE_BYTES
    assert SAMPLE_BYTES - MAX_SAMPLE_BYTES < sum(sizes) <= SAMPLE_BYTES


@pytest.mark.parametrize(
    "samples",
    [
        [b"x"],
        [b"the same"] * 4,
        [b""] * 3 + [b"not empty"],
        [random.Random(n).randbytes(3) for n in range(5)],
        [random.Random(n).randbytes(8_000) for n in range(12)],
    ],
)
def test_whatever_the_samples_are_there_is_a_dictionary_that_works(samples: list[bytes]) -> None:
    dictionary = train(samples)
    assert 1 <= len(dictionary.content) <= LEARNED_BYTES
    for body in (*samples, b"something else"):
        packed = dictionary.compress(body)
        assert not body or dictionary.decompress(packed, len(body)) == body
