"""Keys that take few words are found; what takes many is looked at no more."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

from buffers.learning import learn_from
from whimbrel_agent.dictionaries.wordlists import (
    LEAST_FRAMES,
    LOOKED_AT,
    MAX_KEYS,
    MAX_WORD_CHARS,
    MAX_WORDS,
    WordLists,
)
from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.event import Event
from whimbrel_protocol.tables import Table

PLACES = ("backroom", "aisle-1", "aisle-2", "returns")


def move(number: int = 1, /, **data: Any) -> Event:
    return Event(type="move", source="scanner", time_ns=number, data=data)


def lists(words: WordLists, beside: Collection[tuple[str, str]] = (), most: int = 9) -> list[Any]:
    return [(t.type, t.known, [*t.rows]) for t in words.found(beside, most)]


def seen(*events: Event, frames: int = LEAST_FRAMES) -> WordLists:
    words = WordLists()
    for _ in range(frames):
        words.saw(events)
    return words


def test_words_are_listed_once_they_came_in_enough_frames() -> None:
    once = [move(to=place) for place in PLACES]
    assert lists(seen(*once * 9, frames=LEAST_FRAMES - 1)) == []
    assert lists(seen(*once)) == [("move", "to", sorted(PLACES))]
    assert lists(seen(move(to="aisle-1"))) == []  # a constant costs nothing as it is


def test_what_comes_often_for_an_hour_is_no_word() -> None:
    words = WordLists()
    for frame in range(10):
        words.saw([move(receipt=f"r-{frame}-{n // 5}") for n in range(20)])
    assert lists(words) == []


def test_what_is_no_word_is_passed_over() -> None:
    events = [move(a=n % 2, b=None, c=n % 2 == 0, d=["x"], e="yn"[n % 2]) for n in range(20)]
    assert lists(seen(*events)) == [("move", "e", ["n", "y"])]


def test_a_key_of_many_or_long_words_is_looked_at_no_more() -> None:
    words = seen(*(move(reference=f"{n}", note="x" * (MAX_WORD_CHARS + n)) for n in range(100)))
    words.saw([move(reference="1", note="x"), move(reference="2", note="y")])
    assert words._frames == {}
    assert len(seen(*(move(of=f"{n % MAX_WORDS}") for n in range(LOOKED_AT)))._frames) == 1


def test_memory_is_bounded() -> None:
    keys = [f"k{n}" for n in range(2 * MAX_KEYS)]
    assert len(seen(*(move(**{key: "x"}) for key in keys))._frames) == MAX_KEYS
    long = seen(*(move(**{key: "x" * 99}) for key in keys))
    assert (len(long._frames), len(long._many)) == (0, MAX_KEYS)


def test_what_a_table_tells_is_not_listed_and_no_more_than_there_is_room_for() -> None:
    words = seen(*(move(a="xy"[n % 2], b="uv"[n % 2], c="rs"[n % 2]) for n in range(20)))
    assert [one[1] for one in lists(words, {("move", "b")})] == ["a", "c"]
    assert [one[1] for one in lists(words, most=2)] == ["a", "b"]


def test_what_another_process_found_goes_on() -> None:
    words = WordLists()
    follows = Table("move", "of", ("x",), {"a": ("b",), "c": ("d",)})
    words.take_up([Table("move", "to", (), dict.fromkeys(PLACES, ())), follows])
    assert lists(words) == [("move", "to", sorted(PLACES))]
    words.saw([move(to="aisle-9")])
    assert lists(words) == []  # not yet
    for _ in range(LEAST_FRAMES - 1):
        words.saw([move(to="aisle-9")])
    assert lists(words) == [("move", "to", sorted([*PLACES, "aisle-9"]))]


def test_frames_of_a_device_spell_them_no_more() -> None:
    chance = random.Random(4)
    places = [f"{place} of a long name {chance.randrange(10**9)}" for place in PLACES * 3]
    frames = [
        [move(100 * frame + at, to=chance.choice(places)) for at in range(30)]
        for frame in range(20)
    ]
    learned = learn_from(frames)
    assert [table.known for table in learned.dictionary.shared.tables] == ["to"]
    assert len(learned.columns[-1]) < len(encode_events(frames[-1])) / 3
