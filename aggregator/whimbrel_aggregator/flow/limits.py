"""Limits per region, tenant, store and device: a rate, and a quota of the month. Pure.

A rate is a token bucket over the bytes that come in: ``bytes_per_s`` flow in, ``burst_bytes``
are the most it holds. What is left is shared among the devices that were heard lately and is
their credit; when nothing is left they are told to wait until it is half full again, all of them
by the same rule, so that none takes what another was promised. The bucket may be overdrawn by
what was in flight; that is paid back before anybody gets credit, so that in the long run the rate
holds exactly. Overdrawn by more than ``burst_bytes`` (devices that heed no credit), frames are
dropped before they are committed; the device sends them again. Only frames whose signature holds
are counted, so that nobody can use up what is another's.

A quota counts what was committed in the calendar month (:mod:`.usage`). Past it, ``over`` says
what happens: ``slow`` leaves single frames at growing intervals (the device's probes, at most one
in two minutes, urgent ones first), ``hold`` takes nothing until the month ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final, Literal

from whimbrel_aggregator.config import LimitConfig
from whimbrel_aggregator.forward.selection import name_patterns
from whimbrel_aggregator.journal.lru import LruDict
from whimbrel_aggregator.journal.values import DeviceKey

from .credit import Grant, least
from .usage import Scope, Usage, next_month, scopes_of

Per = Literal["region", "tenant", "store", "device"]
PERS: Final[tuple[Per, ...]] = ("region", "tenant", "store", "device")
Over = Literal["slow", "hold"]
OVERS: Final[tuple[Over, ...]] = ("slow", "hold")

MAX_BUCKETS: Final = 100_000
"""Buckets in memory, under 1 KB each; one that was not used for longest is full again anyway."""

ACTIVE_S: Final = 10.0
"""A device that was not heard for one to two of these shares no bucket."""

MAX_HOLD_S: Final = 900
"""The longest wait that agents obey."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit for each region, tenant, store or device that it fits.

    Attributes:
        per: what it counts together.
        fits: says of a device whether it is meant.
        bytes_per_s: the rate; None without one.
        burst_bytes: what may come at once.
        monthly_bytes: the quota of frames' bytes; None without one.
        monthly_events: the quota of events; None without one.
        over: what happens past a quota.
    """

    per: Per
    fits: Callable[[DeviceKey], bool] = field(default=lambda _: True)
    bytes_per_s: int | None = None
    burst_bytes: int = 0
    monthly_bytes: int | None = None
    monthly_events: int | None = None
    over: Over = "slow"


class Bucket:
    """A token bucket that may be overdrawn; knows how many devices share it.

    Args:
        rate: tokens a second.
        burst: the most it holds.
        now_s: monotonic seconds; it begins full.
    """

    __slots__ = ("_at_s", "_before", "_burst", "_lately", "_rate", "_since_s", "_tokens")

    def __init__(self, rate: int, burst: int, now_s: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at_s = self._since_s = now_s
        self._lately: set[DeviceKey] = set()
        self._before: set[DeviceKey] = set()

    def level(self, now_s: float) -> float:
        """Return what is left; below 0 when it is overdrawn."""
        passed_s = max(0.0, now_s - self._at_s)
        self._tokens = min(float(self._burst), self._tokens + passed_s * self._rate)
        self._at_s = max(now_s, self._at_s)
        return self._tokens

    def spend(self, device: DeviceKey, tokens: int, now_s: float) -> None:
        """Take tokens out."""
        self.level(now_s)
        self._tokens -= tokens
        self.share(device, now_s)

    def share(self, device: DeviceKey, now_s: float) -> int:
        """Count a device in, and return how many share the bucket."""
        if now_s - self._since_s >= ACTIVE_S:
            lately = now_s - self._since_s < 2 * ACTIVE_S
            self._before = self._lately if lately else set()
            self._lately, self._since_s = set(), now_s
        self._lately.add(device)
        return max(len(self._lately), len(self._before))

    def half_full_in_s(self, now_s: float) -> float:
        """Return how long it takes to be half full again."""
        return max(0.0, (self._burst / 2 - self.level(now_s)) / self._rate)


class Limits:
    """All limits, and their buckets.

    For each of region, tenant, store and device the first limit that fits counts: special ones
    go before general ones.
    """

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = tuple(limits)
        self._buckets: LruDict[tuple[int, Scope], Bucket] = LruDict(MAX_BUCKETS)
        self._fitting: LruDict[DeviceKey, tuple[tuple[int, Scope], ...]] = LruDict(MAX_BUCKETS)

    def fitting(self, device: DeviceKey) -> tuple[tuple[int, Scope], ...]:
        """Return the numbers of the limits that count for a device, each with what it counts."""
        known = self._fitting.get(device)
        if known is None:
            first: dict[Per, tuple[int, Scope]] = {}
            scopes = dict(zip(PERS, scopes_of(device), strict=True))
            for number, limit in enumerate(self._limits):
                if limit.per not in first and limit.fits(device):
                    first[limit.per] = number, scopes[limit.per]
            known = tuple(first.values())
            self._fitting.put(device, known)
        return known

    def admit(
        self,
        device: DeviceKey,
        size_bytes: int,
        *,
        now_s: float,
        used: Callable[[Scope], Usage],
    ) -> bool:
        """Count bytes that came in; False when they are refused, and then they are not counted.

        Args:
            device: whose they are.
            size_bytes: so many.
            now_s: the monotonic clock.
            used: what was committed in this month.
        """
        buckets = []
        for number, scope in self.fitting(device):
            limit = self._limits[number]
            if limit.over == "hold" and _past(limit, used(scope)):
                return False
            if limit.bytes_per_s is not None:
                bucket = self._bucket(number, scope, now_s)
                if bucket.level(now_s) < -limit.burst_bytes:
                    return False
                buckets.append(bucket)
        for bucket in buckets:
            bucket.spend(device, size_bytes, now_s)
        return True

    def grant(
        self,
        device: DeviceKey,
        *,
        most_bytes: int,
        now_s: float,
        month: str,
        used: Callable[[Scope], Usage],
    ) -> Grant:
        """Return what the limits leave a device: the least of them, or ``most_bytes``."""
        grants = [Grant(most_bytes)]
        for number, scope in self.fitting(device):
            limit = self._limits[number]
            grants.append(_quota_grant(limit, scope, used(scope), month, most_bytes))
            if limit.bytes_per_s is not None:
                bucket = self._bucket(number, scope, now_s)
                grants.append(_rate_grant(limit, scope, bucket, device, now_s))
        return least(grants)

    def _bucket(self, number: int, scope: Scope, now_s: float) -> Bucket:
        bucket = self._buckets.get((number, scope))
        if bucket is None:
            limit = self._limits[number]
            bucket = Bucket(limit.bytes_per_s or 1, limit.burst_bytes, now_s)
            self._buckets.put((number, scope), bucket)
        return bucket

    def quota(self, scope: Scope) -> Limit | None:
        """Return the limit with a quota that counts for a region, tenant, store or device."""
        per = PERS[len(scope)]
        device = DeviceKey(*scope, *[""] * (3 - len(scope)))
        fitting = (limit for limit in self._limits if limit.per == per and limit.fits(device))
        first = next(fitting, None)
        has = first and (first.monthly_bytes is not None or first.monthly_events is not None)
        return first if has else None


def limits_of(configs: Sequence[LimitConfig]) -> Limits:
    """Return the limits that the settings ask for.

    Raises:
        FieldError: a pattern can match nothing.
    """
    return Limits([_limit_of(config, f"limit.{at}") for at, config in enumerate(configs, 1)])


def _limit_of(config: LimitConfig, where: str) -> Limit:
    tenants = name_patterns(f"{where}.tenant", config.tenants)
    stores = name_patterns(f"{where}.store", config.stores)
    devices = name_patterns(f"{where}.device", config.devices)

    def fits(device: DeviceKey) -> bool:
        return (
            tenants.take(device.tenant)
            and stores.take(device.store)
            and devices.take(device.device)
        )

    return Limit(
        per=config.per,
        fits=fits,
        bytes_per_s=config.bytes_per_s,
        burst_bytes=config.burst_bytes,
        monthly_bytes=config.monthly_bytes,
        monthly_events=config.monthly_events,
        over=config.over,
    )


def _past(limit: Limit, used: Usage) -> str:
    """Say which quota is used up, empty when none is."""
    if limit.monthly_bytes is not None and used.size_bytes >= limit.monthly_bytes:
        return f"{used.size_bytes} of {limit.monthly_bytes} bytes"
    if limit.monthly_events is not None and used.events >= limit.monthly_events:
        return f"{used.events} of {limit.monthly_events} events"
    return ""


def _quota_grant(limit: Limit, scope: Scope, used: Usage, month: str, most_bytes: int) -> Grant:
    past = _past(limit, used)
    if past:
        reason = (
            f"the quota of {name_of(limit.per, scope)} for {month} is used up ({past}); it begins "
            f"anew on {next_month(month)}-01 UTC"
        )
        return Grant(0, reason, MAX_HOLD_S if limit.over == "hold" else None)
    if limit.monthly_bytes is None:
        return Grant(most_bytes)
    left_bytes = min(most_bytes, limit.monthly_bytes - used.size_bytes)
    return Grant(left_bytes, f"the quota of {name_of(limit.per, scope)} is nearly used up")


def _rate_grant(
    limit: Limit, scope: Scope, bucket: Bucket, device: DeviceKey, now_s: float
) -> Grant:
    sharing = bucket.share(device, now_s)
    level = bucket.level(now_s)
    reason = f"{name_of(limit.per, scope)} is at its rate of {limit.bytes_per_s} bytes/s"
    if level <= 0:
        hold_s = min(MAX_HOLD_S, max(1, ceil(bucket.half_full_in_s(now_s))))
        return Grant(0, reason, hold_s)
    return Grant(max(1, int(level) // sharing), reason)


def name_of(per: Per, scope: Scope) -> str:
    """Return what a limit counts, for people."""
    return f"{per} {'/'.join(scope)}" if scope else "the region"
