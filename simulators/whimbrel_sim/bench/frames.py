"""Many devices' signed frames in memory, for what a region has to take in.

The columns are encoded once and shared by all frames, since a region never looks into them;
addresses, sequences and signatures are each frame's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.epoch import make_epoch
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.names import Address
from whimbrel_protocol.topics import frame_topic
from whimbrel_sim.fleet import REGION_NAME, TENANT
from whimbrel_sim.storemix import store_events

from .corpora import MIX_SEED
from .wire import BATCH, sealed

DEVICES_PER_STORE: Final = 20


@dataclass(frozen=True, slots=True)
class Device:
    """One of a fleet: where it is and its key."""

    address: Address
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class Message:
    """A frame with its topic."""

    topic: str
    payload: bytes
    device: Device


def fleet(count: int) -> list[Device]:
    """Return so many devices, in stores of twenty."""
    return [
        Device(
            Address(
                tenant=TENANT,
                region=REGION_NAME,
                store=f"store-{number // DEVICES_PER_STORE}",
                device=f"till-{number}",
            ),
            PrivateKey(hashlib.sha256(b"bench device %d" % number).digest()),
        )
        for number in range(count)
    ]


def messages(devices: list[Device], frames_each: int) -> Iterator[Message]:
    """Seal frames of 500 events, one of each device in turn, each device's own in order."""
    events = list(store_events(MIX_SEED, BATCH))
    columns = encode_events(events)
    for round_number in range(frames_each):
        for number, device in enumerate(devices):
            payload = sealed(
                events,
                first=1 + round_number * BATCH,
                address=device.address,
                epoch=make_epoch(1, number + 1),
                key=device.key,
                columns=columns,
            )
            yield Message(frame_topic(device.address, "normal"), payload, device)
