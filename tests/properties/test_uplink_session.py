"""Whatever the network does, the session settles every frame once and keeps its bounds."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from whimbrel_agent.buffer.values import FrameRef
from whimbrel_agent.ports import LinkFailure
from whimbrel_protocol.lanes import LANES, Order
from worlds.uplink import Weather, World

MAX_BYTES = 100_000
MAX_FRAMES = 12
CALM = Weather()


@dataclass(frozen=True)
class Storm:
    """One run: what the network does, and what happens meanwhile, second by second."""

    seed: int
    loss: float
    duplication: float
    slowest_s: float
    orders: dict[str, Order]
    happenings: list[tuple[str, str, int]]


HAPPENINGS = st.tuples(
    st.sampled_from(
        ["seal", "seal", "seal", "cut", "restart", "region-off", "region-on", "evict", "restore"]
    ),
    st.sampled_from(LANES),
    st.integers(1, 20),
)
STORMS = st.builds(
    Storm,
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    duplication=st.sampled_from([0.0, 0.25]),
    slowest_s=st.sampled_from([0.03, 0.5, 4.0]),
    orders=st.fixed_dictionaries({lane: st.sampled_from(list(Order)) for lane in LANES}),
    happenings=st.lists(HAPPENINGS, min_size=1, max_size=25),
)


class WatchedWorld(World):
    """Checks, at each send, what must hold at every moment."""

    def __init__(self, storm: Storm) -> None:
        self.first_sends: dict[str, int] = {}
        weather = Weather(storm.loss, storm.duplication, (0.03, storm.slowest_s))
        super().__init__(
            storm.seed,
            lanes=storm.orders,
            max_bytes=MAX_BYTES,
            max_frames=MAX_FRAMES,
            weather=weather,
            brokers=2,
        )

    def check(self) -> None:
        figures = self.session.figures(self.now)
        # those that were sent again and again in vain hold up no others, and are as few
        assert figures.in_flight_frames <= 2 * MAX_FRAMES
        assert figures.in_flight_bytes <= MAX_BYTES + 128 * 1024
        assert figures.in_flight_frames or not figures.in_flight_bytes
        committed = {(f.lane, f.first) for f in self.region.commits}
        if self.region.generation == b"gen-0001":
            assert {(f.lane, f.first) for f in self.buffer.freed} <= committed

    def happen(self, what: str, lane: str, number: int) -> None:
        match what:
            case "seal":
                self.seal(lane, count=number, size_bytes=500 * number)
            case "cut" if self.linked:
                self.cut(list(LinkFailure)[number % len(LinkFailure)])
            case "restart":
                self.start_session()
            case "region-off":
                self.region_up = False
            case "region-on":
                self.region_up = True
            case "evict":
                unsent = [f for f in self.buffer.frames.values() if not f.published and f.count]
                if unsent:
                    self.buffer.evict(unsent[number % len(unsent)].id)
            case "restore" if number == 1:
                self.region.forget_everything()


def assert_in_order(frames: list[FrameRef]) -> None:
    for lane in LANES:
        firsts = [f.first for f in frames if f.lane == lane and f.order is Order.IN_ORDER]
        assert firsts == sorted(firsts)


@settings(max_examples=120, deadline=None)
@given(STORMS)
def test_every_frame_is_committed_once_and_settled_after_any_storm(storm: Storm) -> None:
    world = WatchedWorld(storm)
    for what, lane, number in storm.happenings:
        world.happen(what, lane, number)
        world.run(float(number))
        world.check()
    world.weather, world.region_up = CALM, True
    world.seal("normal")
    world.run(4_000.0)
    world.check()
    assert world.buffer.frames == {}, world.session.figures(world.now)
    committed = [(f.lane, f.first) for f in world.region.commits]
    assert len(committed) == len(set(committed))
    assert set(committed) == {(f.lane, f.first) for f in world.buffer.freed}
    assert_in_order(world.region.commits)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(LANES), st.integers(1, 9)), min_size=1, max_size=20))
def test_a_calm_network_carries_each_frame_once_in_order(seals: list[tuple[str, int]]) -> None:
    world = World(max_bytes=MAX_BYTES, max_frames=MAX_FRAMES)
    for lane, count in seals:
        world.seal(lane, count=count)
        world.run(0.02)
    world.run(60.0)
    assert world.buffer.frames == {}
    assert world.region.duplicates == 0
    assert len(world.sent) == sum(count for _, count in seals)
    assert_in_order([sending.frame for sending in world.sent])
