"""Makes a failing world small: fewer faults, machines and senders, less time, rounder numbers.

The rule it keeps: the same promise still breaks. It begins with what the seed drew written down
(see :mod:`.explicit`), so that taking one strike away changes no other; each part of the world has
chance of its own. Whatever is tried is a whole run; the number of runs is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from whimbrel_protocol.errors import WhimbrelError

from .explicit import as_toml, made_explicit
from .outcome import Outcome
from .running import run_world
from .scenario import FaultLine, Lines, Scenario

T = TypeVar("T")

MAX_RUNS: Final = 400
"""Enough for a day with a hundred strikes; each run costs what the failing one did at most."""

SHARES: Final = (0.125, 0.25, 0.5, 0.75)
"""Of the duration, the shortest first."""

FIRST_DEVICE: Final = "store-1-1/till-1"


class NothingToShrinkError(WhimbrelError):
    """The world does not fail; names scenario and seed."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The result.

    Attributes:
        scenario: the small one, without chance of its own.
        outcome: of its last run.
        what: the promise that breaks.
        runs: how many worlds were run.
        before: how many strikes the seed had drawn.
    """

    scenario: Scenario
    outcome: Outcome
    what: str
    runs: int
    before: int

    def to_toml(self) -> str:
        """Return the scenario file, with where it comes from in its head."""
        breach = next((str(one) for one in self.outcome.breaches if one.what == self.what), "")
        return as_toml(
            self.scenario,
            f"Shrunk from {self.outcome.scenario}, seed {self.outcome.seed} (the seed still "
            f"counts: it decides delays and posts).\n{breach or self.what}",
        )


def shrink(
    scenario: Scenario,
    seed: int,
    *,
    max_runs: int = MAX_RUNS,
    say: Callable[[str], None] = lambda _: None,
) -> Shrunk:
    """Look for a smaller scenario in which the same promise breaks with the same seed.

    Args:
        scenario: one that fails.
        seed: with this seed.
        max_runs: stop then, with what was found.
        say: told after every run how far it is.

    Raises:
        NothingToShrinkError: it does not fail.
        ScenarioError: it cannot be used at all.
    """
    explicit = made_explicit(scenario, seed)
    outcome = run_world(explicit, seed)
    if not outcome.failed:
        raise NothingToShrinkError(f"{scenario.name} with seed {seed} does not fail")
    search = _Search(explicit, outcome, max_runs, say)
    search.run()
    return Shrunk(search.best, search.outcome, search.what, search.runs, len(explicit.faults))


class _Search:
    """The smallest scenario so far, and attempts to make it smaller."""

    def __init__(
        self, scenario: Scenario, outcome: Outcome, max_runs: int, say: Callable[[str], None]
    ) -> None:
        self.best = scenario
        self.outcome = outcome
        self.what = outcome.broken[0]
        self.runs = 1
        self._max_runs = max_runs
        self._say = say
        self._seen: set[str] = set()

    def run(self) -> None:
        """Try everything, again and again, until nothing helps any more."""
        before = None
        while before != self.best:
            before = self.best
            self._shorten()
            self._drop_faults()
            self._shrink_fleet()
            self._lighten_load()
            self._round_numbers()
        self._try(replace(self.best, faults=tuple(sorted(self.best.faults, key=_time_of))))

    def _try(self, candidate: Scenario) -> bool:
        """Run it; when it fails in the same way, it is the best from now on."""
        key = repr(candidate)
        if self.runs >= self._max_runs or candidate == self.best or key in self._seen:
            return False
        self._seen.add(key)
        self.runs += 1
        outcome = run_world(candidate, self.outcome.seed)
        fails = self.what in outcome.broken
        if fails:
            self.best, self.outcome = candidate, outcome
        self._say(f"{self.runs} runs, {_size(self.best)}")
        return fails

    def _shorten(self) -> None:
        for share in SHARES:
            until_s = float(round(self.best.duration_s * share))
            faults = tuple(one for one in self.best.faults if _time_of(one) < until_s)
            if until_s and self._try(replace(self.best, duration_s=until_s, faults=faults)):
                return

    def _drop_faults(self) -> None:
        smallest(
            self.best.faults, lambda faults: self._try(replace(self.best, faults=tuple(faults)))
        )

    def _shrink_fleet(self) -> None:
        for index, line in enumerate(self.best.faults):
            if "/" in line.on and line.on != FIRST_DEVICE:
                self._replace_fault(index, replace(line, on=FIRST_DEVICE))
        for name in ("regions", "stores", "devices"):
            now = getattr(self.best.fleet, name)
            for fewer in sorted({1, now // 2, now - 1} - {0, now}):
                fleet = replace(self.best.fleet, **{name: fewer})
                if self._try(replace(self.best, fleet=fleet)):
                    break

    def _lighten_load(self) -> None:
        smallest(
            self.best.load,
            lambda load: bool(load) and self._try(replace(self.best, load=tuple(load))),
        )
        for index in range(len(self.best.load)):
            for lighter in _lighter(self.best.load[index], self.best.duration_s):
                load = (*self.best.load[:index], lighter, *self.best.load[index + 1 :])
                self._try(replace(self.best, load=load))

    def _round_numbers(self) -> None:
        for index, line in enumerate(self.best.faults):
            for name in ("at_s", "for_s", *line.more):
                for digits in (0, 1, 3):
                    if self._replace_fault(index, _rounded(self.best.faults[index], name, digits)):
                        break

    def _replace_fault(self, index: int, line: FaultLine) -> bool:
        faults = (*self.best.faults[:index], line, *self.best.faults[index + 1 :])
        return self._try(replace(self.best, faults=faults))


def smallest(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """Return a part of ``items`` that fails, none of whose items can be dropped alone.

    This is Zeller's ddmin: parts of a size are dropped one after another, then smaller ones.

    Args:
        items: all of them together fail.
        fails: runs a part.
    """
    size = len(items)
    while size:
        start = 0
        while start < len(items):
            rest = [*items[:start], *items[start + size :]]
            if fails(rest):
                items = rest
            else:
                start += size
        size //= 2
    return items


def _lighter(line: Lines, until_s: float) -> Iterator[Lines]:
    """Yield senders that do less, in one way each."""
    if line.events > 1:
        yield replace(line, events=1)
    if line.padding_bytes:
        yield replace(line, padding_bytes=0)
    if line.numbers:
        yield replace(line, numbers=0)
    if line.articles:
        yield replace(line, articles=0)
    for times in (4, 2):
        if line.every_s * times <= until_s:  # rarer than that is never
            yield replace(line, every_s=line.every_s * times)


def _rounded(line: FaultLine, name: str, digits: int) -> FaultLine:
    if name in line.more:
        return replace(line, more={**line.more, name: round(line.more[name], digits)})
    return replace(line, **{name: round(getattr(line, name), digits)})


def _time_of(line: FaultLine) -> float:
    assert isinstance(line.at_s, int | float)
    return float(line.at_s)


def _size(scenario: Scenario) -> str:
    fleet = scenario.fleet
    devices = fleet.regions * fleet.stores * fleet.devices
    return f"faults {len(scenario.faults)}, devices {devices}, {scenario.duration_s:g} s"
