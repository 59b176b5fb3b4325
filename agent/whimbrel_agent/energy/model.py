"""What a device's work costs: one formula, priced by a profile.

``E = P_idle t + n_promo E_promo + P_tail t_tail + e_up B_up + e_down B_down + e_frame n_frames
+ e_cpu t_cpu + e_commit n_commits + e_w B_written``

The time in the tail is what makes batching pay. After each use the radio stays awake for
``tail_s``; a use within that time only extends it. So what a use adds is a concave function of
the gap to the next one, ``P_tail min(gap, tail_s)``, and an overlap is counted once. (The model
and the constants of the shipped profiles follow Huang et al., MobiSys 2012, for cellular radios,
and Balasubramanian et al., IMC 2009, for the role of the tail.)
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from whimbrel_agent.profiles.values import Battery, Profile, Radio

__all__ = ["Costs", "Joules", "RadioCost", "Work", "battery_h", "energy_of", "gap_j", "session_j"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RadioCost:
    """The radio's constants; see :class:`whimbrel_agent.profiles.values.Radio`."""

    promotion_s: float = 0.0
    promotion_j: float = 0.0
    tail_s: float = 0.0
    tail_w: float = 0.0
    up_j_per_byte: float = 0.0
    down_j_per_byte: float = 0.0
    frame_j: float = 0.0

    @classmethod
    def of(cls, radio: Radio) -> RadioCost:
        """Take the figures of a profile."""
        return cls(**{one.name: getattr(radio, one.name).value for one in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """All constants of the formula: watts and joules."""

    idle_w: float
    radio: RadioCost
    cpu_j_per_core_s: float = 0.0
    commit_j: float = 0.0
    write_j_per_byte: float = 0.0

    @classmethod
    def of(cls, profile: Profile) -> Costs:
        """Take the figures of a profile."""
        return cls(
            idle_w=profile.power.idle_w.value,
            radio=RadioCost.of(profile.radio),
            cpu_j_per_core_s=profile.power.cpu_j_per_core_s.value,
            commit_j=profile.flash.commit_j.value,
            write_j_per_byte=profile.flash.write_j_per_byte.value,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was done in some time.

    Attributes:
        time_s: how long it was.
        radio_wakes: times the radio had to be woken.
        radio_awake_s: time it stayed awake after uses, each second counted once.
        keepalive_wakes, keepalive_awake_s: the part of both that MQTT keep-alives caused.
        bytes_up, bytes_down: sent and received.
        frames: messages, both ways.
        cpu_s: processor time, seconds of one core.
        commits: syncs of the disk.
        bytes_written: to the disk.
    """

    time_s: float = 0.0
    radio_wakes: int = 0
    radio_awake_s: float = 0.0
    keepalive_wakes: int = 0
    keepalive_awake_s: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0
    frames: int = 0
    cpu_s: float = 0.0
    commits: int = 0
    bytes_written: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Joules:
    """Energy by cause.

    Attributes:
        base: the whole board at idle: not the agent's doing, it sets the rest in proportion.
        radio: waking the radio and its tails.
        keepalive: the same, caused by nothing but MQTT keep-alives.
        bytes: what the bytes and messages themselves cost.
        cpu: processor time of the agent.
        flash: what the agent wrote.
    """

    base: float = 0.0
    radio: float = 0.0
    keepalive: float = 0.0
    bytes: float = 0.0
    cpu: float = 0.0
    flash: float = 0.0

    @property
    def agent(self) -> float:
        """The agent's own part: all but the base."""
        return self.radio + self.keepalive + self.bytes + self.cpu + self.flash

    def __sub__(self, other: Joules) -> Joules:
        return Joules(
            **{one.name: getattr(self, one.name) - getattr(other, one.name) for one in fields(self)}
        )


def energy_of(work: Work, costs: Costs) -> Joules:
    """Return what the work cost, by cause."""
    radio = costs.radio
    wakes = work.radio_wakes - work.keepalive_wakes
    awake_s = work.radio_awake_s - work.keepalive_awake_s
    return Joules(
        base=costs.idle_w * work.time_s,
        radio=wakes * radio.promotion_j + awake_s * radio.tail_w,
        keepalive=work.keepalive_wakes * radio.promotion_j + work.keepalive_awake_s * radio.tail_w,
        bytes=work.bytes_up * radio.up_j_per_byte
        + work.bytes_down * radio.down_j_per_byte
        + work.frames * radio.frame_j,
        cpu=work.cpu_s * costs.cpu_j_per_core_s,
        flash=work.commits * costs.commit_j + work.bytes_written * costs.write_j_per_byte,
    )


def gap_j(radio: RadioCost, gap_s: float) -> float:
    """Return what lies between a use of the radio and the next one, ``gap_s`` later.

    The tail as far as it is not cut short, and the promotion if the radio fell asleep meanwhile.
    """
    asleep = gap_s > radio.tail_s
    return radio.tail_w * min(gap_s, radio.tail_s) + (radio.promotion_j if asleep else 0.0)


def session_j(radio: RadioCost) -> float:
    """Return what one use costs that has the radio to itself: promotion and the whole tail."""
    return radio.promotion_j + radio.tail_w * radio.tail_s


def battery_h(battery: Battery, joules: Joules, span_s: float) -> float | None:
    """Return how many hours a full battery bears such a draw: usable energy over mean power.

    Args:
        battery: capacity and usable share.
        joules: what was used in ``span_s``.
        span_s: seconds; None is the answer when they are 0.
    """
    if span_s <= 0:
        return None
    watts = (joules.base + joules.agent) / span_s
    return battery.capacity_wh.value * battery.usable_share.value / watts if watts else None


SECONDS_PER_DAY: Final = 86_400.0
