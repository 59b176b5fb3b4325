"""Credit, and asking for it."""

from __future__ import annotations

from whimbrel_agent.uplink.probing import Credits
from whimbrel_agent.uplink.roundtrips import MAX_TIMEOUT_S
from whimbrel_protocol.messages import Credit


def test_without_credit_nothing_is_left() -> None:
    region = Credits()
    assert region.left(0.0) == 0
    assert region.probing(0.0) == "no credit was given yet"


def test_credit_ends_with_its_lifetime() -> None:
    region = Credits()
    region.credited(Credit(5_000, 10), 0.0)
    assert (region.left(9.9), region.left(10.0)) == (5_000, 0)
    assert region.probing(9.9) == ""
    assert region.probing(10.0) == "the credit has expired"


def test_probes_grow_apart_until_credit_comes() -> None:
    region = Credits()
    region.credited(Credit(0, 3600), 0.0)
    waits = []
    now_s = 0.0
    for _ in range(9):
        region.probed(now_s)
        waits.append(region.probe_at_s - now_s)
        now_s = region.probe_at_s
    assert waits == [1, 2, 4, 8, 16, 32, 64, MAX_TIMEOUT_S, MAX_TIMEOUT_S]
    region.credited(Credit(5_000, 10), now_s)
    assert region.probe_at_s <= now_s
    assert not region.probing(now_s)
