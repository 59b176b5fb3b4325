from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from whimbrel_aggregator.config import LimitConfig
from whimbrel_aggregator.flow.credit import Grant
from whimbrel_aggregator.flow.limits import ACTIVE_S, Bucket, Limit, Limits, limits_of
from whimbrel_aggregator.flow.usage import Scope, Usage, UsageBook
from whimbrel_aggregator.journal.values import DeviceKey
from whimbrel_protocol.errors import FieldError

MIB = 2**20
NOW_NS = 1_795_341_600_000_000_000


def till(number: int = 1, *, tenant: str = "acme", store: str = "store-1") -> DeviceKey:
    return DeviceKey(tenant, store, f"till-{number}")


def nothing(_: Scope) -> Usage:
    return Usage()


def grant_of(
    limits: Limits, device: DeviceKey, now_s: float, *, used: Usage | None = None
) -> Grant:
    return limits.grant(
        device,
        most_bytes=MIB,
        now_s=now_s,
        month="2026-11",
        used=lambda _: used or Usage(),
    )


def spend(limits: Limits, device: DeviceKey, size_bytes: int, now_s: float) -> bool:
    return limits.admit(device, size_bytes, now_s=now_s, used=nothing)


def rated(rate: int = 1000, burst: int = 10_000) -> Limits:
    return Limits([Limit(per="tenant", bytes_per_s=rate, burst_bytes=burst)])


# ------------------------------------------------------------------ rates


def test_without_limits_a_device_gets_the_most() -> None:
    assert grant_of(Limits(()), till(), 0.0) == Grant(MIB)


def test_what_is_left_is_shared_among_the_devices_that_were_heard() -> None:
    limits = rated()
    for number in range(4):
        assert spend(limits, till(number), 500, 0.0)
    assert [grant_of(limits, till(number), 0.0).size_bytes for number in range(4)] == [2000] * 4
    assert grant_of(limits, till(9, tenant="other"), 0.0).size_bytes == 10_000


def test_devices_that_went_silent_share_no_more() -> None:
    limits = rated()
    for number in range(4):
        spend(limits, till(number), 500, 0.0)
    assert grant_of(limits, till(0), 3 * ACTIVE_S).size_bytes == 10_000


def test_an_overdrawn_bucket_is_paid_back_before_anybody_gets_credit() -> None:
    limits = rated()
    spend(limits, till(), 15_000, 0.0)
    told = grant_of(limits, till(), 0.0)
    assert told == Grant(0, "tenant acme is at its rate of 1000 bytes/s", 10)
    assert grant_of(limits, till(), 5.0).size_bytes == 0
    assert grant_of(limits, till(), 10.0).size_bytes == 5000


def test_far_overdrawn_what_comes_is_refused_and_not_counted() -> None:
    limits = rated()
    assert spend(limits, till(), 20_001, 0.0)
    assert not spend(limits, till(), 5000, 0.0)
    assert spend(limits, till(), 5000, 0.1)
    assert spend(limits, till(1, tenant="other"), 5000, 0.0)


def test_a_bucket_holds_no_more_than_its_burst_and_time_never_goes_back() -> None:
    bucket = Bucket(100, 500, 50.0)
    assert bucket.level(1_000.0) == 500
    bucket.spend(till(), 100, 1_000.0)
    assert bucket.level(10.0) == 400


@dataclass
class Tenant:
    """Devices that always have something to send, and do as the agent does."""

    name: str
    devices: int
    limits: Limits
    frame_bytes: int = 16_000
    round_trip_s: float = 0.1
    admitted: Counter[int] = field(default_factory=Counter)

    def run(self, until_s: float, *, wild: bool = False) -> None:
        """Send for so long; ``wild`` devices heed neither credit nor holds."""
        chance = random.Random(self.name)
        turns = [(chance.random(), number) for number in range(self.devices)]
        heapq.heapify(turns)
        while turns[0][0] < until_s:
            now_s, number = heapq.heappop(turns)
            device = till(number, tenant=self.name)
            grant = grant_of(self.limits, device, now_s)
            next_s = now_s + self.round_trip_s
            if wild or grant.size_bytes:
                frames = max(1, min(grant.size_bytes, MIB) // self.frame_bytes)
                for _ in range(20 if wild else frames):
                    if spend(self.limits, device, self.frame_bytes, now_s):
                        self.admitted[int(now_s)] += self.frame_bytes
            elif grant.hold_s is not None:
                next_s = now_s + grant.hold_s + chance.random() * self.round_trip_s
            heapq.heappush(turns, (next_s, number))


@pytest.mark.parametrize(("devices", "wild"), [(1, False), (40, False), (200, False), (20, True)])
def test_a_tenant_at_many_times_its_rate_is_admitted_at_its_rate(devices: int, wild: bool) -> None:
    rate = 500_000
    limits = Limits([Limit(per="tenant", bytes_per_s=rate, burst_bytes=10 * rate)])
    tenant = Tenant("acme", devices, limits)
    tenant.run(250, wild=wild)
    # the burst, and what may be overdrawn, come once
    steady = sum(count for at_s, count in tenant.admitted.items() if at_s >= 50)
    assert steady == pytest.approx(rate * 200, rel=0.05)


# ------------------------------------------------------------------ quotas


def test_a_quota_leaves_what_is_not_used_yet() -> None:
    limits = Limits([Limit(per="store", monthly_bytes=1_000_000)])
    assert grant_of(limits, till(), 0.0, used=Usage(1, 1, 0)).size_bytes == 1_000_000
    nearly = grant_of(limits, till(), 0.0, used=Usage(1, 1, 999_990))
    assert nearly == Grant(10, "the quota of store acme/store-1 is nearly used up")


@pytest.mark.parametrize(("over", "hold_s"), [("slow", None), ("hold", 900)])
def test_past_a_quota_the_device_is_told_which_and_until_when(
    over: str, hold_s: int | None
) -> None:
    limits = Limits([Limit(per="tenant", monthly_events=100, over=over)])  # type: ignore[arg-type]
    used = Usage(3, 100, 5)
    grant = grant_of(limits, till(), 0.0, used=used)
    assert (grant.size_bytes, grant.hold_s) == (0, hold_s)
    assert grant.reason == (
        "the quota of tenant acme for 2026-11 is used up (100 of 100 events); it begins anew on "
        "2026-12-01 UTC"
    )
    admitted = limits.admit(till(), 10, now_s=0.0, used=lambda _: used)
    assert admitted is (over == "slow")


def test_the_first_limit_that_fits_counts_for_each_kind() -> None:
    limits = limits_of(
        [
            LimitConfig(per="tenant", tenants=("acme",), monthly_bytes=10),
            LimitConfig(per="tenant", tenants=("*",), monthly_bytes=99),
            LimitConfig(per="device", devices=("till-?",), monthly_bytes=7),
        ]
    )
    book = UsageBook((), now_ns=NOW_NS)
    assert [number for number, _ in limits.fitting(till())] == [0, 2]
    assert limits.fitting(till(12, tenant="other")) == ((1, ("other",)),)
    quotas = [limits.quota(scope) for scope in ((), ("acme",), ("other",), ("acme", "s", "till-1"))]
    assert [one and one.monthly_bytes for one in quotas] == [None, 10, 99, 7]
    assert book.of(("acme",)) == Usage()


def test_a_pattern_that_can_match_nothing_is_refused() -> None:
    with pytest.raises(FieldError, match=r"limit\.1\.device"):
        limits_of([LimitConfig(per="device", devices=("Till",), monthly_bytes=7)])
