"""A firmware profile as frozen values: budgets, costs with their sources, and defaults.

Units end the names: ``_w`` watts, ``_j`` joules, ``_s`` seconds, ``_wh`` watt-hours, ``_tb``
terabytes (10^12 bytes), ``_mb_per_day`` megabytes (10^6 bytes) a day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = [
    "Basis",
    "Battery",
    "Defaults",
    "Durability",
    "Figure",
    "Flash",
    "IntakeLimits",
    "LaneDefaults",
    "Memory",
    "Power",
    "Profile",
    "Radio",
]


class Basis(Enum):
    """How far a figure can be trusted."""

    MEASURED = "measured"
    """Somebody had a meter on such a device; the source says who."""
    DATA_SHEET = "data-sheet"
    """The maker, a standard or a paper's table says so."""
    DERIVED = "derived"
    """Arithmetic from other figures; the source has the formula."""
    ASSUMED = "assumed"
    """Nobody measured it; the source says what it was taken from. Calibrate before relying on it."""
    CALIBRATED = "calibrated"
    """Fitted to a log of this very device by ``whimbrel-agent profile calibrate``."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with where it comes from."""

    value: float
    basis: Basis
    source: str


class Durability(Enum):
    """What an intake's answer promises by default."""

    FULL = "full"
    """On the disk, through a power cut."""
    WINDOW = "window"
    """On the disk after ``window_s`` at the latest: fewer writes, and so much may be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Main memory, bytes: of the smallest board of the class, and what the agent may take."""

    total_bytes: int
    agent_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    """The card or disk that the buffer lies on.

    Attributes:
        budget_mb_per_day: what the agent may write, 10^6 bytes a day, as the kernel counts.
        endurance_tb: what it bears in its life, 10^12 bytes (TBW of the data sheet).
        write_amplification: bytes the card writes inside for one that it is given.
        write_j_per_byte: energy of one byte written.
        commit_j: energy of one fsync.
    """

    budget_mb_per_day: Figure
    endurance_tb: Figure
    write_amplification: Figure
    write_j_per_byte: Figure
    commit_j: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Draw of the whole board, and what processor time adds.

    Attributes:
        idle_w: with the network associated and nothing to do.
        load_w: with all cores busy.
        cpu_j_per_core_s: what one second of one core adds to idle.
    """

    idle_w: Figure
    load_w: Figure
    cpu_j_per_core_s: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Radio:
    """The way out, and what it costs.

    Attributes:
        kind: ethernet, wifi, lte, lte-m, nb-iot or 3g.
        metered: bytes cost money.
        promotion_s, promotion_j: time and energy from asleep to connected.
        tail_s, tail_w: how long it stays awake after the last byte, and its draw meanwhile
            beyond being asleep. The network sets the time, not the device.
        up_j_per_byte, down_j_per_byte: energy of one byte while awake.
        frame_j: energy of one message beyond its bytes.
    """

    kind: str
    metered: bool
    promotion_s: Figure
    promotion_j: Figure
    tail_s: Figure
    tail_w: Figure
    up_j_per_byte: Figure
    down_j_per_byte: Figure
    frame_j: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """The battery: its capacity in watt-hours, and the share of it that may be used."""

    capacity_wh: Figure
    usable_share: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Settings that suit this hardware, for what ``agent.toml`` leaves open.

    Attributes:
        durability: what an intake's answer promises.
        window_s: the window of ``durability = "window"``; 0 with ``full``.
        codec_effort: fast, default (by the power mode) or best.
        dictionaries: learn dictionaries: 3 MB more memory, fewer bytes.
        buffer_bytes: cap of the buffer.
        keepalive_s: MQTT keep-alive.
        sessions_per_hour: radio sessions that are opened for lanes which can wait, in any power
            mode; 0: as the mode says.
    """

    durability: Durability
    window_s: float = 0.0
    codec_effort: str = "default"
    dictionaries: bool = False
    buffer_bytes: int = 64 * 1024 * 1024
    keepalive_s: int = 60
    sessions_per_hour: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """What the HTTP intake takes at once."""

    max_body_bytes: int
    max_connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneDefaults:
    """Where a lane differs from the agent's own defaults; None where it does not.

    Attributes:
        linger_s: how long an event waits for company before it is sealed.
        batch_events: so many waiting events are sealed at once.
    """

    linger_s: float | None = None
    batch_events: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One hardware class.

    Attributes:
        name: what ``[device] profile`` says.
        title: for people.
        models: beginnings of the device tree's model by which it is detected; may be empty.
        battery: None where the power never ends.
    """

    name: str
    title: str
    models: tuple[str, ...] = ()
    memory: Memory
    flash: Flash
    power: Power
    radio: Radio
    defaults: Defaults
    intake: IntakeLimits
    battery: Battery | None = None
    lanes: Mapping[str, LaneDefaults] = field(default_factory=dict)
