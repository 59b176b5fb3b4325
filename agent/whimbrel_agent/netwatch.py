"""Notices when the machine gets a network again, from the kernel's own messages (rtnetlink(7)).

Costs nothing while nothing changes. Where the socket cannot be had, the uplink's own retries
still find the network, only later.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final

_LINK_GROUP: Final = 0x1  # RTMGRP_LINK
_IPV4_ADDRESS_GROUP: Final = 0x10  # RTMGRP_IPV4_IFADDR
_IPV4_ROUTE_GROUP: Final = 0x40  # RTMGRP_IPV4_ROUTE
_IPV6_ADDRESS_GROUP: Final = 0x100  # RTMGRP_IPV6_IFADDR
_IPV6_ROUTE_GROUP: Final = 0x400  # RTMGRP_IPV6_ROUTE
_GROUPS: Final = (
    _LINK_GROUP | _IPV4_ADDRESS_GROUP | _IPV4_ROUTE_GROUP | _IPV6_ADDRESS_GROUP | _IPV6_ROUTE_GROUP
)
_NEW_ADDRESS: Final = 20  # RTM_NEWADDR
_NEW_ROUTE: Final = 24  # RTM_NEWROUTE
_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_READ_BYTES: Final = 64 * 1024

_log = logging.getLogger(__name__)


def message_types(data: bytes) -> Iterator[int]:
    """Yield the types of the netlink messages in what was read at once."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind
        at += (length + 3) & ~3  # messages are aligned to four bytes


def brings_network(data: bytes) -> bool:
    """Say whether the messages tell of a new address or route."""
    return any(kind in (_NEW_ADDRESS, _NEW_ROUTE) for kind in message_types(data))


async def watch_network(returned: Callable[[], None]) -> None:
    """Call ``returned`` whenever the kernel reports a new address or route, until cancelled."""
    try:
        watcher = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError as error:
        _log.info("network changes are not watched: %s", error.strerror)
        return
    with watcher:
        watcher.setblocking(False)
        try:
            watcher.bind((0, _GROUPS))
        except OSError as error:
            _log.info("network changes are not watched: %s", error.strerror)
            return
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await loop.sock_recv(watcher, _READ_BYTES)
            except OSError:  # ENOBUFS: so much changed that the kernel dropped some of it
                returned()
                continue
            if brings_network(data):
                returned()
