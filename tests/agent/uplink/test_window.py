"""What may be sent now, and why not."""

from __future__ import annotations

import pytest

from whimbrel_agent.uplink.budget import Spent
from whimbrel_agent.uplink.deliveryrate import Mark
from whimbrel_agent.uplink.holding import (
    BUDGET_LOOK_S,
    UNURGENT_PART,
    URGENT_EXTRA_BYTES,
    InFlight,
    Traffic,
)
from whimbrel_agent.uplink.limits import LinkRules, wire_bytes
from whimbrel_agent.uplink.losswindow import FIRST_WINDOW_BYTES
from whimbrel_agent.uplink.values import Now
from whimbrel_agent.uplink.window import MIN_WINDOW_FRAMES, Window
from whimbrel_protocol.messages import Credit

MAX_BYTES = 1_000_000
PLENTY = Credit(10 * MAX_BYTES, 3600)
WALL_NS = 1_800_000_000_000_000_000
NOTHING = InFlight(0, 0, 0, 0)


def at(now_s: float) -> Now:
    return Now(now_s, WALL_NS + int(now_s * 1e9))


def flying(frames: int, size_bytes: int) -> InFlight:
    return InFlight(frames, size_bytes, frames, size_bytes)


def window_of(rules: LinkRules | None = None, credit: Credit = PLENTY, **spent: Spent) -> Window:
    window = Window(
        max_bytes=MAX_BYTES, max_frames=100, classes=(rules or LinkRules(),), spent=spent
    )
    window.credits.credited(credit, 0.0)
    return window


def settle(window: Window, now_s: float, *, round_trip_s: float = 0.1, size: int = 50_000) -> None:
    """A receipt for that much, of a full window that was sent a round trip ago."""
    sent_s = now_s - round_trip_s
    mark = Mark(0, sent_s, busy=True, sent_s=sent_s, size_bytes=16_000, region_ns=0, alone=True)
    window.measured(16_000, round_trip_s, 0.0, now_s)
    window._rate._delivered = 0
    window.settled(size, mark, now_s, received_ns=1, frames=1, flying_bytes=MAX_BYTES)


def reason(window: Window, traffic: Traffic, on_its_way: InFlight, now_s: float = 1.0) -> str:
    held = window.holds(10_000, traffic, on_its_way, at(now_s))
    return "" if held is None else held.reason


@pytest.mark.parametrize(
    ("lane", "replay", "polite", "traffic"),
    [
        ("critical", False, True, Traffic.URGENT),
        ("high", True, True, Traffic.URGENT),
        ("normal", False, True, Traffic.ORDINARY),
        ("normal", True, True, Traffic.BACKGROUND),
        ("bulk", False, True, Traffic.BACKGROUND),
        ("bulk", True, False, Traffic.ORDINARY),
    ],
)
def test_bulk_and_replay_are_background_where_that_is_polite(
    lane: str, replay: bool, polite: bool, traffic: Traffic
) -> None:
    assert window_of(LinkRules(polite=polite)).traffic(lane, replay=replay) is traffic


def test_without_credit_a_single_frame_probes_whatever_it_is() -> None:
    window = window_of(credit=Credit(0, 3600))
    assert reason(window, Traffic.BACKGROUND, NOTHING) == ""
    assert reason(window, Traffic.URGENT, flying(1, 1)) == "the region gives no credit"
    window.sent(10_000, Traffic.URGENT, NOTHING, at(1.0), busy=True)
    held = window.holds(10_000, Traffic.URGENT, NOTHING, at(1.5))
    assert held is not None
    assert held.until_s == 2.0


def test_the_credit_bounds_everybody() -> None:
    window = window_of(credit=Credit(15_000, 3600))
    assert reason(window, Traffic.URGENT, NOTHING) == ""
    assert reason(window, Traffic.URGENT, flying(1, 6_000)) == "the region's credit is used"


def test_before_any_rate_is_known_the_first_window_is_the_second() -> None:
    window = window_of()
    assert reason(window, Traffic.URGENT, flying(2, FIRST_WINDOW_BYTES - 10_000)) == ""
    assert "second" in reason(window, Traffic.URGENT, flying(2, FIRST_WINDOW_BYTES - 9_999))


def test_a_second_of_the_measured_rate_bounds_everybody_and_urgent_ones_have_a_quarter() -> None:
    window = window_of()
    settle(window, 1.0, size=20_000)  # 200,000 bytes a second
    assert window.second_bytes == pytest.approx(200_000)
    window._loss.size_bytes = float(MAX_BYTES)
    below = int(200_000 * UNURGENT_PART) - 10_001
    assert reason(window, Traffic.ORDINARY, flying(5, below)) == ""
    assert "second" in reason(window, Traffic.ORDINARY, flying(5, below + 10))
    assert reason(window, Traffic.URGENT, flying(5, below + 10)) == ""
    assert "second" in reason(window, Traffic.URGENT, flying(5, 190_001))


def test_a_way_longer_than_a_second_does_not_close_itself() -> None:
    window = window_of()
    settle(window, 5.0, round_trip_s=2.0, size=200_000)
    assert window.second_bytes == pytest.approx(100_000 * 3.0)


def test_what_was_sent_long_ago_in_vain_holds_up_no_other() -> None:
    window = window_of()
    settle(window, 1.0, size=1_000)
    assert reason(window, Traffic.ORDINARY, flying(1, 8_000)) != ""
    assert reason(window, Traffic.ORDINARY, InFlight(1, 8_000, 0, 0)) == ""


