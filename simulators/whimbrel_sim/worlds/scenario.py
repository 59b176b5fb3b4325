"""Scenarios: small TOML files that say what a world is made of and what befalls it.

A number may be given as ``[low, high]``: each world then draws it from its seed. ``[agent]`` and
``[aggregator]`` are what the shipped programs' own files could say (:mod:`.settings`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any, Final

from whimbrel_protocol.errors import WhimbrelError

from .settings import SettingsError, agent_settings, aggregator_settings

SUFFIX: Final = ".toml"
_FOLDER: Final = "scenarios"

Number = float | tuple[float, float]


class ScenarioError(WhimbrelError):
    """A scenario file cannot be used; names file, key, value and what is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Who is there.

    Attributes:
        regions: how many, each with a broker of its own.
        stores: in each region.
        devices: in each store.
        max_bytes: of each device's buffer.
        tenants: the stores of a region belong to these in turn.
    """

    regions: int = 1
    stores: int = 1
    devices: int = 2
    max_bytes: int = 1024 * 1024
    tenants: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """What one sender posts.

    Attributes:
        lane: of its events.
        every_s: mean time between posts (exponential).
        events: at most so many in one post.
        keyed: posts carry an idempotency key and are repeated until answered.
        steady: exactly ``every_s`` apart, exactly ``events`` in each.
        padding_bytes: text in every event, up to so long.
        numbers: fractions in every event, as of a meter; hardly any two are the same.
        articles: of so many are its events lines, with what follows from the article.
        on: whose devices have this sender: a store's, one device by its name; empty for all.
        ruled: a rule of ``[agent]`` takes its events, so that only their counts come through.
    """

    lane: str = "normal"
    every_s: float = 5.0
    events: int = 4
    keyed: bool = False
    steady: bool = False
    padding_bytes: int = 0
    numbers: int = 0
    articles: int = 0
    on: str = ""
    ruled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """How late events may be: from when they were offered to the region's receipt.

    Attributes:
        lane: of the events.
        within_s: at most so late.
        from_s: those that were offered from then on.
        until_s: and before this.
        on: those of a store, or of one device; empty for all.
    """

    lane: str
    within_s: float
    from_s: float = 0.0
    until_s: float = float("inf")
    on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLine:
    """One kind of trouble.

    Attributes:
        kind: see :mod:`.faults`.
        on: whom it strikes: ``any``, ``each``, or a name.
        at_s: when it begins.
        for_s: how long it lasts.
        times: how often it strikes, each time at another ``at_s``.
        share: of those that it may strike.
        more: the kind's own settings.
    """

    kind: str
    on: str = "any"
    at_s: Number = 0.0
    for_s: Number = 0.0
    times: Number = 1
    share: float = 1.0
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A whole story.

    Attributes:
        name: of its file.
        story: what happens, in a sentence or two.
        duration_s: how long producers post and faults strike.
        drain_s: how long everything may take to drain after the last fault.
        check_s: how often the invariants are looked at.
        fleet: who is there.
        load: senders of every device.
        faults: what befalls them.
        expects: how late events may be.
        agent: settings of every agent, as in its file.
        aggregator: settings of every aggregator, as in its file.
    """

    name: str
    story: str
    duration_s: float
    drain_s: float = 1200.0
    check_s: float = 60.0
    fleet: Fleet = field(default_factory=Fleet)
    load: tuple[Lines, ...] = (Lines(),)
    faults: tuple[FaultLine, ...] = ()
    expects: tuple[Expectation, ...] = ()
    agent: Mapping[str, Any] = field(default_factory=dict)
    aggregator: Mapping[str, Any] = field(default_factory=dict)

    @property
    def recorded(self) -> bool:
        """Whether its machines' cards must record what is written to them."""
        from .faults import KINDS  # noqa: PLC0415  faults need a world, a world its scenario

        return any(KINDS[line.kind].recorded for line in self.faults)


def draw(number: Number, random: Random) -> float:
    """Return a number, drawn where it is a range."""
    return random.uniform(*number) if isinstance(number, tuple) else number


def names() -> list[str]:
    """Return the names of the scenarios that come with the package."""
    folder = files("whimbrel_sim") / _FOLDER
    return sorted(p.name.removesuffix(SUFFIX) for p in folder.iterdir() if p.name.endswith(SUFFIX))


def load_scenario(name: str) -> Scenario:
    """Read a scenario by its name, or from a file.

    Raises:
        ScenarioError: there is none, or it says something that is not known.
    """
    if name.endswith(SUFFIX) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise ScenarioError(f"scenario file {name} does not exist")
        return parse(path.name.removesuffix(SUFFIX), path.read_text("utf-8"))
    if name not in names():
        raise ScenarioError(f"scenario {name!r} is not known (known: {', '.join(names())})")
    return parse(name, (files("whimbrel_sim") / _FOLDER / f"{name}{SUFFIX}").read_text("utf-8"))


def parse(name: str, text: str) -> Scenario:
    """Read a scenario's text.

    Raises:
        ScenarioError: it is no TOML, or says something that is not known.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"scenario {name}: {error}") from error
    fleet = _made(Fleet, given.pop("fleet", {}), f"{name}: [fleet]")
    load = tuple(_made(Lines, one, f"{name}: [[load]]") for one in given.pop("load", [{}]))
    faults = tuple(_fault(one, name) for one in given.pop("fault", []))
    expects = tuple(
        _made(Expectation, one, f"{name}: [[expect]]") for one in given.pop("expect", [])
    )
    rest = {**given, "name": name, "fleet": fleet, "load": load, "faults": faults}
    made: Scenario = _made(Scenario, {**rest, "expects": expects}, name)
    try:
        agent_settings(made.agent)
        aggregator_settings(made.aggregator)
    except SettingsError as error:
        raise ScenarioError(f"{name}: {error}") from error
    return made


def _fault(given: dict[str, Any], name: str) -> FaultLine:
    from .faults import settings_of  # noqa: PLC0415  faults need a world, a world its scenario

    known = {one.name for one in fields(FaultLine)} - {"more"}
    own = {key: _number(given[key]) for key in given if key in known}
    more = {key: _number(given[key]) for key in given if key not in known}
    line: FaultLine = _made(FaultLine, {**own, "more": more}, f"{name}: [[fault]]")
    allowed = settings_of(line.kind)
    if allowed is None:
        from .faults import KINDS  # noqa: PLC0415

        raise ScenarioError(
            f"{name}: [[fault]] kind {line.kind!r} is not known (known: {', '.join(sorted(KINDS))})"
        )
    for key in more:
        if key not in allowed:
            raise ScenarioError(
                f"{name}: [[fault]] {line.kind} has no setting {key!r} (known: "
                f"{', '.join(sorted(known | set(allowed)))})"
            )
    return line


def _number(value: Any) -> Any:
    if isinstance(value, list):
        if len(value) != 2 or not all(isinstance(one, int | float) for one in value):
            raise ScenarioError(f"{value} must be a number or [low, high]")
        return (float(value[0]), float(value[1]))
    return value


def _made(kind: Any, given: Mapping[str, Any], where: str) -> Any:
    known = [one.name for one in fields(kind)]
    for key in given:
        if key not in known:
            raise ScenarioError(f"{where} has no setting {key!r} (known: {', '.join(known)})")
    try:
        return kind(**given)
    except TypeError as error:
        raise ScenarioError(f"{where}: {error}") from error
