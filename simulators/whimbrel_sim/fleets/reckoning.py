"""The fleet's reckoning: the ledger in its folder against every journal and sink that is named."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Final

from whimbrel_sim.ledger import Ledger, Outcome
from whimbrel_sim.reconcile import Contents, Reconciliation, reconcile

from .holders import Holder, JournalHolder
from .ledgerfile import read_ledger
from .roster import ledger_folder, load_roster

SHOWN: Final = 20
"""Events named one by one in a text; JSON names all."""

_POLL_S: Final = 2.0
_NAMED: Final = (
    "missing", "twice", "gapped_too", "refused_yet_there", "misplaced", "out_of_order",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reckoning:
    """Each holder's comparison, and the ledger that they were compared with."""

    ledger: Ledger
    results: Mapping[str, Reconciliation]

    @property
    def agrees(self) -> bool:
        """Whether all of them agree with the ledger."""
        return all(result.agrees for result in self.results.values())

    @property
    def mendable(self) -> bool:
        """Whether time alone may make them agree."""
        return all(result.mendable for result in self.results.values())

    def lines(self) -> list[str]:
        """Tell it: a line per holder, the promises that broke, and the events that show it."""
        told = []
        for name, result in self.results.items():
            told.append(f"{name}: {result}")
            for finding, promise in result.broken.items():
                told.append(f"  broken: {promise}")
                told += [f"    {one}" for one in self._shown(finding, getattr(result, finding))]
        return told

    def to_json(self) -> dict[str, Any]:
        """Return plain values; events are named with sender, lane, number and place."""
        return {
            "agrees": self.agrees,
            "unsure": self.ledger.count(Outcome.UNSURE),
            "holders": {
                name: {
                    **result.to_json(),
                    **{key: [self._name(one) for one in getattr(result, key)] for key in _NAMED},
                }
                for name, result in self.results.items()
            },
        }

    def _shown(self, finding: str, found: object) -> list[str]:
        if not isinstance(found, tuple):
            return [f"{found} {finding}"]
        if finding not in _NAMED:
            return [str(one) for one in found[:SHOWN]]
        shown = [
            f"{finding.replace('_', ' ')}: "
            + " ".join(f"{key} {value}" for key, value in self._name(one).items())
            for one in found[:SHOWN]
        ]
        if len(found) > SHOWN:
            shown.append(f"... and {len(found) - SHOWN} more; --json names them all")
        return shown

    def _name(self, event_id: str) -> dict[str, Any]:
        entry = self.ledger.find(event_id)
        if entry is None:
            return {"id": event_id}
        device = entry.sender.partition("/")[2]
        named: dict[str, Any] = {"device": device, "lane": entry.lane, "number": entry.number}
        if entry.place is not None:
            named |= {"epoch": entry.place.epoch, "sequence": entry.place.sequence}
        return named


def reckon(folder: Path, holders: Sequence[Holder]) -> Reckoning:
    """Compare now.

    Raises:
        RosterError, LedgerFileError, LedgerError, HolderError: something cannot be read.
    """
    roster = load_roster(folder)
    ledger = read_ledger(ledger_folder(folder))
    contents = {holder.name: holder.contents(roster) for holder in holders}
    gaps = next(
        (contents[holder.name].gaps for holder in holders if isinstance(holder, JournalHolder)), ()
    )

    def with_gaps(found: Contents) -> Contents:
        return replace(found, gaps=gaps)  # a sink cannot know what will never come

    return Reckoning(
        ledger, {name: reconcile(ledger, with_gaps(found)) for name, found in contents.items()}
    )


def reckon_until(
    folder: Path,
    holders: Sequence[Holder],
    *,
    wait_s: float,
    tell: Callable[[Reckoning], None] = lambda _: None,
) -> Reckoning:
    """Compare until all agree, until they disagree in what time cannot mend, or for ``wait_s``.

    Raises:
        RosterError, LedgerFileError, LedgerError, HolderError: something cannot be read.
    """
    deadline_s = time.monotonic() + wait_s  # noqa: TID251  a command waits for real programs
    while True:
        found = reckon(folder, holders)
        late = time.monotonic() >= deadline_s  # noqa: TID251
        if found.agrees or not found.mendable or late:
            return found
        tell(found)
        Event().wait(_POLL_S)
