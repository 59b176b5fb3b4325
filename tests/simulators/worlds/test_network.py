"""Paths and pipes: what arrives, when, in which order, and what ends a connection."""

from __future__ import annotations

import asyncio

import pytest

from whimbrel_sim.worlds.network import SILENCE_S, Message, Path, Pipe, Weather
from worlds.virtual import in_virtual_time, make_path, virtual_loop

CUT = Weather(up_closed=True, down_closed=True)


class Inbox:
    """The far end of a pipe."""

    def __init__(self, path: Path, *, up: bool = True) -> None:
        self.numbers: list[int] = []
        self.times_s: list[float] = []
        self.pipe: Pipe = path.pipe(up=up, deliver=self._take)

    def _take(self, message: Message) -> None:
        self.numbers.append(int(message.topic))
        self.times_s.append(virtual_loop().time())

    def send(self, *numbers: int, size: int = 1) -> None:
        for number in numbers:
            self.pipe.send(Message(str(number), bytes(size)))


@in_virtual_time
async def test_a_message_takes_the_delay() -> None:
    inbox = Inbox(make_path(weather=Weather(delay_s=2.0)))
    inbox.send(1)
    await asyncio.sleep(3)
    assert inbox.times_s == [pytest.approx(2.0, abs=0.001)]


@in_virtual_time
async def test_jitter_comes_on_top_of_the_delay() -> None:
    path = make_path(weather=Weather(delay_s=1.0, jitter_s=4.0))
    took_s = []
    for _ in range(100):
        inbox = Inbox(path)
        begin_s = virtual_loop().time()
        inbox.send(1)
        await asyncio.sleep(6)
        took_s.append(inbox.times_s[0] - begin_s)
    assert 0.999 < min(took_s) < 1.5
    assert 4.5 < max(took_s) < 5.001


@in_virtual_time
async def test_jitter_does_not_let_messages_overtake() -> None:
    inbox = Inbox(make_path(weather=Weather(jitter_s=5.0)))
    inbox.send(*range(200))
    await asyncio.sleep(6)
    assert inbox.numbers == list(range(200))


@in_virtual_time
async def test_messages_of_one_moment_arrive_in_order() -> None:
    inbox = Inbox(make_path(weather=Weather(delay_s=1.0)))
    inbox.send(*range(200))
    await asyncio.sleep(2)
    assert inbox.numbers == list(range(200))


@in_virtual_time
async def test_a_narrow_path_takes_time_for_each_byte() -> None:
    inbox = Inbox(make_path(weather=Weather(bandwidth_bytes_s=100.0)))
    inbox.send(1, 2, 3, size=200)
    await asyncio.sleep(7)
    assert inbox.times_s == pytest.approx([2.0, 4.0, 6.0], abs=0.001)


@in_virtual_time
async def test_a_share_is_lost_and_counted() -> None:
    path = make_path(weather=Weather(loss=0.25))
    inbox = Inbox(path)
    inbox.send(*range(2_000))
    await asyncio.sleep(1)
    assert 400 < path.lost < 600
    assert len(inbox.numbers) == 2_000 - path.lost
    assert inbox.pipe.waiting == 0


@in_virtual_time
async def test_messages_overtake_where_the_weather_reorders() -> None:
    inbox = Inbox(make_path(weather=Weather(reorder=0.3)))
    inbox.send(*range(100))
    await asyncio.sleep(6)
    assert inbox.numbers != list(range(100))
    assert sorted(inbox.numbers) == list(range(100))


@in_virtual_time
async def test_what_is_on_its_way_is_counted() -> None:
    inbox = Inbox(make_path(weather=Weather(delay_s=1.0)))
    inbox.send(1, 2, 3)
    assert inbox.pipe.waiting == 3
    await asyncio.sleep(2)
    assert inbox.pipe.waiting == 0


@in_virtual_time
async def test_a_pipe_that_was_closed_brings_nothing_any_more() -> None:
    path = make_path(weather=Weather(delay_s=1.0))
    inbox = Inbox(path)
    inbox.send(1)
    path.close(inbox.pipe)
    inbox.send(2)
    await asyncio.sleep(2)
    assert inbox.numbers == []


class TestClosedDirections:
    @pytest.mark.parametrize(
        ("weather", "up_arrives", "down_arrives"),
        [
            (Weather(up_closed=True), False, True),
            (Weather(down_closed=True), True, False),
            (Weather(captive=True), False, False),
            (CUT, False, False),
        ],
    )
    @in_virtual_time
    async def test_only_what_is_closed_stalls(
        self, weather: Weather, up_arrives: bool, down_arrives: bool
    ) -> None:
        path = make_path()
        up, down = Inbox(path, up=True), Inbox(path, up=False)
        path.add("fault", weather)
        up.send(1)
        down.send(1)
        await asyncio.sleep(1)
        assert (up.numbers == [1], down.numbers == [1]) == (up_arrives, down_arrives)

    @in_virtual_time
    async def test_what_stalled_goes_on_in_order_when_it_opens(self) -> None:
        path = make_path()
        inbox = Inbox(path)
        path.add("fault", CUT)
        inbox.send(*range(20))
        await asyncio.sleep(30)
        path.remove("fault")
        inbox.send(20)
        await asyncio.sleep(1)
        assert inbox.numbers == list(range(21))
        assert inbox.times_s[0] == pytest.approx(30, abs=0.01)

    @in_virtual_time
    async def test_what_had_set_out_before_arrives(self) -> None:
        path = make_path(weather=Weather(delay_s=1.0))
        inbox = Inbox(path)
        inbox.send(1)
        path.add("fault", CUT)
        await asyncio.sleep(2)
        assert inbox.numbers == [1]


