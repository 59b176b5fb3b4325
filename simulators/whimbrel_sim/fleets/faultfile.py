"""Scenario files for the proxy: what a link suffers, and when.

::

    [[fault]]
    at_s = 10          # after the start
    for_s = 5          # without it: to the end
    every_s = 60       # without it: once
    kind = "link.delay"
    delay_s = 0.3
    direction = "up"   # or "down"; without it: both

The same tables that scenarios of virtual worlds have; of these the kinds that begin with
``link.`` can be played on a real connection. Everything else in the file is left alone, but for
a fault of a kind that is not known here: a run that silently leaves a fault out proves nothing.

==================  ===========================================  =============================
kind                parameters                                   what happens
==================  ===========================================  =============================
link.delay          ``delay_s``, ``jitter_s`` (0)                everything comes later
link.loss           ``chance``                                   a chunk resets its connection
link.flip           ``chance``                                   one bit of a chunk is flipped
link.bandwidth      ``bytes_per_s`` or ``kbit_per_s``            per connection
link.cut                                                         accepted, then reset
link.refuse                                                      nobody listens
link.half_open                                                   accepted, then silence
link.captive                                                     a web page answers
link.drop           ``chance``                                   a publication vanishes
link.duplicate      ``chance``                                   a publication comes twice
link.reorder        ``chance``                                   a publication is overtaken
==================  ===========================================  =============================

``chance`` may also be called ``share``, ``rate`` or ``probability``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .links import CLEAR, GOOD_LINK, Door, Link, Way

MAX_FILE_BYTES: Final = 1024 * 1024
"""A scenario is a page or two; anything near this is the wrong file."""

MAX_FAULTS: Final = 10_000
"""Each is looked at whenever something changes."""

_BYTES_PER_KBIT: Final = 125
_CHANCES: Final = ("chance", "share", "rate", "probability")


class ScenarioError(Exception):
    """A scenario file cannot be played; the text names file, fault, value and remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets:
    """What happens to whole publications in one direction; chances in 0..1."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0

    def joined(self, other: Packets) -> Packets:
        """Return what both do together; the stronger chance counts."""
        return Packets(
            drop=max(self.drop, other.drop),
            duplicate=max(self.duplicate, other.duplicate),
            reorder=max(self.reorder, other.reorder),
        )


WHOLE: Final = Packets()


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What a proxy does at one moment: to bytes and connections, and to publications."""

    link: Link = GOOD_LINK
    up: Packets = WHOLE
    down: Packets = WHOLE

    def joined(self, other: Play) -> Play:
        """Return what both do together."""
        return Play(
            link=self.link.joined(other.link),
            up=self.up.joined(other.up),
            down=self.down.joined(other.down),
        )

    @property
    def needs_mqtt(self) -> bool:
        """Whether it speaks of publications, so that the proxy must understand MQTT."""
        return self.up != WHOLE or self.down != WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault and its times, in seconds after the start."""

    kind: str
    at_s: float
    for_s: float
    every_s: float
    play: Play = field(default_factory=Play)

    def is_on(self, now_s: float) -> bool:
        """Whether it lasts at a time."""
        since_s = now_s - self.at_s
        if since_s >= 0 and math.isfinite(self.every_s):
            since_s %= self.every_s
        return 0 <= since_s < self.for_s

    def next_change_s(self, now_s: float) -> float:
        """When it begins or ends next, after a time; infinity when never."""
        round_ = 0.0
        if math.isfinite(self.every_s) and now_s >= self.at_s:
            round_ = math.floor((now_s - self.at_s) / self.every_s) * self.every_s
        begin_s = self.at_s + round_
        changes = (begin_s, begin_s + self.for_s, begin_s + self.every_s)
        return min((change for change in changes if change > now_s), default=math.inf)


Scenario = Sequence[Fault]


def play_at(scenario: Scenario, now_s: float) -> Play:
    """Return everything that happens at a time."""
    play = Play()
    for fault in scenario:
        if fault.is_on(now_s):
            play = play.joined(fault.play)
    return play


def next_change_s(scenario: Scenario, now_s: float) -> float:
    """Return when something begins or ends next; infinity when nothing does any more."""
    return min((fault.next_change_s(now_s) for fault in scenario), default=math.inf)


def needs_mqtt(scenario: Scenario) -> bool:
    """Whether some fault speaks of publications."""
    return any(fault.play.needs_mqtt for fault in scenario)


def read_scenario(file: Path) -> list[Fault]:
    """Read the faults of a scenario file.

    Raises:
        ScenarioError: it cannot be read, or a fault of it cannot be played.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{file}: cannot be read: {error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ScenarioError(f"{file}: is larger than {MAX_FILE_BYTES} bytes; name a scenario file")
    return parse_scenario(text, str(file))


def parse_scenario(text: str, name: str = "scenario") -> list[Fault]:
    """Read the faults of a scenario's text. Raises ScenarioError."""
    try:
        tables = tomllib.loads(text).get("fault", [])
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{name}: is not TOML: {error}") from error
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ScenarioError(f"{name}: fault must be written as [[fault]] tables")
    if len(tables) > MAX_FAULTS:
        raise ScenarioError(f"{name}: has {len(tables)} faults, at most {MAX_FAULTS}")
    return [_fault(f"{name}: fault {place}", table) for place, table in enumerate(tables, 1)]


def _fault(where: str, table: Mapping[str, Any]) -> Fault:
    kind = table.get("kind")
    make = KINDS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise ScenarioError(
            f"{where}: kind is {kind!r}, which cannot be played on a real link; "
            f"known: {', '.join(KINDS)}"
        )
    values = _Values(f"{where} ({kind})", table)
    every_s = values.number(("every_s",), default=math.inf)
    if every_s <= 0:
        raise ScenarioError(f"{where}: every_s is {every_s:g}, must be above 0")
    return Fault(
        kind=str(kind),
        at_s=values.number(("at_s",), default=0.0),
        for_s=values.number(("for_s",), default=math.inf),
        every_s=every_s,
        play=make(values),
    )


class _Values:
    """The parameters of one fault."""

    def __init__(self, where: str, table: Mapping[str, Any]) -> None:
        self._where = where
        self._table = table

    def number(
        self, names: Sequence[str], *, default: float | None = None, high: float = math.inf
    ) -> float:
        """Take the number that has one of these names."""
        name = next((name for name in names if name in self._table), None)
        if name is None:
            if default is not None:
                return default
            raise ScenarioError(f"{self._where}: {names[0]} is missing; add {names[0]} = NUMBER")
        value = self._table[name]
        if type(value) not in (int, float) or not 0 <= value <= high:
            raise ScenarioError(
                f"{self._where}: {name} is {value!r}, must be a number from 0 to {high:g}"
            )
        return float(value)

    def bytes_per_s(self) -> float:
        if "kbit_per_s" in self._table:
            return max(1.0, self.number(("kbit_per_s",)) * _BYTES_PER_KBIT)
        return max(1.0, self.number(("bytes_per_s",)))

    def directions(self) -> tuple[str, ...]:
        given = self._table.get("direction", "both")
        if given not in ("up", "down", "both"):
            raise ScenarioError(f"{self._where}: direction is {given!r}, must be up, down or both")
        return ("up", "down") if given == "both" else (given,)


def _way(way: Way, values: _Values) -> Play:
    sides = values.directions()
    return Play(
        link=Link(up=way if "up" in sides else CLEAR, down=way if "down" in sides else CLEAR)
    )


def _packets(packets: Packets, values: _Values) -> Play:
    sides = values.directions()
    return Play(up=packets if "up" in sides else WHOLE, down=packets if "down" in sides else WHOLE)


def _chance(values: _Values) -> float:
    return values.number(_CHANCES, high=1.0)


def _door(door: Door) -> Callable[[_Values], Play]:
    return lambda _: Play(link=Link(door=door))


def _delay(values: _Values) -> Play:
    delay_s = values.number(("delay_s", "mean_s"))
    return _way(Way(delay_s=delay_s, jitter_s=values.number(("jitter_s",), default=0.0)), values)


KINDS: Final[Mapping[str, Callable[[_Values], Play]]] = {
    "link.delay": _delay,
    "link.loss": lambda values: _way(Way(loss=_chance(values)), values),
    "link.flip": lambda values: _way(Way(flip=_chance(values)), values),
    "link.bandwidth": lambda values: _way(Way(bytes_per_s=values.bytes_per_s()), values),
    "link.cut": _door(Door.CUT),
    "link.refuse": _door(Door.REFUSED),
    "link.half_open": _door(Door.HALF_OPEN),
    "link.captive": _door(Door.CAPTIVE),
    "link.drop": lambda values: _packets(Packets(drop=_chance(values)), values),
    "link.duplicate": lambda values: _packets(Packets(duplicate=_chance(values)), values),
    "link.reorder": lambda values: _packets(Packets(reorder=_chance(values)), values),
}
"""Every kind that can be played, by its name."""
