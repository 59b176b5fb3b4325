"""Reads ``agent.toml`` into :class:`AgentConfig`; the only place that parses settings."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.lanes import LANES, Order
from whimbrel_protocol.limits import MAX_SEAL_EVENTS
from whimbrel_protocol.names import Address, check_name

from .brokersettings import (
    former_regions,
    read_access,
    read_broker,
    read_brokers,
    read_region_key,
)
from .buffer.held import MAX_WINDOW_S
from .buffer.values import MIN_BUFFER_BYTES, BufferConfig, LaneConfig, Overflow, default_lanes
from .config import (
    DEFAULT_RAW_BYTES,
    MIB,
    AgentConfig,
    ControlConfig,
    DeviceConfig,
    HttpIntakeConfig,
    MachineIntakeConfig,
    MqttIntakeConfig,
    TopicRule,
    UplinkConfig,
)
from .power.settings import power_config
from .profiles.defaults import with_defaults
from .profiles.library import UnknownProfileError, load_profile
from .rules.values import RuleConfig
from .settings import ConfigError, Table
from .uplink.rules import link_classes
from .uplink.turns import MAX_SHARE

_ORDERS: Final = {"in-order": Order.IN_ORDER, "live-first": Order.LIVE_FIRST}

MAX_FILE_BYTES: Final = MIB
"""A configuration is a page or two; anything near this is the wrong file."""

MAX_BUFFER_BYTES: Final = 1024**4
"""No device of this kind has a card beyond a tebibyte; catches a unit too many."""

MAX_TOPIC_RULES: Final = 256
"""Subscribed in one packet."""

MAX_SOCKET_PATH_BYTES: Final = 107
"""Linux keeps 108 bytes for the path of a Unix socket, one of them for the final NUL."""


def load_config(file: Path) -> AgentConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: naming file, table, setting, problem and remedy.
    """
    return read_config(read_toml(file), file)


def read_config(values: Mapping[str, object], file: Path) -> AgentConfig:
    """Check parsed TOML; relative paths are taken from the folder of ``file``.

    Raises:
        ConfigError: naming file, table, setting, problem and remedy.
    """
    top = Table(file, "", values)
    device = _device(top.required_table("device"))
    if device.profile is not None:
        profile = load_profile(device.profile, beside=file.parent)
        top = Table(file, "", {**with_defaults(values, profile), "device": {}})
        top.required_table("device")  # read above
    buffer = _buffer(top.required_table("buffer"), top.table("lanes"))
    uplink = _uplink(top.required_table("uplink"))
    control = _control(top.table("control"), file, buffer)
    intake = top.table("intake")
    config = AgentConfig(
        file=file,
        device=device,
        buffer=buffer,
        uplink=uplink,
        control=control,
        http=_http(intake and intake.table("http")),
        mqtt=_mqtt(intake and intake.table("mqtt")),
        machine=_machine(intake and intake.table("machine")),
        rules=_rules(top),
        raw_max_bytes=_raw(top.table("raw")),
        power=power_config(top.table("power")),
        former_regions=former_regions(top.table("former_regions"), device.address.region),
    )
    if intake is not None:
        intake.finish()
    top.finish()
    return config


def read_toml(file: Path) -> dict[str, object]:
    """Read a configuration file as it stands.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(file, "", "", f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(file, "", "", f"is larger than {MAX_FILE_BYTES} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(file, "", "", f"is not UTF-8 at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file, "", "", f"is not TOML: {error}") from error


def _device(table: Table) -> DeviceConfig:
    try:
        address = Address(
            tenant=table.text("tenant"),
            region=table.text("region"),
            store=table.text("store"),
            device=table.text("device"),
        )
    except FieldError as error:
        raise table.error(error.field, f"is {error.value}: {error.rule}") from error
    key_file = table.path("key")
    region_key = read_region_key(table)
    profile = _profile(table)
    table.finish()
    return DeviceConfig(address=address, key_file=key_file, region_key=region_key, profile=profile)


def _profile(table: Table) -> str | None:
    """Take the profile's name or path, and check that it can be used."""
    wanted = table.optional_text("profile")
    if wanted is not None:
        try:
            load_profile(wanted, beside=table.file.parent)
        except UnknownProfileError as error:
            raise table.error("profile", f"is wrong: {error}") from error
    return wanted


