"""What one device may have in flight: from the sinks back to the journal, back to the device. Pure.

Each bound below gives bytes and a reason; the least one holds:

==============  ==============================================================================
bound           bytes
==============  ==============================================================================
setting         ``credit_bytes``
journal's room  a 16th of it, since others are coming too; 0 when one payload does not fit
ingest queue    ``credit_bytes`` less the queue's filling, in proportion; one payload at least
a route         one that holds devices back: all up to half of its ``max_backlog_bytes``, then in
                proportion less, 0 at the limit; again only when it is back at half
near the cap    0 for what a route selects that is far behind while the journal is nearly full
==============  ==============================================================================

A route does not hold devices back unless it is told to: the journal is there to keep what a slow
receiver has not taken, and has more room than the cards in the stores. Only when the journal
nears its cap does that end: what such a route has not taken cannot be deleted, so all would stop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from whimbrel_protocol.limits import MAX_PAYLOAD_BYTES
from whimbrel_protocol.messages import MAX_CREDIT_BYTES, Detail

SHARE_OF_ROOM: Final = 16
"""One device gets at most this part of the journal's room, since others are coming too."""

RELEASE_SHARE: Final = 0.5
"""A route that holds devices back lets go at this part of its limit: between, credit would come
and go with every page that it delivers."""

NEAR_CAP: Final = 0.90
NEAR_CAP_RELEASE: Final = 0.85
"""From so much of the journal's cap on, and until it is back at the second, routes that are far
behind hold devices back whether told to or not."""

FAR_BEHIND: Final = 0.10
FAR_BEHIND_RELEASE: Final = 0.05
"""Which part of the cap a backlog must be for that."""


@dataclass(frozen=True, slots=True)
class RouteLoad:
    """A route's backlog in bytes; ``max_backlog_bytes`` None: it holds nobody back by itself."""

    name: str
    behind_bytes: int
    max_backlog_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What credit is decided upon.

    Attributes:
        room_bytes: what the journal and its disk can still take.
        used_bytes: what the journal takes of its cap.
        cap_bytes: its cap.
        queued_bytes: frames waiting to be verified.
        queue_limit_bytes: the most of these.
        routes: backlogs of the routes.
        full: why the journal takes nothing, empty when it does.
    """

    room_bytes: int
    used_bytes: int = 0
    cap_bytes: int = 2**62
    queued_bytes: int = 0
    queue_limit_bytes: int = 1
    routes: tuple[RouteLoad, ...] = ()
    full: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a device may have in flight, and why not more (empty: it is the most there is).

    ``hold_s``: it is told to wait so many seconds with the reason, None: it may find out itself.
    ``detail``: how much of its series of numbers is asked for.
    """

    size_bytes: int
    reason: str = ""
    hold_s: int | None = None
    detail: Detail = Detail.FULL


def holding_after(before: Collection[str], load: Load) -> frozenset[str]:
    """Return the names of the routes that hold devices back now, from those that did before."""
    return frozenset(
        route.name for route in load.routes if _holds(route, load, route.name in before)
    )


def _holds(route: RouteLoad, load: Load, before: bool) -> bool:  # noqa: FBT001 - one caller
    if route.max_backlog_bytes is not None:
        share = RELEASE_SHARE if before else 1.0
        if route.behind_bytes >= share * route.max_backlog_bytes:
            return True
    used_share = NEAR_CAP_RELEASE if before else NEAR_CAP
    behind_share = FAR_BEHIND_RELEASE if before else FAR_BEHIND
    near = load.used_bytes >= used_share * load.cap_bytes
    return near and route.behind_bytes >= behind_share * load.cap_bytes


def grant_for(
    load: Load, holding: Collection[str], routes: Collection[str], *, most_bytes: int
) -> Grant:
    """Return what one device may have in flight.

    Args:
        load: the region's state.
        holding: the routes that hold devices back, see :func:`holding_after`.
        routes: the names of those that select the device's events.
        most_bytes: the setting.
    """
    if load.room_bytes < MAX_PAYLOAD_BYTES:
        return Grant(0, load.full or "the journal is full")
    return least(
        [
            Grant(min(most_bytes, MAX_CREDIT_BYTES)),
            Grant(
                max(load.room_bytes // SHARE_OF_ROOM, MAX_PAYLOAD_BYTES),
                "the journal has little room left",
            ),
            _queue_grant(load, most_bytes),
            *(
                _route_grant(route, route.name in holding, most_bytes)
                for route in load.routes
                if route.name in routes
            ),
        ]
    )


def least(grants: Iterable[Grant]) -> Grant:
    """Return the first of the least grants."""
    return min(grants, key=lambda grant: grant.size_bytes)


def _queue_grant(load: Load, most_bytes: int) -> Grant:
    free_bytes = max(0, load.queue_limit_bytes - load.queued_bytes)
    size_bytes = most_bytes * free_bytes // max(1, load.queue_limit_bytes)
    return Grant(max(size_bytes, MAX_PAYLOAD_BYTES), "the queue to the journal is filling")


def _route_grant(route: RouteLoad, holding: bool, most_bytes: int) -> Grant:  # noqa: FBT001
    limit_bytes = route.max_backlog_bytes
    if holding:
        why = f"of at most {limit_bytes}" if limit_bytes else "while the journal is nearly full"
        return Grant(0, f"forwarder {route.name} is {route.behind_bytes} bytes behind, {why}")
    if limit_bytes is None:
        return Grant(most_bytes)
    free_bytes = min(1.0, 2 * (1 - route.behind_bytes / max(1, limit_bytes)))
    size_bytes = max(int(most_bytes * free_bytes), MAX_PAYLOAD_BYTES)
    return Grant(
        size_bytes,
        f"forwarder {route.name} is {route.behind_bytes} bytes behind, of at most {limit_bytes}",
    )
