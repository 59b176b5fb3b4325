"""What a device and its region can share beside what zstd refers to, found in what is sealed.

Tables of values that follow from others, formulas of those that are computed, the words of keys that take
few, and the series that come regularly (see ``relations``, ``formulas``, ``wordlists``, ``regulars``). They share
the room that a dictionary has for them; word lists give way first. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from whimbrel_agent.dictionaries.formulas import Formulas
from whimbrel_agent.dictionaries.regulars import Regulars
from whimbrel_agent.dictionaries.relations import Relations
from whimbrel_agent.dictionaries.wordlists import WordLists
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import (
    MAX_FORMULAS,
    MAX_TABLE_VALUES,
    MAX_TABLES,
    MAX_TABLES_BYTES,
)
from whimbrel_protocol.shared import Shared, write_shared


class Sharing:
    """Collects what can be shared of one device's events."""

    def __init__(self) -> None:
        self._relations = Relations()
        self._formulas = Formulas()
        self._regulars = Regulars()
        self._words = WordLists()
        self._taken_up = False

    def saw(self, events: Sequence[Event], present: Shared) -> None:
        """Take note of a frame that was sealed, with what is shared already."""
        if present and not self._taken_up:  # what another process found; later ones are our own
            self._taken_up = True
            self._relations.take_up(present.tables)
            self._regulars.take_up(present.roster)
            self._words.take_up(present.tables)
        self._relations.saw(events)
        self._formulas.saw(events)
        self._regulars.saw(events)
        self._words.saw(events)

    def found(self, present: Shared) -> Shared:
        """Return what was found; formulas that are shared already stay beside."""
        found = self._formulas.found()
        fitted = {(one.type, one.key) for one in found}
        kept = (one for one in present.formulas if (one.type, one.key) not in fitted)
        formulas = (*found, *kept)[:MAX_FORMULAS]
        beside = Shared((), formulas, self._regulars.found())
        tables = self._relations.tables(beside)
        self._relations.look()
        told = {(one.type, key) for one in tables for key in (one.known, *one.follows)}
        lists = self._words.found(told, MAX_TABLES - len(tables))
        return _within(replace(beside, tables=(*tables, *lists)), len(tables))


def _within(shared: Shared, kept: int) -> Shared:
    """Return what is shared without the last word lists for which there is no room.

    Args:
        shared: with the lists.
        kept: so many tables, the first ones, have room.
    """
    tables = shared.tables
    while len(tables) > kept and not _fits(replace(shared, tables=tables)):
        tables = tables[:-1]
    return replace(shared, tables=tables)


def _fits(shared: Shared) -> bool:
    values = sum(table.value_count for table in shared.tables)
    return values <= MAX_TABLE_VALUES and len(write_shared(shared)) <= MAX_TABLES_BYTES