def _buffer(table: Table, lanes: Table | None) -> BufferConfig:
    configured = dict(default_lanes())
    if lanes is not None:
        for name in LANES:
            lane = lanes.table(name)
            if lane is not None:
                configured[name] = _lane(lane, configured[name], is_critical=name == LANES[0])
        _check_shares(lanes, configured)
        lanes.finish()
    default = BufferConfig(path=Path())
    config = BufferConfig(
        path=table.path("path"),
        max_bytes=table.size("max_bytes", default.max_bytes, MIN_BUFFER_BYTES, MAX_BUFFER_BYTES),
        lanes=configured,
        dictionaries=table.flag("dictionaries", default=default.dictionaries),
    )
    table.finish()
    return config


def _lane(table: Table, default: LaneConfig, *, is_critical: bool) -> LaneConfig:
    order = table.choice("order", _name_of(default.order), tuple(_ORDERS))
    overflow = table.choice("overflow", default.overflow.value, [o.value for o in Overflow])
    lane = LaneConfig(
        order=_ORDERS[order],
        overflow=Overflow(overflow),
        linger_s=table.number("linger_s", default.linger_s, 0, 3600),
        batch_events=table.integer("batch_events", default.batch_events, 1, MAX_SEAL_EVENTS),
        share=table.integer("share", default.share, 1, MAX_SHARE),
        durability_s=table.number("durability_s", default.durability_s, 0, MAX_WINDOW_S),
    )
    if is_critical and lane.durability_s:
        raise table.error(
            "durability_s",
            f"is {lane.durability_s:g}, must be 0: what is critical is durable when it is answered; "
            "give what may be lost another lane",
        )
    table.finish()
    return lane


def _check_shares(lanes: Table, configured: Mapping[str, LaneConfig]) -> None:
    for urgent, lane in pairwise(LANES):
        most, share = configured[urgent].share, configured[lane].share
        if share > most:
            raise lanes.error(
                f"{lane}.share", f"is {share}, must be at most that of {urgent}, {most}"
            )


def _name_of(order: Order) -> str:
    return next(name for name, value in _ORDERS.items() if value is order)


def _uplink(table: Table) -> UplinkConfig:
    brokers = read_brokers(table)
    default = UplinkConfig(brokers=brokers)
    config = UplinkConfig(
        brokers=brokers,
        access=read_access(table),
        window_bytes=table.size("window_bytes", default.window_bytes, 128 * 1024, 64 * MIB),
        window_frames=table.integer("window_frames", default.window_frames, 1, 4096),
        links=link_classes(table, table.items("brokers") or []),
    )
    table.finish()
    return config


def _control(table: Table | None, file: Path, buffer: BufferConfig) -> ControlConfig:
    path = table.optional_path("socket") if table else None
    path = path or buffer.path.with_name("control.sock")
    _check_socket(table or Table(file, "control", {}), path)
    if table is not None:
        table.finish()
    return ControlConfig(socket=path)


def _check_socket(table: Table, path: Path) -> None:
    size = len(str(path).encode())
    if size > MAX_SOCKET_PATH_BYTES:
        raise table.error(
            "socket",
            f"is a path of {size} bytes, at most {MAX_SOCKET_PATH_BYTES}; "
            "set a shorter one, such as /run/whimbrel/agent.sock",
        )


