"""What each device gets, put together from the region's state, its limits and its return.

A shell around :mod:`.credit`, :mod:`.limits`, :mod:`.returning` and :mod:`.usage`: it looks at the
journal now and then, remembers which routes hold devices back, and who was told that there is
nothing, so that these can be told when there is something again (a device with no credit asks by
itself only at growing intervals, up to two minutes).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from whimbrel_aggregator.config import IngestConfig, ReturningConfig
from whimbrel_aggregator.forward.status import Backlog
from whimbrel_aggregator.journal.port import DeviceKey, Journal, JournalError, PartitionKey
from whimbrel_aggregator.logs import facts
from whimbrel_aggregator.ports import Clock
from whimbrel_protocol.messages import Credit, Detail
from whimbrel_protocol.names import Address

from .credit import Grant, Load, RouteLoad, grant_for, holding_after, least
from .limits import Limits
from .returning import ReturnFigures, Returning, starts_per_s
from .usage import Usage, UsageBook

LOOK_EVERY_NS: Final = 500_000_000
"""How often journal and backlogs are looked at while credit is given."""

MAX_STARVED: Final = 50_000
"""Devices that were told that there is nothing, about 0.2 KB each; one that is forgotten finds out
by its own probes."""

_NS: Final = 1_000_000_000

_log = logging.getLogger("whimbrel.flow")


class Route(Protocol):
    """A forwarder, as credit looks at it."""

    name: str
    max_backlog_bytes: int | None

    @property
    def backlog(self) -> Backlog:
        """What it has not handled yet."""
        ...

    @property
    def asked(self) -> Detail:
        """What detail it asks of the devices whose events it selects."""
        ...

    def selects(self, partition: PartitionKey) -> bool:
        """Say whether it wants anything of a partition."""
        ...


@dataclass(frozen=True, slots=True)
class FlowFigures:
    """The region's flow for status.

    Attributes:
        grant: what a device gets that no route and no limit concerns.
        holding: the routes that hold devices back, and why.
        starved: devices that were told that there is nothing, and not yet that there is.
        returning: how the return of devices goes.
    """

    grant: Grant
    holding: dict[str, str]
    starved: int
    returning: ReturnFigures


def _no_routes() -> Sequence[Route]:
    return ()


class FlowControl:
    """Decides what every device may send, and when it may start.

    Attributes:
        no_room: why nothing can be committed now; empty when it can.
    """

    def __init__(
        self,
        config: IngestConfig,
        *,
        journal: Journal,
        clock: Clock,
        queued_bytes: Callable[[], int],
        routes: Callable[[], Sequence[Route]] = _no_routes,
        limits: Limits | None = None,
        returning: ReturningConfig | None = None,
        book: UsageBook | None = None,
    ) -> None:
        self._config = config
        self._journal = journal
        self._clock = clock
        self._queued_bytes = queued_bytes
        self._routes = routes
        self._limits = Limits(()) if limits is None else limits
        self._paces = ReturningConfig() if returning is None else returning
        self._returning = Returning[DeviceKey](self._paces.least_per_s)
        self.book = UsageBook((), now_ns=clock.wall_ns()) if book is None else book
        self.no_room = ""
        self._load = Load(room_bytes=0)
        self._looked_ns: int | None = None
        self._holding: frozenset[str] = frozenset()
        self._starved: OrderedDict[Address, None] = OrderedDict()
        self._granted: dict[frozenset[str], Grant] = {}

    @property
    def _now_s(self) -> float:
        return self._clock.mono_ns() / _NS

    # ------------------------------------------------------------------ the region's state

    async def look(self, *, fresh: bool = False) -> None:
        """Take the journal's room and the routes' backlogs, if that was not done just now."""
        now_ns = self._clock.mono_ns()
        looked_ns = self._looked_ns
        self._granted.clear()
        if not fresh and looked_ns is not None and now_ns - looked_ns < LOOK_EVERY_NS:
            self._load = replace(self._load, queued_bytes=self._queued_bytes())
            return
        self._looked_ns = now_ns
        self.book.turn(self._clock.wall_ns())
        routes = tuple(
            RouteLoad(route.name, route.backlog.size_bytes, route.max_backlog_bytes)
            for route in self._routes()
        )
        try:
            size = await self._journal.size()
        except JournalError as error:
            self.no_room = f"the journal's room is not known: {error}"
            self._load = Load(room_bytes=0, routes=routes, full=self.no_room)
            return
        self.no_room = size.full or ("" if size.room_bytes else "the journal is full")
        self._load = Load(
            room_bytes=size.room_bytes,
            used_bytes=size.used_bytes,
            cap_bytes=size.max_bytes,
            queued_bytes=self._queued_bytes(),
            queue_limit_bytes=self._config.queue_bytes,
            routes=routes,
            full=size.full,
        )
        self._hold(holding_after(self._holding, self._load))

    def _hold(self, holding: frozenset[str]) -> None:
        for route in self._load.routes:
            if (route.name in holding) is (route.name in self._holding):
                continue
            held = route.name in holding
            _log.warning(
                "a forwarder holds devices back" if held else "a forwarder lets go of devices",
                extra=facts(
                    forwarder=route.name,
                    behind_bytes=route.behind_bytes,
                    max_backlog_bytes=route.max_backlog_bytes,
                ),
            )
        self._holding = holding

    async def fleet(self) -> None:
        """Take the number of enrolled devices: the rate of a return is a share of it."""
        try:
            devices = await self._journal.devices()
        except JournalError as error:
            _log.warning("the rate of returns stays as it is: %s", error)
            return
        enrolled = sum(device.removed_ns is None for device in devices)
        self._returning.rate_per_s = starts_per_s(
            enrolled, share_per_s=self._paces.share_per_s, least_per_s=self._paces.least_per_s
        )

    # ------------------------------------------------------------------ devices

    def admit(self, device: DeviceKey, size_bytes: int) -> bool:
        """Count a verified frame that came in; False when its device is far over a limit."""
        return self._limits.admit(device, size_bytes, now_s=self._now_s, used=self.book.of)

    def committed(self, device: DeviceKey, usage: Usage) -> None:
        """Count what was committed of a device."""
        self.book.add(device, usage)

    def heard(self, device: DeviceKey) -> None:
        """Note that a device delivers: it is not returning."""
        self._returning.heard(device, self._now_s)

    def start_in_s(self, device: DeviceKey) -> int:
        """Return for how many seconds a device that asks must wait before it starts; 0: not."""
        return self._returning.wait_s(device, self._now_s)

    def grant(self, address: Address) -> Grant:
        """Return what a device may have in flight, with the reason."""
        device = DeviceKey(address.tenant, address.store, address.device)
        selecting = [route for route in self._routes() if route.selects(device.partition)]
        grant = least(
            [
                self._grant(frozenset(route.name for route in selecting)),
                self._limits.grant(
                    device,
                    most_bytes=self._config.credit_bytes,
                    now_s=self._now_s,
                    month=self.book.month,
                    used=self.book.of,
                ),
            ]
        )
        if grant.size_bytes:
            self._starved.pop(address, None)
        elif grant.hold_s is None:
            self._starved[address] = None
            if len(self._starved) > MAX_STARVED:
                self._starved.popitem(last=False)
        # whoever wants more of its events decides; without routes they are for the journal
        detail = min((route.asked for route in selecting), default=Detail.FULL)
        return replace(grant, detail=detail) if detail else grant

    def _grant(self, routes: frozenset[str]) -> Grant:
        grant = self._granted.get(routes)
        if grant is None:
            most_bytes = self._config.credit_bytes
            grant = grant_for(self._load, self._holding, routes, most_bytes=most_bytes)
            self._granted[routes] = grant
        return grant

    def credit(self, grant: Grant) -> Credit:
        """Return a grant as a device is told it."""
        return Credit(grant.size_bytes, self._config.credit_lifetime_s, grant.detail)

    @property
    def starving(self) -> bool:
        """Whether any device was told that there is nothing, and not yet that there is."""
        return bool(self._starved)

    def fed_again(self, seconds: float) -> list[tuple[Address, Grant]]:
        """Return starved devices that may have something now, as many as may start meanwhile.

        Those that were told first come first. Looks at no more than four times as many.
        """
        most = max(1, int(self._returning.rate_per_s * seconds))
        fed: list[tuple[Address, Grant]] = []
        for address in list(self._starved)[: 4 * most]:
            grant = self.grant(address)
            if grant.size_bytes:
                fed.append((address, grant))
                if len(fed) == most:
                    break
            else:
                self._starved.move_to_end(address)
        return fed

    def figures(self) -> FlowFigures:
        """Return the region's flow for status."""
        return FlowFigures(
            self._grant(frozenset()),
            {name: self._grant(frozenset([name])).reason for name in sorted(self._holding)},
            len(self._starved),
            self._returning.figures(self._now_s),
        )
