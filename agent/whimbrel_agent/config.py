"""The agent's settings as frozen values, each default with its reason.

A component receives only its own part. Reading them from ``agent.toml`` is
:mod:`whimbrel_agent.configfile`'s work; these values hold what was already checked. The
buffer's own settings stand with the buffer, in :mod:`whimbrel_agent.buffer.values`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from whimbrel_protocol.keys import PublicKey
from whimbrel_protocol.names import Address

from .brokers import BrokerUrl
from .buffer.values import BufferConfig
from .power.settings import PowerConfig
from .rules.values import RuleConfig
from .uplink.limits import LinkRules

MIB: Final = 1024 * 1024

DEFAULT_RAW_BYTES: Final = 256 * MIB
"""Raw events kept for days: a week of some ten sensors at one a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """Who this device is.

    Attributes:
        address: tenant, region, store and device.
        key_file: file with the device's private key, readable by its owner only.
        region_key: the public key that every word of the region must be signed with.
        profile: name of a firmware profile, or the path of one's file; None detects.
    """

    address: Address
    key_file: Path
    region_key: PublicKey
    profile: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAccess:
    """What is needed to be let in by a broker.

    Attributes:
        username: MQTT user name.
        password_file: file with the password, readable by its owner only.
        ca_file: PEM file of the authority that signed the broker's certificate; None means
            the system's authorities.
        certificate_file: PEM file with this client's certificate chain.
        certificate_key_file: PEM file with its key, readable by its owner only.
        keepalive_s: the broker is asked for a sign of life so often.
        connect_timeout_s: a connection that takes longer is given up.
    """

    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    certificate_key_file: Path | None = None
    keepalive_s: int = 60  # below the silence after which common mobile networks drop a flow
    connect_timeout_s: float = 10.0  # two lost SYNs and a slow TLS handshake


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkConfig:
    """How frames leave.

    Attributes:
        brokers: tried in turn, the first one first.
        access: user, password, certificates.
        window_bytes: at most so many bytes wait for receipts; the region's credit may say less.
        window_frames: at most so many frames wait for receipts.
        links: rules by class of link, the last one for any.
    """

    brokers: tuple[BrokerUrl, ...]
    access: BrokerAccess = field(default_factory=BrokerAccess)
    window_bytes: int = 2 * MIB  # 120 full frames; fills 100 Mbit/s at 150 ms to the receipt
    window_frames: int = 256  # one receipt message names at most this many
    links: tuple[LinkRules, ...] = (LinkRules(),)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerRegion:
    """A region that this device was moved out of; what it accepted there still goes there.

    Attributes:
        region: its name.
        region_key: the public key that every word of it must be signed with.
        brokers: tried in turn.
        access: user, password, certificates.
    """

    region: str
    region_key: PublicKey
    brokers: tuple[BrokerUrl, ...]
    access: BrokerAccess = field(default_factory=BrokerAccess)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpIntakeConfig:
    """Events by HTTP from this machine.

    Attributes:
        host: loopback address to listen on, None for no TCP.
        port: its port; 0 takes a free one.
        socket: path of a Unix socket to listen on, None for none.
        max_body_bytes: a longer request body is answered with 413.
        max_connections: further connections are answered with 503.
    """

    host: str | None
    port: int
    socket: Path | None
    max_body_bytes: int = 8 * MIB  # parsed in slices, so memory does not follow it
    max_connections: int = 64  # each holds one slice of a body at most


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicRule:
    """What becomes of messages on one topic filter of the local broker.

    Attributes:
        filter: MQTT topic filter.
        type: event type; None means ``mqtt.message``.
        lane: lane of the events.
        zone: zone of the events, None for none.
    """

    filter: str
    type: str | None = None
    lane: str = "normal"
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttIntakeConfig:
    """Events from topics of a local broker that the agent joins as a client."""

    broker: BrokerUrl
    topics: tuple[TopicRule, ...]
    access: BrokerAccess = field(default_factory=BrokerAccess)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineIntakeConfig:
    """The machine's own figures (processor, memory, disk, temperature) as events."""

    every_s: float = 60.0  # slow enough to cost no flash, fast enough for a fault report
    lane: str = "bulk"
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """The local socket through which the command line talks to a running agent."""

    socket: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """Everything; the composition root hands each part its own.

    Attributes:
        rules: edge aggregation, in the order in which rules are asked.
        raw_max_bytes: cap of the raw events that rules keep on the device.
    """

    file: Path
    device: DeviceConfig
    buffer: BufferConfig
    uplink: UplinkConfig
    control: ControlConfig
    http: HttpIntakeConfig | None = None
    mqtt: MqttIntakeConfig | None = None
    machine: MachineIntakeConfig | None = None
    rules: tuple[RuleConfig, ...] = ()
    raw_max_bytes: int = DEFAULT_RAW_BYTES
    power: PowerConfig = field(default_factory=PowerConfig)
    former_regions: tuple[FormerRegion, ...] = ()
