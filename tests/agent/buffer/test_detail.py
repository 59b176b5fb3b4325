"""Series of numbers are thinned as they are sealed when the region asks for less."""

from __future__ import annotations

from pathlib import Path

import pytest

from buffers.harness import START_NS, Shop, answer, assert_sound, receipt_for, sales
from whimbrel_agent.buffer.detail import DetailDecision, DetailInputs, decide_detail
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.thinning import Step
from whimbrel_agent.buffer.values import LaneConfig, Overflow
from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.event import SUMMARY_COUNT, Event
from whimbrel_protocol.frame import Frame, open_frame
from whimbrel_protocol.lanes import LANES, GapReason
from whimbrel_protocol.messages import Detail

KEEPS, THINS = Overflow.DROP_OLDEST, Overflow.THIN


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


def readings(count: int, *, lane: str = "bulk") -> list[Event]:
    """Values of two sensors in turn."""
    return [
        Event(
            type="climate",
            source=f"fridge-{number % 2}",
            time_ns=START_NS + number * 10**9,
            data={"celsius": 4 + number % 7 / 10},
            lane=lane,
        )
        for number in range(count)
    ]


async def frames_of(buffer: Buffer, lane: str) -> list[Frame]:
    refs = await buffer.pending(lane, 0, 100)
    return [open_frame(data) for data in await buffer.load_many(refs) if data is not None]


def test_only_lanes_that_may_be_thinned_are() -> None:
    inputs = DetailInputs(Detail.SUMMARISED, (Overflow.REFUSE, KEEPS, THINS, THINS))
    decision = decide_detail(inputs)
    assert (decision.step, decision.lanes) == (Step.SUMMARISE, ("normal", "bulk"))
    assert [decision.step_of(lane) for lane in range(4)] == [None, None, *[Step.SUMMARISE] * 2]
    assert (
        decide_detail(DetailInputs(Detail.SAMPLED, (KEEPS, KEEPS, KEEPS, THINS))).step is Step.HALVE
    )
    unwilling = decide_detail(DetailInputs(Detail.SAMPLED, (KEEPS,) * 4))
    assert unwilling.lanes == ()
    assert "no lane's overflow is 'thin'" in unwilling.reason


def test_nothing_is_thinned_where_nobody_asks() -> None:
    assert decide_detail(DetailInputs(Detail.FULL, (THINS,) * 4)) == DetailDecision()


@pytest.mark.parametrize(
    ("asked", "events"), [(Detail.FULL, 100), (Detail.SAMPLED, 50), (Detail.SUMMARISED, 2)]
)
async def test_frames_hold_what_is_asked_for_and_name_the_rest(
    shop: Shop, asked: Detail, events: int
) -> None:
    async with shop.buffer() as buffer:
        buffer.look_out(sending=True, asked=asked)
        await buffer.accept(readings(100))
        await buffer.seal_all()
        (frame,) = await frames_of(buffer, "bulk")
        assert (frame.header.first, frame.header.span, frame.header.count) == (1, 100, events)
        assert sum(gap.count for gap in frame.header.gaps) == 100 - events
        assert {gap.reason for gap in frame.header.gaps} <= {int(GapReason.THINNED)}
        marked = [SUMMARY_COUNT in one.extensions for one in decode_events(frame.columns)]
        assert marked == [asked is Detail.SUMMARISED] * events
        stats = await buffer.stats()
        assert stats.counters.get("thinned_events", 0) == 100 - events
        line = next(lane.ledger for lane in stats.lanes if lane.lane == "bulk")
        assert (line.accepted, line.pending) == (100, events)
        assert line.gapped.get(GapReason.THINNED, 0) == 100 - events
        await assert_sound(buffer)


async def test_sales_and_other_lanes_stay_whole(shop: Shop) -> None:
    lanes = {"bulk": LaneConfig(overflow=Overflow.THIN)}
    async with shop.buffer(lanes=lanes) as buffer:
        buffer.look_out(sending=True, asked=Detail.SUMMARISED)
        await buffer.accept(sales(50, lane="bulk"))
        await buffer.accept(readings(50, lane="normal"))
        await buffer.seal_all()
        for lane in ("bulk", "normal"):
            (frame,) = await frames_of(buffer, lane)
            assert (frame.header.count, frame.header.gaps) == (50, ())


async def test_what_was_sealed_before_is_sent_as_it_is(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(readings(100))
        await buffer.seal_all()
        buffer.look_out(sending=True, asked=Detail.SUMMARISED)
        await buffer.accept(readings(100))
        await buffer.seal_all()
        buffer.look_out(sending=True)
        await buffer.accept(readings(100))
        await buffer.seal_all()
        frames = await frames_of(buffer, "bulk")
        assert [frame.header.count for frame in frames] == [100, 2, 100]
        assert [frame.header.first for frame in frames] == [1, 101, 201]


async def test_a_thinned_frame_is_settled_like_any_other(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await buffer.apply_resume(answer())
        buffer.look_out(sending=True, asked=Detail.SAMPLED)
        await buffer.accept(readings(100))
        await buffer.seal_all()
        refs = await buffer.pending("bulk", 0, 10)
        await buffer.load_to_send([refs[-1]])
        await buffer.settle(receipt_for(refs))
        line = (await buffer.stats()).lanes[LANES.index("bulk")].ledger
        assert (line.accepted, line.delivered, line.pending) == (100, 50, 0)
        await assert_sound(buffer)


async def test_the_decision_can_be_explained(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        journal = DecisionJournal()
        buffer.note_in(journal)
        buffer.look_out(sending=True)
        assert journal.last() == []
        buffer.look_out(sending=True, asked=Detail.SAMPLED)
        buffer.look_out(sending=True, asked=Detail.SAMPLED)
        buffer.look_out(sending=True)
        assert [(one.by, one.decision.reason) for one in journal.last()] == [
            ("detail", "the region asks for every other value in a frame"),
            ("detail", "the region takes everything"),
        ]