def test_a_full_window_holds_what_is_not_urgent() -> None:
    window = window_of()
    window._rate.per_s = 1e9
    assert reason(window, Traffic.ORDINARY, flying(4, FIRST_WINDOW_BYTES)) == "the window is full"
    assert reason(window, Traffic.URGENT, flying(4, FIRST_WINDOW_BYTES)) == ""


def test_background_has_a_window_of_its_own_that_holds_nobody_else() -> None:
    window = window_of()
    held = window.holds(10_000, Traffic.BACKGROUND, flying(2, 33_000), at(1.0))
    assert held is not None
    assert not held.for_all
    assert reason(window, Traffic.ORDINARY, flying(2, 33_000)) == ""


def test_the_configured_most_bounds_urgent_frames_too_a_little_above() -> None:
    window = window_of()
    window._rate.per_s = 1e9
    most = MAX_BYTES + URGENT_EXTRA_BYTES
    assert reason(window, Traffic.URGENT, flying(9, most - 10_000)) == ""
    assert "the most" in reason(window, Traffic.URGENT, flying(9, most - 9_999))


def test_some_frames_are_kept_free_for_urgent_ones() -> None:
    window = window_of()
    assert reason(window, Traffic.ORDINARY, flying(94, 94)) == "enough frames wait for receipts"
    assert reason(window, Traffic.URGENT, flying(94, 94)) == ""
    assert reason(window, Traffic.URGENT, flying(100, 100)) == "enough frames wait for receipts"


def test_background_frames_are_paced_and_may_go_when_it_says() -> None:
    window = window_of()
    settle(window, 1.0, round_trip_s=1.0)
    window.sent(10_000, Traffic.BACKGROUND, NOTHING, at(1.0), busy=True)
    held = window.holds(10_000, Traffic.BACKGROUND, NOTHING, at(1.0))
    assert held is not None
    assert held.until_s is not None
    assert held.until_s > 1.0
    assert reason(window, Traffic.BACKGROUND, NOTHING, held.until_s) == ""
    assert reason(window, Traffic.ORDINARY, NOTHING) == ""


def test_a_cap_holds_everything_but_urgent_frames_which_it_charges() -> None:
    window = window_of(LinkRules(bytes_per_s=10_000))
    for _ in range(3):
        assert reason(window, Traffic.URGENT, NOTHING) == ""
        window.sent(10_000, Traffic.URGENT, NOTHING, at(1.0), busy=True)
    held = window.holds(10_000, Traffic.ORDINARY, NOTHING, at(1.0))
    assert held is not None
    assert "80 kbit/s" in held.reason
    assert held.until_s == pytest.approx(1.0 + 3 * 10_760 / 10_000, abs=0.15)


def test_a_used_budget_leaves_urgent_frames_only_and_is_looked_at_again() -> None:
    period = LinkRules().period_at(WALL_NS)
    rules = LinkRules(monthly_bytes=1_000_000)
    window = window_of(rules, uplink=Spent("uplink", period, 990_000))
    assert reason(window, Traffic.ORDINARY, NOTHING) == ""
    window.sent(10_000, Traffic.ORDINARY, NOTHING, at(1.0), busy=True)
    assert window.to_reserve() is not None
    assert window.figures(at(1.0)).budget_left_bytes == 10_000 - wire_bytes(10_000)
    held = window.holds(10_000, Traffic.BACKGROUND, NOTHING, at(1.0))
    assert held is not None
    assert "month" in held.reason
    assert held.until_s == 1.0 + BUDGET_LOOK_S
    assert reason(window, Traffic.URGENT, NOTHING) == ""
    assert window.budgets() == [Spent("uplink", period, 990_000 + wire_bytes(10_000))]


def test_a_link_has_the_rules_of_its_class() -> None:
    window = Window(
        max_bytes=MAX_BYTES,
        max_frames=10,
        classes=(
            LinkRules(name="links.lte", interfaces=("wwan*",), bytes_per_s=1_000),
            LinkRules(),
        ),
    )
    window.linked(0, "wwan0")
    assert window.figures(at(1.0)).link_class == "links.lte"
    assert window.figures(at(1.0)).cap_bytes_per_s == 1_000
    window.linked(0, "eth0")
    assert window.figures(at(1.0)).link_class == "uplink"
    assert window.figures(at(1.0)).cap_bytes_per_s is None


def test_a_new_link_forgets_what_was_measured() -> None:
    window = window_of()
    settle(window, 1.0)
    window.linked()
    figures = window.figures(at(2.0))
    assert (figures.rate_bytes_per_s, figures.base_delay_s, figures.queueing_s) == (None,) * 3


def test_the_region_s_time_is_no_queueing() -> None:
    window = window_of()
    window.measured(16_000, 0.1, 0.0, 1.0)
    window.measured(16_000, 5.0, 4.9, 2.0)
    assert window.figures(at(2.0)).queueing_s == pytest.approx(0.0)
    window.measured(16_000, 5.0, -99.0, 3.0)  # a clock that was set
    assert window.figures(at(3.0)).queueing_s == pytest.approx(4.9)


def test_after_a_missed_frame_half_as_many_go_and_settled_ones_bring_them_back() -> None:
    window = Window(max_bytes=1_000_000, max_frames=64)
    window.went_back(40, 1.0)
    assert window.frames == 20
    for number in range(10):
        window.went_back(window.frames, 2.0 + number)
    assert window.frames == MIN_WINDOW_FRAMES
    for _ in range(100):
        window.settled(1_000, None, 20.0, received_ns=0, frames=window.frames, flying_bytes=0)
    assert window.frames == 64
