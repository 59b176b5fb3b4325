"""One transaction over a group of accepts, or none where all of it may wait in memory."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Final

from whimbrel_agent.buffer import overflow
from whimbrel_agent.buffer.held import pages_of
from whimbrel_agent.buffer.holding import (
    Row,
    held_rows,
    hold,
    insert_rows,
    may_hold,
    put_staged,
    rows_of,
)
from whimbrel_agent.buffer.idempotency import KEY_BYTES, KeyEntry, KeyStore, check_same, hash_key
from whimbrel_agent.buffer.places import PlaceCollector, Places, Run
from whimbrel_agent.buffer.recent import Recent
from whimbrel_agent.buffer.schema import row_sum
from whimbrel_agent.buffer.staging import Pack, Stamp
from whimbrel_agent.buffer.state import LANE_COUNT, BufferState
from whimbrel_agent.buffer.tickets import Aside, Ticket, pack_group
from whimbrel_agent.buffer.values import Accepted
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import LANE_NUMBERS, LANES

MAX_CHECKPOINTS: Final = 1_000
"""Importers whose positions are kept; the oldest go."""


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
        self._rows: dict[int, list[Row]] = {}
        self._to_hold: list[Row] = []
        self._entries: list[KeyEntry] = []
        self._answers: list[Places] = []
        self._repeated = 0
        clock = state.clock
        self._stamp = Stamp(clock.mono_ns(), clock.wall_ns(), clock.quality())
        self._held_lanes = self._lanes_to_hold()

    def run(self) -> None:
        """Commit what must be durable, then answer the tickets."""
        state = self._state
        own_pages = self._pages()
        held_pages = state.held.pages(state.database.page_bytes)
        overflow.make_room(state, own_pages + held_pages, self._least_urgent())
        if self._is_memory_only():
            state.database.check()
            self._answers = [self._put(ticket) for ticket in self._group]
            self._lay_out()
        else:
            with state.database.transaction(takes=own_pages + held_pages) as connection:
                if any(t.keys or (t.aside and t.aside.keys) for t in self._group):
                    self._keys.trim(connection, self._stamp.wall_ns)
                for ticket in self._group:
                    self._answers.append(self._place(connection, ticket))
                self._lay_out()
                for rows in self._rows.values():
                    insert_rows(connection, rows)
        self._take_note()

    def _take_note(self) -> None:
        """Bring memory up to what is so now, and answer."""
        state = self._state
        state.next_sequence = self._next
        for lane, rows in self._rows.items():
            put_staged(state, self._recent, lane, rows)
        hold(state, self._to_hold)
        for row in self._to_hold:
            state.set_next_staged(row.pack.lane, row.slot.id + 1)
        state.counters["repeated"] += self._repeated
        for ticket, answer in zip(self._group, self._answers, strict=True):
            state.counters["accepted"] += ticket.count
            ticket.answer, ticket.done = answer, True

    def _lanes_to_hold(self) -> frozenset[int]:
        if not any(lane.durability_s for lane in self._state.lanes):
            return frozenset()
        sizes: Counter[int] = Counter()
        written = set()
        for ticket in self._group:
            for pack in ticket.packs:
                sizes[pack.lane] += len(pack.rows)
                if ticket.must_commit:
                    written.add(pack.lane)
        held = {
            lane: size
            for lane, size in sizes.items()
            if lane not in written and self._state.lanes[lane].durability_s
        }
        return may_hold(self._state, held, self._stamp.mono_ns) if held else frozenset()

    def _is_memory_only(self) -> bool:
        return bool(self._held_lanes) and not any(
            ticket.must_commit or any(pack.lane not in self._held_lanes for pack in ticket.packs)
            for ticket in self._group
        )

    def _pages(self) -> int:
        """Estimate from above the pages that the group may take."""
        size = sum(ticket.size_bytes + KEY_BYTES * len(ticket.keys or ()) for ticket in self._group)
        rows = sum(len(ticket.packs) for ticket in self._group)
        return pages_of(size, rows, self._state.database.page_bytes) + 8

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
        return self._put(ticket)

    def _put(self, ticket: Ticket) -> Places:
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
        self, connection: sqlite3.Connection, ticket: Ticket, keys: Sequence[bytes | None]
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

    def _lay_out(self) -> None:
        """Lay out rows, to be written with what is held before them or to be held."""
        state, stamp = self._state, self._stamp
        for lane, packs in enumerate(self._packs):
            if not packs:
                continue
            state.reserve_numbers(lane, self._next[lane] - 1)
            before = [] if lane in self._held_lanes else held_rows(state, lane)
            row_id = before[-1].slot.id + 1 if before else state.staged_id(lane)
            first = state.next_sequence[lane]
            rows = rows_of(state, packs, stamp, first=first, row_id=row_id)
            if lane in self._held_lanes:
                self._to_hold += rows
            else:
                self._rows[lane] = before + rows


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
