"""What an intake answers: accepted sequences as ranges, refused lines with their rule.

The answer to ``POST /v1/events``::

    {"accepted": [{"epoch": "7696581394433", "lane": "normal", "first": 1, "count": 200}],
     "count": 200, "repeated": 0}

The ranges follow the order of the input: the first ``count`` events got ``first``,
``first + 1``, ... and so on. A range of events whose idempotency key was known has
``"repeated": true`` and the numbers of the first answer. The epoch is decimal text, since it
has 63 bits and JavaScript's numbers have 53. A range that an edge rule took instead of sending it
on has ``"ruled": true`` and ``"first": 0``: it is safe, and counts in what the rule sends. What was
refused is beside it::

     "refused": [{"line": 3, "field": "data.price", "value": "'x'", "rule": "..."}],
     "refused_count": 1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from whimbrel_agent.buffer.places import PlaceCollector, Places, Run
from whimbrel_agent.buffer.values import (
    BufferBrokenError,
    BufferError,  # noqa: A004  ours
    BufferFullError,
    GroupTooBigError,
    TooManyWaitingError,
)
from whimbrel_agent.intake.bodies import Problem
from whimbrel_agent.localhttp.message import HttpError

__all__ = ["MAX_LISTED_PROBLEMS", "Outcome", "refusal_of"]

MAX_LISTED_PROBLEMS: Final = 100
"""Problems listed one by one; all are counted. A body of nothing but bad lines must not make an
answer larger than itself."""

RETRY_BUSY_S: Final = 1
RETRY_BROKEN_S: Final = 5
"""What Retry-After says: a full queue is gone in a second, a salvage takes longer."""


class Outcome:
    """Collects what became of one request's events."""

    def __init__(self, place_name: str) -> None:
        self._place_name = place_name
        self._problems: list[Problem] = []
        self._places = PlaceCollector()
        self.count = 0
        self.repeated = 0
        self.refused = 0

    def accept(self, accepted: Places) -> None:
        """Add events in input order."""
        for run in accepted.runs:
            self._places.add(run)
            self.count += run.events
            self.repeated += run.events if run.repeated else 0

    def refuse(self, problems: Sequence[Problem]) -> None:
        """Add problems."""
        self.refused += len(problems)
        self._problems += problems[: MAX_LISTED_PROBLEMS - len(self._problems)]

    def members(self) -> dict[str, Any]:
        """Give the members of the JSON answer."""
        members: dict[str, Any] = {
            "accepted": [_shown(run) for run in self._places.places().runs],
            "count": self.count,
            "repeated": self.repeated,
        }
        if self.refused:
            members["refused"] = [
                {
                    self._place_name: problem.place,
                    "field": problem.field,
                    "value": problem.value,
                    "rule": problem.rule,
                }
                for problem in sorted(self._problems, key=lambda problem: problem.place)
            ]
            members["refused_count"] = self.refused
        return members


def _shown(run: Run) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "epoch": str(run.epoch),
        "lane": run.lane,
        "first": run.first,
        "count": run.events,
    }
    if run.first == 0:
        shown["ruled"] = True
    return {**shown, "repeated": True} if run.repeated else shown


def refusal_of(error: BufferError) -> HttpError:
    """Give the HTTP refusal of a buffer that did not take events."""
    match error:
        case BufferFullError():
            return HttpError(507, str(error))
        case TooManyWaitingError():
            return HttpError(429, str(error), headers=(("retry-after", str(RETRY_BUSY_S)),))
        case GroupTooBigError():
            return HttpError(413, f"{error}; send it in parts, or with ?on_error=skip as NDJSON")
        case BufferBrokenError():
            return HttpError(503, str(error), headers=(("retry-after", str(RETRY_BROKEN_S)),))
        case _:
            return HttpError(503, str(error))
