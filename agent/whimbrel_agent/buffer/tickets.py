"""One accept call on its way to the disk: what it brought, checked and packed, and its answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whimbrel_agent.buffer.idempotency import KEY_BYTES, hash_key
from whimbrel_agent.buffer.places import Places
from whimbrel_agent.buffer.staging import Pack, pack_lane
from whimbrel_agent.buffer.values import AcceptError
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event, validate_event
from whimbrel_protocol.lanes import LANE_NUMBERS


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
    """One accept call: what it brought, and its answer once it is durable.

    ``keys`` are hashed, and ``lanes``, ``packs`` and ``size_bytes`` known, once it is packed.
    """

    __slots__ = (
        *("abandoned", "answer", "aside", "checkpoint", "count", "done", "error", "events"),
        *("fingerprints", "keys", "lanes", "packed", "packs", "size_bytes"),
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
        self.keys = keys if keys is not None and any(keys) else None
        self.events = events
        self.checkpoint = checkpoint
        self.aside = aside
        self.lanes: list[int] = []
        self.packs: list[Pack] = []
        self.size_bytes = 0
        self.packed = False
        self.answer = Places()
        self.error: Exception | None = None
        self.done = False
        self.abandoned = False

    def pack(self) -> None:
        """Check and pack the events, once; by the thread that has nothing better to do.

        Raises:
            AcceptError: an event breaks a limit; it names which.
        """
        if self.packed:
            return
        self.lanes, self.packs = pack_group(self.events)
        self.size_bytes = sum(len(pack.rows) for pack in self.packs)
        if self.aside is not None:
            self.size_bytes += self.aside.size_bytes + KEY_BYTES * len(self.aside.keys)
        if self.keys is None:
            self.events = ()
        else:
            self.keys = [key and hash_key(key) for key in self.keys]
        self.packed = True

    def fail(self, error: Exception) -> None:
        """Have its caller raise an error."""
        self.error, self.done = error, True

    @property
    def must_commit(self) -> bool:
        """Whether its events are durable with the answer, whatever windows their lanes have.

        What becomes durable with them (a key, a position, a rule's state) may not outlive them.
        """
        return self.keys is not None or self.checkpoint is not None or self.aside is not None


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
