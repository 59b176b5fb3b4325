"""What became of one world, as a small value: it passes between processes and into JSON.

An outcome fails when an invariant broke or when the world itself ended by an error. What broke is
called by names: an invariant's (``once``) or an error's class (``StalledError``).
"""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from .books import ACCEPTED, REFUSED
from .faults import KINDS
from .invariants.violation import Violation
from .world import World

NO_DIGEST: Final = ""
"""Of a world that could not even be made."""

COUNTED: Final = (
    "offered", "accepted", "refused", "committed", "gapped", "frames", "messages", "kills",
)  # fmt: skip
"""The names of an outcome's counts, in the order of tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One promise that did not hold.

    Attributes:
        what: the invariant's name, in small letters.
        at_s: when it was found, in the world's time.
        text: what was found.
    """

    what: str
    at_s: float
    text: str

    @classmethod
    def of(cls, violation: Violation) -> Breach:
        """Return a violation as a plain value."""
        return cls(what=violation.invariant.name.lower(), at_s=violation.at_s, text=violation.text)

    def __str__(self) -> str:
        return f"{self.at_s:.3f} s: {self.what}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """See the module.

    Attributes:
        scenario: as it was given: a name, or a file's path.
        seed: of the world.
        digest: hexadecimal SHA-256 over its timeline.
        breaches: what did not hold, the first one first.
        error: the error's class by which the world ended; empty when it did not.
        traceback: of that error.
        virtual_s: how long the world lasted, in its own time.
        device_s: the same, times its devices.
        cpu_s: processor time it took.
        counts: see :data:`COUNTED`; events, but for frames, messages and kills.
        faults: how often each kind struck.
    """

    scenario: str
    seed: int
    digest: str = NO_DIGEST
    breaches: tuple[Breach, ...] = ()
    error: str = ""
    traceback: str = ""
    virtual_s: float = 0.0
    device_s: float = 0.0
    cpu_s: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.breaches or self.error)

    @property
    def broken(self) -> tuple[str, ...]:
        """Return the names of what broke, each once, the first one first."""
        names = [breach.what for breach in self.breaches]
        return tuple(dict.fromkeys([*names, self.error] if self.error else names))

    @property
    def replay(self) -> str:
        """Return the command that runs this world again."""
        return replay_of(self.scenario, self.seed)

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints of it."""
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "failed": self.failed,
            "digest": self.digest,
            "broken": list(self.broken),
            "breaches": [
                {"what": one.what, "at_s": round(one.at_s, 6), "text": one.text}
                for one in self.breaches
            ],
            "error": self.error,
            "traceback": self.traceback,
            "virtual_s": round(self.virtual_s, 6),
            "device_s": round(self.device_s, 6),
            "cpu_s": round(self.cpu_s, 3),
            **self.counts,
            "faults": self.faults,
            "replay": self.replay,
        }


def replay_of(scenario: str, seed: int) -> str:
    """Return the command that runs a world again."""
    return f"whimbrel-sim world {shlex.quote(scenario)} --seed {seed}"


def outcome_of(world: World, scenario: str) -> Outcome:
    """Return what became of a world, as far as it went."""
    told, books = world.timeline.counts, world.books
    counts = {
        "offered": books.offered,
        "accepted": books.total(ACCEPTED),
        "refused": books.total(REFUSED),
        "committed": world.audit.journal.events,
        "gapped": world.audit.accounts.gapped().total(),
        "frames": sum(region.frames for region in world.audit.journal.regions.values()),
        "messages": sum(broker.counts["published"] for broker in world.brokers),
        "kills": told["killed"] + told["power cut"],
    }
    return Outcome(
        scenario=scenario,
        seed=world.seed,
        digest=world.timeline.digest,
        breaches=tuple(Breach.of(one) for one in world.audit.violations),
        virtual_s=world.loop.time(),
        device_s=world.loop.time() * len(world.devices),
        counts=counts,
        faults={kind: told[kind] for kind in sorted(KINDS) if told[kind]},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The sums over outcomes."""

    worlds: int = 0
    failed: int = 0
    virtual_s: float = 0.0
    device_s: float = 0.0
    cpu_s: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)

    def plus(self, other: Totals) -> Totals:
        """Return both together."""
        return Totals(
            worlds=self.worlds + other.worlds,
            failed=self.failed + other.failed,
            virtual_s=self.virtual_s + other.virtual_s,
            device_s=self.device_s + other.device_s,
            cpu_s=self.cpu_s + other.cpu_s,
            counts=_added(self.counts, other.counts),
            faults=_added(self.faults, other.faults),
        )

    @property
    def device_hours_per_s(self) -> float:
        """Device-hours that one second of a processor runs."""
        return self.device_s / 3600 / self.cpu_s if self.cpu_s else 0.0

    @property
    def cpu_s_per_world(self) -> float:
        """Processor seconds that one world takes."""
        return self.cpu_s / self.worlds if self.worlds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints of it."""
        return {
            "worlds": self.worlds,
            "failed": self.failed,
            "virtual_s": round(self.virtual_s, 3),
            "device_s": round(self.device_s, 3),
            "cpu_s": round(self.cpu_s, 3),
            **self.counts,
            "faults": self.faults,
        }


def totals(outcomes: Iterable[Outcome]) -> Totals:
    """Add outcomes up."""
    found = Totals()
    for one in outcomes:
        found = found.plus(
            Totals(
                worlds=1,
                failed=int(one.failed),
                virtual_s=one.virtual_s,
                device_s=one.device_s,
                cpu_s=one.cpu_s,
                counts=one.counts,
                faults=one.faults,
            )
        )
    return found


def digest_of(outcomes: Iterable[Outcome]) -> str:
    """Return the hexadecimal SHA-256 over all digests, in the order of seeds."""
    digest = hashlib.sha256()
    for one in sorted(outcomes, key=lambda one: one.seed):
        digest.update(f"{one.seed} {one.digest}\n".encode())
    return digest.hexdigest()


def worst_first(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return failures first (most breaches first), then the rest by seed."""
    return sorted(outcomes, key=lambda o: (not o.failed, -len(o.breaches), o.seed))


def _added(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    both = Counter(first)
    both.update(second)
    return dict(both)
