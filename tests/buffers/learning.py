"""A device that seals frames and learns from them, as when the region answers at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from whimbrel_agent.dictionaries.learning import Learner
from whimbrel_protocol.batch import decode_events, encode_events
from whimbrel_protocol.dictionaries import Dictionary
from whimbrel_protocol.event import Event


class Learned(NamedTuple):
    """The dictionary at the end, and the columns of every frame."""

    dictionary: Dictionary
    columns: list[bytes]


def learn_from(frames: Iterable[Sequence[Event]]) -> Learned:
    """Seal frames with what was learned before; each must decode to its events."""
    learner = Learner()
    dictionary: Dictionary | None = None
    sealed = []
    for events in frames:
        columns = encode_events(events, dictionary=dictionary)
        at_hand = {} if dictionary is None else {dictionary.name: dictionary}
        assert decode_events(columns, at_hand) == events
        sealed.append(columns)
        learner.saw(events, columns, dictionary)
        if learner.is_due:
            dictionary = learner.learn(dictionary) or dictionary
    assert dictionary is not None
    return Learned(dictionary, sealed)
