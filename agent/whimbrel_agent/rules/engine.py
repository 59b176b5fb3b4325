"""All rules over all series: which rule takes an event, what that changes, what is due. Pure.

Work is done on a :class:`Batch`, which sees the engine's states and keeps its own changes. Only
when what it sent and its rows are durable does the engine adopt it; otherwise it is dropped and
nothing has happened.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from whimbrel_agent.rules.expression import field_of
from whimbrel_agent.rules.machine import machine_of
from whimbrel_agent.rules.selecting import MISSING, Getter, getter_of, selector_of
from whimbrel_agent.rules.staterows import (
    CountsRow,
    DefinitionRow,
    RuleRow,
    StateRow,
)
from whimbrel_agent.rules.values import Moment, RuleConfig, Step
from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.event import Event

__all__ = ["Batch", "Engine", "Rule", "SeriesKey"]

SeriesKey = str | bytes
"""The source alone, or the key's fields packed."""

_MAX_KEY_BYTES: Final = 256
_UNTOUCHED: Final = "critical"
"""The lane that no rule takes from: what is urgent enough for it goes as it is."""


@dataclass(slots=True)
class _Entry:
    """One series: where its row lies, and its state."""

    id: int
    state: Any


class Rule:
    """One rule, ready to work, with its series and its account."""

    def __init__(self, config: RuleConfig) -> None:
        self.config = config
        self.selects = selector_of(config.when)
        self.machine = machine_of(config)
        self.series: dict[SeriesKey, _Entry] = {}
        self.counts: Counter[str] = Counter()
        self.counts_id = 0
        self._only_source = config.key == ("source",)
        self._key: tuple[Getter, ...] = tuple(getter_of(field_of(name)) for name in config.key)

    def key_of(self, event: Event) -> SeriesKey:
        """Name the series that an event belongs to."""
        if self._only_source:
            return event.source
        found = [get(event) for get in self._key]
        packed = dump_value([None if value is MISSING else [value] for value in found])
        return packed if len(packed) <= _MAX_KEY_BYTES else blake2b(packed).digest()

    def figures(self) -> dict[str, Any]:
        """Give the account for ``status``: taken = passed + all that was suppressed."""
        counts = self.counts
        return {
            "do": self.config.do,
            "when": self.config.when,
            **{name: counts[name] for name in ("taken", "passed", "sent", "evicted")},
            "suppressed": _tail(counts, "suppressed "),
            "passed_as_is": _tail(counts, "as-is "),
            "series": len(self.series),
            "held": sum(self.machine.held(entry.state) for entry in self.series.values()),
        }


