"""The topic grammar; no topic is built or parsed anywhere else.

==========  ==============================================================
live up     ``wb/1/live/{tenant}/{partition}/{store}/{device}/{lane}``
replay up   ``wb/1/replay/{tenant}/{partition}/{store}/{device}/{lane}``
resume up   ``wb/1/live/{tenant}/{partition}/{store}/{device}/resume``
dictionary  ``wb/1/live/{tenant}/{partition}/{store}/{device}/dictionary``
down        ``wb/1/down/{tenant}/{store}/{device}/{kind}``
birth       ``wb/1/birth/{tenant}/{store}/{device}``
==========  ==============================================================

At most seven slashes and 256 bytes, which every known broker takes. The region is not in
the topic: a broker belongs to a region, and the signed header names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .errors import RemoteProtocolError
from .lanes import LANES
from .limits import MAX_TOPIC_BYTES, PARTITIONS
from .names import Address, is_name, partition_of

RESUME: Final = "resume"
DICTIONARY: Final = "dictionary"
DOWN_KINDS: Final = ("receipt", "resume", "want", "hold", DICTIONARY)

_UP_PARTS: Final = 8
_DOWN_PARTS: Final = 7
_BIRTH_PARTS: Final = 6


@dataclass(frozen=True, slots=True)
class UpTopic:
    """A topic on which a device speaks: ``kind`` is a lane, ``resume`` or ``dictionary``."""

    tenant: str
    partition: int
    store: str
    device: str
    kind: str
    replay: bool


@dataclass(frozen=True, slots=True)
class DownTopic:
    """A topic on which the region answers one device."""

    tenant: str
    store: str
    device: str
    kind: str


@dataclass(frozen=True, slots=True)
class BirthTopic:
    """A topic on which a device says that it is there, or its broker that it is gone."""

    tenant: str
    store: str
    device: str


def frame_topic(address: Address, lane: str, *, replay: bool = False) -> str:
    """Return the topic for a frame of ``lane`` from ``address``."""
    mode = "replay" if replay else "live"
    return f"wb/1/{mode}/{_up_tail(address)}/{lane}"


def resume_topic(address: Address) -> str:
    """Return the topic for resume messages from ``address``."""
    return f"wb/1/live/{_up_tail(address)}/{RESUME}"


def dictionary_topic(address: Address) -> str:
    """Return the topic for dictionaries from ``address``."""
    return f"wb/1/live/{_up_tail(address)}/{DICTIONARY}"


def down_topic(tenant: str, store: str, device: str, kind: str) -> str:
    """Return the topic for a down message of ``kind`` to a device."""
    return f"wb/1/down/{tenant}/{store}/{device}/{kind}"


def birth_topic(address: Address) -> str:
    """Return the topic for births and wills of ``address``."""
    return f"wb/1/birth/{address.tenant}/{address.store}/{address.device}"


def down_filter(address: Address) -> str:
    """Return the subscription filter for everything addressed to one device."""
    return down_topic(address.tenant, address.store, address.device, "+")


def up_filters(partitions: frozenset[int] | None = None) -> list[str]:
    """Return the subscription filters for frames, resumes and births.

    Args:
        partitions: the partitions to listen to; None means all 64, with one filter a mode.
    """
    births = ["wb/1/birth/+/+/+"]
    if partitions is None or len(partitions) == PARTITIONS:
        return ["wb/1/live/#", "wb/1/replay/#", *births]
    return [
        f"wb/1/{mode}/+/{partition}/#"
        for mode in ("live", "replay")
        for partition in sorted(partitions)
    ] + births


def parse_up(topic: str) -> UpTopic | BirthTopic:
    """Parse a topic that an aggregator received.

    Raises:
        RemoteProtocolError: the topic is none of the up topics, a part is not a name, or
            the partition is not the one of (tenant, store).
    """
    parts = _split(topic)
    if parts[:3] == ["wb", "1", "birth"] and len(parts) == _BIRTH_PARTS:
        tenant, store, device = parts[3:]
        _check_names(topic, tenant, store, device)
        return BirthTopic(tenant, store, device)
    if len(parts) != _UP_PARTS or parts[:2] != ["wb", "1"] or parts[2] not in ("live", "replay"):
        raise RemoteProtocolError(f"topic {topic[:300]!r} is not an up topic of protocol 1")
    tenant, partition, store, device, kind = parts[3:]
    _check_names(topic, tenant, store, device)
    if kind not in LANES and kind not in (RESUME, DICTIONARY):
        raise RemoteProtocolError(f"topic {topic!r} ends in {kind!r}, which is not a lane")
    if partition != str(partition_of(tenant, store)):
        raise RemoteProtocolError(
            f"topic {topic!r} names partition {partition!r}, "
            f"but {tenant}/{store} is in {partition_of(tenant, store)}"
        )
    return UpTopic(tenant, int(partition), store, device, kind, parts[2] == "replay")


def parse_down(topic: str) -> DownTopic:
    """Parse a topic that an agent received.

    Raises:
        RemoteProtocolError: the topic is not a down topic.
    """
    parts = _split(topic)
    if len(parts) != _DOWN_PARTS or parts[:3] != ["wb", "1", "down"]:
        raise RemoteProtocolError(f"topic {topic[:300]!r} is not a down topic of protocol 1")
    tenant, store, device, kind = parts[3:]
    _check_names(topic, tenant, store, device)
    if kind not in DOWN_KINDS:
        raise RemoteProtocolError(
            f"topic {topic!r} ends in {kind!r} (known kinds: {', '.join(DOWN_KINDS)})"
        )
    return DownTopic(tenant, store, device, kind)


def _up_tail(address: Address) -> str:
    return f"{address.tenant}/{address.partition}/{address.store}/{address.device}"


def _split(topic: str) -> list[str]:
    if len(topic.encode("utf-8", "surrogatepass")) > MAX_TOPIC_BYTES:
        raise RemoteProtocolError(
            f"topic of {len(topic)} characters is longer than {MAX_TOPIC_BYTES} bytes"
        )
    return topic.split("/")


def _check_names(topic: str, *names: str) -> None:
    for name in names:
        if not is_name(name):
            raise RemoteProtocolError(f"topic {topic!r} has {name!r}, which is not a name")
