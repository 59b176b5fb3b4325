"""Rules put before a buffer, as one part of the agent. Loads the rest only where there are rules."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.platform import Platform

if TYPE_CHECKING:
    from whimbrel_agent.rules.gate import RuleGate
    from whimbrel_agent.rules.rawstore import RawStore

__all__ = ["RAW_FILE", "Rules", "open_rules"]

RAW_FILE: Final = "raw.db"
"""Beside the buffer."""


class Rules:
    """The rules in force and the raw events they keep; empty when there are none."""

    def __init__(
        self, gate: RuleGate | None = None, raw: RawStore | None = None, runner: Any = None
    ) -> None:
        self.gate = gate
        self.raw = raw
        self._runner = runner

    def jobs(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """Give what must run, by task name."""
        found: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        if self.gate is not None:
            found["rules"] = self.gate.run
        if self.raw is not None:
            found["rules.raw"] = self.raw.run
        return found

    def figures(self) -> dict[str, Any]:
        """Give what ``status`` shows: each rule's account by name, and the raw events' figures."""
        return {
            "rules": {} if self.gate is None else self.gate.figures(),
            "raw": None if self.raw is None else self.raw.figures(),
        }

    async def close(self) -> None:
        """Write raw events that wait, and close their file."""
        if self.raw is not None:
            await self.raw.close()
            await self._runner.close()


async def open_rules(config: AgentConfig, buffer: Buffer, platform: Platform) -> Rules:
    """Put the configured rules before the buffer.

    Args:
        config: all settings.
        buffer: where events go on to.
        platform: gives the clocks, and a runner for the file of raw events.
    """
    if not config.rules and not await buffer.read(_were_used):
        return Rules()
    from whimbrel_agent.rules.gate import open_gate  # noqa: PLC0415  memory without rules
    from whimbrel_agent.rules.rawstore import RawStore  # noqa: PLC0415  the same

    raw = raw_runner = None
    if any(rule.raw_days for rule in config.rules):
        raw_runner = platform.sql_runner()
        path = config.buffer.path.with_name(RAW_FILE)
        raw = RawStore(path, config.raw_max_bytes, platform.clock, raw_runner)
    return Rules(await open_gate(buffer, config.rules, platform.clock, raw), raw, raw_runner)


def _were_used(connection: sqlite3.Connection) -> bool:
    """Say whether an earlier configuration left a table of rules."""
    named = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'rules'"
    return connection.execute(named).fetchone() is not None
