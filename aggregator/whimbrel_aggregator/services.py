"""What the HTTP API and the forwarders work on, put together by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from whimbrel_aggregator.flow.control import FlowFigures
from whimbrel_aggregator.flow.limits import Limits
from whimbrel_aggregator.flow.usage import UsageRow
from whimbrel_aggregator.forward.skipped import Skipped
from whimbrel_aggregator.forward.status import ForwarderStatus
from whimbrel_aggregator.ingest.strangers import Stranger
from whimbrel_aggregator.journal.port import Journal
from whimbrel_aggregator.ports import Clock
from whimbrel_aggregator.reading import EventReader


def _nothing() -> Mapping[str, int]:
    return {}


def _none() -> Sequence[ForwarderStatus]:
    return ()


def _nobody() -> Sequence[Stranger]:
    return ()


def _ready() -> str:
    return ""


ReadUsage = Callable[[str | None], Awaitable[tuple[str, Sequence[UsageRow]]]]
"""Returns a month (``2026-11``; None: the one in force) and what was counted in it."""


async def _no_usage(month: str | None) -> tuple[str, Sequence[UsageRow]]:
    return month or "", ()


class SkippedRuns(Protocol):
    """Runs of frames that routes did not forward in full."""

    async def rows(self, forwarder: str | None, after_id: int) -> Sequence[Skipped]:
        """Return runs (of one forwarder), oldest first."""
        ...

    async def drop(self, number: int) -> bool:
        """Forget a run; False when there is none of this id."""
        ...


class NothingSkipped:
    """No runs."""

    async def rows(self, forwarder: str | None, after_id: int) -> Sequence[Skipped]:
        """Return none."""
        del forwarder, after_id
        return ()

    async def drop(self, number: int) -> bool:
        """Find none."""
        del number
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Ports and sources of figures.

    Attributes:
        region: the region's name.
        version: of the program.
        journal: the journal.
        reader: decodes its frames.
        clock: the region's clock.
        ingest: totals since the start by name, such as ``frames_committed``; each only grows.
        forwarders: the state of every forwarder.
        strangers: devices that were heard since the start and are not enrolled.
        not_ready: why no events can be taken now; empty when they can.
        operated: called after an operator mended a forwarder's cursors or parked events.
        enrolled: called after devices changed, so that ingest forgets what it remembered.
        flow: credit and returns; None where nothing runs.
        tenant_usage: the counts of this month by tenant.
        usage: the counts of a month, None for the one in force.
        limits: the configured limits.
        skipped: what routes left out on lower rungs of their ladders.
    """

    region: str
    version: str
    journal: Journal
    reader: EventReader
    clock: Clock
    ingest: Callable[[], Mapping[str, int]] = field(default=_nothing)
    forwarders: Callable[[], Sequence[ForwarderStatus]] = field(default=_none)
    strangers: Callable[[], Sequence[Stranger]] = field(default=_nobody)
    not_ready: Callable[[], str] = field(default=_ready)
    operated: Callable[[], None] = field(default=lambda: None)
    enrolled: Callable[[], None] = field(default=lambda: None)
    flow: Callable[[], FlowFigures | None] = field(default=lambda: None)
    tenant_usage: Callable[[], Sequence[UsageRow]] = field(default=lambda: ())
    usage: ReadUsage = field(default=_no_usage)
    limits: Limits = field(default_factory=lambda: Limits(()))
    skipped: SkippedRuns = field(default_factory=NothingSkipped)
