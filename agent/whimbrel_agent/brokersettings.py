"""Reads who a region is and how it is reached: its key, its brokers, and what lets us in."""

from __future__ import annotations

from typing import Final

from whimbrel_protocol.errors import FieldError, LocalProtocolError
from whimbrel_protocol.keys import PublicKey
from whimbrel_protocol.names import check_name

from .brokers import BrokerUrl, BrokerUrlError
from .config import BrokerAccess, FormerRegion
from .settings import Table

MAX_BROKERS: Final = 16
"""Each is waited for in turn; more would hide an outage for minutes."""

MAX_FORMER_REGIONS: Final = 8
"""Each that is owed something has a connection of its own."""


def former_regions(table: Table | None, present: str) -> tuple[FormerRegion, ...]:
    """Take ``[former_regions.NAME]``: the regions that the device was moved out of.

    Raises:
        ConfigError: a setting is wrong.
    """
    if table is None:
        return ()
    names = table.names()
    if len(names) > MAX_FORMER_REGIONS:
        raise table.error(
            names[MAX_FORMER_REGIONS], f"is one region too many, at most {MAX_FORMER_REGIONS}"
        )
    if present in names:
        raise table.error(present, "is the region that the device is in; remove it")
    return tuple(_former_region(table.required_table(name), name) for name in names)


def _former_region(table: Table, name: str) -> FormerRegion:
    try:
        check_name("region", name)
    except FieldError as error:
        raise table.error("", f"is no region's name: {error.rule}") from error
    former = FormerRegion(
        region=name,
        region_key=read_region_key(table),
        brokers=read_brokers(table),
        access=read_access(table),
    )
    table.finish()
    return former


def read_region_key(table: Table) -> PublicKey:
    """Take a region's public key."""
    text = table.text("region_key")
    try:
        return PublicKey.from_text(text)
    except LocalProtocolError as error:
        raise table.error(
            "region_key", f"is not a public key ({error}); copy it from whimbrel-aggregator keygen"
        ) from error


def read_brokers(table: Table) -> tuple[BrokerUrl, ...]:
    """Take the list of brokers, at least one."""
    texts = table.items("brokers")
    if not texts:
        raise table.error("brokers", 'is missing; add brokers = ["mqtt://host:1883"]')
    if len(texts) > MAX_BROKERS:
        raise table.error("brokers", f"names {len(texts)} brokers, at most {MAX_BROKERS}")
    return tuple(read_broker(table, "brokers", text) for text in texts)


def read_broker(table: Table, key: str, text: object) -> BrokerUrl:
    """Take one broker's URL."""
    if not isinstance(text, str):
        raise table.error(key, f"holds {text!r:.60}, must be URLs like mqtt://host:1883")
    try:
        return BrokerUrl.parse(text)
    except BrokerUrlError as error:
        raise table.error(key, f"is wrong: {error}") from error


def read_access(table: Table) -> BrokerAccess:
    """Take what lets us in, keep-alive and patience."""
    default = BrokerAccess()
    access = BrokerAccess(
        username=table.optional_text("username"),
        password_file=table.optional_path("password_file"),
        ca_file=table.optional_path("ca_file"),
        certificate_file=table.optional_path("certificate_file"),
        certificate_key_file=table.optional_path("certificate_key_file"),
        keepalive_s=table.integer("keepalive_s", default.keepalive_s, 5, 3600),
        connect_timeout_s=table.number("connect_timeout_s", default.connect_timeout_s, 1, 120),
    )
    if access.password_file and access.username is None:
        raise table.error("username", "is missing; MQTT has no password without a user name")
    if (access.certificate_file is None) != (access.certificate_key_file is None):
        lacking = "certificate_key_file" if access.certificate_file else "certificate_file"
        raise table.error(lacking, "is missing; a client certificate needs both files")
    return access
