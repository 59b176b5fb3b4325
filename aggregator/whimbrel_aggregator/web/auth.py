"""Who may ask: a bearer token where one is configured, and no strangers' web pages ever.

Without a token the API is for loopback only. There any page in a local browser could still
reach it under a name of its own that points to 127.0.0.1 (DNS rebinding), so the Host header
must name this machine.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from whimbrel_aggregator.web.answers import RefusedError

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""For load balancers and service managers; they say alive or not, nothing else."""

_SCHEME: Final = "bearer "


def check_token(request: web.Request, token: str) -> None:
    """Compare the request's bearer token in constant time.

    Raises:
        RefusedError: 401, when it is missing or another.
    """
    header = request.headers.get("Authorization", "")
    given = header[len(_SCHEME) :] if header[: len(_SCHEME)].lower() == _SCHEME else ""
    if not hmac.compare_digest(given.strip().encode(errors="replace"), token.encode()):
        raise RefusedError(
            401,
            "Authorization",
            "none" if not header else "another token",
            "must be 'Bearer' and the token of api.token_file",
            headers={"WWW-Authenticate": 'Bearer realm="whimbrel"'},
        )


def check_host(request: web.Request) -> None:
    """Refuse a request that came under a name which is not this machine's loopback.

    Raises:
        RefusedError: 403, when the Host header names something else.
    """
    try:
        host = urlsplit(f"//{request.host}").hostname or ""
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise RefusedError(
            403,
            "Host",
            request.host,
            "must be localhost or a loopback address while no api.token_file is set",
        )


def guard(token: str | None) -> Middleware:
    """Return the middleware that lets only the right requests through."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN_PATHS:
            if token is None:
                check_host(request)
            else:
                check_token(request, token)
        return await handler(request)

    return check