def _http(table: Table | None) -> HttpIntakeConfig | None:
    if table is None:
        return None
    listen = table.optional_text("listen")
    socket = table.optional_path("socket")
    if listen is None and socket is None:
        raise table.error("listen", 'is missing; add listen = "127.0.0.1:8440" or socket = "..."')
    if socket is not None:
        _check_socket(table, socket)
    host, port = _loopback(table, listen) if listen else (None, 0)
    default = HttpIntakeConfig(host=None, port=0, socket=None)
    config = HttpIntakeConfig(
        host=host,
        port=port,
        socket=socket,
        max_body_bytes=table.size("max_body_bytes", default.max_body_bytes, 1024, 1024 * MIB),
        max_connections=table.integer("max_connections", default.max_connections, 1, 4096),
    )
    table.finish()
    return config


def _loopback(table: Table, text: str) -> tuple[str, int]:
    host, mark, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not mark or not port.isdecimal() or int(port) > 65_535:
        raise table.error("listen", f'is {text!r}, must be like "127.0.0.1:8440" or "[::1]:8440"')
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise table.error(
            "listen",
            f"is {text!r}, must be a loopback address: this intake asks nobody who they are; "
            "let other machines post through a proxy on this one",
        )
    return host, int(port)


def _mqtt(table: Table | None) -> MqttIntakeConfig | None:
    if table is None:
        return None
    broker = read_broker(table, "broker", table.text("broker"))
    items = table.items("topics")
    if not items or len(items) > MAX_TOPIC_RULES:
        raise table.error("topics", f"must name 1 to {MAX_TOPIC_RULES} topic filters")
    topics = tuple(_topic_rule(table, item) for item in items)
    config = MqttIntakeConfig(broker=broker, topics=topics, access=read_access(table))
    table.finish()
    return config


def _topic_rule(table: Table, item: object) -> TopicRule:
    if isinstance(item, str):
        item = {"filter": item}
    if not isinstance(item, dict):
        raise table.error("topics", f"holds {item!r:.60}, must be a filter or a table with filter")
    rule = Table(table.file, f"{table.name}.topics", item)
    topic_filter = rule.text("filter")
    _check_filter(rule, topic_filter)
    checked = TopicRule(
        filter=topic_filter,
        type=rule.optional_text("type"),
        lane=rule.choice("lane", "normal", LANES),
        zone=_zone(rule),
    )
    rule.finish()
    return checked


def _check_filter(table: Table, topic_filter: str) -> None:
    levels = topic_filter.split("/")
    hash_ok = "#" not in topic_filter or (levels[-1] == "#" and topic_filter.count("#") == 1)
    plus_ok = all(level == "+" or "+" not in level for level in levels)
    if not hash_ok or not plus_ok or len(topic_filter.encode()) > 65_535 or "\0" in topic_filter:
        raise table.error(
            "filter",
            f"is {topic_filter!r:.80}, must be an MQTT topic filter: # only as the last level, "
            "+ only as a whole level",
        )


def _machine(table: Table | None) -> MachineIntakeConfig | None:
    if table is None:
        return None
    default = MachineIntakeConfig()
    config = MachineIntakeConfig(
        every_s=table.number("every_s", default.every_s, 1, 86_400),
        lane=table.choice("lane", default.lane, LANES),
        zone=_zone(table),
    )
    table.finish()
    return config


def _rules(top: Table) -> tuple[RuleConfig, ...]:
    if top.items("rules") is None:
        return ()
    from .rules.settings import read_rules  # noqa: PLC0415  memory of agents without rules

    return read_rules(top)


def _raw(table: Table | None) -> int:
    if table is None:
        return DEFAULT_RAW_BYTES
    max_bytes = table.size("max_bytes", DEFAULT_RAW_BYTES, MIB, MAX_BUFFER_BYTES)
    table.finish()
    return max_bytes


def _zone(table: Table) -> str | None:
    zone = table.optional_text("zone")
    if zone is None:
        return None
    try:
        return check_name("zone", zone)
    except FieldError as error:
        raise table.error("zone", f"is {error.value}: {error.rule}") from error
