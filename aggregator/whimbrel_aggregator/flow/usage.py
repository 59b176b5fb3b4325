"""What tenants, stores and devices delivered in a calendar month (UTC): counts in memory. Pure.

Only what was committed counts: a frame that comes again costs nobody anything. The month in force
follows the wall clock, but a clock that has lost its time (before 2025) moves nothing: counts
then go to the newest month that is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from whimbrel_aggregator.journal.values import DeviceKey

MAX_SCOPES: Final = 150_000
"""Tenants, stores and devices that are counted one by one in a month, about 0.3 KB each. Devices
past it are counted with their store and tenant only."""

FIRST_MONTH: Final = "2025-01"
"""No region ran this program before: a clock that says so is wrong."""

Scope = tuple[str, ...]
"""(tenant,), (tenant, store) or (tenant, store, device); () is the region."""

_NS: Final = 1_000_000_000
_LATEST_NS: Final = 253_402_300_799 * _NS  # the last second that datetime knows


@dataclass(frozen=True, slots=True)
class Usage:
    """Committed frames, the events in them, and the frames' bytes."""

    frames: int = 0
    events: int = 0
    size_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.frames + other.frames,
            self.events + other.events,
            self.size_bytes + other.size_bytes,
        )


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The usage of one tenant, store or device in one month; ``month`` is like ``2026-11``."""

    month: str
    scope: Scope
    usage: Usage


def month_of(wall_ns: int) -> str:
    """Return the UTC month of a moment."""
    moment = datetime.fromtimestamp(min(max(0, wall_ns), _LATEST_NS) // _NS, UTC)
    return f"{moment.year:04}-{moment.month:02}"


def next_month(month: str) -> str:
    """Return the month after one."""
    year, number = map(int, month.split("-"))
    return f"{year + 1:04}-01" if number == 12 else f"{year:04}-{number + 1:02}"


def scopes_of(device: DeviceKey) -> tuple[Scope, Scope, Scope, Scope]:
    """Return the region, tenant, store and device that a device counts for."""
    tenant, store = device.tenant, device.store
    return (), (tenant,), (tenant, store), (tenant, store, device.device)


class UsageBook:
    """Counts of the month in force; what changed is handed out to be stored.

    Args:
        rows: what was stored of all months.
        now_ns: the wall clock.
    """

    def __init__(self, rows: Iterable[UsageRow], *, now_ns: int) -> None:
        known = list(rows)
        month = month_of(now_ns)
        if month < FIRST_MONTH:
            month = max((row.month for row in known), default=FIRST_MONTH)
        self._month = month
        self._usage = {row.scope: row.usage for row in known if row.month == month}
        self._changed: set[Scope] = set()
        self._ended: list[UsageRow] = []

    @property
    def month(self) -> str:
        """The month in force."""
        return self._month

    def turn(self, now_ns: int) -> None:
        """Begin a new month when the clock says so; counts of the old one are still stored."""
        month = month_of(now_ns)
        if month == self._month or month < FIRST_MONTH:
            return
        self._ended += self._rows(self._changed)
        self._month = month
        self._usage = {}
        self._changed = set()

    def add(self, device: DeviceKey, usage: Usage) -> None:
        """Count what a device delivered, for itself, its store, its tenant and the region."""
        for scope in scopes_of(device):
            known = self._usage.get(scope)
            if known is None:
                if len(scope) == 3 and len(self._usage) >= MAX_SCOPES:
                    continue
                known = Usage()
            self._usage[scope] = known + usage
            self._changed.add(scope)

    def of(self, scope: Scope) -> Usage:
        """Return the usage of the month in force."""
        return self._usage.get(scope, Usage())

    def rows(self, *, longest: int = 3) -> list[UsageRow]:
        """Return the counts of the month in force, in the order of the names.

        ``longest`` is how many names a scope may have: 1 leaves stores and devices out.
        """
        scopes = [scope for scope in self._usage if len(scope) <= longest]
        return self._rows(sorted(scopes))

    def take_changed(self) -> list[UsageRow]:
        """Return what changed since the last call."""
        changed = self._ended + self._rows(self._changed)
        self._ended, self._changed = [], set()
        return changed

    def give_back(self, rows: Iterable[UsageRow]) -> None:
        """Take back what could not be stored: the next call hands it out again."""
        for row in rows:
            if row.month == self._month:
                self._changed.add(row.scope)
            else:
                self._ended.append(row)

    def _rows(self, scopes: Iterable[Scope]) -> list[UsageRow]:
        return [UsageRow(self._month, scope, self._usage[scope]) for scope in scopes]
