"""Bulk import: a file or a table of old facts becomes events, each once, whatever happens.

The checkpoint (how far the source was read, how many events that made, their digest) becomes
durable in the same transaction as the events it counts. So after any crash, of this program or
of the agent, the import goes on exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from whimbrel_agent.intake.bodies import Problem
from whimbrel_agent.intake.importslice import (
    SLICE_BYTES,
    SLICE_EVENTS,
    Checkpoint,
    SliceToAccept,
)
from whimbrel_agent.intake.mapping import RowMapping
from whimbrel_agent.intake.sources import BadRow, Row, Source
from whimbrel_protocol.errors import FieldError, WhimbrelError
from whimbrel_protocol.event import Event
from whimbrel_protocol.importdigest import ImportDigest
from whimbrel_protocol.rows import pack_event

__all__ = [
    "BadRowError",
    "ImportMismatchError",
    "Importer",
    "Summary",
    "Target",
]

MAX_LISTED_PROBLEMS: Final = 20
"""Skipped rows that are kept to be shown; all are counted."""


class ImportMismatchError(WhimbrelError):
    """The import of this id was begun from another source or with another mapping."""


class BadRowError(WhimbrelError):
    """A row cannot become an event, and the import was asked to stop then."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(
            f"row {problem.place}: {problem.field} is {problem.value}: {problem.rule}; everything "
            "before it is imported: correct it and run again, or use --on-error skip"
        )
        self.problem = problem


class Target(Protocol):
    """Where an import goes: the buffer of a running agent, or an opened one."""

    def checkpoint(self, import_id: str) -> bytes | None:
        """Give the durable checkpoint of an import, None when it has not begun."""
        ...

    def accept(self, import_id: str, part: SliceToAccept) -> None:
        """Make a slice durable; waits while the buffer is busy or full."""
        ...


@dataclass(frozen=True, slots=True)
class Summary:
    """What an import came to. ``skipped`` counts all, ``problems`` lists some of this run."""

    import_id: str
    checkpoint: Checkpoint
    resumed_at: int
    problems: tuple[Problem, ...]


class Importer:
    """Carries one source into a target.

    Args:
        import_id: the import's name in every event of it.
        source: gives the rows.
        mapping: turns rows into events.
        target: takes them.
        skip: bad rows are counted and passed over; otherwise the first one stops.
        now_ns: the time of events whose mapping names none.
    """

    def __init__(
        self,
        import_id: str,
        source: Source,
        mapping: RowMapping,
        target: Target,
        *,
        skip: bool,
        now_ns: int,
    ) -> None:
        self._id = import_id
        self._source = source
        self._mapping = mapping
        self._target = target
        self._skip = skip
        self._now_ns = now_ns
        self._problems: list[Problem] = []

    def run(self, progress: Callable[[Checkpoint], None]) -> Summary:
        """Import everything that is not imported yet.

        Args:
            progress: told after every durable slice.

        Raises:
            ImportMismatchError: the id belongs to another import.
            BadRowError: a bad row, and ``skip`` is off; what was before it is durable.
        """
        durable = self._target.checkpoint(self._id)
        here = self._resume(durable)
        resumed_at = here.rows
        if not here.done:
            for part, after in self._slices(here):
                durable = self._hand_over(part, after, durable)
                here = after
                progress(here)
            here = replace(here, done=True)
            self._hand_over([], here, durable)
            progress(here)
        return Summary(self._id, here, resumed_at, tuple(self._problems))

    def _resume(self, durable: bytes | None) -> Checkpoint:
        fingerprint = self._source.fingerprint(self._mapping.description)
        if durable is None:
            return Checkpoint(fingerprint)
        here = Checkpoint.unpack(durable)
        if here.fingerprint != fingerprint:
            raise ImportMismatchError(
                f"import {self._id} was begun from another file, table or mapping: use the same "
                "again to go on, or another --id to begin anew"
            )
        return here

    def _hand_over(self, events: list[Event], after: Checkpoint, before: bytes | None) -> bytes:
        packed = after.pack()
        self._target.accept(self._id, SliceToAccept(events, packed, before))
        return packed

    def _slices(self, here: Checkpoint) -> Iterator[tuple[list[Event], Checkpoint]]:
        """Yield events and the checkpoint after them; the last slice may hold no event."""
        digest = ImportDigest(here.count, here.digest)
        events: list[Event] = []
        size_bytes = 0
        for item in self._source.rows(here.position, here.rows):
            try:
                event, packed_bytes = self._event(item, digest.count)
            except BadRowError:
                if events:
                    yield events, here
                raise
            if event is None:
                here = replace(
                    here, position=item.position, rows=item.number, skipped=here.skipped + 1
                )
                continue
            if len(events) >= SLICE_EVENTS or (events and size_bytes + packed_bytes > SLICE_BYTES):
                yield events, here
                events, size_bytes = [], 0
            digest.add(event)
            events.append(event)
            size_bytes += packed_bytes
            here = replace(
                here,
                position=item.position,
                rows=item.number,
                count=digest.count,
                digest=digest.digest,
            )
        yield events, here

    def _event(self, item: Row | BadRow, number: int) -> tuple[Event | None, int]:
        try:
            if isinstance(item, BadRow):
                return self._refuse(item.number, FieldError("row", item.value, item.rule))
            event = self._mapping.event_of(item.values, self._id, number, self._now_ns)
            return event, len(pack_event(event))
        except FieldError as exc:
            return self._refuse(item.number, exc)

    def _refuse(self, number: int, error: FieldError) -> tuple[None, int]:
        problem = Problem.of(number, error)
        if not self._skip:
            raise BadRowError(problem) from error
        if len(self._problems) < MAX_LISTED_PROBLEMS:
            self._problems.append(problem)
        return None, 0
