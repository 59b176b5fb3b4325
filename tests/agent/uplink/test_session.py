"""The session machine, input by input, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from whimbrel_agent.buffer.values import FrameRef
from whimbrel_agent.ports import Delivery, LinkFailure
from whimbrel_agent.uplink.figures import LinkState, ResumeState
from whimbrel_agent.uplink.patience import ASKS_PER_BROKER, MAX_ASK_S, REFRESH_S, REST_GAP_S
from whimbrel_agent.uplink.radio import RadioPlan
from whimbrel_agent.uplink.roundtrips import FIRST_TIMEOUT_S
from whimbrel_agent.uplink.values import (
    Arrived,
    FramesGone,
    NetworkReturned,
    ResumeApplied,
    TakeDictionaries,
    UseRadio,
)
from whimbrel_protocol.lanes import Order
from whimbrel_protocol.messages import (
    Credit,
    DictionaryAnswer,
    DictionaryStatus,
    Hold,
    Message,
    Receipt,
    Status,
)
from worlds.uplink import ADDRESS, ALL_IN_ORDER, OTHER_KEY, Weather, World, down, entry_for


def connected_world(**settings: object) -> World:
    world = World(**settings)  # type: ignore[arg-type]
    world.run(1.0)
    assert world.session.figures(world.now).resume is ResumeState.DONE
    return world


def silent(world: World) -> World:
    """The region hears everything from here on and says nothing."""
    world.region_up = False
    return world


# ------------------------------------------------------------------ resume and link


def test_nothing_but_a_resume_is_sent_before_the_region_answers() -> None:
    world = silent(World())
    world.seal(count=5)
    world.run(600.0)
    assert world.sent == []
    assert world.session.counts["resumes_sent"] >= 10
    assert world.session.figures(world.now).resume is ResumeState.ASKED


def test_the_backlog_drains_once_the_resume_is_answered() -> None:
    world = World()
    world.seal(count=200)
    world.run(30.0)
    assert world.buffer.frames == {}
    assert len(world.region.commits) == 200
    assert world.region.duplicates == 0


def test_a_region_that_returns_is_found_within_the_longest_ask() -> None:
    world = silent(World())
    world.seal()
    world.run(3600.0)
    world.region_up = True
    world.run(25.0)
    assert world.buffer.frames == {}


def test_an_answer_that_found_no_room_is_asked_for_again_and_nothing_leaves_before() -> None:
    world = World()
    world.full = True
    world.seal()
    world.run(100.0)
    assert world.sent == []
    assert 100 / MAX_ASK_S - 1 <= world.session.counts["resumes_sent"] <= 100 / MAX_ASK_S + 1
    world.full = False
    world.run(MAX_ASK_S + 5.0)
    assert world.buffer.frames == {}


def test_a_link_lost_while_an_answer_finds_no_room_changes_nothing_about_that() -> None:
    world = World()
    world.full = True
    world.seal()
    world.run(1.0)
    world.cut()
    world.full = False
    world.run(2 * MAX_ASK_S)
    assert world.buffer.frames == {}


def test_an_answer_to_a_nonce_never_asked_changes_nothing() -> None:
    world = silent(World())
    world.seal()
    world.run(1.0)
    world.deliver(world.region.resume(b"\0" * 16, 0))
    assert world.session.figures(world.now).resume is ResumeState.ASKED
    assert world.session.counts["down_replayed"] == 1


def test_a_short_cut_needs_no_new_resume_and_resends_what_was_in_flight() -> None:
    world = silent(connected_world())
    world.seal(count=3)
    world.run(1.0)
    world.cut()
    world.region_up = True
    world.run(10.0)
    assert world.session.counts["resumes_sent"] == 1
    assert world.buffer.frames == {}
    assert [s.replay for s in world.sent] == [False] * 3 + [True] * 3


def test_what_was_sealed_before_the_link_came_up_goes_to_the_replay_topic() -> None:
    world = World()
    world.seal(count=2)
    world.run(5.0)
    world.seal(count=2)
    world.run(5.0)
    assert [s.replay for s in world.sent] == [True, True, False, False]


def test_brokers_are_tried_in_turn() -> None:
    world = World(brokers=3)
    world.network_up = False
    world.run(1.0)
    assert [broker for _, broker in world.connects][:3] == [0, 1, 2]


def test_a_broker_without_a_region_behind_it_is_left_for_the_next() -> None:
    world = silent(World(brokers=2))
    world.run(200.0)
    assert {broker for _, broker in world.connects} == {0, 1}
    assert world.session.counts["resumes_sent"] > ASKS_PER_BROKER


def test_one_broker_without_a_region_is_connected_to_anew_now_and_then() -> None:
    world = silent(World())
    world.run(3600.0)
    times = [time_s for time_s, _ in world.connects]
    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert 10 < len(pauses) < 20
    assert all(150 < pause_s < 250 for pause_s in pauses)


def test_a_connection_that_went_deaf_is_left_although_it_lives() -> None:
    # As when a broker lost the subscription, or got another one than it was asked for.
    world = silent(World())
    world.seal()
    world.run(60.0)
    first = len(world.connects)
    world.run(200.0)
    assert len(world.connects) == first + 1
    world.region_up = True  # the new connection hears
    world.run(60.0)
    assert world.buffer.frames == {}


def test_the_link_is_tried_at_once_when_the_network_returns() -> None:
    world = World()
    world.network_up = False
    world.run(3600.0)
    world.network_up = True
    world.give(NetworkReturned())
    world.run(1.0)
    assert world.session.figures(world.now).link is LinkState.UP


def longest_pause_s(world: World, from_s: float) -> float:
    """Return the longest pause between tries since a moment."""
    times = [time_s for time_s, _ in world.connects if time_s >= from_s]
    return max(later - sooner for sooner, later in pairwise(times))


def test_a_link_is_tried_every_few_seconds_while_something_urgent_waits() -> None:
    world = World()
    world.network_up = False
    world.run(1800.0)
    assert longest_pause_s(world, 600.0) > 30.0
    world.seal("critical")
    from_s = world.now_s
    world.run(600.0)
    assert longest_pause_s(world, from_s) < 5.0
    world.network_up = True
    world.run(5.0)
    assert world.buffer.frames == {}


def test_what_is_not_urgent_or_rests_waits_for_the_longer_pauses() -> None:
    world = World()
    world.network_up = False
    world.seal("high")
    world.seal("bulk", count=20)
    world.run(1800.0)
    assert longest_pause_s(world, 600.0) > 30.0
    world.give(UseRadio(RadioPlan(sessions_per_h=4.0, stay_connected=False)))
    world.seal("critical")
    from_s = world.now_s
    world.run(1800.0)
    assert longest_pause_s(world, from_s) > 30.0


def test_an_urgent_event_that_is_settled_makes_nobody_hurry_any_more() -> None:
    world = connected_world()
    world.seal("critical")
    world.run(5.0)
    world.network_up = False
    world.cut()
    world.seal("bulk", count=20)
    from_s = world.now_s
    world.run(1800.0)
    assert longest_pause_s(world, from_s) > 30.0


# ------------------------------------------------------------------ receipts and their forgeries


def committed_in_flight(world: World) -> Receipt:
    """Send one frame that the region never answers; return the receipt it would have sent."""
    silent(world)
    world.seal()
    world.run(0.5)
    frame = world.sent[-1].frame
    return world.region.receipt([entry_for(frame)])


def test_a_receipt_settles_its_frame() -> None:
    world = connected_world()
    world.deliver(committed_in_flight(world))
    world.run(0.1)
    assert world.buffer.frames == {}
    assert world.session.counts["frames_committed"] == 1


@pytest.mark.parametrize(
    ("status", "counter"),
    [(Status.GAPPED, "frames_gapped"), (Status.COMMITTED_UNKNOWN, "frames_unknown")],
)
def test_each_status_is_counted(status: Status, counter: str) -> None:
    world = connected_world()
    receipt = committed_in_flight(world)
    entry = replace(receipt.entries[0], status=status, reason=4)
    world.deliver(replace(receipt, entries=(entry,)))
    assert world.session.counts[counter] == 1


def test_a_forged_receipt_frees_nothing() -> None:
    world = connected_world()
    receipt = committed_in_flight(world)
    good = down(receipt)
    flipped = good.payload[:-1] + bytes([good.payload[-1] ^ 1])
    world.give(Arrived(replace(good, payload=flipped)))
    world.deliver(receipt, key=OTHER_KEY)
    world.deliver(receipt, retained=True)
    world.give(Arrived(replace(good, payload=b"{}")))
    world.give(Arrived(replace(good, topic="wb/1/down/acme/store-1/till-1/want")))
    stranger = replace(ADDRESS, device="till-2")
    world.deliver(replace(receipt, address=stranger))
    world.run(0.1)
    assert len(world.buffer.frames) == 1
    counts = world.session.counts
    names = ["down_forged", "down_wrong_key", "down_retained", "down_malformed"]
    assert [counts[name] for name in names] == [1, 1, 1, 1]
    assert counts["down_misaddressed"] == 2
    assert counts["receipts"] == 0


def test_a_receipt_with_another_digest_frees_nothing() -> None:
    world = connected_world()
    receipt = committed_in_flight(world)
    other = replace(receipt.entries[0], digest=b"\xee" * 8)
    world.deliver(replace(receipt, entries=(other,)))
    world.run(0.1)
    assert len(world.buffer.frames) == 1


def test_a_receipt_before_any_resume_is_ignored() -> None:
    world = silent(World())
    frame = world.buffer.seal("normal")
    world.run(0.5)
    world.deliver(world.region.receipt([entry_for(frame)]))
    assert world.session.counts["down_unasked"] == 1
    assert len(world.buffer.frames) == 1


def test_a_newer_receipt_of_another_generation_leads_to_a_resume() -> None:
    world = connected_world()
    world.seal(count=4)
    world.run(1.0)
    assert len(world.buffer.freed) == 4
    world.region.forget_everything()
    world.seal()
    world.run(30.0)
    assert world.session.counts["resumes_applied"] >= 2
    assert world.session.counts["generations"] == 1
    assert len(world.region.commits) == 5


def test_an_old_receipt_of_another_generation_is_a_replay() -> None:
    world = connected_world()
    old = replace(world.region.receipt([]), generation=b"gen-0000", sent_ns=1)
    world.deliver(old)
    assert world.session.counts["down_replayed"] == 1
    assert world.session.figures(world.now).resume is ResumeState.DONE


def test_a_replayed_receipt_brings_no_credit() -> None:
    world = connected_world()
    generous = world.region.receipt([])
    world.region.credit = Credit(0, 3600)
    world.deliver(world.region.receipt([]))
    world.deliver(generous)
    assert world.session.figures(world.now).window.credit_bytes == 0


# ------------------------------------------------------------------ time-outs


def test_a_frame_without_a_receipt_is_sent_again() -> None:
    world = connected_world()
    frame_lost = []

    def lose_first(_: object) -> None:
        frame_lost.append(1)
        world.weather.loss = 0.0

    world.weather.loss = 1.0
    world.seal()
    world.later(1.0, lambda: lose_first(None))
    world.run(60.0)
    assert frame_lost
    assert world.buffer.frames == {}
    assert world.session.counts["frames_resent"] == 1


def test_silence_is_answered_with_a_question_not_with_frames() -> None:
    world = silent(connected_world())
    world.seal(count=20)
    world.run(3600.0)
    sent_bytes = sum(sending.frame.size_bytes for sending in world.sent)
    assert sent_bytes <= 20 * 8_000
    assert world.session.counts["resumes_sent"] > 100


def test_a_frame_that_is_never_answered_is_rechecked() -> None:
    world = connected_world(lanes=dict.fromkeys(ALL_IN_ORDER, Order.LIVE_FIRST))
    answer = world.region.frame
    world.seal()
    poison = next(iter(world.buffer.frames.values()))
    world.region.frame = (  # type: ignore[method-assign]
        lambda frame: world.region.receipt([]) if frame.id == poison.id else answer(frame)
    )
    for _ in range(600):
        world.seal()
        world.run(1.0)
    assert [(r.frame.id, r.sends) for r in world.rechecked][:1] == [(poison.id, 5)]
    assert list(world.buffer.frames) == [poison.id]


# ------------------------------------------------------------------ credit and window


def test_no_more_than_the_credit_is_in_flight() -> None:
    world = World()
    world.region.credit = Credit(20_000, 3600)
    world.run(1.0)
    silent(world)
    world.seal(count=10)
    world.run(1.0)
    assert len(world.sent) == 2


def test_no_more_frames_than_the_window_are_in_flight() -> None:
    world = silent(connected_world(max_frames=4))
    world.seal(count=10, size_bytes=100)
    world.run(1.0)
    assert len(world.sent) == 4


def test_without_credit_single_frames_probe_at_growing_intervals() -> None:
    world = World()
    world.region.credit = Credit(0, 3600)
    world.run(1.0)
    times: list[float] = []
    world.on_down = lambda message: times.append(world.now_s)
    world.seal(count=50)
    world.run(600.0)
    gaps = [late - early for early, late in pairwise(times)]
    assert len(times) <= 13
    assert all(later > earlier * 1.3 for earlier, later in pairwise(gaps[:6]))
    assert world.session.counts["probes"] == len(times)


def test_expired_credit_is_probed_and_comes_back() -> None:
    world = World()
    world.region.credit = Credit(1_000_000, 10)
    world.run(60.0)
    world.seal(count=50)
    world.run(5.0)
    assert world.buffer.frames == {}
    assert world.session.counts["probes"] == 1


def test_a_hold_is_obeyed_and_ends() -> None:
    world = World()
    world.seal()
    held = [Hold(ADDRESS, "device key is not enrolled", 60)]
    answer = world.region.resume
    world.region.resume = (  # type: ignore[method-assign]
        lambda nonce, sent_ns: held.pop() if held else answer(nonce, sent_ns)
    )
    world.run(30.0)
    assert world.session.counts["resumes_sent"] == 1
    assert "not enrolled" in world.session.figures(world.now).doing
    world.run(60.0)
    assert world.buffer.frames == {}


def test_a_word_on_dictionaries_is_handed_on_and_changes_nothing_else() -> None:
    world = connected_world()
    word = DictionaryAnswer(ADDRESS, bytes(8), ((b"a name. ", DictionaryStatus.WANTED),))
    effects = world.session.receive(Arrived(down(word)), world.now)
    assert effects == [TakeDictionaries(word)]
    forged = world.session.receive(Arrived(down(word, key=OTHER_KEY)), world.now)
    assert forged == []


def test_a_hold_out_of_the_blue_is_ignored() -> None:
    world = connected_world()
    world.deliver(Hold(ADDRESS, "be quiet", 900))
    world.seal()
    world.run(1.0)
    assert world.buffer.frames == {}
    assert world.session.counts["down_unasked"] == 1


# ------------------------------------------------------------------ order, lanes, holes


def test_a_hole_is_refilled_in_order_with_one_rewind() -> None:
    world = connected_world()
    lost = iter([True])
    original = world.region.frame

    def lose_first(frame: FrameRef) -> Message:
        return world.region.receipt([]) if next(lost, False) else original(frame)

    world.region.frame = lose_first  # type: ignore[method-assign]
    world.seal(count=8)
    world.run(20.0)
    assert [frame.first for frame in world.region.commits] == list(range(1, 80, 10))
    assert world.session.counts["wants"] == 1
    assert world.session.counts["wants_repeated"] == 4
    assert len(world.sent) == 6 + 8  # three quarters of the first window, then all of them


def test_a_want_for_what_the_buffer_no_longer_has_leads_to_a_resume() -> None:
    world = connected_world()
    world.seal(count=2)
    world.run(1.0)
    world.region.settled.clear()
    world.seal(count=2)
    world.run(1.0)
    assert world.session.counts["resumes_applied"] >= 2


def test_urgent_lanes_go_first_and_bulk_keeps_a_share() -> None:
    world = World(max_frames=1)
    world.seal("bulk", count=300)
    world.seal("critical", count=300)
    world.run(18.0)
    first_of_bulk = [i for i, s in enumerate(world.sent) if s.frame.lane == "bulk"]
    assert world.sent[0].frame.lane == "critical"
    assert 0 < len([i for i in first_of_bulk if i < 200]) <= 5


def test_a_critical_frame_passes_a_full_window() -> None:
    world = silent(connected_world(max_bytes=130_000))
    world.seal("bulk", count=100)
    world.run(0.5)
    world.seal("critical")
    world.run(0.5)
    assert world.sent[-1].frame.lane == "critical"


def test_live_first_sends_new_frames_before_the_backlog_and_drains_both() -> None:
    lanes = dict.fromkeys(ALL_IN_ORDER, Order.LIVE_FIRST)
    world = World(lanes=lanes, max_frames=2)
    world.seal(count=100)
    world.run(1.0)
    new = world.buffer.seal("normal")
    before = len(world.sent)
    world.seal(count=10)
    world.run(0.5)
    assert new.id in [s.frame.id for s in world.sent[before : before + 6]]
    world.run(60.0)
    assert world.buffer.frames == {}


def test_an_evicted_frame_is_replaced_by_its_gap() -> None:
    world = World()
    world.seal(count=3)
    world.network_up = False
    world.cut()
    second = list(world.buffer.frames)[1]
    world.network_up = True
    world.run(3.0)
    world.region_up = False
    world.seal(count=40)
    world.buffer.evict(list(world.buffer.frames)[-1])
    assert second
    world.region_up = True
    world.run(60.0)
    assert world.buffer.frames == {}
    assert [f.first for f in world.region.commits] == list(range(1, 430, 10))
    assert sum(f.count == 0 for f in world.region.commits) == 1


def test_frames_reported_gone_are_forgotten() -> None:
    world = silent(connected_world())
    world.seal(count=2)
    world.run(0.5)
    frames = tuple(world.buffer.frames.values())
    world.buffer.frames.clear()
    world.give(FramesGone(frames))
    figures = world.session.figures(world.now)
    assert (figures.in_flight_frames, figures.in_flight_bytes) == (0, 0)
    assert world.session.counts["frames_gone"] == 2


# ------------------------------------------------------------------ others


def test_clones_that_throw_each_other_out_do_not_reconnect_at_full_speed() -> None:
    world = World()
    for _ in range(3600):
        world.run(1.0)
        if world.linked:
            world.cut(LinkFailure.REFUSED)
    assert len(world.connects) < 400


def test_the_clock_offset_is_estimated_from_receipts() -> None:
    world = connected_world()
    world.region.clock_ns = world.now.wall_ns + 5_000_000_000
    world.seal()
    world.run(1.0)
    world.region.clock_ns = world.now.wall_ns + 5_000_000_000
    world.seal()
    world.run(1.0)
    clock = world.session.figures(world.now).clock
    assert clock is not None


def test_a_delivery_on_no_topic_of_ours_is_malformed() -> None:
    world = connected_world()
    world.give(Arrived(Delivery("some/other/topic", b"x", retained=False)))
    assert world.session.counts["down_malformed"] == 1


def test_a_lost_frame_of_an_in_order_lane_takes_those_behind_it_along() -> None:
    world = connected_world()
    world.region.frame = lambda frame: world.region.receipt([])  # type: ignore[method-assign]
    world.seal()
    world.run(1.0)
    world.seal()
    world.run(FIRST_TIMEOUT_S - 0.5)
    assert [sending.frame.first for sending in world.sent] == [1, 11, 1, 11]


def test_nothing_is_in_flight_on_a_link_that_is_gone() -> None:
    world = silent(connected_world())
    world.seal(count=3)
    world.run(0.5)
    assert world.session.figures(world.now).in_flight_frames == 3
    world.cut()
    figures = world.session.figures(world.now)
    assert (figures.in_flight_frames, figures.in_flight_bytes) == (0, 0)


def test_an_idle_device_notices_a_restored_region() -> None:
    world = connected_world()
    world.seal(count=4)
    world.run(10.0)
    world.region.forget_everything()
    world.run(REFRESH_S + 10.0)
    assert len(world.region.commits) == 4
    world.run(10 * REFRESH_S)
    assert world.session.counts["resumes_sent"] == 12


def test_streams_that_did_not_fit_the_question_are_asked_about_when_all_else_is_settled() -> None:
    world = connected_world()
    world.seal(count=3)
    world.give(ResumeApplied(world.buffer.newest(), unasked=2))
    world.run(10.0)
    assert world.buffer.frames == {}
    assert [rest for _, rest in world.asked] == [False, True]


def test_a_former_address_that_nobody_answers_for_does_not_hold_up_the_present_one() -> None:
    world = connected_world()
    world.answers_rest, world.unasked = False, 1
    world.give(ResumeApplied(world.buffer.newest(), unasked=1))
    world.run(200.0)
    for_rest = [at_s for at_s, rest in world.asked if rest]
    assert 2 <= len(for_rest) <= 4
    for at_s in for_rest:
        assert any(at_s < again_s <= at_s + 5 for again_s, rest in world.asked if not rest)
    world.seal(count=3)
    world.run(10.0)
    assert world.buffer.frames == {}


def test_a_hold_for_a_former_address_is_not_for_the_present_one() -> None:
    world = connected_world()
    world.answers_rest, world.unasked = False, 1
    world.give(ResumeApplied(world.buffer.newest(), unasked=1))
    world.run(REST_GAP_S + 0.5)
    assert world.asked[-1][1]
    world.deliver(Hold(ADDRESS, "not enrolled", 900))
    world.seal(count=3)
    world.run(10.0)
    assert world.buffer.frames == {}
    world.run(600.0)
    assert sum(rest for _, rest in world.asked) == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_frames_that_overtake_each_other_do_not_all_go_again_and_again(seed: int) -> None:
    world = World(seed, weather=Weather(delay_s=(0.02, 1.0)))
    world.seal(count=400, size_bytes=300)
    world.run(900.0)
    assert world.buffer.frames == {}
    assert len(world.sent) < 5 * 400
