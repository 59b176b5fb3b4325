"""The places that a group of events got, kept as runs and spelt out only for who asks.

Nearly every group lies in one run: neighbours of one lane. A hundred objects that are summed up
to one range again at once (as the HTTP answer does) would cost more than writing the group's row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

from whimbrel_agent.buffer.values import Accepted


class Run(NamedTuple):
    """Neighbours: so many events that got ``first``, ``first + 1``, and so on.

    Where ``first`` is 0 (numbers begin at 1) a rule took the events, and they got no number.
    """

    epoch: int
    lane: str
    first: int
    events: int
    repeated: bool = False


class Places(Sequence[Accepted]):
    """One ``Accepted`` per event, in the order of the group; ``runs`` says the same in short."""

    __slots__ = ("_count", "runs")

    def __init__(self, runs: Sequence[Run] = ()) -> None:
        self.runs = tuple(runs)
        self._count = sum(run.events for run in self.runs)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Accepted]:
        for epoch, lane, first, events, repeated in self.runs:
            for place in range(events):
                yield Accepted(epoch, lane, first and first + place, repeated)

    @overload
    def __getitem__(self, index: int) -> Accepted: ...
    @overload
    def __getitem__(self, index: slice) -> list[Accepted]: ...
    def __getitem__(self, index: int | slice) -> Accepted | list[Accepted]:
        return list(self)[index]

    def __eq__(self, other: object) -> bool:
        """Places are equal to any list of the same places."""
        if isinstance(other, Places):
            return list(self) == list(other)
        return list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Places({self.runs!r})"


class PlaceCollector:
    """Collects places one by one, or in runs, joining neighbours."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def add(self, run: Run) -> None:
        """Add a run at the end."""
        if self._runs:
            epoch, lane, first, events, repeated = last = self._runs[-1]
            after = first and first + events
            if (epoch, lane, after, repeated) == (*run[:3], run.repeated):
                self._runs[-1] = last._replace(events=events + run.events)
                return
        if run.events:
            self._runs.append(run)

    def places(self) -> Places:
        """Give what was collected."""
        return Places(self._runs)
