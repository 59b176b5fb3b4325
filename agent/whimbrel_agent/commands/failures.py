"""Errors to words on stderr and an exit status, in one place for all commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from whimbrel_agent import exits
from whimbrel_agent.buffer.values import BufferError  # noqa: A004  ours
from whimbrel_agent.keyfile import KeyFileError
from whimbrel_agent.localhttp.client import NoAgentError
from whimbrel_agent.settings import ConfigError
from whimbrel_protocol.errors import WhimbrelError

__all__ = ["UsageError", "guarded", "say"]


class UsageError(WhimbrelError):
    """Arguments that do not go together."""


_STATUS: Final[tuple[tuple[type[WhimbrelError], int], ...]] = (
    (UsageError, exits.USAGE),
    (ConfigError, exits.USAGE),
    (KeyFileError, exits.USAGE),
    (NoAgentError, exits.NO_AGENT),
    (BufferError, exits.BUFFER),
    (WhimbrelError, exits.REFUSED),
)


def guarded(work: Callable[[], int]) -> int:
    """Run a command's work; its error becomes one line on stderr and an exit status."""
    try:
        return work()
    except WhimbrelError as exc:
        say(str(exc))
        return next(status for kind, status in _STATUS if isinstance(exc, kind))
    except OSError as exc:
        say(f"{exc.filename or 'input or output'}: {exc.strerror or exc}")
        return exits.REFUSED


def say(text: str) -> None:
    """Tell the person at the terminal, beside the command's own output."""
    print(f"whimbrel-agent: {text}", file=sys.stderr)
