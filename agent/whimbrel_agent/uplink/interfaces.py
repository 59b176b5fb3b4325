"""Which network interface an address of ours belongs to: netdevice(7) and /proc/net/if_inet6."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from pathlib import Path
from typing import Final

_SIOCGIFADDR: Final = 0x8915  # netdevice(7): an interface's IPv4 address
_INET6: Final = Path("/proc/net/if_inet6")  # address, index, prefix, scope, flags, name


def interface_of(address: str) -> str:
    """Return the interface's name; empty when none has the address or the kernel does not say.

    Of an IPv4 interface only its first address is seen.
    """
    try:
        wanted = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    found = _by_ipv4(wanted.packed) if wanted.version == 4 else _by_ipv6(wanted.packed)
    return found or ""


def _by_ipv4(packed: bytes) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asker:
        for _, name in socket.if_nameindex():
            request = bytearray(struct.pack("16s24x", name.encode()))
            try:
                fcntl.ioctl(asker, _SIOCGIFADDR, request)
            except OSError:
                continue  # it has none
            if request[20:24] == packed:
                return name
    return None


def _by_ipv6(packed: bytes) -> str | None:
    try:
        lines = _INET6.read_text("ascii").splitlines()
    except OSError:
        return None
    rows = (line.split() for line in lines)
    return next((row[-1] for row in rows if row[0] == packed.hex()), None)
