"""The gate between intakes and buffer: applies the rules inside an accept, and closes windows.

The rule it keeps: an answer is given when everything it stands for is durable. What goes on, what
is held back (as state), the account and the idempotency keys of events that got no number are one
transaction. A group that no rule wants goes straight to the buffer.

Groups that rules want are worked one at a time. When the fate of one is unknown (its caller was
cancelled meanwhile, the buffer failed), the states are read back before the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from whimbrel_agent.buffer.places import Places
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.tickets import Aside
from whimbrel_agent.buffer.values import (
    AcceptError,
    BufferFullError,
    GroupTooBigError,
    KeyReusedError,
    TooManyWaitingError,
)
from whimbrel_agent.logs import Streak
from whimbrel_agent.ports import Clock
from whimbrel_agent.rules.engine import Batch, Engine
from whimbrel_agent.rules.grouping import Group, Known, Offer
from whimbrel_agent.rules.rawstore import RawStore
from whimbrel_agent.rules.store import aside_of, beginning_of, has_rows, read_rows
from whimbrel_agent.rules.values import Moment, RuleConfig
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event, validate_event
from whimbrel_protocol.lanes import LANE_NUMBERS, LANES

__all__ = ["RuleGate", "open_gate"]

CLOSE_SERIES: Final = 100
"""Series closed in one transaction."""

RETRY_S: Final = 5.0
"""A buffer without room is asked again after this; windows stay open meanwhile."""

LONGEST_WAIT_S: Final = 3600.0
SHORTEST_WAIT_S: Final = 0.001
"""Two clocks may differ by a rounding: that must not become a loop without a pause."""

_LEAST_URGENT: Final = len(LANES) - 1

_log: Final = logging.getLogger(__name__)


async def open_gate(
    buffer: Buffer, configs: Sequence[RuleConfig], clock: Clock, raw: RawStore | None = None
) -> RuleGate | None:
    """Put the rules before a buffer; None (and nothing in the way) when there are none.

    What rules that are gone had held back is sent on first.
    """
    if not configs and not await buffer.read(has_rows):
        return None
    gate = RuleGate(buffer, configs, clock, raw)
    try:
        await gate.load()
    except BufferFullError as error:
        _log.warning("rules start when the buffer has room: %s", error)
    if not configs and gate.is_loaded:
        return None
    buffer.put_gate(gate)
    return gate


class RuleGate:
    """The rules in force before a buffer.

    Args:
        buffer: where events go on to.
        configs: the rules, in their order.
        clock: gives the moments.
        raw: keeps raw events of rules that ask for it.
    """

    def __init__(
        self,
        buffer: Buffer,
        configs: Sequence[RuleConfig],
        clock: Clock,
        raw: RawStore | None = None,
    ) -> None:
        self._buffer = buffer
        self._configs = tuple(configs)
        self._clock = clock
        self._raw = raw
        self._engine = Engine(self._configs)
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._armed_ns: int | None = None
        self._streak = Streak(_log)
        self.is_loaded = False
        self.damaged_rows = 0

    async def load(self) -> None:
        """Read the states back; send what rules held that are gone or others now.

        Raises:
            BufferFullError: what was held finds no room; it stays where it is.
        """
        engine = Engine(self._configs)
        rows, damaged = await self._buffer.read(read_rows)
        left = engine.restore(rows, self._now())
        await self._send_leftovers(left.held)
        rest = [*left.rows, *damaged]
        if rest or left.new:
            aside = beginning_of(rest, left.new, engine.next_id, _LEAST_URGENT)
            await self._buffer.keep([], aside=aside)
            engine.next_id += len(left.new)
        self.damaged_rows += len(damaged)
        if left.held or damaged:
            _log.warning(
                "rules were changed: %d series sent what they held; %d rows could not be read",
                len(left.held),
                len(damaged),
            )
        self._engine = engine
        self.is_loaded = True
        self._changed.set()

    async def _send_leftovers(self, held: Sequence[tuple[int, tuple[Event, ...]]]) -> None:
        """Send what series of former rules held, each with the deletion of its row."""
        count = CLOSE_SERIES
        while held:
            part = held[:count]
            sent = [event for _, events in part for event in events]
            aside = aside_of([(row_id, None) for row_id, _ in part], _lane_of(sent))
            try:
                await self._buffer.keep(sent, aside=aside)
            except GroupTooBigError:
                if count == 1:
                    raise
                count //= 2
            else:
                held = held[count:]

    async def accept(
        self,
        events: Sequence[Event],
        keys: Sequence[bytes | None] | None,
        fingerprints: Sequence[int] | None,
        checkpoint: tuple[str, bytes] | None,
    ) -> Places:
        """Apply the rules to a group; returns when all that the answer stands for is durable.

        Raises:
            As :meth:`Buffer.accept` does.
        """
        wanted = self._wanted(events)
        if wanted is None:
            return await self._buffer.keep(events, keys, fingerprints, checkpoint)
        for index, event in enumerate(events):
            try:
                validate_event(event)
            except FieldError as error:
                raise AcceptError(index, error) from error
        async with self._lock:
            await self._be_loaded()
            offer = Offer(
                events,
                wanted,
                await self._known(keys, wanted),
                keys or [None] * len(events),
                fingerprints or [0] * len(events),
            )
            batch = Batch(self._engine, self._now())
            group = Group()
            group.sort(offer, batch, self._engine, self._buffer.epoch)
            lane = max(LANE_NUMBERS[event.lane] for event in events)
            aside = aside_of(batch.rows(), lane, group.aside_keys)
            found = await self._keep(batch, group, aside, checkpoint, keyed=keys is not None)
        if self._raw is not None and group.raw:
            await self._raw.add(group.raw)
        return group.answer(found)

    async def run(self) -> None:
        """Close what is due on the clock, until cancelled.

        Raises:
            BufferBrokenError: the buffer must be opened anew.
        """
        failing = False
        while True:
            if await self._has_changed():
                continue
            try:
                await self.close_due()
            except (BufferFullError, TooManyWaitingError) as error:
                failing = True
                self._streak.failed("windows stay open", why=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                if failing:
                    self._streak.recovered("windows are closed again")
                failing = False

    async def _has_changed(self) -> bool:
        """Wait for the next deadline; say whether an accept may have moved it meanwhile."""
        self._changed.clear()
        try:
            async with asyncio.timeout(self._wait_s()):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def close_due(self) -> int:
        """Close what is due now; returns how many events went on."""
        sent = 0
        async with self._lock:
            await self._be_loaded()
            due = self._engine.series_due(self._now())
            count = CLOSE_SERIES
            while due:
                batch = Batch(self._engine, self._now())
                found = batch.close_due(due[:count])
                if not await self._sent_on(batch, found, count):
                    count //= 2
                    continue
                sent += len(found)
                due = due[count:]
        return sent

    async def close_all(self) -> int:
        """Close every window and line now, for a drain; returns how many events went on."""
        sent = 0
        async with self._lock:
            await self._be_loaded()
            count = CLOSE_SERIES
            while True:
                batch = Batch(self._engine, self._now())
                found = batch.close_all(count)
                if not found:
                    return sent
                if not await self._sent_on(batch, found, count):
                    count //= 2
                    continue
                sent += len(found)

    async def _sent_on(self, batch: Batch, events: Sequence[Event], series: int) -> bool:
        """Send what was closed; say no when it is too much for one transaction."""
        group = Group.of(events)
        try:
            await self._keep(batch, group, aside_of(batch.rows(), _lane_of(events)), None)
        except GroupTooBigError:
            if series == 1:
                raise
            return False
        return True

    def figures(self) -> dict[str, Any]:
        """Give each rule's account for ``status``, by name."""
        return {rule.config.name: rule.figures() for rule in self._engine.rules}

    def _now(self) -> Moment:
        return Moment(self._clock.wall_ns(), self._clock.mono_ns())

    def _wait_s(self) -> float:
        if not self.is_loaded:
            return RETRY_S
        self._armed_ns = self._engine.next_deadline_ns()
        if self._armed_ns is None:
            return LONGEST_WAIT_S
        left_s = (self._armed_ns - self._clock.mono_ns()) / 1e9
        return min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, left_s))

    async def _be_loaded(self) -> None:
        if not self.is_loaded:
            await self.load()

    def _wanted(self, events: Sequence[Event]) -> list[int] | None:
        """Give the place of each event's rule, -1 for none; None when no rule wants any."""
        place_of = self._engine.place_of
        try:
            places = [place_of(event) for event in events]
        except (AttributeError, TypeError):
            return None  # an event is of no proper form: the buffer says which and why
        return places if any(place >= 0 for place in places) else None

    async def _known(
        self, keys: Sequence[bytes | None] | None, wanted: Sequence[int]
    ) -> list[Known | None]:
        """Look up the keys of the events that rules want: what is known is not taken twice."""
        if keys is None or not any(keys):
            return [None] * len(wanted)
        asked = [key if place >= 0 else None for key, place in zip(keys, wanted, strict=True)]
        return await self._buffer.look_up(asked)

    async def _keep(
        self,
        batch: Batch,
        group: Group,
        aside: Aside,
        checkpoint: tuple[str, bytes] | None,
        *,
        keyed: bool = False,
    ) -> Places:
        """Commit a batch; the states follow only when it is durable."""
        self.is_loaded = False  # until the fate of this commit is known
        try:
            found = await self._buffer.keep(
                group.sent,
                group.keys if keyed else None,
                group.prints if keyed else None,
                checkpoint,
                aside,
            )
        except (
            AcceptError, BufferFullError, GroupTooBigError, KeyReusedError, TooManyWaitingError,
        ) as error:  # fmt: skip
            self.is_loaded = True  # nothing was written
            if isinstance(error, KeyReusedError):
                owner = group.owners[error.index]
                raise KeyReusedError(error.index if owner is None else owner) from error
            raise
        self._engine.adopt(batch)
        self.is_loaded = True
        deadline_ns = self._engine.next_deadline_ns()
        if deadline_ns is not None and (self._armed_ns is None or deadline_ns < self._armed_ns):
            self._changed.set()
        return found


def _lane_of(events: Sequence[Event]) -> int:
    return max((LANE_NUMBERS[event.lane] for event in events), default=_LEAST_URGENT)
