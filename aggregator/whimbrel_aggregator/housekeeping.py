"""What runs beside ingest: retention, checkpoints in quiet moments, the supervisor's watchdog."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from whimbrel_aggregator.config import JournalConfig
from whimbrel_aggregator.journal.port import Journal, JournalError, RetentionPolicy
from whimbrel_aggregator.logs import Streak, facts
from whimbrel_aggregator.ports import Clock
from whimbrel_aggregator.supervisor import Supervisor

RETENTION_EVERY_S: Final = 30.0
CHECKPOINT_AFTER_QUIET_S: Final = 5.0
"""With nothing committed for so long, the write-ahead log is brought home: a restart then
replays nothing, and readers find a short log."""

_DAY_NS: Final = 86_400 * 1_000_000_000

_log = logging.getLogger("whimbrel.journal")


def policy_of(config: JournalConfig) -> RetentionPolicy:
    """Return the retention policy that the settings ask for."""
    days = config.retention_days
    return RetentionPolicy(
        max_age_ns=None if days is None else int(days * _DAY_NS), keep_bytes=config.retention_bytes
    )


async def keep_retention(
    journal: Journal, policy: RetentionPolicy, clock: Clock, *, every_s: float = RETENTION_EVERY_S
) -> None:
    """Apply the policy again and again until cancelled."""
    streak = Streak(_log)
    held: tuple[str, ...] = ()
    while True:
        try:
            result = await journal.retain(policy, clock.wall_ns())
        except JournalError as error:
            streak.failed("retention did not run", error=str(error))
        else:
            if result.frames:
                _log.info(
                    "retention deleted frames",
                    extra=facts(frames=result.frames, size_bytes=result.size_bytes),
                )
            if result.held_by and result.held_by != held:
                _log.warning(
                    "consumers hold back retention: let them catch up, or detach the dead ones",
                    extra=facts(consumers=list(result.held_by)),
                )
            held = result.held_by
        await asyncio.sleep(every_s)


async def keep_checkpoints(journal: Journal, *, quiet_s: float = CHECKPOINT_AFTER_QUIET_S) -> None:
    """Bring the write-ahead log home whenever commits pause, until cancelled."""
    streak = Streak(_log)
    done = seen = 0
    while True:
        now = await journal.wait_any(seen, quiet_s)
        if now == seen and now != done:
            try:
                await journal.checkpoint()
            except JournalError as error:
                streak.failed("checkpoint did not run", error=str(error))
            done = now
        seen = now
        if now == done:
            await asyncio.sleep(quiet_s)


async def keep_watchdog(supervisor: Supervisor) -> None:
    """Tell the supervisor that the loop turns, twice in its interval, until cancelled."""
    if supervisor.watchdog_s is None:
        return
    while True:
        supervisor.tell("WATCHDOG=1")
        await asyncio.sleep(supervisor.watchdog_s / 2)
