"""Group commit: many concurrent accepts, one transaction, one sync.

The first caller to get the turn commits for everybody who waits; the others find their answer
ready. Work that never began took nothing from the queue, and work that began is finished even
when its caller was cancelled, so that an answer is never given for something undone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.committing import Commit
from whimbrel_agent.buffer.database import DiskFullError
from whimbrel_agent.buffer.idempotency import KeyStore, hash_key
from whimbrel_agent.buffer.places import Places
from whimbrel_agent.buffer.recent import Recent
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.buffer.tickets import Aside, Ticket
from whimbrel_agent.buffer.values import (
    MAX_GROUP_EVENTS,
    MAX_WAITING_EVENTS,
    Accepted,
    GroupTooBigError,
    KeyReusedError,
    TooManyWaitingError,
)
from whimbrel_agent.ports import SqlRunner
from whimbrel_protocol.event import Event

MAX_CHECKPOINT_BYTES: Final = 256


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
        if self._turn.locked():  # the other thread is busy: else it packs with warmer caches
            self._pack(ticket)
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

    def _pack(self, ticket: Ticket) -> None:
        ticket.pack()
        limit_bytes = self._state.database.limits.group_bytes
        if ticket.size_bytes > limit_bytes and ticket.count > 1:
            raise GroupTooBigError(
                f"group packs into {ticket.size_bytes} bytes, at most {limit_bytes} fit one "
                "transaction; send fewer events at once"
            )

    def _commit_until(self, ticket: Ticket) -> None:
        """Commit groups, in order, until this ticket has its answer (an abandoned one gets none)."""
        while self._waiting and not ticket.done:
            if group := self._take():
                self._commit_together(group)
        self._state.database.checkpoint_if_due()

    def _commit_together(self, group: list[Ticket]) -> None:
        try:
            self._commit(group)
        except Exception as error:  # noqa: BLE001  each ticket gets its own answer
            if len(group) == 1:
                group[0].fail(error)
            else:
                self._commit_each(group)

    def _commit_each(self, group: list[Ticket]) -> None:
        """Commit one by one: what one may not do (no room in its lane) another may."""
        for ticket in group:
            try:
                self._commit([ticket])
            except Exception as error:  # noqa: BLE001  the ticket's caller raises it
                ticket.fail(error)

    def _take(self) -> list[Ticket]:
        """Take from the queue what fits one transaction; what is no good gets its answer."""
        group: list[Ticket] = []
        room = self._state.database.limits.group_bytes
        while self._waiting:
            ticket = self._waiting[0]
            if not ticket.abandoned and self._is_good(ticket):
                if group and ticket.size_bytes > room:
                    break
                group.append(ticket)
                room -= ticket.size_bytes
            self._waiting.popleft()
        return group

    def _is_good(self, ticket: Ticket) -> bool:
        try:
            self._pack(ticket)
        except Exception as error:  # noqa: BLE001  the ticket's caller raises it
            ticket.fail(error)
        return not ticket.done

    def _commit(self, group: list[Ticket]) -> None:
        try:
            self._begin(group).run()
        except DiskFullError:
            capacity.free_what_is_kept(self._state)
            self._begin(group).run()

    def _begin(self, group: list[Ticket]) -> Commit:
        return Commit(self._state, self._keys, self._recent, group)