class Engine:
    """Holds the rules in force."""

    def __init__(self, configs: Sequence[RuleConfig]) -> None:
        self.rules = tuple(Rule(config) for config in configs)
        self.next_id = 1
        self._deadlines: list[tuple[int, int, int, SeriesKey]] = []
        self._queued: dict[tuple[int, SeriesKey], int] = {}
        self._pushed = 0

    def place_of(self, event: Event) -> int:
        """Give the place of the first rule that wants an event, -1 when none does."""
        if event.lane == _UNTOUCHED:
            return -1
        for place, rule in enumerate(self.rules):
            if rule.selects(event):
                return place
        return -1

    def next_deadline_ns(self) -> int | None:
        """When :meth:`Batch.close_due` has something to do, by the monotonic clock."""
        while self._deadlines:
            queued_ns, _, place, key = self._deadlines[0]
            real_ns = self._deadline_of(place, key)
            if self._queued.get((place, key)) != queued_ns:
                heapq.heappop(self._deadlines)  # an earlier one took its place
                continue
            if real_ns == queued_ns:
                return queued_ns
            heapq.heappop(self._deadlines)
            del self._queued[place, key]
            if real_ns is not None:
                self._push(real_ns, place, key)
        return None

    def series_due(self, now: Moment) -> list[tuple[int, SeriesKey]]:
        """Name the series that are due, earliest first."""
        due: list[tuple[int, SeriesKey]] = []
        popped: list[int] = []
        while (deadline_ns := self.next_deadline_ns()) is not None and deadline_ns <= now.mono_ns:
            _, _, place, key = heapq.heappop(self._deadlines)
            del self._queued[place, key]
            due.append((place, key))
            popped.append(deadline_ns)
        for (place, key), deadline_ns in zip(due, popped, strict=True):
            self._push(deadline_ns, place, key)  # until they are closed for good they stay due
        return due

    def adopt(self, batch: Batch) -> None:
        """Take over what a batch changed; it is durable now."""
        self.next_id = batch.next_id
        for (place, key), (entry_id, state) in batch.changed.items():
            series = self.rules[place].series
            series.pop(key, None)
            if state is not None:
                series[key] = _Entry(entry_id, state)  # at the end: used last
                deadline_ns = self.rules[place].machine.deadline_ns(state)
                if deadline_ns is not None:
                    self._push(deadline_ns, place, key)
        for place, (counts_id, counts) in batch.counts.items():
            self.rules[place].counts, self.rules[place].counts_id = counts, counts_id

    def restore(self, rows: Iterable[tuple[int, RuleRow]], now: Moment) -> Leftovers:
        """Take the rows of an earlier process; call it once, on a fresh engine.

        A rule whose definition is another now, or that is gone, is closed: what it held is sent.
        """
        found = list(rows)
        self.next_id = max((row_id for row_id, _ in found), default=0) + 1
        stored = {row.rule: row.config for _, row in found if isinstance(row, DefinitionRow)}
        mine = {rule.config.name: place for place, rule in enumerate(self.rules)}
        left = Leftovers([], [], [])
        same = set()
        for name, config in stored.items():
            place = mine.get(name)
            if place is not None and self.rules[place].config.definition == config.definition:
                same.add(name)
        left.new = [rule.config for rule in self.rules if rule.config.name not in same]
        for row_id, row in found:
            if row.rule in same:
                self._take_row(mine[row.rule], row_id, row, now)
                continue
            if isinstance(row, StateRow) and row.rule in stored:
                machine = machine_of(stored[row.rule])
                held = machine.close(machine.unpack(row.state, now))
                left.held.append((row_id, held))
            else:
                left.rows.append(row_id)
        return left

    def _take_row(self, place: int, row_id: int, row: RuleRow, now: Moment) -> None:
        rule = self.rules[place]
        if isinstance(row, CountsRow):
            rule.counts, rule.counts_id = Counter(row.counts), row_id
        elif isinstance(row, StateRow):
            state = rule.machine.unpack(row.state, now)
            rule.series[row.key] = _Entry(row_id, state)
            deadline_ns = rule.machine.deadline_ns(state)
            if deadline_ns is not None:
                self._push(deadline_ns, place, row.key)

    def _deadline_of(self, place: int, key: SeriesKey) -> int | None:
        rule = self.rules[place]
        entry = rule.series.get(key)
        return None if entry is None else rule.machine.deadline_ns(entry.state)

    def _push(self, deadline_ns: int, place: int, key: SeriesKey) -> None:
        """Queue a series; a deadline that moves back is looked up when the queued one has come."""
        queued_ns = self._queued.get((place, key))
        if queued_ns is None or deadline_ns < queued_ns:
            self._queued[place, key] = deadline_ns
            self._pushed += 1  # so that keys of two kinds are never compared
            heapq.heappush(self._deadlines, (deadline_ns, self._pushed, place, key))


@dataclass(slots=True)
class Leftovers:
    """What an earlier configuration left.

    Attributes:
        held: rows of series that are over, with the events to be sent before they are deleted.
        rows: further rows to delete, after those.
        new: rules whose definitions are to be written then.
    """

    held: list[tuple[int, tuple[Event, ...]]]
    rows: list[int]
    new: list[RuleConfig]


