"""Failures of commands as one line on stderr and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable

from whimbrel_aggregator import exits
from whimbrel_aggregator.journal.errors import JournalError
from whimbrel_protocol.errors import WhimbrelError


class UsageError(WhimbrelError):
    """The arguments cannot be used."""


class UnreachableError(WhimbrelError):
    """A running aggregator is needed, or one is there but does not answer as it should."""


class RefusedByApiError(WhimbrelError):
    """The API refused a request; the text has field, value and rule."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def guarded(work: Callable[[], int]) -> int:
    """Run a command's work and return its exit status; failures are told, not traced."""
    try:
        return work()
    except WhimbrelError as error:
        print(f"whimbrel-aggregator: {error}", file=sys.stderr)
        return _status_of(error)


def _status_of(error: WhimbrelError) -> int:
    match error:
        case UnreachableError():
            return exits.UNREACHABLE
        case JournalError():
            return exits.JOURNAL
        case RefusedByApiError() if error.status != 400:
            return exits.WRONG
        case _:
            return exits.USAGE
