"""The few words that a key of what is sealed takes: tables of a dictionary from which nothing follows.

A place, a reason, a state: one of some words each time, which a frame would spell out again. A key that
takes many is none of these. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from whimbrel_protocol.event import Event
from whimbrel_protocol.tables import Table

MAX_WORDS: Final = 64
MAX_WORD_CHARS: Final = 64
"""Words of one key, and characters of one: who takes more or longer ones tells more than a state."""

MAX_KEYS: Final = 64
"""Keys that are looked at, over all types."""

LOOKED_AT: Final = 128
"""Events of one frame at most: what there is comes again in the next ones."""

LEAST_FRAMES: Final = 4
"""In so many frames, in the mean, each word of a key must have come before a list is made: the receipts of
an hour come again too, but not tomorrow."""

_Key = tuple[str, str]


class WordLists:
    """Collects the words of one device's events."""

    def __init__(self) -> None:
        self._frames: dict[_Key, dict[str, int]] = {}
        self._many: set[_Key] = set()

    def take_up(self, tables: Sequence[Table]) -> None:
        """Go on from lists that another process made."""
        for table in tables:
            if not table.follows and type(next(iter(table.rows))) is str:
                frames = self._frames.setdefault((table.type, table.known), {})
                for word in table.rows:
                    frames.setdefault(word, LEAST_FRAMES)

    def saw(self, events: Sequence[Event]) -> None:
        """Take note of a frame that was sealed."""
        found: dict[_Key, set[str]] = {}
        for event in events[:LOOKED_AT]:
            for name, value in event.data.items():
                if type(value) is str:
                    found.setdefault((event.type, name), set()).add(value)
        for key, words in found.items():
            if key not in self._many and (key in self._frames or len(self._frames) < MAX_KEYS):
                self._note(key, words)

    def _note(self, key: _Key, words: set[str]) -> None:
        frames = self._frames.setdefault(key, {})
        for word in words:
            frames[word] = frames.get(word, 0) + 1
        if len(frames) > MAX_WORDS or max(map(len, words)) > MAX_WORD_CHARS:
            del self._frames[key]
            if len(self._many) < MAX_KEYS:
                self._many.add(key)

    def found(self, beside: Collection[_Key], most: int) -> Iterator[Table]:
        """Yield at most so many lists of keys that no table tells already.

        Args:
            beside: types and keys that tables know or tell.
            most: lists.
        """
        for key, frames in sorted(self._frames.items()):
            often = sum(frames.values()) >= LEAST_FRAMES * len(frames)
            if often and len(frames) > 1 and key not in beside and most > 0:
                most -= 1
                yield Table(*key, (), dict.fromkeys(sorted(frames), ()))
