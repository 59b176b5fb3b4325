"""Scenario files for the proxy: what a link suffers, and when.

::

    [[fault]]
    at_s = 10          # after the start; [5, 15]: drawn from there
    for_s = 5          # without it: to the end; may be drawn, too
    every_s = 60       # without it: once
    times = 2          # so many such faults, each drawn anew; without it: one
    kind = "link.delay"
    delay_s = 0.3      # may be drawn, too
    direction = "up"   # or "down"; without it: both

These are the tables of the scenarios of virtual worlds; of their kinds those that begin with
``link.`` can be played on a real connection. Everything else in the file is left alone, but for a
fault of a kind that is not known here: a run that silently leaves a fault out proves nothing.

==================  ===========================================  =============================
kind                parameters                                   what happens
==================  ===========================================  =============================
link.delay          ``delay_s`` (2), ``jitter_s`` (0)            everything comes later
link.loss           ``chance`` or ``loss`` (0.2)                 a chunk resets its connection
link.flip           ``chance`` or ``flip``                       one bit of a chunk is flipped
link.bandwidth      ``bytes_per_s`` (2000) or ``kbit_per_s``     per connection
link.up_cut                                                      nothing reaches the broker
link.down_cut                                                    nothing comes from the broker
link.cut                                                         accepted, then reset
link.reset                                                       once: all that stand are reset
link.flap           ``on_s`` (20), ``off_s`` (20)                cut and good in turn
link.refused                                                     nobody listens
link.half_open                                                   accepted, then silence
link.captive                                                     a web page answers
link.drop           ``chance`` or ``drop``                       a publication vanishes
link.duplicate      ``chance`` or ``duplicate``                  a publication comes twice
link.reorder        ``chance`` or ``reorder`` (0.3)              a publication is overtaken
==================  ===========================================  =============================

``bandwidth_bytes_s`` is another name of ``bytes_per_s``, and ``link.refuse`` of ``link.refused``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from .links import CLEAR, GOOD_LINK, Door, Link, Way

MAX_FILE_BYTES: Final = 1024 * 1024
"""A scenario is a page or two; anything near this is the wrong file."""

MAX_FAULTS: Final = 10_000
"""Each is looked at whenever something changes."""

RESET_S: Final = 0.05
"""How long a link stays cut that only resets what stands."""

_BYTES_PER_KBIT: Final = 125
_PREFIX: Final = "link."


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


def read_scenario(file: Path, *, seed: int = 1, links_only: bool = False) -> list[Fault]:
    """Read the faults of a scenario file.

    Args:
        file: the file.
        seed: of what is drawn.
        links_only: leave out faults of kinds that do not begin with ``link.``.

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
    return parse_scenario(text, str(file), seed=seed, links_only=links_only)


def parse_scenario(
    text: str, name: str = "scenario", *, seed: int = 1, links_only: bool = False
) -> list[Fault]:
    """Read the faults of a scenario's text. Raises ScenarioError."""
    try:
        tables = tomllib.loads(text).get("fault", [])
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{name}: is not TOML: {error}") from error
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ScenarioError(f"{name}: fault must be written as [[fault]] tables")
    random = Random(seed)
    faults: list[Fault] = []
    for place, table in enumerate(tables, 1):
        kind = table.get("kind")
        if links_only and isinstance(kind, str) and not kind.startswith(_PREFIX):
            continue
        faults += _faults(f"{name}: fault {place}", table, random)
        if len(faults) > MAX_FAULTS:
            raise ScenarioError(f"{name}: has more than {MAX_FAULTS} faults; take fewer times")
    return faults


def _faults(where: str, table: Mapping[str, Any], random: Random) -> list[Fault]:
    kind = table.get("kind")
    known = [*KINDS, FLAP]
    if kind not in known:
        raise ScenarioError(
            f"{where}: kind is {kind!r}, which cannot be played on a real link; "
            f"known: {', '.join(known)}"
        )
    settings = Settings(f"{where} ({kind})", table, random)
    times = round(settings.number("times", default=1.0, high=MAX_FAULTS))
    if kind == FLAP:
        return [fault for _ in range(times) for fault in _flap(settings)]
    return [_fault(kind, settings) for _ in range(times)]


def _fault(kind: str, settings: Settings) -> Fault:
    lasting_s = settings.number("for_s", default=math.inf)
    return Fault(
        kind=kind,
        at_s=settings.number("at_s", default=0.0),
        for_s=RESET_S if kind == "link.reset" else lasting_s,
        every_s=settings.number("every_s", default=math.inf, low=RESET_S),
        play=KINDS[kind](settings),
    )


