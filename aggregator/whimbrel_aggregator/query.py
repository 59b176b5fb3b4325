"""Questions about committed events: pages for the API and the command line, and following.

A page runs through the partitions in order of their keys, inside a partition in journal order.
What one question may cost is bounded by frames looked at, events and bytes, so a page may be
short, even empty, and still have a next one. Following keeps a position per partition.
Both positions travel as opaque texts that name the journal's generation.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from whimbrel_aggregator.forward.cloudevents import to_json_line
from whimbrel_aggregator.forward.selection import Selection
from whimbrel_aggregator.journal.port import FrameRecord, Journal, PartitionKey
from whimbrel_aggregator.ports import Runner
from whimbrel_aggregator.reading import START, CommittedEvent, EventReader, Position
from whimbrel_aggregator.timetext import MAX_TIME_NS, MIN_TIME_NS
from whimbrel_protocol.errors import FieldError

MAX_LIMIT: Final = 1_000
DEFAULT_LIMIT: Final = 100
"""Events of one page."""

MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""JSON of one page, unless its first event alone has more: events may be of 64 KiB, and a thousand
of them would be 64 MiB here and at whoever asks."""

MAX_PAGE_FRAMES: Final = 1_024
"""Frames one page looks at: some seconds of decoding when nothing matches."""

MAX_PAGE_PARTITIONS: Final = 2_000
"""Partitions one page looks at."""

FOLLOW_FRAMES: Final = 16
"""Frames read from one partition before the next gets its turn."""

MAX_RESUME_PARTITIONS: Final = 100
"""A resume text names each partition; past this it would not fit into a header."""

MAX_CURSOR_CHARACTERS: Final = 7_000
"""Below the 8 KiB that HTTP servers and clients take for one header line."""

MAX_CURSOR_BYTES: Final = 64 * 1024
"""What a resume text may unpack to."""


