"""A record of very many runs, kept as slices: a file that sessions go on with one after another.

A slice is a run of neighbouring seeds of one scenario, or of neighbouring disk images, with one
program. It is written when it is whole. The file says its own totals, so that a reader can see whether they add up::

    {"format": 1,
     "totals": {"worlds": {"count": 250, "failed": 0, "events": ..., ...}},
     "slices": [{"kind": "worlds", "of": "smoke", "first": 1, "count": 250,
                 "program": "...", "commit": "...", "digest": "...", "marks": "...",
                 "failures": [[17, ["once"]]], "sums": {...}, "faults": {...}}]}

``digest`` is over all seeds' timelines; ``marks`` has the first two bytes of each one's digest, in
base64, so that one seed alone can be compared. Images have a digest over what was found of each, no
marks, and sums of other names.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from whimbrel_protocol.errors import WhimbrelError

FORMAT: Final = 1
WORLDS: Final = "worlds"
IMAGES: Final = "images"
MARK_BYTES: Final = 2
DECIMALS: Final = 3
"""Of sums that are times."""


class RecordError(WhimbrelError):
    """A record cannot be used or added to; names the file or slice, and what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """See the module.

    Attributes:
        kind: what was run: :data:`WORLDS` or :data:`IMAGES`.
        of: the scenario, or what else was run.
        first: the first seed.
        count: how many seeds.
        program: see :func:`.version.program_version`.
        commit: that was checked out; ``+`` after it means with changes.
        digest: over all the seeds' digests.
        marks: see the module.
        failures: seed and names of what broke.
        sums: numbers that can be added to other slices'.
        faults: how often each kind struck.
    """

    kind: str
    of: str
    first: int
    count: int
    program: str
    commit: str
    digest: str
    marks: str = ""
    failures: tuple[tuple[int, tuple[str, ...]], ...] = ()
    sums: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def seeds(self) -> range:
        """Its seeds."""
        return range(self.first, self.first + self.count)

    @property
    def series(self) -> tuple[str, str, str]:
        """Slices of one series must not have a seed twice."""
        return self.kind, self.of, self.program

    def mark_of(self, seed: int) -> str:
        """Return the hexadecimal beginning of one seed's digest; empty when it is not kept."""
        marks = base64.b64decode(self.marks)
        at = (seed - self.first) * MARK_BYTES
        return marks[at : at + MARK_BYTES].hex()

    def __str__(self) -> str:
        return f"{self.kind} of {self.of}, seeds {self.first}..{self.seeds[-1]}"


def added_up(slices: Iterable[Slice]) -> dict[str, dict[str, float]]:
    """Return the sums of each kind of slices, with how many runs there are and how many failed."""
    found: dict[str, dict[str, float]] = {}
    for one in slices:
        sums = found.setdefault(one.kind, {})
        own = {"count": one.count, "failed": len(one.failures), **one.sums}
        for name, value in own.items():
            sums[name] = sums.get(name, 0) + value
    return {
        kind: {name: round(value, DECIMALS) for name, value in sums.items()}
        for kind, sums in sorted(found.items())
    }


class Record:
    """The slices in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.slices: list[Slice] = []
        self.totals: dict[str, dict[str, float]] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        try:
            given = json.loads(self.path.read_text("utf-8"))
            if given["format"] != FORMAT:
                raise RecordError(f"{self.path} has format {given['format']} (known: {FORMAT})")
            self.slices = [_slice(one) for one in given["slices"]]
            self.totals = given["totals"]
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{self.path} is no record of runs: {error!r}") from error

    def has(self, *, series: tuple[str, str, str], seeds: range) -> bool:
        """Say whether these seeds are there already.

        Raises:
            RecordError: some are, and others are not.
        """
        for one in self.slices:
            if one.series == series and _overlap(one.seeds, seeds):
                if one.seeds == seeds:
                    return True
                raise RecordError(
                    f"seeds {seeds[0]}..{seeds[-1]} would be counted twice: {self.path} has {one} "
                    f"of this program; take slices of {one.count}"
                )
        return False

    def append(self, fresh: Slice) -> None:
        """Add a slice, and write the file at once and as a whole.

        Raises:
            RecordError: some of its seeds are there already.
        """
        if self.has(series=fresh.series, seeds=fresh.seeds):
            raise RecordError(f"{self.path} has {fresh} already")
        self.slices.append(fresh)
        self.totals = added_up(self.slices)
        lines = ",\n".join(f"  {json.dumps(_plain(one))}" for one in self.slices)
        text = f'{{"format": {FORMAT},\n "totals": {json.dumps(self.totals)},\n "slices": [\n{lines}\n ]}}\n'
        draft = self.path.with_suffix(".new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.path)

    def problems(self) -> list[str]:
        """Return what does not add up: sums, seeds that are there twice."""
        found = []
        if (added := added_up(self.slices)) != self.totals:
            found.append(f"the totals are {self.totals}, and the slices make {added}")
        found += [
            f"{one} and {other} have seeds in common"
            for index, one in enumerate(self.slices)
            for other in self.slices[:index]
            if one.series == other.series and _overlap(one.seeds, other.seeds)
        ]
        return found


def _overlap(first: range, second: range) -> bool:
    return first.start < second.stop and second.start < first.stop


def _plain(one: Slice) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if value or name == "failures"}


def _slice(given: dict[str, Any]) -> Slice:
    known = {one.name for one in fields(Slice)}
    if unknown := set(given) - known:
        raise RecordError(f"a slice has {sorted(unknown)} (known: {', '.join(sorted(known))})")
    failures = tuple((seed, tuple(broken)) for seed, broken in given["failures"])
    return Slice(**{**given, "failures": failures})