def _flap(settings: Settings) -> list[Fault]:
    """Return a link that is good and cut in turn, as many cuts as it takes."""
    at_s = settings.number("at_s", default=0.0)
    lasting_s = settings.number("for_s", default=math.inf)
    on_s = settings.number("on_s", default=20.0, low=RESET_S)
    off_s = settings.number("off_s", default=20.0, low=RESET_S)
    every_s = on_s + off_s
    cut = Fault(kind=FLAP, at_s=at_s + on_s, for_s=off_s, every_s=every_s, play=CUT)
    if math.isinf(lasting_s):
        return [cut]
    cuts = min(MAX_FAULTS, int(lasting_s // every_s))
    return [
        replace(cut, at_s=cut.at_s + number * every_s, every_s=math.inf) for number in range(cuts)
    ]


class Settings:
    """The parameters of one fault; ranges are drawn from each time that they are asked for."""

    def __init__(self, where: str, table: Mapping[str, Any], random: Random) -> None:
        self._where = where
        self._table = table
        self._random = random

    def has(self, name: str) -> bool:
        """Whether a parameter is given."""
        return name in self._table

    def number(
        self,
        *names: str,
        default: float | None = None,
        low: float = 0.0,
        high: float = math.inf,
    ) -> float:
        """Take the number that has one of these names."""
        name = next((name for name in names if name in self._table), None)
        if name is None:
            if default is not None:
                return default
            raise ScenarioError(f"{self._where}: {names[0]} is missing; add {names[0]} = NUMBER")
        value = self._table[name]
        ends = value if isinstance(value, list) and len(value) == 2 else [value, value]
        if not all(type(end) in (int, float) and low <= end <= high for end in ends):
            raise ScenarioError(
                f"{self._where}: {name} is {value!r}, must be a number from {low:g} to {high:g}, "
                "or a range [LOW, HIGH] of them"
            )
        return ends[0] if ends[0] == ends[1] else self._random.uniform(*ends)

    def directions(self) -> tuple[str, ...]:
        """Take the directions that are meant."""
        given = self._table.get("direction", "both")
        if given not in ("up", "down", "both"):
            raise ScenarioError(f"{self._where}: direction is {given!r}, must be up, down or both")
        return ("up", "down") if given == "both" else (given,)


def _way(way: Way, settings: Settings) -> Play:
    sides = settings.directions()
    return Play(
        link=Link(up=way if "up" in sides else CLEAR, down=way if "down" in sides else CLEAR)
    )


def _packets(packets: Packets, settings: Settings) -> Play:
    sides = settings.directions()
    return Play(up=packets if "up" in sides else WHOLE, down=packets if "down" in sides else WHOLE)


def _chance(settings: Settings, name: str, default: float | None = None) -> float:
    return settings.number(
        "chance", name, "share", "rate", "probability", default=default, high=1.0
    )


def _door(door: Door) -> Callable[[Settings], Play]:
    return lambda _: Play(link=Link(door=door))


def _delay(settings: Settings) -> Play:
    delay_s = settings.number("delay_s", default=2.0)
    return _way(Way(delay_s=delay_s, jitter_s=settings.number("jitter_s", default=0.0)), settings)


def _bandwidth(settings: Settings) -> Play:
    if settings.has("kbit_per_s"):
        bytes_per_s = settings.number("kbit_per_s") * _BYTES_PER_KBIT
    else:
        bytes_per_s = settings.number("bytes_per_s", "bandwidth_bytes_s", default=2_000.0)
    return _way(Way(bytes_per_s=max(1.0, bytes_per_s)), settings)


CUT: Final = Play(link=Link(door=Door.CUT))
FLAP: Final = "link.flap"

KINDS: Final[Mapping[str, Callable[[Settings], Play]]] = {
    "link.delay": _delay,
    "link.loss": lambda settings: _way(Way(loss=_chance(settings, "loss", 0.2)), settings),
    "link.flip": lambda settings: _way(Way(flip=_chance(settings, "flip")), settings),
    "link.bandwidth": _bandwidth,
    "link.up_cut": lambda _: Play(link=Link(up=Way(closed=True))),
    "link.down_cut": lambda _: Play(link=Link(down=Way(closed=True))),
    "link.cut": lambda _: CUT,
    "link.reset": lambda _: CUT,
    "link.refused": _door(Door.REFUSED),
    "link.refuse": _door(Door.REFUSED),
    "link.half_open": _door(Door.HALF_OPEN),
    "link.captive": _door(Door.CAPTIVE),
    "link.drop": lambda settings: _packets(Packets(drop=_chance(settings, "drop")), settings),
    "link.duplicate": lambda settings: _packets(
        Packets(duplicate=_chance(settings, "duplicate")), settings
    ),
    "link.reorder": lambda settings: _packets(
        Packets(reorder=_chance(settings, "reorder", 0.3)), settings
    ),
}
"""What each kind plays, by its name; ``link.flap`` is several cuts."""
