"""Group commit: many concurrent accepts, one transaction, one sync.

The first caller to get the turn commits for everybody who waits; the others find their answer
ready. Work that never began took nothing from the queue, and work that began is finished even
when its caller was cancelled, so that an answer is never given for something undone.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.buffer import capacity, overflow
from whimbrel_agent.buffer.database import DiskFullError
from whimbrel_agent.buffer.idempotency import KEY_BYTES, KeyEntry, KeyStore, check_same, hash_key
from whimbrel_agent.buffer.places import PlaceCollector, Places, Run
from whimbrel_agent.buffer.recent import Recent
from whimbrel_agent.buffer.schema import LANE_SHIFT, row_sum
from whimbrel_agent.buffer.staging import Pack, Stamp, join_packs, pack_lane, write_row
from whimbrel_agent.buffer.state import LANE_COUNT, BufferState, StagedSlot
from whimbrel_agent.buffer.values import (
    MAX_GROUP_EVENTS,
    MAX_WAITING_EVENTS,
    Accepted,
    AcceptError,
    GroupTooBigError,
    KeyReusedError,
    TooManyWaitingError,
)
from whimbrel_agent.ports import SqlRunner
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event, validate_event
from whimbrel_protocol.lanes import LANE_NUMBERS, LANES

MAX_CHECKPOINT_BYTES: Final = 256
MAX_CHECKPOINTS: Final = 1_000
"""Importers whose positions are kept; the oldest go."""


@dataclass(frozen=True, slots=True)
class Aside:
    """What a rule over the intake has written in the transaction of the events it sends on.

    Attributes:
        write: writes its rows; repeated when the transaction is tried again.
        size_bytes: of these rows, bounded from above.
        lane: number of the lane in whose favour room may be made.
        keys: idempotency keys of events that got no number, with lane numbers and fingerprints.
    """

    write: Callable[[sqlite3.Connection], None]
    size_bytes: int
    lane: int
    keys: Sequence[tuple[bytes, int, int]] = ()


class Ticket:
    """One accept call: what it brought, and its answer once it is durable."""

    __slots__ = (
        *("abandoned", "answer", "aside", "checkpoint", "count", "done"),
        *("error", "events", "fingerprints", "keys", "lanes", "packs", "size_bytes"),
    )

    def __init__(
        self,
        events: Sequence[Event],
        keys: Sequence[bytes | None] | None,
        fingerprints: Sequence[int] | None,
        checkpoint: tuple[str, bytes] | None,
        aside: Aside | None = None,
    ) -> None:
        self.count = len(events)
        self.fingerprints = fingerprints or [0] * self.count
        self.keys = None if keys is None else [key and hash_key(key) for key in keys]
        self.events = events if self.keys is not None else ()
        self.checkpoint = checkpoint
        self.aside = aside
        self.lanes, self.packs = pack_group(events)
        self.size_bytes = sum(len(pack.rows) for pack in self.packs)
        if aside is not None:
            self.size_bytes += aside.size_bytes + KEY_BYTES * len(aside.keys)
        self.answer = Places()
        self.error: Exception | None = None
        self.done = False
        self.abandoned = False


def pack_group(events: Sequence[Event]) -> tuple[list[int], list[Pack]]:
    """Validate and pack a group.

    Returns:
        The lane number of each event (one entry only when all are the same), and the packs.

    Raises:
        AcceptError: an event breaks a limit; it names which.
    """
    try:
        names = {event.lane for event in events}
        if len(names) == 1:
            number = LANE_NUMBERS[names.pop()]
            return [number], pack_lane(number, events)
        lanes = [LANE_NUMBERS[event.lane] for event in events]
        packs: list[Pack] = []
        for number in sorted(set(lanes)):
            mine = [event for event, lane in zip(events, lanes, strict=True) if lane == number]
            packs += pack_lane(number, mine)
    except (FieldError, KeyError, TypeError):
        for index, event in enumerate(events):
            try:
                validate_event(event)
            except FieldError as error:
                raise AcceptError(index, error) from error
        raise
    return lanes, packs


class Acceptor:
    """The queue of waiting accepts and the commit that empties it."""

    def __init__(
        self, state: BufferState, keys: KeyStore, recent: Recent, runner: SqlRunner
    ) -> None:
        self._state = state
        self._keys = keys
        self._recent = recent
        self._runner = runner
        self._waiting: deque[Ticket] = deque()
        self._waiting_events = 0
        self._turn = asyncio.Lock()

    async def accept(
        self,
        events: Sequence[Event],
        keys: Sequence[bytes | None] | None,
        fingerprints: Sequence[int] | None,
        checkpoint: tuple[str, bytes] | None,
        aside: Aside | None = None,
    ) -> Places:
        """Queue a group, and return its answer when it is durable."""
        self._check_size(events, keys, checkpoint)
        ticket = Ticket(events, keys, fingerprints, checkpoint, aside)
        limit_bytes = self._state.database.limits.group_bytes
        if ticket.size_bytes > limit_bytes and ticket.count > 1:
            raise GroupTooBigError(
                f"group packs into {ticket.size_bytes} bytes, at most {limit_bytes} fit one "
                "transaction; send fewer events at once"
            )
        self._waiting.append(ticket)
        self._waiting_events += ticket.count
        try:
            async with self._turn:
                if not ticket.done:
                    await self._runner.run(lambda: self._commit_until(ticket))
        except asyncio.CancelledError:
            ticket.abandoned = True
            raise
        finally:
            self._waiting_events -= ticket.count
        if ticket.error is not None:
            self._state.counters["keys_reused"] += isinstance(ticket.error, KeyReusedError)
            raise ticket.error
        return ticket.answer

    def look_up(self, keys: Sequence[bytes | None]) -> list[tuple[Accepted, int] | None]:
        """Give the first answers to some keys and their fingerprints; in the database thread."""
        with self._state.database.reading() as connection:
            return [(key and self._keys.find(connection, hash_key(key))) or None for key in keys]

    def _check_size(
        self,
        events: Sequence[Event],
        keys: Sequence[bytes | None] | None,
        checkpoint: tuple[str, bytes] | None,
    ) -> None:
        if len(events) > MAX_GROUP_EVENTS:
            raise GroupTooBigError(
                f"group has {len(events)} events, at most {MAX_GROUP_EVENTS} fit one "
                "transaction; send fewer at once"
            )
        if keys is not None and len(keys) != len(events):
            raise GroupTooBigError(f"group has {len(events)} events but {len(keys)} keys")
        if checkpoint is not None and len(checkpoint[1]) > MAX_CHECKPOINT_BYTES:
            raise GroupTooBigError(
                f"checkpoint {checkpoint[0][:80]!r} has {len(checkpoint[1])} bytes, at most "
                f"{MAX_CHECKPOINT_BYTES}"
            )
        if self._waiting_events + len(events) > MAX_WAITING_EVENTS:
            self._state.counters["refused_waiting"] += len(events)
            raise TooManyWaitingError(
                f"{self._waiting_events} events wait for a commit, at most "
                f"{MAX_WAITING_EVENTS} may; try again in a second"
            )

    def _commit_until(self, ticket: Ticket) -> None:
        """Commit groups, in order, until this ticket has its answer."""
        while not ticket.done:
            group = self._take()
            try:
                self._commit(group)
            except Exception as error:  # noqa: BLE001  each ticket gets its own answer
                if len(group) == 1:
                    group[0].error, group[0].done = error, True
                else:
                    self._commit_each(group)
        self._state.database.checkpoint_if_due()

    def _commit_each(self, group: list[Ticket]) -> None:
        """Commit one by one: what one may not do (no room in its lane) another may."""
        for ticket in group:
            try:
                self._commit([ticket])
            except Exception as error:  # noqa: BLE001  the ticket's caller raises it
                ticket.error, ticket.done = error, True

    def _take(self) -> list[Ticket]:
        """Take from the queue what fits one transaction."""
        group: list[Ticket] = []
        room = self._state.database.limits.group_bytes
        while self._waiting and (not group or self._waiting[0].size_bytes <= room):
            ticket = self._waiting.popleft()
            if not ticket.abandoned:
                group.append(ticket)
                room -= ticket.size_bytes
        return group

    def _commit(self, group: list[Ticket]) -> None:
        try:
            self._begin(group).run()
        except DiskFullError:
            capacity.free_what_is_kept(self._state)
            self._begin(group).run()

    def _begin(self, group: list[Ticket]) -> Commit:
        return Commit(self._state, self._keys, self._recent, group)


class Commit:
    """One transaction over a group of tickets."""

    def __init__(
        self, state: BufferState, keys: KeyStore, recent: Recent, group: list[Ticket]
    ) -> None:
        self._state = state
        self._keys = keys
        self._recent = recent
        self._group = group
        self._next = list(state.next_sequence)
        self._packs: list[list[Pack]] = [[] for _ in range(LANE_COUNT)]
        self._slots: list[tuple[Pack, StagedSlot]] = []
        self._entries: list[KeyEntry] = []
        self._answers: list[Places] = []
        self._repeated = 0
        clock = state.clock
        self._stamp = Stamp(clock.mono_ns(), clock.wall_ns(), clock.quality())

    def run(self) -> None:
        """Commit, then answer the tickets."""
        state = self._state
        pages = self._pages()
        overflow.make_room(state, pages, self._least_urgent())
        with state.database.transaction(takes=pages) as connection:
            if any(t.keys or (t.aside and t.aside.keys) for t in self._group):
                self._keys.trim(connection, self._stamp.wall_ns)
            for ticket in self._group:
                self._answers.append(self._place(connection, ticket))
            self._insert(connection)
        state.next_sequence = self._next
        for pack, slot in self._slots:
            state.staged[pack.lane].push(slot)
            state.next_staged[pack.lane] += 1
            self._recent.put(slot, pack, self._stamp)
        state.counters["repeated"] += self._repeated
        for ticket, answer in zip(self._group, self._answers, strict=True):
            state.counters["accepted"] += ticket.count
            ticket.answer, ticket.done = answer, True

    def _pages(self) -> int:
        """Estimate from above the pages that the group may take."""
        size = sum(ticket.size_bytes + KEY_BYTES * len(ticket.keys or ()) for ticket in self._group)
        page_bytes = self._state.database.page_bytes
        return size // (page_bytes - 64) + 2 * sum(len(t.packs) for t in self._group) + 8

    def _least_urgent(self) -> int:
        lanes = [pack.lane for t in self._group for pack in t.packs]
        lanes += [t.aside.lane for t in self._group if t.aside is not None]
        return max(lanes, default=0)

    def _place(self, connection: sqlite3.Connection, ticket: Ticket) -> Places:
        """Give sequences to a ticket's events, first answers to repeated ones."""
        if ticket.checkpoint is not None:
            _write_checkpoint(connection, *ticket.checkpoint)
        if ticket.aside is not None:
            self._write_aside(connection, ticket.aside)
        if ticket.keys is not None:
            return self._place_keyed(connection, ticket, ticket.keys)
        for pack in ticket.packs:
            self._packs[pack.lane].append(pack)
        return self._number(ticket.lanes, ticket.count)

    def _write_aside(self, connection: sqlite3.Connection, aside: Aside) -> None:
        aside.write(connection)
        if aside.keys:
            entries = [KeyEntry(hash_key(key), lane, 0, print_) for key, lane, print_ in aside.keys]
            self._keys.add(connection, self._stamp.wall_ns, self._state.epoch, entries)

    def _number(self, lanes: list[int], count: int) -> Places:
        if len(lanes) == 1:
            return Places([self._take_numbers(lanes[0], count)])
        places = PlaceCollector()
        for lane in lanes:
            places.add(self._take_numbers(lane, 1))
        return places.places()

    def _take_numbers(self, lane: int, count: int) -> Run:
        first = self._next[lane]
        self._next[lane] = first + count
        return Run(self._state.epoch, LANES[lane], first, count)

    def _place_keyed(
        self, connection: sqlite3.Connection, ticket: Ticket, keys: list[bytes | None]
    ) -> Places:
        places = PlaceCollector()
        fresh: list[Event] = []
        known = {key: self._keys.find(connection, key) for key in keys if key is not None}
        items = zip(ticket.events, keys, ticket.fingerprints, strict=True)
        for index, (event, key, print_) in enumerate(items):
            earlier = known.get(key) if key is not None else None
            if earlier is not None:
                (epoch, name, sequence, repeated), first_print = earlier
                check_same(index, print_, first_print)
                places.add(Run(epoch, name, sequence, 1, repeated))
                self._repeated += 1
                continue
            fresh.append(event)
            lane = LANE_NUMBERS[event.lane]
            run = self._take_numbers(lane, 1)
            places.add(run)
            if key is not None:
                known[key] = Accepted(run.epoch, run.lane, run.first, repeated=True), print_
                self._entries.append(KeyEntry(key, lane, run.first, print_))
        packs = ticket.packs if len(fresh) == ticket.count else pack_group(fresh)[1]
        for pack in packs:
            self._packs[pack.lane].append(pack)
        if self._entries:
            self._keys.add(connection, self._stamp.wall_ns, self._state.epoch, self._entries)
            self._entries = []
        return places.places()

    def _insert(self, connection: sqlite3.Connection) -> None:
        state, stamp = self._state, self._stamp
        for lane, packs in enumerate(self._packs):
            if not packs:
                continue
            first = state.next_sequence[lane]
            row_id = lane << LANE_SHIFT | state.next_staged[lane]
            state.reserve_numbers(lane, self._next[lane] - 1)
            for pack in join_packs(packs):
                body = write_row(pack, epoch=state.epoch, first=first, stamp=stamp)
                connection.execute("INSERT INTO staged VALUES (?, ?)", (row_id, body))
                slot = StagedSlot(
                    row_id, state.epoch, first, pack.count, len(pack.rows), stamp.mono_ns
                )
                self._slots.append((pack, slot))
                first += pack.count
                row_id += 1


def _write_checkpoint(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    connection.execute("DELETE FROM checkpoints WHERE name = ?", (name,))
    connection.execute(
        "INSERT INTO checkpoints (name, value, sum) VALUES (?, ?, ?)",
        (name, value, row_sum(name, value)),
    )
    connection.execute(
        "DELETE FROM checkpoints WHERE id <= (SELECT id FROM checkpoints ORDER BY id DESC LIMIT 1 "
        "OFFSET ?)",
        (MAX_CHECKPOINTS,),
    )