class Batch:
    """Changes under way, on top of an engine that stays as it is."""

    def __init__(self, engine: Engine, now: Moment) -> None:
        self._engine = engine
        self._now = now
        self.next_id = engine.next_id
        self.changed: dict[tuple[int, SeriesKey], tuple[int, Any]] = {}
        self.counts: dict[int, tuple[int, Counter[str]]] = {}
        self._added: Counter[int] = Counter()

    def take(self, place: int, event: Event) -> Step:
        """Have a rule take an event."""
        rule = self._engine.rules[place]
        key = rule.key_of(event)
        entry_id, state = self._state(place, key)
        step = rule.machine.take(state, event, self._now)
        counts = self._counts(place)
        counts["taken"] += 1
        counts["passed"] += step.passed is not None
        if step.reason:
            counts[f"{'suppressed' if step.passed is None else 'as-is'} {step.reason}"] += 1
        sent = step.sent
        if step.state is not state:
            if state is None:
                sent = (*self._make_room(place), *sent)
                entry_id = entry_id or self._new_id()  # one that went in this batch keeps its row
                self._added[place] += 1
            self.changed[place, key] = (entry_id, step.state)
        counts["sent"] += len(sent)
        return step if sent is step.sent else Step(step.state, sent, step.passed, step.reason)

    def close_due(self, series: Sequence[tuple[int, SeriesKey]]) -> list[Event]:
        """Close what is due in some series; give what is to be sent."""
        sent: list[Event] = []
        for place, key in series:
            entry_id, state = self._state(place, key)
            step = state and self._engine.rules[place].machine.due(state, self._now)
            if step:
                self._put(place, key, entry_id, step.state)
                self._counts(place)["sent"] += len(step.sent)
                sent += step.sent
        return sent

    def close_all(self, limit: int) -> list[Event]:
        """Close what every series holds, so many series at most; give what is to be sent."""
        sent: list[Event] = []
        for place, rule in enumerate(self._engine.rules):
            for key, entry in rule.series.items():
                held = rule.machine.close(entry.state)
                if held and limit > 0:
                    limit -= 1
                    self._put(place, key, entry.id, None)
                    self._counts(place)["sent"] += len(held)
                    sent += held
        return sent

    def rows(self) -> Iterator[tuple[int, RuleRow | None]]:
        """Give the rows to be written; None deletes one."""
        for (place, key), (entry_id, state) in self.changed.items():
            rule = self._engine.rules[place]
            if state is None:
                yield entry_id, None
            else:
                yield entry_id, StateRow(rule.config.name, key, rule.machine.pack(state))
        for place, (counts_id, counts) in self.counts.items():
            yield counts_id, CountsRow(self._engine.rules[place].config.name, dict(counts))

    def _put(self, place: int, key: SeriesKey, entry_id: int, state: Any) -> None:
        self.changed[place, key] = (entry_id, state)
        self._added[place] -= state is None

    def _state(self, place: int, key: SeriesKey) -> tuple[int, Any]:
        found = self.changed.get((place, key))
        if found is not None:
            return found
        entry = self._engine.rules[place].series.get(key)
        return (0, None) if entry is None else (entry.id, entry.state)

    def _counts(self, place: int) -> Counter[str]:
        found = self.counts.get(place)
        if found is None:
            rule = self._engine.rules[place]
            found = self.counts[place] = (
                rule.counts_id or self._new_id(),
                Counter(rule.counts),
            )
        return found[1]

    def _make_room(self, place: int) -> tuple[Event, ...]:
        """Let the least recently used series go when there are too many; give what it held."""
        rule = self._engine.rules[place]
        if len(rule.series) + self._added[place] < rule.config.max_keys:
            return ()
        for key, entry in rule.series.items():
            if (place, key) not in self.changed:
                self._put(place, key, entry.id, None)
                self._counts(place)["evicted"] += 1
                return rule.machine.close(entry.state)
        for (other, key), (entry_id, state) in self.changed.items():
            if other == place and state is not None:
                self._put(place, key, entry_id, None)
                self._counts(place)["evicted"] += 1
                return rule.machine.close(state)
        return ()

    def _new_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1


def _tail(counts: Counter[str], head: str) -> dict[str, int]:
    return {name[len(head) :]: n for name, n in sorted(counts.items()) if name.startswith(head)}
