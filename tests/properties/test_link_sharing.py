"""What background traffic does to a slow link, alone and beside others: in a model of one."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from whimbrel_agent.uplink.limits import LinkRules
from worlds.bottleneck import LinkWorld

FRAME_BYTES = 16_000
LINKS = [
    pytest.param({"rate_bit_s": 2e6, "latency_s": 0.02}, id="2-mbit-40-ms"),
    pytest.param({"rate_bit_s": 2e6, "latency_s": 0.005}, id="2-mbit-10-ms"),
    pytest.param({"rate_bit_s": 6e6, "latency_s": 0.03}, id="6-mbit-60-ms"),
]


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[int(part * (len(values) - 1))]


def loaded(
    world: LinkWorld, seconds: float, lane: str = "bulk", size: int = FRAME_BYTES
) -> LinkWorld:
    """A backlog that takes longer than that at the link's full rate."""
    world.run(1.0)
    world.seal(lane, count=int(seconds * world.link.rate / size) + 50, size_bytes=size)
    return world


def used(world: LinkWorld, seconds: float) -> float:
    """Let time pass; return the part of the link that our frames took."""
    before = world.ours.delivered_bytes
    world.run(seconds)
    return (world.ours.delivered_bytes - before) / world.link.rate / seconds


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("seed", [1, 2])
def test_alone_it_uses_the_link_and_leaves_the_queue_short(
    link: dict[str, float], seed: int
) -> None:
    world = loaded(LinkWorld(seed=seed, **link), 20)  # type: ignore[arg-type]
    world.pings.clear()
    assert used(world, 20) >= 0.85
    assert percentile(world.pings, 0.95) < 0.1
    assert world.link.drops == 0


@pytest.mark.parametrize(
    "sizes", [(9_000, *[16_000] * 40), (15_500, 18_500), (8_500, 10_000, 12_000, 14_000, 16_300)]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_so_it_does_with_frames_of_several_sizes(sizes: tuple[int, ...], seed: int) -> None:
    world, random = LinkWorld(seed=seed), Random(seed)
    world.run(1.0)
    for _ in range(600):
        world.seal("bulk", size_bytes=random.choice(sizes))
    world.run(3.0)
    world.pings.clear()
    assert used(world, 20) >= 0.9
    assert percentile(world.pings, 0.95) < 0.1


@pytest.mark.parametrize("rate_bit_s", [500e3, 2e6])
@pytest.mark.parametrize("seed", [1, 2])
def test_jitter_is_no_queue(rate_bit_s: float, seed: int) -> None:
    world = loaded(LinkWorld(seed=seed, rate_bit_s=rate_bit_s, jitter_s=0.04), 60)
    world.run(10)
    assert used(world, 30) >= 0.9


@pytest.mark.parametrize(("buffer_s", "flows"), [(0.1, 1), (0.4, 1), (1.0, 1), (0.4, 3)])
def test_a_greedy_competitor_has_the_link_within_5_s(buffer_s: float, flows: int) -> None:
    world = loaded(LinkWorld(buffer_s=buffer_s), 25)
    assert used(world, 5) > 0.8
    world.compete(flows)
    world.run(5)
    before = sum(flow.delivered_bytes for flow in world.others)
    assert used(world, 10) < 0.3
    theirs = sum(flow.delivered_bytes for flow in world.others) - before
    assert theirs > 0.6 * 10 * world.link.rate


def test_beside_a_competitor_a_backlog_still_moves() -> None:
    world = loaded(LinkWorld(), 40)
    world.compete()
    world.run(10)
    assert used(world, 20) > 0.03


def test_where_it_is_fair_it_keeps_a_share_like_any_other_connection() -> None:
    world = loaded(LinkWorld(rules=LinkRules(polite=False)), 30)
    world.compete()
    world.run(10)
    assert 0.25 < used(world, 15) < 0.9


def test_when_the_competitor_ends_the_link_is_ours_again() -> None:
    world = loaded(LinkWorld(), 60)
    world.compete()
    world.run(10)
    world.others[0].stop()
    world.run(10)
    assert used(world, 10) > 0.8


@pytest.mark.parametrize("lane", ["bulk", "normal"])
@pytest.mark.parametrize("polite", [True, False])
def test_a_cap_holds_within_5_percent(lane: str, polite: bool) -> None:
    cap_bit_s = 500e3
    rules = LinkRules(bytes_per_s=cap_bit_s / 8, polite=polite)
    world = loaded(LinkWorld(rules=rules), 20, lane)
    world.run(5)
    share = used(world, 40)
    assert share * 2e6 == pytest.approx(cap_bit_s, rel=0.05)


@pytest.mark.parametrize("lane", ["bulk", "normal", "critical"])
@pytest.mark.parametrize("rate_bit_s", [256e3, 2e6])
def test_never_more_than_a_second_of_the_measured_rate_is_in_flight(
    lane: str, rate_bit_s: float
) -> None:
    world = loaded(LinkWorld(rate_bit_s=rate_bit_s), 15, lane)
    world.run(15)
    assert world.most_over <= 1.0
    assert world.ours.delivered_bytes > 0.7 * 15 * world.link.rate


def test_a_critical_frame_passes_a_backlog_within_a_second() -> None:
    world = loaded(LinkWorld(), 60)
    world.run(5)
    waits = []
    for _ in range(20):
        world.seal("critical", size_bytes=1_000)
        frame = max(world.buffer.frames)
        sealed_s = world.now_s
        world.run(1.0)
        waits.append(world.committed_at[frame] - sealed_s)
    assert max(waits) < 1.0
