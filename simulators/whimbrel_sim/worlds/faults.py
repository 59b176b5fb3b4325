"""Everything that can befall a world, by name. Each strikes one target and may be taken back.

A fault is a function from the world, its target and its settings to what ends it (None when it is
over at once). Settings have defaults here; scenario files may give others.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from whimbrel_sim.cards.faults import ALWAYS, SYNCS
from whimbrel_sim.cards.oplog import Kind as OperationKind

from . import strikes
from .strikes import Strike

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        targets: ``path``, ``broker``, ``device``, ``region`` or ``machine`` (device or region).
        strike: lets it begin.
        settings: its settings' defaults.
        recorded: whether it needs cards that record what is written to them.
        meaning: for people.
    """

    targets: str
    strike: Strike
    meaning: str
    settings: Mapping[str, float] = field(default_factory=dict)
    recorded: bool = False


_DOWN: Final = {"down_s": 5.0}

KINDS: Final[dict[str, Kind]] = {
    "link.cut": Kind(
        "path", strikes.cut, "nothing passes, either way", {"reset": 0.0, "told": 0.0}
    ),
    "link.up_cut": Kind(
        "path", strikes.weather(up_closed=True), "nothing passes towards the broker"
    ),
    "link.down_cut": Kind(
        "path", strikes.weather(down_closed=True), "nothing comes from the broker"
    ),
    "link.delay": Kind("path", strikes.weather(), "slow", {"delay_s": 2.0, "jitter_s": 2.0}),
    "link.loss": Kind("path", strikes.weather(), "messages vanish", {"loss": 0.2}),
    "link.reorder": Kind("path", strikes.weather(), "messages overtake others", {"reorder": 0.3}),
    "link.bandwidth": Kind("path", strikes.weather(), "narrow", {"bandwidth_bytes_s": 2_000.0}),
    "link.captive": Kind("path", strikes.weather(captive=True), "connects, then nothing"),
    "link.refused": Kind("path", strikes.weather(refused=True), "connections are refused"),
    "link.reset": Kind("path", strikes.reset, "every connection breaks"),
    "link.flap": Kind("path", strikes.flap, "up and down again", {"on_s": 20.0, "off_s": 20.0}),
    "broker.restart": Kind("broker", strikes.restart_broker, "restarts and is empty"),
    "broker.down": Kind("broker", strikes.broker_down, "does not run"),
    "broker.drop": Kind("broker", strikes.manner("drop"), "drops after its PUBACK", {"drop": 0.3}),
    "broker.duplicate": Kind(
        "broker", strikes.manner("duplicate"), "gives out twice", {"duplicate": 0.3}
    ),
    "broker.late": Kind(
        "broker",
        strikes.manner("late", "late_s"),
        "gives out again, late",
        {"late": 0.2, "late_s": 600.0},
    ),
    "broker.queue": Kind(
        "broker", strikes.manner("queue_limit"), "short queues", {"queue_limit": 10}
    ),
    "broker.ghosts": Kind("broker", strikes.manner("ghosts"), "keeps dead clients", {"ghosts": 1}),
    "broker.overload": Kind(
        "broker", strikes.manner("connects_per_s"), "refuses many at once", {"connects_per_s": 5}
    ),
    "machine.kill": Kind("machine", strikes.kill, "kill -9", _DOWN),
    "machine.power_cut": Kind("machine", strikes.power_cut, "the power goes", _DOWN, recorded=True),
    "machine.fuse": Kind(
        "machine",
        strikes.fuse(power_cut=False),
        "kill -9 at the nth effect from now",
        {"calls": 50},
    ),
    "machine.power_fuse": Kind(
        "machine",
        strikes.fuse(power_cut=True),
        "the power goes at the nth effect",
        {"calls": 50},
        recorded=True,
    ),
    "machine.stop": Kind("machine", strikes.stop, "an orderly restart", _DOWN),
    "machine.sleep": Kind("machine", strikes.sleep, "stands still, as a paused virtual machine"),
    "machine.slow": Kind("machine", strikes.slow, "its card takes long", {"slow_s": 1.0}),
    "clock.jump": Kind("machine", strikes.clock_jump, "its clock jumps", {"by_s": 3600.0}),
    "clock.lost": Kind("machine", strikes.clock_lost, "its clock says 1970"),
    "clock.drift": Kind("machine", strikes.clock_drift, "its clock drifts", {"ppm": 200.0}),
    "card.full": Kind(
        "machine",
        strikes.operations_fail(*strikes.TAKES_ROOM, error=errno.ENOSPC, times=ALWAYS),
        "its disk is full",
        recorded=True,
    ),
    "card.write_error": Kind(
        "machine",
        strikes.operations_fail(OperationKind.WRITE, error=errno.EIO, times=1),
        "a write fails",
        {"after": 5},
        recorded=True,
    ),
    "card.sync_error": Kind(
        "machine",
        strikes.operations_fail(*SYNCS, error=errno.EIO, times=1),
        "a sync fails: what it covered is gone with the power",
        {"after": 5},
        recorded=True,
    ),
    "card.read_error": Kind(
        "device",
        strikes.operations_fail(OperationKind.READ, error=errno.EIO, times=1),
        "a read fails",
        {"after": 5},
        recorded=True,
    ),
    "card.read_flip": Kind(
        "device", strikes.reads_flip, "a bit of what is read is wrong", {"after": 5}, recorded=True
    ),
    "card.lies": Kind(
        "device", strikes.lies, "syncs do nothing, and then the power goes", _DOWN, recorded=True
    ),
    "card.old_image": Kind("device", strikes.old_image, "an older image of the card is put back"),
    "card.clone": Kind("device", strikes.clone, "a second machine runs from a copy of the card"),
    "region.old_journal": Kind(
        "region", strikes.old_journal, "its disk dies; a backup comes back", _DOWN
    ),
    "device.move": Kind("device", strikes.move_store, "goes to another store or region"),
    "enemy": Kind("broker", strikes.enemy, "forges, replays and misaddresses", {"every_s": 30.0}),
    "rush": Kind("device", strikes.rush, "posts more often", {"times_as_often": 10.0}),
}


def settings_of(kind: str) -> Mapping[str, float] | None:
    """Return a kind's settings with their defaults, None when it is not known."""
    found = KINDS.get(kind)
    return None if found is None else found.settings
