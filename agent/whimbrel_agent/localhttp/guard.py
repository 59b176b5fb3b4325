"""Keeps web pages out of a service that trusts this machine.

A page in a browser on the till can make the browser send requests to loopback. Such a request
carries ``Origin`` or ``Sec-Fetch-Site``; a page that has its own name point here (DNS
rebinding) carries that name in ``Host``. Programs of this machine send neither.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from whimbrel_agent.localhttp.message import HttpError, Request

__all__ = ["refuse_browsers"]

_HARMLESS_SITES: Final = frozenset({"none"})


def refuse_browsers(request: Request) -> None:
    """Check that a request does not come from a web page.

    Raises:
        HttpError: 403, it seems to.
    """
    for header in ("origin", "sec-fetch-site"):
        value = request.headers.get(header)
        if value is not None and value not in _HARMLESS_SITES:
            raise HttpError(
                403, f"header {header} is {value[:80]!r}: web pages may not use this service"
            )
    if not request.local and not _is_this_machine(request.headers.get("host", "")):
        raise HttpError(
            403,
            f"header host is {request.headers.get('host', '')[:80]!r}: "
            "must be localhost or a loopback address",
        )


def _is_this_machine(host: str) -> bool:
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
