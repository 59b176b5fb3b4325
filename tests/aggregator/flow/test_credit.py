from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from whimbrel_aggregator.flow.credit import Load, RouteLoad, grant_for, holding_after
from whimbrel_protocol.limits import MAX_PAYLOAD_BYTES

MIB = 2**20
PLENTY = Load(room_bytes=2**40, used_bytes=0, cap_bytes=2**40, queue_limit_bytes=1_000)


def load_of(*routes: RouteLoad, used_bytes: int = 0) -> Load:
    return replace(PLENTY, routes=routes, used_bytes=used_bytes, cap_bytes=1_000 * MIB)


def route(behind_bytes: int, limit_bytes: int | None = 100 * MIB) -> RouteLoad:
    return RouteLoad("warehouse", behind_bytes, limit_bytes)


@given(
    room=st.integers(0, 2**50),
    queued=st.integers(0, 2**25),
    limit=st.integers(1, 2**24),
    most=st.integers(MAX_PAYLOAD_BYTES, 2**40),
)
def test_credit_is_zero_without_room_and_lets_a_payload_through_with_it(
    room: int, queued: int, limit: int, most: int
) -> None:
    load = Load(room_bytes=room, queued_bytes=queued, queue_limit_bytes=limit)
    grant = grant_for(load, (), (), most_bytes=most)
    if room < MAX_PAYLOAD_BYTES:
        assert grant.size_bytes == 0
    else:
        assert MAX_PAYLOAD_BYTES <= grant.size_bytes <= most
        assert grant.size_bytes <= max(room // 16, MAX_PAYLOAD_BYTES)
    assert grant.reason or grant.size_bytes == most


def test_credit_shrinks_as_the_queue_fills() -> None:
    grants = [
        grant_for(replace(PLENTY, queued_bytes=queued), (), (), most_bytes=2**30)
        for queued in (0, 500, 900, 1_000, 5_000)
    ]
    sizes = [grant.size_bytes for grant in grants]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], grants[0].reason) == (2**30, "")
    assert (sizes[-1], grants[-1].reason) == (
        MAX_PAYLOAD_BYTES,
        "the queue to the journal is filling",
    )


def credits_along(behinds: list[int]) -> list[int]:
    """Credit as the backlog goes through these values, each with the state of the one before."""
    holding: frozenset[str] = frozenset()
    sizes = []
    for behind in behinds:
        load = load_of(route(behind * MIB))
        holding = holding_after(holding, load)
        sizes.append(grant_for(load, holding, {"warehouse"}, most_bytes=MIB).size_bytes)
    return sizes


def test_a_route_that_holds_back_takes_credit_down_to_zero_at_its_limit() -> None:
    assert credits_along([0, 50, 75, 99, 100]) == [MIB, MIB, MIB // 2, MAX_PAYLOAD_BYTES, 0]


def test_credit_returns_only_when_the_backlog_is_at_half_its_limit() -> None:
    assert credits_along([100, 99, 51, 50, 49]) == [0, 0, 0, 0, MIB]


def test_only_devices_whose_events_the_route_selects_are_held_back() -> None:
    load = load_of(route(200 * MIB))
    holding = holding_after((), load)
    held = grant_for(load, holding, {"warehouse"}, most_bytes=MIB)
    assert held.size_bytes == 0
    assert held.reason == "forwarder warehouse is 209715200 bytes behind, of at most 104857600"
    assert grant_for(load, holding, {"other"}, most_bytes=MIB).size_bytes == MIB


def test_a_route_holds_nobody_back_by_default_however_far_behind_it_is() -> None:
    load = load_of(route(800 * MIB, None), used_bytes=899 * MIB)
    assert holding_after((), load) == frozenset()
    assert grant_for(load, (), {"warehouse"}, most_bytes=MIB).size_bytes == MIB


def test_near_the_journals_cap_every_route_that_is_far_behind_holds_back() -> None:
    far, little = RouteLoad("far", 100 * MIB), RouteLoad("little", 99 * MIB)
    full = load_of(far, little, used_bytes=900 * MIB)
    holding = holding_after((), full)
    assert holding == {"far"}
    assert grant_for(full, holding, {"far"}, most_bytes=MIB).size_bytes == 0
    # it goes on until there is room, or little is left to deliver
    assert holding_after(holding, load_of(far, used_bytes=851 * MIB)) == {"far"}
    assert holding_after(holding, load_of(far, used_bytes=849 * MIB)) == set()
    assert (
        holding_after(holding, load_of(RouteLoad("far", 49 * MIB), used_bytes=900 * MIB)) == set()
    )
