"""What rules are made of: settings, moments, steps. Pure values.

A rule sees one event of one key at a time and answers with a :class:`Step`. Its state is a frozen
value, so that an accept which fails leaves nothing to be undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from whimbrel_protocol.event import Event

__all__ = [
    "KINDS",
    "MAX_HELD_BYTES",
    "MAX_RULES",
    "STATS",
    "Machine",
    "Moment",
    "RuleConfig",
    "Step",
]

KINDS: Final = (
    *("deadband", "change", "window", "swinging-door", "sample", "filter", "pass", "top-k"),
)
STATS: Final = ("min", "max", "mean", "sum", "last")

MAX_RULES: Final = 64
"""Every event is compared with each until one takes it."""

MAX_HELD_BYTES: Final = 1024
"""An event larger than this is never held back whole: it passes as it is, counted. Bounds memory
and what is written again with every further event."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Now: wall clock and monotonic clock, nanoseconds."""

    wall_ns: int
    mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleConfig:
    """One rule, checked.

    Attributes:
        name: names the rule in events and in ``status``.
        when: which events; the expression's text.
        do: one of ``KINDS``.
        key: fields that tell series apart; none means one series of all.
        fields: members of data (or further fields) whose numbers are looked at.
        band: a difference up to this is none; in percent of the last value sent if
            ``band_percent`` is set instead.
        every: of so many events one is sent (``sample``).
        period_s: at most one is sent per so many seconds (``sample``).
        window_s: length of a window; windows begin at multiples of it since 1970 UTC.
        lateness_s: a window is kept open so much longer for events that come late.
        stats: what is computed for each field of a window.
        by: the field whose greatest values are sent (``top-k``).
        k: how many of them.
        at_least_s: after so long an event is sent in any case.
        hold_s: a value that is held back is sent after so long without another.
        max_keys: so many series are remembered; the least recently used goes.
        type: of a window's event; None means the raw type with ``.window``.
        lane: of a window's event; None means the lane of the raw ones.
        raw_days: raw events stay on the device for so long; 0 means not at all.
        definition: the settings as they were written; two rules with the same are the same rule.
    """

    name: str
    when: str
    do: str
    key: tuple[str, ...] = ("source",)
    fields: tuple[str, ...] = ()
    band: float = 0.0
    band_percent: float | None = None
    every: int | None = None
    period_s: float | None = None
    window_s: float = 60.0
    lateness_s: float = 2.0
    stats: tuple[str, ...] = STATS
    by: str | None = None
    k: int = 3
    at_least_s: float | None = None
    hold_s: float = 60.0
    max_keys: int = 1_000
    type: str | None = None
    lane: str | None = None
    raw_days: float = 0.0
    definition: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one event, or of one deadline.

    Attributes:
        state: the key's state after it; None forgets the key.
        sent: events to be accepted now, older ones first; not the event itself.
        passed: the event itself, marked, when it goes on now.
        reason: why it does not go on; with ``passed``: why the rule could do nothing with it.
    """

    state: Any = None
    sent: tuple[Event, ...] = ()
    passed: Event | None = None
    reason: str = ""


class Machine(Protocol):
    """One rule's way with one key's events. Knows no clock and no disk."""

    def take(self, state: Any, event: Event, now: Moment) -> Step:
        """Take an event; ``state`` is None for a key that is new."""
        ...

    def due(self, state: Any, now: Moment) -> Step | None:
        """Close what is due; None when nothing is."""
        ...

    def close(self, state: Any) -> tuple[Event, ...]:
        """Give everything that is held, since the key or the rule is going."""
        ...

    def deadline_ns(self, state: Any) -> int | None:
        """When ``due`` must be asked, by the monotonic clock."""
        ...

    def held(self, state: Any) -> int:
        """How many raw events stand in the state and in no event sent yet."""
        ...

    def pack(self, state: Any) -> Any:
        """Give the state as what CBOR has; deadlines are left out."""
        ...

    def unpack(self, packed: Any, now: Moment) -> Any:
        """Read a state back after a restart, with its deadlines counted from now."""
        ...