class UnknownPositionError(FieldError):
    """A cursor or resume text that names no position in this journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events: a selection, and event times with ``since_ns <= time < until_ns``."""

    selection: Selection = field(default_factory=Selection)
    since_ns: int = MIN_TIME_NS
    until_ns: int = MAX_TIME_NS

    def takes(self, committed: CommittedEvent) -> bool:
        """Say whether an event of a wanted partition is wanted."""
        event = committed.event
        return self.since_ns <= event.time_ns < self.until_ns and self.selection.takes_event(
            event.zone, event.type
        )

    def takes_frame(self, record: FrameRecord) -> bool:
        """Say whether a frame can hold a wanted event."""
        return self.selection.takes_zones(record.zones)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events as JSON; ``next`` continues after them, None at the end; ``unreadable`` frames met."""

    lines: tuple[str, ...]
    next: str | None
    unreadable: int


class EventQueries:
    """Answers questions from one journal."""

    def __init__(self, journal: Journal, reader: EventReader, runner: Runner) -> None:
        self._journal = journal
        self._reader = reader
        self._runner = runner

    async def page(self, query: EventQuery, *, cursor: str | None, limit: int) -> EventPage:
        """Return up to ``limit`` events, of at most MAX_PAGE_BYTES, after a cursor.

        Raises:
            UnknownPositionError: the cursor is not one of this journal's generation.
        """
        at_partition, start = self._read_cursor(cursor)
        room = _Room(limit)
        unreadable = 0
        frames_left = MAX_PAGE_FRAMES
        partitions_left = MAX_PAGE_PARTITIONS
        for state in await self._journal.partitions():
            key = state.key
            if key < at_partition or not query.selection.takes_partition(key.tenant, key.store):
                continue
            position = start if key == at_partition else START
            partitions_left -= 1
            while position.offset <= state.head:
                if room.full or frames_left <= 0 or partitions_left <= 0:
                    return room.page(self._cursor(key, position), unreadable)
                found = await self._read(query, key, position, frames_left, room)
                frames_left -= max(found.frames, 1)
                unreadable += found.unreadable
                position = found.next
            if room.full:
                return room.page(self._cursor(key, position), unreadable)
        return room.page(None, unreadable)

    async def place_to_follow(
        self, query: EventQuery, *, cursor: str | None, from_start: bool
    ) -> dict[PartitionKey, Position]:
        """Return where following begins; a partition that is not named begins at its start.

        Args:
            query: which events.
            cursor: a resume text from before; it wins over ``from_start``.
            from_start: begin with what is in the journal already, not with what comes.

        Raises:
            UnknownPositionError: the cursor is not one of this journal's generation.
        """
        if cursor is not None:
            return self._read_resume(cursor)
        if from_start:
            return {}
        return {
            state.key: Position(state.head + 1)
            for state in await self._journal.partitions()
            if query.selection.takes_partition(state.key.tenant, state.key.store)
        }

    async def follow(
        self, query: EventQuery, positions: dict[PartitionKey, Position], *, idle_s: float
    ) -> AsyncIterator[tuple[CommittedEvent, str | None] | None]:
        """Yield events as they are committed, each with the text to resume after it (if any).

        Yields None when nothing came for about ``idle_s`` seconds.

        Args:
            query: which events.
            positions: from :meth:`place_to_follow`; kept up to date.
            idle_s: how often to give a sign of life.
        """
        seen = -1
        while True:
            busy = True
            while busy:
                busy = False
                for state in await self._journal.partitions():
                    key = state.key
                    position = positions.get(key, START)
                    if not query.selection.takes_partition(key.tenant, key.store):
                        continue
                    if position.offset > state.head:
                        continue
                    found = await self._read(query, key, position, FOLLOW_FRAMES, None)
                    for event in found.events:
                        positions[key] = _after(event)
                        yield event, self._resume(positions)
                    positions[key] = found.next
                    busy = busy or found.next.offset <= state.head
            before = seen
            seen = await self._journal.wait_any(seen, idle_s)
            if seen == before:
                yield None

    async def _read(
        self,
        query: EventQuery,
        key: PartitionKey,
        start: Position,
        frames: int,
        room: _Room | None,
    ) -> _Found:
        """Read some frames: into a page while it has room, or up to MAX_LIMIT events."""
        page = await self._journal.read(
            key,
            start.offset,
            limit_frames=min(frames, 64),
            limit_bytes=512 * 1024,
            since_ns=query.since_ns if query.since_ns != MIN_TIME_NS else None,
            until_ns=query.until_ns if query.until_ns != MAX_TIME_NS else None,
        )
        events: list[CommittedEvent] = []
        unreadable = looked_at = 0
        async for frame in self._reader.decode(page, query.takes_frame):
            looked_at += 1
            unreadable += bool(frame.unreadable)
            wanted = [one for one in frame.events if one.position >= start and query.takes(one)]
            if not wanted:
                continue
            if room is None:
                taken = wanted[: MAX_LIMIT - len(events)]
                events += taken
                full = len(events) == MAX_LIMIT
            else:
                taken = wanted[: await self._runner.run(partial(room.take, wanted))]
                full = room.full
            if full:
                following = _after(taken[-1]) if taken else wanted[0].position
                return _Found(events, following, unreadable, looked_at)
        return _Found(events, Position(max(page.next_offset, start.offset)), unreadable, looked_at)

    def _cursor(self, key: PartitionKey, position: Position) -> str:
        return _pack([self._journal.generation.hex(), str(key), str(position)])

    def _read_cursor(self, text: str | None) -> tuple[PartitionKey, Position]:
        if text is None:
            return PartitionKey("", ""), START
        match _unpack("cursor", text):
            case [str(generation), str(key), str(position)] if key.count("/") == 1:
                self._check_generation("cursor", text, generation)
                return PartitionKey(*key.split("/")), _position("cursor", position)
        raise UnknownPositionError("cursor", text, "must be a 'next' that this API gave")

    def _resume(self, positions: dict[PartitionKey, Position]) -> str | None:
        if len(positions) > MAX_RESUME_PARTITIONS:
            return None
        places = {str(key): str(position) for key, position in positions.items()}
        text = _pack([self._journal.generation.hex(), places])
        return text if len(text) <= MAX_CURSOR_CHARACTERS else None

    def _read_resume(self, text: str) -> dict[PartitionKey, Position]:
        match _unpack("Last-Event-ID", text):
            case [str(generation), dict(places)] if len(places) <= MAX_RESUME_PARTITIONS:
                self._check_generation("Last-Event-ID", text, generation)
                return {
                    PartitionKey(*key.split("/", 1)): _position("Last-Event-ID", str(at))
                    for key, at in places.items()
                    if "/" in key
                }
        raise UnknownPositionError("Last-Event-ID", text, "must be an event id that this API gave")

    def _check_generation(self, field_name: str, text: str, generation: str) -> None:
        if generation != self._journal.generation.hex():
            raise UnknownPositionError(
                field_name,
                text,
                f"is of journal generation {generation[:40]}, the journal is "
                f"{self._journal.generation.hex()}: it was restored, begin without it",
            )


class _Room:
    """What one page holds, and how much more it may."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: list[str] = []
        self._bytes_left = MAX_PAGE_BYTES
        self.full = False

    def take(self, events: Sequence[CommittedEvent]) -> int:
        """Take events while there is room; returns how many went in."""
        before = len(self._lines)
        for event in events:
            line = to_json_line(event)
            size_bytes = len(line.encode()) + 1
            if self._lines and size_bytes > self._bytes_left:
                self.full = True
                break
            self._lines.append(line)
            self._bytes_left -= size_bytes
            if len(self._lines) == self._limit:
                self.full = True
                break
        return len(self._lines) - before

    def page(self, following: str | None, unreadable: int) -> EventPage:
        """Give the page as it is."""
        return EventPage(tuple(self._lines), following, unreadable)


@dataclass(frozen=True, slots=True)
class _Found:
    events: list[CommittedEvent]
    next: Position
    unreadable: int
    frames: int


def _after(event: CommittedEvent) -> Position:
    return Position(event.position.offset, event.position.place + 1)


def _position(field_name: str, text: str) -> Position:
    try:
        return Position.from_text(field_name, text)
    except FieldError as error:
        raise UnknownPositionError(field_name, text, error.rule) from error


def _pack(value: Any) -> str:
    packed = zlib.compress(json.dumps(value, separators=(",", ":")).encode())
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _unpack(field_name: str, text: str) -> Any:
    """Undo _pack on a text from outside, within bounds."""
    if len(text) > MAX_CURSOR_CHARACTERS:
        raise UnknownPositionError(
            field_name, text, f"must be at most {MAX_CURSOR_CHARACTERS} characters"
        )
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return json.loads(zlib.decompressobj().decompress(packed, MAX_CURSOR_BYTES))
    except (binascii.Error, ValueError, zlib.error, RecursionError) as error:
        raise UnknownPositionError(field_name, text, "must be a text that this API gave") from error