class TestSilence:
    @in_virtual_time
    async def test_it_breaks_connections_after_90_s(self) -> None:
        path, broken_s = make_path(), list[float]()
        path.when_broken("link", lambda *_: broken_s.append(virtual_loop().time()))
        path.add("fault", CUT)
        await asyncio.sleep(2 * SILENCE_S)
        assert broken_s == [pytest.approx(SILENCE_S, abs=0.001)]

    @in_virtual_time
    async def test_a_shorter_one_breaks_nothing(self) -> None:
        path, broken = make_path(), list[str]()
        path.when_broken("link", lambda *_: broken.append("link"))
        path.add("fault", CUT)
        await asyncio.sleep(SILENCE_S - 1)
        path.remove("fault")
        await asyncio.sleep(SILENCE_S)
        assert broken == []

    @in_virtual_time
    async def test_two_short_ones_are_not_one_long_one(self) -> None:
        path, broken = make_path(), list[str]()
        path.when_broken("link", lambda *_: broken.append("link"))
        for fault in ("first", "second"):
            path.add(fault, CUT)
            await asyncio.sleep(SILENCE_S * 0.6)
            path.remove(fault)
        await asyncio.sleep(SILENCE_S)
        assert broken == []

    @in_virtual_time
    async def test_faults_that_overlap_are_one_silence(self) -> None:
        path, broken_s = make_path(), list[float]()
        path.when_broken("link", lambda *_: broken_s.append(virtual_loop().time()))
        path.add("first", Weather(up_closed=True))
        await asyncio.sleep(60)
        path.add("second", Weather(down_closed=True))
        path.remove("first")
        await asyncio.sleep(60)
        path.remove("second")
        assert broken_s == [pytest.approx(SILENCE_S, abs=0.01)]

    @in_virtual_time
    async def test_slow_weather_is_no_silence(self) -> None:
        path, broken = make_path(), list[str]()
        path.when_broken("link", lambda *_: broken.append("link"))
        path.add("fault", Weather(delay_s=50.0, loss=0.9))
        await asyncio.sleep(3 * SILENCE_S)
        assert broken == []

    @in_virtual_time
    async def test_who_took_it_back_is_not_told(self) -> None:
        path, broken = make_path(), list[str]()
        path.when_broken("one", lambda *_: broken.append("one"))
        path.when_broken("two", lambda *_: broken.append("two"))
        path.when_broken("one", None)
        path.reset()
        assert broken == ["two"]


@in_virtual_time
async def test_a_silence_is_another_failure_than_a_break() -> None:
    path, kinds = make_path(), list[str]()
    path.when_broken("link", lambda kind, _why: kinds.append(kind))
    path.reset()
    path.add("fault", CUT)
    await asyncio.sleep(SILENCE_S + 1)
    assert kinds == ["REFUSED", "NO_LINK"]


class TestOverlappingFaults:
    @in_virtual_time
    async def test_they_add_up(self) -> None:
        path = make_path(weather=Weather(delay_s=0.5))
        path.add("a", Weather(delay_s=1.0, loss=0.1, bandwidth_bytes_s=500.0))
        path.add("b", Weather(delay_s=2.0, loss=0.3, bandwidth_bytes_s=100.0, refused=True))
        assert path.weather == Weather(delay_s=3.5, loss=0.3, bandwidth_bytes_s=100.0, refused=True)

    @in_virtual_time
    async def test_each_ends_by_itself(self) -> None:
        path = make_path()
        path.add("a", Weather(delay_s=1.0, up_closed=True))
        path.add("b", Weather(delay_s=2.0, down_closed=True))
        path.remove("a")
        assert path.weather == Weather(delay_s=2.0, down_closed=True)
        path.remove("b")
        assert path.weather == path.fair

    @in_virtual_time
    async def test_an_end_that_comes_twice_does_nothing(self) -> None:
        path = make_path()
        path.add("a", Weather(delay_s=1.0))
        path.add("b", Weather(delay_s=2.0))
        path.remove("a")
        path.remove("a")
        assert path.weather == Weather(delay_s=2.0)


@pytest.mark.parametrize(
    ("weather", "closed"),
    [
        (Weather(), False),
        (Weather(loss=0.9, delay_s=9, refused=True), False),
        (Weather(up_closed=True), True),
        (Weather(down_closed=True), True),
        (Weather(captive=True), True),
    ],
)
def test_weather_is_closed_when_something_cannot_arrive(weather: Weather, closed: bool) -> None:
    assert weather.closed is closed
